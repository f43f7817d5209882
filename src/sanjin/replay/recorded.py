"""What a region did, read from its journals, and done again: the same submissions, at the same seconds, through live
nodes on a virtual clock. Runs end when they ended then; where and when work is placed is decided anew.

What the journals do not hold is when a node heard of the others' offers. Nodes here hear of each other as soon as the
rules of the tree allow, with no time for a turn or a call; where two nodes decided within that time, the region may
have decided otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sanjin.adapters.clock import VirtualClock
from sanjin.adapters.store.memory import MemoryStore
from sanjin.model import event as ev
from sanjin.model.job import JobState, Submission
from sanjin.model.policy import Policy
from sanjin.model.reason import Reason
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.ports import EndReason, Entry, RunOrder, RunReport, RunState, Store, Transfer, Usage
from sanjin.replay.living import Plan, PlannedEngine, World, ended_well
from sanjin.tree.node import OFFER_WALL_S, REFRESH_WALL_S

PAGE = 5000

_ENDS = {
    Reason.SIGNAL: EndReason.SIGNAL,
    Reason.TIME_LIMIT: EndReason.TIME_LIMIT,
    Reason.MEMORY_LIMIT: EndReason.MEMORY_LIMIT,
    Reason.PROCESS_LIMIT: EndReason.PROCESS_LIMIT,
    Reason.OUTPUT_LIMIT: EndReason.OUTPUT_LIMIT,
    Reason.CANCELLED: EndReason.CANCELLED,
    Reason.NOT_STARTED: EndReason.NOT_STARTED,
}


@dataclass(slots=True)
class Ask:
    """One thing that clients asked of ``node`` at ``at_s``: these submissions in one turn, or the end of a job."""

    at_s: int
    node: str
    submissions: list[Submission] = field(default_factory=list[Submission])
    cancel: str = ""


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a job was placed when it started first, or last where it did not; seconds UTC."""

    site: str
    pool: str
    start_s: int
    decided_s: int

    def same_as(self, other: Placing) -> bool:
        """The same site, pool and start; or the same wait from the second at which it was decided."""
        here, there = self.start_s - self.decided_s, other.start_s - other.decided_s
        return self.where() == other.where() and (self.start_s == other.start_s or here == there)

    def where(self) -> tuple[str, str]:
        """Site and pool."""
        return self.site, self.pool


@dataclass(frozen=True, slots=True)
class Over:
    """A run that ended or stopped at ``site``, heard of at ``heard_s``."""

    site: str
    heard_s: int
    event: ev.RunOver


@dataclass(slots=True, kw_only=True)
class Recording:
    """What journals say. ``runs`` by job in order; ``arrivals`` of a dataset at a node; ``until_s`` is the time of the
    last entry; ``starts`` counts starts of nodes and ``priced`` the times that prices of scarcity were new."""

    begin_s: int = 0
    until_s: int = 0
    asks: list[Ask] = field(default_factory=list[Ask])
    runs: dict[str, list[Over]] = field(default_factory=dict[str, list[Over]])
    placings: dict[str, Placing] = field(default_factory=dict[str, Placing])
    arrivals: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    submitted: dict[str, Ask] = field(default_factory=dict[str, Ask])
    starts: int = 0
    priced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A job that was placed elsewhere or at another time. ``overtaken``: other nodes had been asked so shortly before
    that word of what they decided could still be on its way."""

    job: str
    recorded: Placing | None
    replayed: Placing | None
    overtaken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """``jobs`` that were placed in either; ``same`` in both alike, of those ``same_second`` with the start at the same
    second. ``restarts`` of nodes and new prices (``priced``) are not replayed."""

    submitted: int
    jobs: int
    same: int
    same_second: int
    restarts: int
    priced: int
    others: tuple[Other, ...]


def entries(store: Store) -> Iterator[Entry]:
    """A whole journal."""
    after = 0
    while page := store.journal(after, PAGE):
        yield from page
        after = page[-1].seq


def read(stores: Mapping[str, Store]) -> Recording:
    """What the journals of these nodes say."""
    found = Recording()
    lines = [(e.at_s, order, name, e) for order, name in enumerate(stores) for e in entries(stores[name])]
    lines.sort(key=lambda line: line[:2])  # stable: a node's entries stay in order
    begun, last = set[str](), dict[str, ev.Event]()
    for at_s, _, name, entry in lines:
        event = ev.decode(entry.kind, entry.body)
        if isinstance(event, ev.Submitted):
            ask = found.asks[-1] if isinstance(last.get(name), ev.Submitted) else None
            if ask is None or (ask.at_s, ask.node) != (at_s, name):
                ask = Ask(at_s, name)
                found.asks.append(ask)
            ask.submissions.append(Submission(key=event.key, spec=event.spec))
            found.submitted[event.job] = ask
        elif isinstance(event, ev.CancelAsked) and name == event.job.rpartition("-")[0]:
            found.asks.append(Ask(at_s, name, cancel=event.job))
        elif isinstance(event, ev.Placed) and event.job not in begun:
            p = event.placement
            found.placings[event.job] = Placing(p.site, p.pool, p.start_s, at_s)
        elif isinstance(event, ev.Started | ev.Opened):
            begun.add(event.job)
        elif isinstance(event, ev.Ended | ev.Paused) and event.wall_ms:
            found.runs.setdefault(event.job, []).append(Over(name, at_s, event))
        elif isinstance(event, ev.TransferEnded) and not event.fault:
            found.arrivals.setdefault((name, event.dataset), []).append(at_s)
        found.starts += isinstance(event, ev.NodeStarted)
        found.priced += isinstance(event, ev.Priced)
        last[name] = event
    found.begin_s, found.until_s = (lines[0][0], lines[-1][0]) if lines else (0, 0)
    return found


def replay_recorded(
    recorded: Recording, region: Region, policy: Policy, rate: float = 1.0, scarcity: Scarcity | None = None
) -> Recording:
    """Ask the same of the region's nodes at the same seconds; what their journals say then.

    ``rate`` is how much faster than the wall the clock of the region ran: nodes hold offers back for a time on the
    wall.
    """
    stores = {name: MemoryStore() for name in region.nodes}
    clock = VirtualClock(recorded.begin_s, rate)
    data = {n: frozenset(d.id for d in region.datasets.values() if n in d.replicas) for n in region.nodes}

    def arrives(node: str, transfer: Transfer) -> int:
        known = recorded.arrivals.get((node, transfer.dataset), [])
        return next((at_s for at_s in known if at_s >= clock.now()), transfer.done_at_s)

    def engine(node: str) -> PlannedEngine:
        return PlannedEngine(clock, _plan(recorded, node))

    world = World(region, policy, clock, stores, engine, data, scarcity, arrives)
    for ask in recorded.asks:
        world.until(ask.at_s)
        node = world.nodes[ask.node]
        if ask.cancel:
            node.cancel(ask.cancel)
        else:
            node.submit(ask.submissions)
        node.step(0.0)
        world.settle()
    world.finish(recorded.until_s + HORIZON_SLOTS * SLOT_S)
    found = read(stores)
    world.close()
    return found


def _plan(recorded: Recording, site: str) -> Callable[[RunOrder, int], Plan]:
    """Runs at ``site`` end as they did then: at the same second where they began before it, else after as long."""

    def plan(order: RunOrder, now_s: int) -> Plan:
        job, _, number = order.key.rsplit(".", 2)
        known = recorded.runs.get(job, [])[int(number) - 1 :]
        if not known:  # it never ended then, or never ran
            return Plan(recorded.until_s, ended_well(order, now_s, recorded.until_s))
        took = sum(over.event.end_s - over.event.start_s for over in known)
        first, last = known[0], known[-1].event
        as_then = len(known) == 1 and first.site == site and now_s <= first.event.end_s
        end_s = first.event.end_s if as_then else now_s + took
        stop_s = first.heard_s if isinstance(first.event, ev.Paused) else 0
        return Plan(first.heard_s if as_then else end_s, _report(order.key, last, now_s, end_s), stop_s)

    return plan


def _report(key: str, event: ev.RunOver, start_s: int, end_s: int) -> RunReport:
    """What was reported of a run then, with the times of now."""
    usage = Usage(
        wall_s=event.wall_ms / 1000, cpu_s=event.cpu_ms / 1000, memory_peak_bytes=event.memory_peak_bytes,
        busy_s=event.busy_ms / 1000,
    )  # fmt: skip
    report = RunReport(
        key=key, state=RunState.ENDED, reason=EndReason.EXIT, started_at=start_s, ended_at=end_s, usage=usage,
        sandbox=event.sandbox,
    )  # fmt: skip
    if not isinstance(event, ev.Ended):
        return report
    return RunReport(
        key=key, state=RunState.INTERRUPTED if event.state is JobState.INTERRUPTED else RunState.ENDED,
        reason=_ENDS.get(event.reason, EndReason.EXIT), exit_status=event.exit_status, signal=event.signal,
        started_at=start_s, ended_at=end_s, usage=usage, sandbox=event.sandbox, detail=event.detail,
        members_done=event.members_done, members_failed=event.members_failed,
    )  # fmt: skip


def compare(recorded: Recording, replayed: Recording, region: Region, rate: float = 1.0) -> Compared:
    """How many jobs were placed alike, and which were not."""
    window = 2 * rate * (OFFER_WALL_S + REFRESH_WALL_S)
    jobs = sorted(recorded.placings.keys() | replayed.placings.keys())
    same, same_second, others = 0, 0, list[Other]()
    for job in jobs:
        then, now = recorded.placings.get(job), replayed.placings.get(job)
        if then and now and then.same_as(now):
            same += 1
            same_second += then.start_s == now.start_s
            continue
        ask = recorded.submitted.get(job.partition(".")[0])
        near = ask is not None and any(
            a.node != ask.node and 0 <= ask.at_s - a.at_s <= window for a in recorded.asks if a.submissions
        )
        others.append(Other(job=job, recorded=then, replayed=now, overtaken=near))
    return Compared(
        submitted=len(recorded.submitted), jobs=len(jobs), same=same, same_second=same_second,
        restarts=recorded.starts - len(region.nodes), priced=recorded.priced, others=tuple(others),
    )  # fmt: skip
