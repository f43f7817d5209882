"""Pre-emption: running work that can be stopped makes room for other work where that pays.

It pays where what the other work saves by starting now is more than what the stopped work loses: the rest of
it, and what going on after a stop costs, are priced at the best place that would be left, with the waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sanjin.flow.pieces import total_now
from sanjin.flow.place import asked
from sanjin.flow.supply import Asked, row_at, run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.kernels.board import Need
from sanjin.model import event as ev
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord

MOST = 8
"""Jobs that are stopped for one, at most."""


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A run that could stop now: its pool, what is left of its window, and the record of the rest of its work."""

    record: JobRecord
    pool: int
    need: tuple[int, int, int, int]
    kept_s: int
    rest: JobRecord


def make_room(view: View, jobs: Sequence[JobRecord], now_s: int) -> Iterator[list[ev.Event]]:
    """For each of these placed jobs that gains by it: the stops, and the job's place given up for an earlier one.

    The caller applies each list of events before it asks for the next.
    """
    least = view.supply.policy.stop_gain_fen * MICRO_PER_FEN
    if least < 0:
        return
    for record in jobs:
        placement = record.placement
        if placement is None or placement.start_s <= now_s or placement.terms.waiting < least or record.spec.members:
            continue  # for the members of an array nothing stops
        stoppable = list(_stoppable(view, now_s))
        if not stoppable:
            return
        tried = [t for p in sorted({s.pool for s in stoppable}) if (t := _try(view, record, stoppable, p, now_s))]
        gain, stops = max(tried, key=lambda t: t[0], default=(0, list[_Stoppable]()))
        if stops and gain >= max(least, 1):
            asks = [
                ev.StopAsked(job=s.record.id, reason=Reason.MADE_ROOM, room_for=record.id, gain_micro=gain)
                for s in stops
            ]
            yield [*asks, ev.Unplaced(job=record.id, reason=Reason.BETTER_PLACE, gain_micro=gain)]


def _stoppable(view: View, now_s: int) -> Iterator[_Stoppable]:
    """Runs here that may be stopped, those first that wait most cheaply."""
    found: list[tuple[float, _Stoppable]] = []
    for job in view.running.values():
        record = view.jobs[job]
        if not record.spec.stoppable or record.spec.reservation or record.placement is None:
            continue
        if record.stop_asked or record.cancel_asked:
            continue
        pool = view.supply.pool_of(record.placement)
        speed = float(view.supply.pool[pool, tables.SPEED]) / 1000
        done_s = min(record.done_s + round((now_s - record.start_s) * speed), record.spec.duration_s - 1)
        rest = replace(record, done_s=max(done_s, 1), end_s=now_s, site=record.placement.site)
        need = view.supply.need(record.spec, pool)
        each = record.spec.delay_price_fen_per_hour / max(need[0], 1)
        found.append((each, _Stoppable(record, pool, need, record.placement.windows()[record.window][1], rest)))
    for _, each in sorted(found, key=lambda f: (f[0], f[1].record.id)):
        yield each


def _try(
    view: View, record: JobRecord, stoppable: list[_Stoppable], pool: int, now_s: int
) -> tuple[int, list[_Stoppable]] | None:
    """(gain in micro-yuan, runs to stop) for the job to start now in ``pool``; None where that cannot be."""
    supply, placement = view.supply, record.placement
    if placement is None:
        return None
    with supply.trial():
        own = supply.pool_of(placement)
        need = supply.need(record.spec, own)
        for begin, end in placement.windows():
            supply.shift(own, begin, end, need, -1)
        mine = asked(view, [record], now_s)
        before = total_now(supply, mine, own, placement, Need(*need))
        mine.jobs[0, tables.J_LATEST] = now_s
        mine.barred[0, np.arange(len(supply.sites)) != supply.pool[pool, tables.SITE]] = 1
        stops: list[_Stoppable] = []
        for each in (s for s in stoppable if s.pool == pool):
            if len(stops) == MOST:
                return None
            supply.shift(each.pool, now_s, each.kept_s, each.need, -1)
            stops.append(each)
            rows, choice = run_kernel(supply, now_s, mine)
            if choice[0] >= 0:
                gain = before - _total(rows[0, choice[0]])
                losses = [_loss(view, s, now_s) for s in stops]
                return None if None in losses else (gain - sum(x or 0 for x in losses), stops)
        return None


def _loss(view: View, each: _Stoppable, now_s: int) -> int | None:
    """What the stopped work costs more than if it ran on, micro-yuan; None where the rest of it has no place."""
    rest = asked(view, [each.rest], now_s)
    rows, choice = run_kernel(view.supply, now_s, rest)
    if choice[0] < 0:
        return None
    on = Asked(*(a.copy() for a in rest.arrays()))
    on.jobs[0, tables.J_SECONDS] = max(each.rest.spec.duration_s - each.rest.done_s, 1)
    return _total(rows[0, choice[0]]) - _total(row_at(view.supply, on, each.pool, now_s))


def _total(row: np.ndarray) -> int:
    return int(row[tables.ENERGY :].sum())
