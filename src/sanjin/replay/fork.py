"""What would become of a running region: its nodes go on from copies of their stores on a virtual clock, and a trace
may come on top.

Runs under way end when they are expected to, and so do those that start; a trace's last as long as it says. Capacity
is the region's own, and so is memory, of which a trace asks for next to none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sanjin.adapters.clock import VirtualClock
from sanjin.flow.place import left_s
from sanjin.flow.supply import PriceBook
from sanjin.kernels.pieces import left_after
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobState, Submission
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.ports import EndReason, JobQuery, RunOrder, RunReport, RunState, Store, Usage
from sanjin.replay.living import Down, Plan, PlannedEngine, World, ended_well
from sanjin.replay.recorded import Placing, read
from sanjin.replay.through_node import RUN_S, TENANT, payer_in, spec_of
from sanjin.replay.workload import Workload

MOST_JOBS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """A job that a client submitted, before and after. Times are seconds UTC, 0 where there was none."""

    job: str
    before: JobState | None
    """None: it came with the trace."""
    after: JobState
    place: Placing | None
    """Where the state had placed it."""
    site: str
    pool: str
    submitted_s: int
    start_s: int
    end_s: int
    fen: int
    as_placed: bool
    """It started where and when the state had placed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """What became of the jobs that were there, and of the trace's. ``refused`` of those fit nowhere at all."""

    begin_s: int
    end_s: int
    there: tuple[Became, ...]
    came: tuple[Became, ...]
    refused: int


def last_s(stores: Mapping[str, Store]) -> int:
    """When the last entry of any of the journals was written, seconds UTC; 0 where there is none."""
    return max((e.at_s for s in stores.values() for e in s.journal(s.tip()[0] - 1)), default=0)


def with_payer(region: Region) -> Region:
    """The region with a tenant for the trace's jobs."""
    return replace(region, tenants={**region.tenants, TENANT: payer_in(region)})


@dataclass(frozen=True, slots=True)
class WentOn:
    """What nodes had of their clients' jobs that were not over, and what they have of all jobs in the end."""

    begin_s: int
    end_s: int
    there: dict[str, JobRecord]
    after: dict[str, JobRecord]


def fork(
    stores: Mapping[str, Store],
    region: Region,
    policy: Policy,
    work: Workload | None,
    data: Mapping[str, frozenset[str]],
    rate: float = 1.0,
    scarcity: Scarcity | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Forked:
    """Let the region go on from what ``stores`` hold, to the end of all work; they are written to, and closed.

    ``work`` is a trace that begins no earlier than :func:`last_s`, as :func:`sanjin.replay.through_node.in_whole_fen`
    gives it. ``data`` are the datasets that each node has.
    """
    before, came, refused = read(stores).placings, set[str](), 0

    def arrive(world: World) -> None:
        nonlocal refused
        ids, refused = _arrive(world, work, progress) if work else ([], 0)
        came.update(ids)

    went = go_on(stores, with_payer(region), policy, data, rate, scarcity, arrive=arrive)
    found = {job: _became(went.there.get(job), record, before.get(job)) for job, record in went.after.items()}
    return Forked(
        begin_s=went.begin_s, end_s=went.end_s, there=tuple(found[job] for job in went.there),
        came=tuple(b for job, b in found.items() if job in came), refused=refused,
    )  # fmt: skip


def go_on(
    stores: Mapping[str, Store],
    region: Region,
    policy: Policy,
    data: Mapping[str, frozenset[str]],
    rate: float = 1.0,
    scarcity: Scarcity | None = None,
    *,
    begin_s: int = 0,
    book: PriceBook | None = None,
    down: Iterable[Down] = (),
    arrive: Callable[[World], None] = lambda _: None,
    tell: Callable[[int], None] = lambda _: None,
) -> WentOn:
    """Let the region go on from what ``stores`` hold, to the end of all work; they are written to, and closed.

    It goes on at ``begin_s``, or with the last entry of a journal where that is later. ``book`` and ``down`` as in
    :class:`World`; ``arrive`` lets more work come, and ``tell`` hears how much is left.
    """
    begin_s = max(begin_s, last_s(stores))
    there = {job: record for job, record in _owned(stores).items() if not record.state.ended}
    clock, worlds = VirtualClock(begin_s, rate), list[World]()

    def record_of(site: str, key: str) -> JobRecord:
        view = worlds[0].nodes[site].view
        return view.jobs[view.running[key]]

    def engine(site: str) -> PlannedEngine:
        def plan(order: RunOrder, now_s: int) -> Plan:
            record = record_of(site, order.key)
            own = record.spec.tenant == TENANT
            spec = record.spec
            run_s = int(order.environment[RUN_S]) if own else spec.duration_s
            rest_s = int(left_after(run_s, record.done_s, spec.stop_cost_s))
            end_s = now_s + _took(region, record, rest_s)
            return Plan(end_s, ended_well(order, now_s, end_s))

        made = PlannedEngine(clock, plan)
        for record in stores[site].load().live:
            if record.state is JobState.RUNNING and not record.sent_to and not record.spec.reserves:
                made.take_up(record.run, record.start_s, _under_way(region, record, begin_s))
        return made

    world = World(region, policy, clock, stores, engine, data, scarcity, book=book, down=down)
    worlds.append(world)
    world.meet()
    arrive(world)
    world.finish(clock.now() + 2 * HORIZON_SLOTS * SLOT_S, tell)
    found = WentOn(begin_s=begin_s, end_s=last_s(stores), there=there, after=_owned(stores))
    world.close()
    return found


def _took(region: Region, record: JobRecord, left_s: int) -> int:
    """How long so much work lasts in the job's pool."""
    pool = next(p for p in region.nodes[record.site].site.pools if p.id == record.pool)
    return -(-left_s * 1000 // round(pool.speed.value * 1000))


def _under_way(region: Region, record: JobRecord, now_s: int) -> Plan:
    """A run that has begun ends when it is expected to, or at once where that is over."""
    end_s = max(record.start_s + _took(region, record, left_s(record)), now_s + 1)
    spec, took = record.spec, float(end_s - record.start_s)
    report = RunReport(
        key=record.run, state=RunState.ENDED, reason=EndReason.EXIT, started_at=record.start_s, ended_at=end_s,
        usage=Usage(wall_s=took, cpu_s=took * spec.cores, busy_s=took * max(spec.members, spec.nodes, 1)),
        sandbox="none", members_done=spec.members,
    )  # fmt: skip
    return Plan(end_s, report)


def _arrive(world: World, work: Workload, progress: Callable[[int], None]) -> tuple[list[str], int]:
    """Submit the trace's jobs at their origins as they come; their ids, and how many were refused."""
    ids, refused, sites = list[str](), 0, tuple(world.nodes)
    for j in range(len(work)):
        world.until(work.begin_s + int(work.trace.arrive_s[j]))
        node = world.nodes[sites[int(work.origin[j])]]
        try:
            future = node.submit([Submission(key=f"replay-{work.begin_s}-{j}", spec=spec_of(work, j))])
        except ProblemsFound:
            refused += 1
            continue
        node.step(0.0)
        ids.append(future.result(0)[0].id)
        world.settle()
        progress(j + 1)
    return ids, refused


def _owned(stores: Mapping[str, Store]) -> dict[str, JobRecord]:
    """Jobs that clients submitted, as their owners know them."""
    found = [r for s in stores.values() for r in reversed(s.jobs(JobQuery(owned=True, limit=MOST_JOBS)))]
    return {r.id: r for r in found}


def _became(before: JobRecord | None, after: JobRecord, place: Placing | None) -> Became:
    kept = place is not None and (after.site, after.pool, after.start_s) == (place.site, place.pool, place.start_s)
    return Became(
        job=after.id, before=before.state if before else None, after=after.state, place=place, site=after.site,
        pool=after.pool, submitted_s=after.submitted_s, start_s=after.start_s, end_s=after.end_s, fen=after.fen,
        as_placed=kept,
    )  # fmt: skip
