"""The routes of the API. Each asks the region and encodes what it says; no rule lives here.

Answers are made by msgspec straight from the domain's dataclasses; the declared models are what
FastAPI documents.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from sanjin.api.bodies import NDJSON, read_submissions
from sanjin.api.log_routes import log_routes
from sanjin.api.problems import MEDIA_TYPE
from sanjin.api.stream import EventHub
from sanjin.flow.submit import problem
from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.job import JobState
from sanjin.model.placement import Explanation
from sanjin.model.record import JobRecord
from sanjin.model.status import (
    Accepted,
    AuditResult,
    Bill,
    Cancelled,
    Happening,
    Health,
    JobBill,
    JobPage,
    ProblemDetails,
    RegionStatus,
    SiteStatus,
)
from sanjin.ports import JobQuery
from sanjin.tree import overview
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion

LOG_WALL_S = 0.2
"""How often a followed log is looked at for more."""

LOG_BYTES = 1 << 20
DRY_RUN_MAX = 100
PARTS_TOLD = 10

_encode = msgspec.json.Encoder().encode
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}},
            NDJSON: {"schema": {"type": "string", "description": "one Submission a line, at most 1,000"}},
        },
    }
}
_PROBLEM: dict[str, Any] = {"model": ProblemDetails, "content": {MEDIA_TYPE: {}}}
FAULTS: dict[int | str, dict[str, Any]] = {
    401: {"description": "no valid token", **_PROBLEM},
    403: {"description": "not allowed", **_PROBLEM},
    404: {"description": "no such thing", **_PROBLEM},
    422: {"description": "the input is wrong: everything that is wrong with it", **_PROBLEM},
    503: {"description": "a node does not answer", **_PROBLEM},
}
_SUBMIT_FAULTS: dict[int | str, dict[str, Any]] = {
    409: {"description": "a client key was used for another job", **_PROBLEM},
    413: {"description": "the body is too large", **_PROBLEM},
    507: {"description": "the store cannot write; nothing was accepted", **_PROBLEM},
}

NodeName = Annotated[str, Query(description="id of a node; empty: the highest here", max_length=100)]
JobId = Annotated[str, Path(description="id of a job, as submit gave it", max_length=120)]


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status_code=status, media_type="application/json")


def routes(live: LiveRegion, hub: EventHub, about: RegionStatus) -> APIRouter:
    """All routes over a live region. Making them touches nothing: each looks when it is called."""
    router = APIRouter(prefix="/v1", responses=FAULTS)
    for part in (_submitting(live), _reading(live), _region(live, hub, about), log_routes(live)):
        router.include_router(part)
    return router


def _node(live: LiveRegion, name: str) -> Node:
    if not name:
        return live.nodes[live.root]
    node = live.nodes.get(name)
    if node is None:
        raise ProblemsFound([problem("no_node", "node", value=name, known=", ".join(live.nodes))])
    return node


def _submitting(live: LiveRegion) -> APIRouter:
    router = APIRouter(tags=["jobs"])

    @router.post("/jobs", status_code=201, response_model=Accepted, responses=_SUBMIT_FAULTS, openapi_extra=_BODY)
    async def submit(request: Request, node: NodeName = "") -> Response:
        """Submit a job (JSON) or up to 1,000 (NDJSON), all or none.

        The answer comes once they are durable. Sending the same key and job again gives the same id.
        """
        target = _node(live, node)
        submissions = await read_submissions(request, target.check)
        at = "" if len(submissions) == 1 else "jobs"
        records = await asyncio.wrap_future(target.submit(submissions, at))
        return answer(Accepted(tuple(r.id for r in records)), 201)

    @router.post("/dry-run", response_model=list[Explanation], responses=_SUBMIT_FAULTS, openapi_extra=_BODY)
    async def dry_run(request: Request, node: NodeName = "") -> Response:
        """Where up to 100 jobs would go if they were submitted now, with prices. Nothing changes.

        Each is priced alone, not after the ones before it.
        """
        target = _node(live, node)
        submissions = await read_submissions(request, target.check)
        if len(submissions) > DRY_RUN_MAX:
            raise ProblemsFound([problem("batch_size", "", value=len(submissions), most=DRY_RUN_MAX)])
        return answer(await asyncio.wrap_future(target.dry_run([s.spec for s in submissions])))

    @router.post("/jobs/{job}/cancel", response_model=Cancelled)
    async def cancel(job: JobId) -> Response:
        """Ask for a job's end, wherever it is."""
        await asyncio.to_thread(overview.job, live, job)
        asked = await asyncio.wrap_future(overview.owner(live, job).cancel(job))
        return answer(Cancelled(asked))

    @router.post("/jobs/{job}/replace", response_model=Cancelled)
    async def replace(job: JobId, node: NodeName = "") -> Response:
        """Say that the silent node that has a job does not run it, so that it is placed again, also where it must not
        run twice. Ask the node above the silent one."""
        return answer(Cancelled(await asyncio.wrap_future(_node(live, node).confirm(job))))

    return router


def _reading(live: LiveRegion) -> APIRouter:
    router = APIRouter(tags=["jobs"])

    @router.get("/jobs", response_model=JobPage)
    def jobs(
        node: Annotated[str, Query(description="submitted at this node; empty: anywhere", max_length=100)] = "",
        state: JobState | None = None,
        tenant: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(description="`next` of the page before", max_length=10_000)] = "",
    ) -> Response:
        """Jobs, newest first."""
        if node:
            _node(live, node)
        query = JobQuery(state=state or "", tenant=tenant, limit=limit)
        return answer(overview.jobs(live, query, node, after))

    @router.get("/jobs/{job}", response_model=JobRecord)
    def one(job: JobId) -> Response:
        """One job as the node knows it where it was submitted."""
        return answer(overview.job(live, job))

    @router.get("/jobs/{job}/events", response_model=list[Happening])
    def events(job: JobId) -> Response:
        """Everything that any node wrote about a job, in order of time."""
        return answer(overview.happenings(live, job))

    @router.get("/jobs/{job}/explain", response_model=list[Explanation])
    def explain(job: JobId) -> Response:
        """Every decision about a job: for each site its price in terms, or the rule that bars it."""
        overview.job(live, job)
        return answer(live.explain(job))

    @router.get("/jobs/{job}/bill", response_model=JobBill)
    def bill(job: JobId) -> Response:
        """How a job's run was billed."""
        return answer(overview.job_bill(live, job))

    @router.get("/jobs/{job}/logs", response_class=StreamingResponse, responses=_LOG)
    async def logs(
        job: JobId,
        stream: Annotated[str, Query(pattern="^(stdout|stderr)$")] = "stdout",
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        follow: bool = False,
    ) -> Response:
        """What a job printed, from byte ``offset``; with ``follow`` until the job has ended.

        Of work that was stopped and went on, what all its runs printed. The parts of a divided array have
        logs of their own.
        """
        await asyncio.to_thread(overview.job, live, job)
        parts = await asyncio.to_thread(overview.parts, live, job)
        if parts != [job]:
            some = ", ".join(parts[:PARTS_TOLD]) + (", ..." if len(parts) > PARTS_TOLD else "")
            raise ProblemsFound([problem("divided", "job", value=job, count=len(parts), parts=some)])
        return StreamingResponse(_log(live, job, stream, offset, follow), media_type="application/octet-stream")

    return router


_LOG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


async def _log(live: LiveRegion, job: str, stream: str, offset: int, follow: bool) -> AsyncIterator[bytes]:
    number = inside = 0  # which of the job's runs, and from which byte of its log
    while True:
        over = (await asyncio.to_thread(overview.job, live, job)).state.ended
        part, more = await asyncio.to_thread(_log_part, live, job, stream, number, inside)
        inside += len(part)
        if part:
            skipped = min(offset, len(part))
            offset -= skipped
            if part[skipped:]:
                yield part[skipped:]
        elif more:
            number, inside = number + 1, 0
        elif not follow or over:
            return
        else:
            await asyncio.sleep(LOG_WALL_S)


def _log_part(live: LiveRegion, job: str, stream: str, number: int, inside: int) -> tuple[bytes, bool]:
    """What a run printed after some bytes, and whether another run came after it."""
    try:
        node, runs = overview.runs_of(live, job)
    except NotFound:
        return b"", False  # it has not started yet
    number = min(number, len(runs) - 1)
    return node.parts.engine.logs(runs[number], stream, inside, LOG_BYTES), number + 1 < len(runs)


def _region(live: LiveRegion, hub: EventHub, about: RegionStatus) -> APIRouter:
    router = APIRouter(tags=["region"])

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether the region is well. Needs no token."""
        faults = {name: node.fault for name, node in live.nodes.items() if node.fault}
        return answer(Health(not faults, faults))

    @router.get("/region", response_model=RegionStatus)
    async def region() -> Response:
        """Which region this is, its nodes and its time."""
        return answer(dataclasses.replace(about, now_s=live.clock.now()))

    @router.get("/sites", response_model=list[SiteStatus])
    def sites() -> Response:
        """Every site now: capacity, prices, work."""
        return answer([overview.site_status(node) for node in live.nodes.values()])

    @router.get("/bills", response_model=list[Bill])
    def bills(tenant: Annotated[str, Query(max_length=200)] = "") -> Response:
        """What each tenant's settled jobs came to."""
        return answer([b for b in overview.bills(live) if tenant in ("", b.tenant)])

    @router.get("/audit", response_model=list[AuditResult])
    def audit(node: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Verify the journals: every hash, the tip, the ledger, each bill, and what was signed of the log."""
        names = [_node(live, node).name] if node else list(live.nodes)
        found = {n: overview.audit_node(live.region, n, live.nodes[n].parts.store) for n in names}
        return answer([live.logs[n].audited(r) if n in live.logs else r for n, r in found.items()])

    @router.get("/journal", response_model=list[Happening])
    def journal(
        node: NodeName = "",
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> Response:
        """A node's journal after entry ``after``."""
        target = _node(live, node)
        return answer([overview.happening(target.name, e) for e in target.parts.store.journal(after, limit)])

    @router.get("/events", response_class=StreamingResponse, responses=_EVENTS)
    async def events(
        request: Request,
        job: Annotated[str, Query(max_length=120)] = "",
        node: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        """Every journal entry of every node as it is written (server-sent events).

        `Last-Event-ID` continues a stream. The first event is `hello`, or `reset` where some were missed.
        """
        last = request.headers.get("last-event-id", "")
        return StreamingResponse(
            hub.read(last, job, node), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return router


_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
