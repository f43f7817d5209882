"""The routes by which children have their logs cosigned: ``add-checkpoint`` as https://c2sp.org/tlog-witness has it,
and the call that carries what siblings and this node want signed."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from sanjin.adapters.identity.device import node_of
from sanjin.adapters.identity.issuer import Issuer
from sanjin.api.tls import PEER
from sanjin.flow import notes
from sanjin.flow.notes import BadNote
from sanjin.model.errors import LogForked, NotAllowed, SanjinError, StaleSize, TooLarge
from sanjin.tree import cosigning
from sanjin.tree.cosigning import Desk

ADD, WORD = "/v1/witness/add-checkpoint", "/v1/witness/word"
PATHS = frozenset({ADD, WORD})
SIZE_TYPE = "text/x.tlog.size"
BODY_MAX = 1 << 20


class BadRequest(SanjinError):
    """A request to a witness that is not well formed."""

    status = 400
    code = "bad_request"


class ProofRefused(SanjinError):
    """The proof does not lead from what was signed to what is shown: the log was rewritten."""

    status = 422
    code = "log_forked"


def child_of(request: Request, issuer: Issuer) -> str:
    """The child that calls, by its certificate. Raises NotAllowed."""
    child = node_of(request.scope.get(PEER, ""), issuer.region)
    if not child:
        raise NotAllowed("this needs the certificate of an enrolled node")
    if not issuer.may_call(child):
        raise NotAllowed(f"{child} is not enrolled here, or was revoked")
    return child


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request. Raises TooLarge."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most:
            raise TooLarge(f"more than {most >> 10} KiB in one call")
    return bytes(found)


def witness_routes(desk: Desk, issuer: Issuer) -> APIRouter:
    """The routes over a parent's desk."""
    router = APIRouter(tags=["nodes"], include_in_schema=False)

    @router.post(ADD)
    async def add_checkpoint(request: Request) -> Response:
        """Cosign a checkpoint that goes on from what was signed before."""
        child_of(request, issuer)
        body = await body_of(request, BODY_MAX)
        try:
            line = await run_in_threadpool(_add, desk, body)
        except StaleSize as fault:
            return Response(f"{fault.size}\n", status_code=409, headers={"Content-Type": SIZE_TYPE})
        return Response(line, media_type="text/plain; charset=utf-8")

    @router.post(WORD)
    async def word(request: Request) -> Response:
        """What a child has signed, and wants signed by its siblings."""
        child = child_of(request, issuer)
        try:
            said = cosigning.read_word(await body_of(request, BODY_MAX))
        except ValueError as fault:
            raise BadRequest(f"{child} sent what is no word: {fault}") from fault
        reply = await run_in_threadpool(desk.hear, child, said)
        return Response(cosigning.encode(reply), media_type="application/msgpack")

    return router


def _add(desk: Desk, body: bytes) -> str:
    """The cosignature; errors as tlog-witness numbers them."""
    try:
        old, proof, note = notes.parse_witness_request(body)
        size = notes.parse_checkpoint(notes.parse_note(note).text).size
    except BadNote as fault:
        raise BadRequest(str(fault)) from fault
    try:
        return desk.add_checkpoint(old, proof, note)
    except (StaleSize, LogForked) as fault:
        if old > size:
            raise BadRequest(f"the old size {old} is above the checkpoint's, {size}") from fault
        if isinstance(fault, StaleSize) or old == size:
            raise
        raise ProofRefused(str(fault)) from fault
