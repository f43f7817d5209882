"""The morning report: what the last hours brought, what the next ones are to bring, what wants a person's eye.

Everything is read from stores, journals and views as the nodes have them; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sanjin.flow.supply import Prices
from sanjin.model import event as ev
from sanjin.model.access import EVERYTHING
from sanjin.model.briefing import Briefing, SiteBriefing, Waiting
from sanjin.model.job import JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.status import SiteStatus
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.ports import Entry, JobQuery, Store
from sanjin.report.comparison import Run, compare
from sanjin.tree import overview, topology
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion
from sanjin.tree.timeline import is_late, latest, over_s

A_PAGE = 5000
WAITS = (JobState.HELD, JobState.QUEUED)
AHEAD = (JobState.PLACED, JobState.STAGING, JobState.PAUSED, JobState.RUNNING)
BADLY = (JobState.FAILED, JobState.INTERRUPTED, JobState.REFUSED)


@dataclass(slots=True)
class _Night:
    """What a node's journal says of the time reported."""

    submitted: int = 0
    moved_bytes: int = 0
    metered: list[ev.Metered] = field(default_factory=list[ev.Metered])
    over: dict[str, ev.RunOver] = field(default_factory=dict[str, ev.RunOver])
    settled: list[ev.Settled] = field(default_factory=list[ev.Settled])
    runs: list[Run] = field(default_factory=list[Run])
    taken_s: float = 0.0
    """Core-seconds that runs took within the time, of those that are over."""


def briefing(live: LiveRegion, hours: float, ahead: float) -> Briefing:
    """The report of the last ``hours`` and the next ``ahead`` hours of region time."""
    now_s = live.clock.now()
    from_s, until_s = now_s - round(hours * HOUR_S), now_s + round(ahead * HOUR_S)
    nights = {name: _night(node, from_s, now_s) for name, node in live.nodes.items()}
    records = list(latest(live, EVERYTHING))
    ended, open_ = [r for r in records if over_s(r) >= from_s], [r for r in records if not r.state.ended]
    runs = [run for night in nights.values() for run in night.runs]
    found = compare(live.region, live.nodes[live.root].parts.network, [r for r in runs if not r.record.ran_at])
    ours, home = [r.settled for r, _ in found.pairs()], [h for _, h in found.pairs()]
    settled = [s for night in nights.values() for s in night.settled]
    return Briefing(
        at_s=now_s, from_s=from_s, until_s=until_s,
        submitted=sum(night.submitted for night in nights.values()),
        succeeded=sum(r.state is JobState.SUCCEEDED for r in ended),
        failed=sum(r.state in BADLY for r in ended),
        running=sum(len(node.view.running) for node in live.nodes.values()),
        waiting=tuple(_waiting(live)),
        late=sum(is_late(r, now_s) for r in (*ended, *open_)),
        fen=sum(s.fen for s in settled),
        kwh=_kwh(settled),
        kg=_kg(settled),
        compared=len(ours),
        ours_fen=sum(s.fen for s in ours), ours_kwh=_kwh(ours), ours_kg=_kg(ours),
        home_fen=sum(s.fen for s in home), home_kwh=_kwh(home), home_kg=_kg(home),
        moved_jobs=sum(_later(run) for run in runs),
        away_jobs=sum(r.record.site != r.record.id.rpartition("-")[0] for r in runs),
        moved_bytes=sum(night.moved_bytes for night in nights.values()),
        sites=tuple(
            _site(live, s, nights.get(s.site) or _Night(), from_s, now_s, until_s) for s in topology.sites(live)
        ),
        cheapest=tuple(_cheapest(live, now_s, until_s)),
        audit_ok=not any(
            overview.audit_node(live.region, n, node.parts.store).problems for n, node in live.nodes.items()
        ),
    )  # fmt: skip


def _kwh(settled: Sequence[ev.Settled]) -> float:
    return sum(s.facility_mwh for s in settled) / 1e6


def _kg(settled: Sequence[ev.Settled]) -> float:
    return sum(s.carbon_mg for s in settled) / 1e6


def _later(run: Run) -> bool:
    could_s = max(run.record.submitted_s, run.record.spec.earliest_start_s)
    return run.planned_s - could_s >= SLOT_S


def _night(node: Node, from_s: int, now_s: int) -> _Night:
    """Read a node's journal from ``from_s`` on."""
    found, store = _Night(), node.parts.store
    for entry in _since(store, from_s):
        event = ev.decode(entry.kind, entry.body)
        if isinstance(event, ev.Submitted):
            found.submitted += 1
        elif isinstance(event, ev.TransferStarted):
            found.moved_bytes += event.declared_bytes
        elif isinstance(event, ev.RunOver):
            found.over[event.job] = event
        elif isinstance(event, ev.Metered):
            found.metered.append(event)
            found.taken_s += _within(event, from_s)
        elif isinstance(event, ev.Settled):
            found.settled.append(event)
            if run := _run(store, found.over.get(event.job), event):
                found.runs.append(run)
    return found


def _run(store: Store, over: ev.RunOver | None, settled: ev.Settled) -> Run | None:
    """The run that was settled, where it is the end of its job; None where nothing ran."""
    record = store.job(settled.job)
    if record is None or record.placement is None or not isinstance(over, ev.Ended) or not over.wall_ms:
        return None
    return Run(record=record, planned_s=record.placement.start_s, ended=over, settled=settled)


def _within(metered: ev.Metered, from_s: int) -> float:
    """Core-seconds of a run after ``from_s``."""
    whole = sum(s.seconds for s in metered.segments)
    after = sum(max(s.seconds - max(from_s - s.start_s, 0), 0) for s in metered.segments)
    return metered.core_seconds * after / whole if whole else 0.0


def _since(store: Store, at_s: int) -> Iterator[Entry]:
    """The entries of a journal from ``at_s`` on; the first is found by halving, since time does not go back."""
    low, high = 0, store.tip()[0]
    while low < high:
        middle = (low + high) // 2
        entry = next(iter(store.journal(middle, 1)), None)
        if entry is not None and entry.at_s < at_s:
            low = middle + 1
        else:
            high = middle
    while page := store.journal(low, A_PAGE):
        yield from (e for e in page if e.at_s >= at_s)
        low = page[-1].seq


def _records(store: Store, states: Sequence[JobState]) -> Iterator[JobRecord]:
    """All of a node's records in these states."""
    for state in states:
        query = JobQuery(state=state, limit=A_PAGE)
        while page := store.jobs(query):
            yield from page
            query = JobQuery(state=state, limit=A_PAGE, before=page[-1].id)


def _waiting(live: LiveRegion) -> Iterator[Waiting]:
    """Jobs that have no place, by reason, the most first."""
    found: dict[Reason, list[int]] = {}
    for node in live.nodes.values():
        for record in _records(node.parts.store, WAITS):
            found.setdefault(record.reason or Reason.NO_PLACE, []).append(record.submitted_s)
    for reason, since in sorted(found.items(), key=lambda item: -len(item[1])):
        yield Waiting(reason=reason, jobs=len(since), oldest_s=min(since))


def _site(
    live: LiveRegion, status: SiteStatus, night: _Night, from_s: int, now_s: int, until_s: int
) -> SiteBriefing:
    node = live.nodes.get(status.site)  # what sites of other processes ran, their own reports say
    there = _records(node.parts.store, AHEAD) if node else ()
    here = [r for r in there if r.site == status.site and not r.sent_to]
    running = [r for r in here if r.state is JobState.RUNNING and r.start_s and not r.spec.reserves]
    taken = night.taken_s + sum(r.spec.all_cores() * (now_s - max(r.start_s, from_s)) for r in running)
    cores = sum(p.cores for p in status.pools)
    ahead = [(r, _overlap(r, now_s, until_s)) for r in here if not r.spec.reserves]
    return SiteBriefing(
        site=status.site, jobs=len({s.job for s in night.settled}),
        core_h=sum(m.core_seconds for m in night.metered) / HOUR_S,
        kwh=_kwh(night.settled),
        kg=_kg(night.settled),
        fen=sum(s.fen for s in night.settled),
        use=taken / (cores * max(now_s - from_s, 1)) if cores else 0.0,
        planned_jobs=sum(seconds > 0 for _, seconds in ahead),
        planned_core_h=sum(r.spec.all_cores() * seconds for r, seconds in ahead) / HOUR_S,
        reachable=status.parent_reachable and status.site not in topology.silent(live),
        fault=status.fault,
    )  # fmt: skip


def _overlap(record: JobRecord, begin_s: int, end_s: int) -> int:
    """Seconds of a job's windows, as far as they are expected to be used, in a time."""
    place = record.placement
    if place is None:
        return 0
    windows = place.pieces or ((place.start_s, place.finish_s),)
    return sum(max(min(end, end_s) - max(begin, begin_s), 0) for begin, end in windows)


def _cheapest(live: LiveRegion, now_s: int, until_s: int) -> list[tuple[str, int, float]]:
    """Each site's cheapest whole hour ahead: (site, begin, yuan/kWh at the facility's meter), the cheapest first."""
    block, found = live.nodes[live.root].parts.book.at(now_s // SLOT_S), list[tuple[str, int, float]]()
    hours = range(-(-now_s // HOUR_S) * HOUR_S, until_s - HOUR_S + 1, HOUR_S)
    for index, site in enumerate(live.region.nodes):
        prices = [(_price(block, index, h), h) for h in hours]
        if prices:
            yuan, begin = min(prices)
            found.append((site, begin, yuan))
    return sorted(found, key=lambda each: (each[2], each[1], each[0]))


def _price(block: Prices, index: int, at_s: int) -> float:
    first = at_s // SLOT_S - block.first_slot
    return float(block.facility_micro[index, first : first + HOUR_S // SLOT_S].mean()) / 1e6
