"""The routes of the nodes' transparent logs: checkpoint, tiles and entries as https://c2sp.org/tlog-tiles has
them, below ``/v1/log/<node>``, and proofs ready made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from sanjin.api.answers import answer
from sanjin.api.callers import Caller
from sanjin.api.guard import Asking, Guard
from sanjin.api.rights import About
from sanjin.flow.transparency import parse_tile
from sanjin.model.access import Action
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.log import Cosigned, GrowthProof, InclusionProof, LogEntry
from sanjin.tree.log import NodeLog
from sanjin.tree.region import LiveRegion

Whose = Annotated[str, Path(description="id of a node", max_length=100)]

_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
_STAYS = {"Cache-Control": "private, max-age=31536000, immutable"}
_MOVES = {"Cache-Control": "no-cache"}


def log_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The routes over the logs of a live region."""
    router = APIRouter(tags=["log"], prefix="/log/{node}")

    def own(caller: Caller, node: str) -> NodeLog:
        """The log of a node, for who may audit it: its leaves name jobs of every tenant."""
        guard.need(caller, Action.AUDIT, About(site=node))
        return _log(live, node)

    @router.get("/checkpoint", response_class=Response, responses=_TEXT)
    def checkpoint(caller: Asking, node: Whose) -> Response:
        """The signed note that says how many entries the node's log has, and the root over them, now."""
        return Response(own(caller, node).checkpoint(), media_type="text/plain; charset=utf-8", headers=_MOVES)

    @router.get("/key", response_class=Response, responses=_TEXT)
    def key(caller: Asking, node: Whose) -> Response:
        """The public keys: on the first line the log's, then its witnesses'. Compare them with what you had safely."""
        log = own(caller, node)
        lines = [k.text() for k in (log.verifier, *log.cosigners())]
        return Response("\n".join([*lines, ""]), media_type="text/plain; charset=utf-8", headers=_MOVES)

    @router.get("/cosigned", response_model=list[Cosigned])
    def cosigned(caller: Asking, node: Whose) -> Response:
        """What each witness of the log has cosigned last, and when; size 0 where it never did."""
        return answer(own(caller, node).cosigned())

    @router.get("/tile/{path:path}", response_class=Response, responses=_BYTES)
    def tile(
        caller: Asking,
        node: Whose,
        path: Annotated[str, Path(description="`<L>/<N>[.p/<W>]`, or `entries/<N>[.p/<W>]`", max_length=200)],
    ) -> Response:
        """A tile of 256 hashes, or the leaves of 256 entries; `.p/<W>`: the first W, up to the last checkpoint."""
        name = parse_tile(path)
        if name is None:
            raise NotFound(f"tile/{path} is no tile's name; see https://c2sp.org/tlog-tiles")
        return Response(own(caller, node).tile(name), media_type="application/octet-stream", headers=_STAYS)

    @router.get("/entries", response_model=list[LogEntry])
    def entries(
        caller: Asking,
        node: Whose,
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> Response:
        """Journal entries after entry `after`, up to the last checkpoint, each with its leaf and the leaf's hash."""
        return answer(own(caller, node).entries(after, limit))

    @router.get("/proof", response_model=InclusionProof | GrowthProof)
    def proof(
        caller: Asking,
        node: Whose,
        entry: Annotated[int, Query(description="that this entry is in the log", ge=0, le=2**53)] = 0,
        since: Annotated[int, Query(description="that it grew from so many entries", ge=-1, le=2**53)] = -1,
    ) -> Response:
        """A proof against the checkpoint that comes with it (RFC 6962): of an entry, or that the log only grew."""
        log = own(caller, node)
        if (entry > 0) == (since >= 0):
            raise ProblemsFound([problem("wrong_value", "entry", value="give either entry, from 1 on, or since")])
        return answer(log.inclusion(entry) if entry else log.growth(since))

    return router


def _log(live: LiveRegion, node: str) -> NodeLog:
    found = live.logs.get(node)
    if found is None:
        raise NotFound(f"there is no log of a node {node}; known: {', '.join(live.logs)}")
    return found
