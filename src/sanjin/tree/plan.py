"""The plan as it stands, hour by hour: what each site will do against its prices and its power cap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import Supply
from sanjin.kernels import tables
from sanjin.model.access import EVERYTHING, Reach
from sanjin.model.job import JobOrder, JobState
from sanjin.model.listing import JobQuery
from sanjin.model.plan import Plan, PlannedWindow, SitePlan
from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion

MOST_HOURS = 7 * 24 - 24
"""Hours ahead: the horizon of one week less a day for what is over."""

MOST_BACK_HOURS = 24
WINDOWS_MAX = 3000
"""Windows told, at most: of more, those of the most core-hours."""

ENDED_A_SITE = 2000
"""Ended jobs that are looked at a site, at most: the last."""

HAS_WINDOWS = frozenset({JobState.PLACED, JobState.STAGING, JobState.RUNNING, JobState.PAUSED, JobState.ASSIGNED})


@dataclass(slots=True)
class _Past:
    """What the slots that are over had of each pool and site, as far as it is known: cores[P, B], mw[S, B]."""

    cores: NDArray[np.int64]
    mw: NDArray[np.int64]


@dataclass(slots=True)
class _Seen:
    """What the caller may read, and how much there is besides."""

    reach: Reach
    from_s: int
    until_s: int
    windows: list[PlannedWindow] = field(default_factory=list[PlannedWindow])
    hidden: int = 0

    def add(self, record: JobRecord, spans: Iterable[tuple[int, int]]) -> None:
        """Take those of a job's windows that are within the plan."""
        ahead = [(start, finish) for start, finish in spans if finish > self.from_s and start < self.until_s]
        if not self.reach.covers(record.spec.tenant, record.site):
            self.hidden += len(ahead)
            return
        spec = record.spec
        self.windows += (
            PlannedWindow(
                job=record.id, name=spec.name, tenant=spec.tenant, kind=spec.kind, state=record.state,
                site=record.site, pool=record.pool, start_s=start, finish_s=finish, cores=spec.all_cores(),
                accelerators=spec.all_accelerators(), total_micro=record.total_micro,
            )
            for start, finish in ahead
        )  # fmt: skip


def plan(live: LiveRegion, hours: int = 24, back: int = 6, reach: Reach = EVERYTHING) -> Plan:
    """The plan of ``back`` hours that are over and ``hours`` to come, with the windows within ``reach``."""
    now_s = live.clock.now()
    now_slot, per_hour = now_s // SLOT_S, HOUR_S // SLOT_S
    first, slots = now_slot - back * per_hour, (back + hours) * per_hour
    supply = live.nodes[live.root].view.supply
    past = _Past(
        np.zeros((len(supply.pools), now_slot - first), np.int64),
        np.zeros((len(supply.sites), now_slot - first), np.int64),
    )
    seen = _Seen(reach, first * SLOT_S, (first + slots) * SLOT_S)
    for node in live.nodes.values():
        for record in _work(live, node):
            spans = _spans(record, now_s)
            seen.add(record, spans)
            _count(supply, past, record, spans, first, now_s)
        for record in _ended(node, seen.from_s):
            spans = ((record.start_s, record.end_s),)
            seen.add(record, spans)
            _count(supply, past, record, spans, first, now_s)
    sites = tuple(_site(live, site, past, first, slots) for site in live.region.nodes)
    windows = _largest(seen.windows)
    return Plan(
        now_s=now_s, first_s=first * SLOT_S, slot_s=SLOT_S, slots=slots, sites=sites,
        windows=tuple(sorted(windows, key=lambda w: (w.site, w.start_s, w.job))), hidden=seen.hidden,
        left_out=len(seen.windows) - len(windows),
    )  # fmt: skip


def _work(live: LiveRegion, node: Node) -> Iterator[JobRecord]:
    """Work that has a place, as the node has it that runs it, or the last one here that knows of it."""
    for record in tuple(node.view.jobs.values()):
        if record.state in HAS_WINDOWS and record.placement and record.site and record.sent_to not in live.nodes:
            yield record


def _ended(node: Node, from_s: int) -> Iterator[JobRecord]:
    """Runs of the node's own site that ended since ``from_s``, the last first."""
    store = node.parts.store
    ends, jobs = store.keys(JobQuery(site=node.name, order=JobOrder.ENDED, ended_from_s=from_s))
    last = nlargest(ENDED_A_SITE, zip(ends, jobs, strict=True))
    found = store.find([job for _, job in last])
    for record in found.values():
        if record.state.ended and record.start_s and record.site == node.name and not record.sent_to:
            yield record


def _spans(record: JobRecord, now_s: int) -> Sequence[tuple[int, int]]:
    """When a job runs and is to run: what has begun from when it began, and what is late until now at least."""
    if record.placement is None:
        return ()
    if record.placement.pieces:
        return record.placement.pieces[record.window :]
    finish_s = record.placement.finish_s
    if record.state is JobState.RUNNING:
        return ((record.start_s or record.placement.start_s, max(finish_s, now_s)),)
    return ((record.placement.start_s, finish_s),)


def _count(
    supply: Supply, past: _Past, record: JobRecord, spans: Iterable[tuple[int, int]], first: int, now_s: int
) -> None:
    """Count what a job took in the slots that are over."""
    pool = supply.pool_index.get(f"{record.site}/{record.pool}")
    if pool is None or record.spec.reservation:  # what is inside a reservation is counted with it
        return
    cores, _, _, mw = supply.need(record.spec, pool)
    for start_s, finish_s in spans:
        part = slice(max(start_s // SLOT_S - first, 0), max(-(-min(finish_s, now_s) // SLOT_S) - first, 0))
        past.cores[pool, part] += cores
        past.mw[supply.site_index[record.site], part] += mw


def _site(live: LiveRegion, site: str, past: _Past, first: int, slots: int) -> SitePlan:
    """A site by the books of its own node, or of the highest here where that is another process's."""
    supply = (live.nodes.get(site) or live.nodes[live.root]).view.supply
    index = supply.site_index[site]
    energy, carbon, pue = _prices(supply, index, first, slots)
    rows, over = supply.pools_at[index], past.mw.shape[1]
    at = first + over - supply.first_slot
    ahead = slice(max(at, 0), max(at, 0) + slots - over)
    most = int(supply.pool[rows, tables.CORES].sum())
    cores = [*past.cores[rows].sum(axis=0).tolist(), *(most - supply.free_cores[rows, ahead].sum(axis=0)).tolist()]
    mw = [*past.mw[index].tolist(), *(supply.it_cap_mw[index] - supply.free_mw[index, ahead]).tolist()]
    missing = [0] * (slots - len(cores))
    return SitePlan(
        site=site, energy_yuan_kwh=energy, carbon_kg_kwh=carbon, pue=pue,
        it_cap_kw=live.region.nodes[site].site.power.it_cap.value, it_kw=tuple(v / 1e6 for v in mw + missing),
        cores_max=most, cores=tuple(cores + missing),
    )  # fmt: skip


def _prices(
    supply: Supply, index: int, first: int, slots: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Yuan and kg CO2e per facility kWh, and PUE, of each slot."""
    block = supply.book.at(first)
    part = slice(first - block.first_slot, first - block.first_slot + slots)
    yuan, kg = block.facility_micro[index, part] / 1e6, block.carbon_mg[index, part] / 1e6
    return tuple(yuan.tolist()), tuple(kg.tolist()), tuple(block.pue[index, part].tolist())


def _largest(windows: list[PlannedWindow]) -> list[PlannedWindow]:
    if len(windows) <= WINDOWS_MAX:
        return windows
    return sorted(windows, key=lambda w: w.cores * (w.finish_s - w.start_s), reverse=True)[:WINDOWS_MAX]
