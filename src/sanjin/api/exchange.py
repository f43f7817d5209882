"""The routes that children of a node call: enrolment, and the one call between nodes.

Neither asks for a user's token. Who enrols shows an invitation or the key that this node knows it by; who exchanges
shows the certificate that it got for that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from sanjin.adapters.identity.issuer import Issuer
from sanjin.api import witness_routes
from sanjin.api.witness_routes import body_of, child_of
from sanjin.model.errors import NotAllowed, RegionDiffers
from sanjin.tree import exchange
from sanjin.tree.cosigning import Desk
from sanjin.tree.node import Node

PATHS = frozenset({"/v1/authority", "/v1/enrol", "/v1/exchange"}) | witness_routes.PATHS
BODY_MAX = 64 << 20
ENROL_MAX = 64 << 10
REGION_HEADER = "sanjin-region"
"""SHA-256 of the region document that a child works with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """What a new child sends: a signing request (PEM), and the secret of its invitation, where it has one."""

    request: str
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What it gets: its certificate and the parent's authority (PEM), and what all nodes of a region share. ``clock``
    is empty where region time is the time of day."""

    certificate: str
    authority: str
    region: str
    policy: str
    clock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Documents that all nodes of a region have, as texts; ``digest`` is SHA-256 of the region's."""

    region: str
    policy: str
    clock: str
    digest: str


def children_routes(node: Node, issuer: Issuer, shared: Shared, desk: Desk | None = None) -> APIRouter:
    """All routes that the children of ``node`` call; without a ``desk`` it cosigns nothing."""
    router = APIRouter()
    router.include_router(exchange_routes(node, issuer, shared))
    if desk:
        router.include_router(witness_routes.witness_routes(desk, issuer))
    return router


def exchange_routes(node: Node, issuer: Issuer, shared: Shared) -> APIRouter:
    """The routes for enrolment, and the one call between nodes."""
    router = APIRouter(prefix="/v1", tags=["nodes"], include_in_schema=False)
    decode = msgspec.json.Decoder(Enrol).decode

    @router.post("/enrol")
    async def enrol(request: Request) -> Response:
        """Give a certificate to a child, new or known."""
        try:
            asked = decode(await body_of(request, ENROL_MAX))
        except msgspec.DecodeError as fault:
            raise NotAllowed(f"this is no enrolment: {fault}") from fault
        certificate = await run_in_threadpool(issuer.enrol, asked.request.encode(), asked.secret)
        made = Enrolled(
            certificate=certificate.decode(), authority=issuer.authority().decode(),
            region=shared.region, policy=shared.policy, clock=shared.clock,
        )  # fmt: skip
        return Response(msgspec.json.encode(made), media_type="application/json")

    @router.get("/authority")
    async def authority() -> Response:
        """The authority that this node serves under. It is no secret; who asks compares it with what it was told."""
        return Response(issuer.authority(), media_type="application/x-pem-file")

    @router.post("/exchange")
    async def call(request: Request) -> Response:
        """A child's call; answered as soon as there is something to say, or after some seconds."""
        child = child_of(request, issuer)
        if request.headers.get(REGION_HEADER, "") != shared.digest:
            raise RegionDiffers(f"{child} works with another region document than {node.name}: start it again")
        try:
            asked = exchange.read_request(await body_of(request, BODY_MAX))
        except ValueError as fault:
            raise NotAllowed(f"{child} sent what is no exchange: {fault}") from fault
        if asked.node != child:
            raise NotAllowed(f"{child} cannot speak for {asked.node}")
        found = await asyncio.wrap_future(node.answer(asked))
        return Response(exchange.encode(found), media_type="application/msgpack")

    return router
