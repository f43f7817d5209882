"""Pre-emption: running work that can be stopped makes room for other work where that pays.

It pays where what the other work saves by starting now is more than what the stopped work loses: the rest of
it, and what going on after a stop costs, are priced at the best place that would be left, with the waiting. Runs make
room only for work that is placed at their own site. Which, and what it gains, is for the kernel to say
(:func:`sanjin.kernels.room.best_room`), which replays share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sanjin.flow.pieces import total_now
from sanjin.flow.place import asked
from sanjin.flow.supply import term_weights
from sanjin.flow.view import View
from sanjin.kernels import room as kernel
from sanjin.kernels import tables
from sanjin.kernels.board import Need
from sanjin.kernels.pieces import done_after
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.model.units import SLOT_S


def make_room(view: View, jobs: Sequence[str], now_s: int) -> Iterator[list[ev.Event]]:
    """For each of these jobs that is placed and gains by it: the stops, and its place given up for an earlier one.

    The caller applies each list of events before it asks for the next.
    """
    least = view.supply.policy.stop_gain_fen * MICRO_PER_FEN
    if least < 0:
        return
    for record in (view.jobs[job] for job in jobs if job in view.jobs):
        placement = record.placement
        if placement is None or record.state is not JobState.PLACED or record.sent_to or record.spec.members:
            continue  # for the members of an array nothing stops
        if placement.start_s <= now_s or placement.terms.waiting < least:
            continue
        stoppable = _stoppable(view, placement.site, now_s)
        if not stoppable:
            continue
        gain, stops = _best(view, record, stoppable, now_s)
        if stops and gain >= max(least, 1):
            asks = [
                ev.StopAsked(job=job, reason=Reason.MADE_ROOM, room_for=record.id, gain_micro=gain) for job in stops
            ]
            yield [*asks, ev.Unplaced(job=record.id, reason=Reason.BETTER_PLACE, gain_micro=gain)]


def _stoppable(view: View, site: str, now_s: int) -> list[JobRecord]:
    """Runs at this site that may be stopped, those first that wait most cheaply, each with the work that would be left
    of it; of equals who came first."""
    found: list[tuple[tuple[float, int, int, str], JobRecord]] = []
    for job in (view.running[run] for run in view.stoppable):
        record = view.jobs[job]
        placement = record.placement
        if placement is None or placement.site != site or record.spec.reservation:
            continue
        if record.stop_asked or record.cancel_asked:
            continue
        pool, spec = view.supply.pool_of(placement), record.spec
        speed = int(view.supply.pool[pool, tables.SPEED])
        done_s = int(done_after(record.done_s, now_s - record.start_s, speed, spec.stop_cost_s, spec.duration_s))
        each = spec.delay_price_fen_per_hour / max(spec.all_cores(), 1)
        order = (each, record.submitted_s, len(record.id), record.id)
        found.append((order, changed(record, done_s=done_s, end_s=now_s, site=placement.site)))
    return [record for _, record in sorted(found, key=lambda f: f[0])]


def _best(view: View, record: JobRecord, stoppable: list[JobRecord], now_s: int) -> tuple[int, list[str]]:
    """(gain in micro-yuan, jobs to stop) for the job to start now at the site where it is placed."""
    supply, placement = view.supply, record.placement
    if placement is None:
        return 0, []
    own, site = supply.pool_of(placement), supply.site_index[placement.site]
    need = supply.need(record.spec, own)
    runs, listed = _runs(view, stoppable, site, now_s)
    with supply.trial():
        for begin, end in placement.windows():
            supply.shift(own, begin, end, need, -1)
        mine = asked(view, [record], now_s)
        if mine.barred[0, site]:
            return 0, []
        before = total_now(supply, mine, own, placement, Need(*need))
        supply.settle()
        board = supply.board
        gain, pool, count = kernel.best_room(
            board.cells, board.low, board.high, board.rows, supply.pool, site, supply.first_slot * SLOT_S, now_s,
            term_weights(supply), tables.job_of(mine.jobs, 0), int(mine.ready[0, site]),
            int(mine.transport[0, site]), int(mine.latency[0, site]), before, runs, len(listed),
            kernel.scratch_of(board.low, board.rows),
        )  # fmt: skip
    there = [job for r, job in enumerate(listed) if runs.pool[r] == pool]
    return int(gain), there[: int(count)]


def _runs(view: View, stoppable: list[JobRecord], site: int, now_s: int) -> tuple[kernel.Runs, list[str]]:
    """The runs as the kernel takes them, and their jobs; without those of which the rest may not be here."""
    supply, listed = view.supply, list[str]()
    runs = kernel.runs_of(len(stoppable), tables.JOB_COLUMNS)
    for record, rest in zip(stoppable, (asked(view, [r], now_s) for r in stoppable), strict=True):
        placement, r = view.jobs[record.id].placement, len(listed)
        if placement is None or rest.barred[0, site]:
            continue
        runs.pool[r] = pool = supply.pool_of(placement)
        runs.kept[r], runs.need[r] = placement.windows()[record.window][1], supply.need(record.spec, pool)
        runs.rest[r], runs.on[r] = rest.jobs[0], max(record.spec.duration_s - record.done_s, 1)
        runs.ready[r], runs.transport[r] = rest.ready[0, site], rest.transport[0, site]
        runs.latency[r] = rest.latency[0, site]
        listed.append(record.id)
    return runs, listed


