"""The routes of the API. Each asks the guard whether the caller may, then the region, and encodes what that says.

No rule lives here; an answer for which nobody asked the guard is withheld (:mod:`sanjin.api.access`).

Answers are made by msgspec straight from the domain's dataclasses; the declared models are what
FastAPI documents.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path as FolderPath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from sanjin.api.answers import answer
from sanjin.api.bodies import NDJSON, read_submissions
from sanjin.api.briefing_routes import briefing_routes
from sanjin.api.callers import Caller
from sanjin.api.drill_routes import drill_routes
from sanjin.api.guard import Asking, Guard, Sending
from sanjin.api.health import FAULT, health_routes
from sanjin.api.list_routes import list_routes
from sanjin.api.log_routes import log_routes
from sanjin.api.metrics import metrics_routes
from sanjin.api.output_routes import output_routes
from sanjin.api.planning_routes import planning_routes
from sanjin.api.present import Present
from sanjin.api.problems import PROBLEM
from sanjin.api.rights import About
from sanjin.api.stream import EventHub
from sanjin.api.what_if_routes import what_if_routes
from sanjin.model.access import Action
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.placement import Explanation
from sanjin.model.record import JobRecord
from sanjin.model.runtimes import RunTimes
from sanjin.model.status import (
    Accepted,
    AuditResult,
    Bill,
    Cancelled,
    EnvelopeStatus,
    Happening,
    JobBill,
    LinkStatus,
    Me,
    RegionStatus,
    SiteStatus,
)
from sanjin.tree import overview, topology
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion

LOG_WALL_S = 0.2
"""How often a followed log is looked at for more."""

LOG_BYTES = 1 << 20
DRY_RUN_MAX = 100
PARTS_TOLD = 10

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}},
            NDJSON: {"schema": {"type": "string", "description": "one Submission a line, at most 1,000"}},
        },
    }
}
FAULTS: dict[int | str, dict[str, Any]] = {
    401: {"description": "no valid token", **PROBLEM},
    403: {"description": "not allowed", **PROBLEM},
    404: {"description": "no such thing", **PROBLEM},
    422: {"description": "the input is wrong: everything that is wrong with it", **PROBLEM},
    503: {"description": "a node does not answer", **PROBLEM},
}
_SUBMIT_FAULTS: dict[int | str, dict[str, Any]] = {
    409: {"description": "a client key was used for another job", **PROBLEM},
    413: {"description": "the body is too large", **PROBLEM},
    507: {"description": "the store cannot write; nothing was accepted", **PROBLEM},
}

NodeName = Annotated[str, Query(description="id of a node; empty: the highest here", max_length=100)]
JobId = Annotated[str, Path(description="id of a job, as submit gave it", max_length=120)]


def routes(
    live: LiveRegion, hub: EventHub, about: RegionStatus, guard: Guard, state: FolderPath | None = None
) -> APIRouter:
    """All routes over a live region with its state in ``state``. Making them touches nothing: each looks when it is
    called."""
    router = APIRouter(prefix="/v1", responses=FAULTS)
    router.include_router(_submitting(live, guard))
    router.include_router(list_routes(live, guard))
    router.include_router(_reading(live, guard))
    router.include_router(output_routes(live, guard))
    router.include_router(health_routes(live))
    router.include_router(_region(live, about, guard))
    router.include_router(drill_routes(live, guard))
    router.include_router(planning_routes(live, guard))
    router.include_router(_books(live, hub, guard))
    router.include_router(log_routes(live, guard))
    router.include_router(metrics_routes(live, guard))
    router.include_router(what_if_routes(live, guard, state))
    router.include_router(briefing_routes(live, guard))
    return router


def _node(live: LiveRegion, name: str) -> Node:
    if not name:
        return live.nodes[live.root]
    node = live.nodes.get(name)
    if node is None:
        raise ProblemsFound([problem("no_node", "node", value=name, known=", ".join(live.nodes))])
    return node


def _submitting(live: LiveRegion, guard: Guard) -> APIRouter:
    router = APIRouter(tags=["jobs"])

    @router.post("/jobs", status_code=201, response_model=Accepted, responses=_SUBMIT_FAULTS, openapi_extra=_BODY)
    async def submit(request: Request, caller: Asking, node: NodeName = "") -> Response:
        """Submit a job (JSON) or up to 1,000 (NDJSON), all or none.

        The answer comes once they are durable. Sending the same key and job again gives the same id. Without a tenant
        a job is for the caller's.
        """
        target, sending, since_ns = _node(live, node), Sending(guard, caller, Action.SUBMIT), time.time_ns()
        submissions = await read_submissions(request, sending.checked(target.check), sending.tenant)
        sending.admit(submissions)
        at = "" if len(submissions) == 1 else "jobs"
        records = await asyncio.wrap_future(target.submit(submissions, at))
        guard.submitted(caller, [r.id for r in records])
        if live.asked and (parent := request.headers.get("traceparent")):
            live.asked(target.name, [r.id for r in records], parent, since_ns)
        return answer(Accepted(tuple(r.id for r in records)), 201)

    @router.post("/dry-run", response_model=list[Explanation], responses=_SUBMIT_FAULTS, openapi_extra=_BODY)
    async def dry_run(request: Request, caller: Asking, node: NodeName = "") -> Response:
        """Where up to 100 jobs would go if they were submitted now, with prices. Nothing changes.

        Each is priced alone, not after the ones before it.
        """
        target, sending = _node(live, node), Sending(guard, caller, Action.DRY_RUN)
        submissions = await read_submissions(request, sending.checked(target.check), sending.tenant)
        sending.admit(submissions)
        if len(submissions) > DRY_RUN_MAX:
            raise ProblemsFound([problem("batch_size", "", value=len(submissions), most=DRY_RUN_MAX)])
        return answer(await asyncio.wrap_future(target.dry_run([s.spec for s in submissions])))

    @router.post("/jobs/{job}/cancel", response_model=Cancelled)
    async def cancel(job: JobId, caller: Asking) -> Response:
        """Ask for a job's end, wherever it is."""
        await asyncio.to_thread(guard.job, caller, Action.CANCEL_JOB, job)
        asked = await asyncio.wrap_future(overview.owner(live, job).cancel(job))
        return answer(Cancelled(asked))

    @router.post("/jobs/{job}/replace", response_model=Cancelled)
    async def replaced(caller: Asking, job: JobId, node: NodeName = "") -> Response:
        """Say that the silent node that has a job does not run it, so that it is placed again, also where it must not
        run twice. Ask the node above the silent one."""
        guard.any_job(caller, Action.CANCEL_JOB, job)
        return answer(Cancelled(await asyncio.wrap_future(_node(live, node).confirm(job))))

    return router


def _reading(live: LiveRegion, guard: Guard) -> APIRouter:
    router = APIRouter(tags=["jobs"])

    @router.get("/run-times", response_model=list[RunTimes])
    def run_times(
        caller: Asking,
        tenant: Annotated[str, Query(max_length=200)] = "",
        jobs: Annotated[int, Query(description="the last so many that succeeded", ge=1, le=50_000)] = 5_000,
    ) -> Response:
        """How long jobs that the caller may read were expected to run, and how long they did, by kind and site."""
        return answer(overview.run_times(live, tenant, jobs, guard.reach(caller, Action.LIST_JOBS)))

    @router.get("/jobs/{job}", response_model=JobRecord)
    def one(job: JobId, caller: Asking) -> Response:
        """One job as the node knows it where it was submitted."""
        return answer(guard.shown(caller, guard.job(caller, Action.READ_JOB, job)))

    @router.get("/jobs/{job}/events", response_model=list[Happening])
    def events(job: JobId, caller: Asking) -> Response:
        """Everything that any node wrote about a job, in order of time."""
        guard.job(caller, Action.READ_JOB, job)
        return answer(overview.happenings(live, job, guard.lens(caller, Action.READ_JOB).entry))

    @router.get("/jobs/{job}/explain", response_model=list[Explanation])
    def explain(job: JobId, caller: Asking) -> Response:
        """Every decision about a job: for each site its price in terms, or the rule that bars it."""
        guard.job(caller, Action.READ_JOB, job)
        return answer(live.explain(job))

    @router.get("/jobs/{job}/bill", response_model=JobBill)
    def bill(job: JobId, caller: Asking) -> Response:
        """How a job's run was billed."""
        guard.job(caller, Action.READ_BILL, job)
        return answer(overview.job_bill(live, job))

    @router.get("/jobs/{job}/logs", response_class=StreamingResponse, responses=_LOG)
    async def logs(
        job: JobId,
        caller: Asking,
        stream: Annotated[str, Query(pattern="^(stdout|stderr)$")] = "stdout",
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        follow: bool = False,
    ) -> Response:
        """What a job printed, from byte ``offset``; with ``follow`` until the job has ended.

        Of work that was stopped and went on, what all its runs printed. The parts of a divided array have
        logs of their own.
        """
        await asyncio.to_thread(guard.job, caller, Action.READ_LOGS, job)
        await asyncio.to_thread(overview.here, live, job)
        parts = await asyncio.to_thread(overview.parts, live, job)
        if parts != [job]:
            some = ", ".join(parts[:PARTS_TOLD]) + (", ..." if len(parts) > PARTS_TOLD else "")
            raise ProblemsFound([problem("divided", "job", value=job, count=len(parts), parts=some)])
        await asyncio.to_thread(_check_log, live, job, stream)
        return StreamingResponse(_log(live, job, stream, offset, follow, caller), media_type="application/octet-stream")

    return router


_LOG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


async def _log(
    live: LiveRegion, job: str, stream: str, offset: int, follow: bool, caller: Caller
) -> AsyncIterator[bytes]:
    number = inside = 0  # which of the job's runs, and from which byte of its log
    while caller.still():
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
        runs = overview.runs_of(live, job)
    except NotFound:
        return b"", False  # it has not started yet
    number = min(number, len(runs) - 1)
    node, run = runs[number]
    try:
        part = node.parts.engine.logs(run, stream, inside, LOG_BYTES)
    except NotFound:  # it was removed; what later runs printed may be there
        part = b""
    return part, number + 1 < len(runs)


def _check_log(live: LiveRegion, job: str, stream: str) -> None:
    """Raises NotFound where all that a job printed was removed."""
    try:
        node, run = overview.runs_of(live, job)[-1]
    except NotFound:
        return  # it has not started yet
    node.parts.engine.logs(run, stream, 0, 0)


def _region(live: LiveRegion, about: RegionStatus, guard: Guard) -> APIRouter:
    router = APIRouter(tags=["region"])

    @router.get("/region", response_model=RegionStatus)
    async def region(caller: Asking) -> Response:
        """Which region this is, its nodes and its time."""
        guard.need(caller, Action.READ_REGION)
        return answer(replace(about, now_s=live.clock.now()))

    @router.get("/sites", response_model=list[SiteStatus])
    def sites(caller: Asking) -> Response:
        """Every site now: capacity, prices, work; what its machines, and those of sites below, are declared to do and
        what was measured. What is wrong with a node, only to readers of its journal."""
        guard.need(caller, Action.READ_SITES)
        found = topology.sites(live)
        return answer(
            [
                replace(s, fault=FAULT) if s.fault and not guard.may(caller, Action.AUDIT, About(site=s.site)) else s
                for s in found
            ]
        )

    @router.get("/links", response_model=list[LinkStatus])
    def links(caller: Asking) -> Response:
        """Every link now, modelled: what it carries of what it can, as the highest node here knows it."""
        guard.need(caller, Action.READ_SITES)
        return answer(topology.links(live))

    @router.get("/me", response_model=Me)
    async def me(caller: Asking) -> Response:
        """Whose token this is, and what its holder may do at all."""
        return answer(guard.me(caller))

    return router


def _readable(guard: Guard, caller: Asking, tenant: str) -> Callable[[str], bool]:
    """Which tenants' bills the caller may read, of the one that was asked for (empty: all)."""
    reach = guard.reach(caller, Action.READ_BILL)
    return lambda of: (reach.everything or of == reach.tenant) and tenant in ("", of)


def _books(live: LiveRegion, hub: EventHub, guard: Guard) -> APIRouter:
    router, now = APIRouter(tags=["region"]), Present(live)

    @router.get("/bills", response_model=list[Bill])
    def bills(caller: Asking, tenant: Annotated[str, Query(max_length=200)] = "") -> Response:
        """What each tenant's settled jobs came to, of tenants whose bills the caller may read."""
        wanted = _readable(guard, caller, tenant)
        return answer([b for b in overview.bills(live) if wanted(b.tenant)])

    @router.get("/envelopes", response_model=list[EnvelopeStatus])
    def envelopes(caller: Asking, tenant: Annotated[str, Query(max_length=200)] = "") -> Response:
        """What tenants may use at the nodes that run here, of tenants whose bills the caller may read."""
        wanted = _readable(guard, caller, tenant)
        return answer([e for e in overview.envelopes(live) if wanted(e.tenant)])

    @router.get("/audit", response_model=list[AuditResult])
    def audit(caller: Asking, node: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Verify the journals: every hash, the tip, the ledger, each bill, and what was signed of the log."""
        if node:
            names = [_node(live, node).name]
            guard.need(caller, Action.AUDIT, About(site=node))
        else:
            reach = guard.reach(caller, Action.AUDIT)
            names = [n for n in live.nodes if reach.everything or n in reach.sites]
        found = {n: overview.audit_node(live.region, n, live.nodes[n].parts.store) for n in names}
        return answer([live.logs[n].audited(r) if n in live.logs else r for n, r in found.items()])

    @router.get("/journal", response_model=list[Happening])
    def journal(
        caller: Asking,
        node: NodeName = "",
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> Response:
        """A node's journal after entry ``after``: the entries that the caller may read."""
        name = _node(live, node).name
        page = guard.lens(caller, Action.READ_JOURNAL).page(name, after, limit)
        return answer([overview.happening(name, e) for e in page])

    @router.get("/events", response_class=StreamingResponse, responses=_EVENTS)
    async def events(
        request: Request,
        caller: Asking,
        job: Annotated[str, Query(max_length=120)] = "",
        node: Annotated[str, Query(max_length=100)] = "",
        present: Annotated[bool, Query(description="for people: also all sites and links, as they change")] = False,
    ) -> Response:
        """Every journal entry of every node as it is written, of those that the caller may read (server-sent events).

        `Last-Event-ID` continues a stream. The first event is `hello`, or `reset` where some were missed. With
        `present` also an event `present` with `now_s`, `sites` and `links` whenever they changed; then everything comes
        once a second, of many entries only the last 50, and who may read sites and no entries gets no entries.
        """
        shown = None
        if present:
            guard.need(caller, Action.READ_SITES)
            shown = partial(now.look, guard.may(caller, Action.AUDIT))
        lens = guard.lens(caller, Action.READ_EVENTS, blind=present)
        read = hub.read(request.headers.get("last-event-id", ""), job, node, lens, shown)
        return StreamingResponse(read, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return router


_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
