"""Making room: which stoppable runs of a site would have to stop so that a job starts now, and what that gains.

It pays where what the job saves by starting now is more than what the stopped work loses: the rest of it, and what
going on after a stop costs, are priced at the best place that would be left, with the waiting. Nodes and replays
share it (:mod:`sanjin.flow.preempt`, :mod:`sanjin.kernels.stops`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import BLOCK, OK, SLOT, Need, Rows, any_scarce, first_hopeful, floor_of, reserve, spans_of
from sanjin.kernels.lists import set_to
from sanjin.kernels.place import better, take, total_of, write_row
from sanjin.kernels.starts import FAR, best_start
from sanjin.kernels.tables import (
    POOL,
    ROW,
    SITE,
    START,
    UNTIL,
    Job,
    Weights,
    job_of,
    need_code,
    need_of,
    plan_of,
    slots_of,
)

MOST_STOPPED = 8
"""Runs that are stopped for one job, at most."""


class Runs(NamedTuple):
    """R stoppable runs at one site, those first that stop first: int64[R] the number of their job, pool, end of the
    present window (seconds UTC), and seconds at speed 1 if they ran on; ``need`` int64[R, 4] cores, MiB, cards, mW;
    ``rest`` int64[R, JOB_COLUMNS] what is left of each as a job; ``ready`` int64[R] when that could begin again;
    ``transport`` micro-yuan and ``latency`` pico-yuan a second of it."""

    job: Any
    pool: Any
    kept: Any
    on: Any
    need: Any
    rest: Any
    ready: Any
    transport: Any
    latency: Any


class Scratch(NamedTuple):
    """What a search writes into: ``spans`` of :func:`sanjin.kernels.board.spans_of`, int64[B] and two rows."""

    spans: Any
    bound: Any
    trial: Any
    row: Any


def runs_of(count: int, columns: int) -> Runs:
    """Room for so many runs."""
    return Runs(*(np.zeros(count, np.int64) for _ in range(4)), np.zeros((count, 4), np.int64),
                np.zeros((count, columns), np.int64), *(np.zeros(count, np.int64) for _ in range(3)))  # fmt: skip


def scratch_of(low: Any, rows: Rows) -> Scratch:
    """Scratch for a board; it holds while the board's prices do."""
    return Scratch(
        spans_of(low, rows), np.zeros(low.shape[1], np.int64), np.zeros(ROW, np.int64), np.zeros(ROW, np.int64)
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def with_times(ask: Job, seconds: int, latest: int) -> Job:
    """The job with other seconds of work and another latest start."""
    return Job(
        ask.cores, ask.mem, ask.cards, ask.card_kind, ask.kind, seconds, ask.since, ask.earliest, ask.deadline,
        ask.delay, ask.budget, ask.spread, ask.nodes, latest, ask.run,
    )  # fmt: skip


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def best_at(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Any, s: int, first_s: int, now: int, weights: Weights, ask: Job,
    ready: int, transport: int, latency: int, scarce: bool, scratch: Scratch,
) -> bool:
    """Whether site ``s`` has a place for the job; its best goes into ``scratch.row``, as in
    :func:`sanjin.kernels.place.place_batch`. Reserves nothing."""
    blocks, end_s, row = low.shape[1], first_s + (cells.shape[1] - 1) * SLOT, scratch.row
    row[POOL] = -1
    for p in range(pool.shape[0]):
        if pool[p, SITE] != s or need_code(pool, p, ask) != OK:
            continue
        need = need_of(pool, p, ask)
        plan = plan_of(pool, p, ask, end_s, now, ready, transport, latency, weights)
        floor = floor_of(scratch.spans, rows, p, s, 0, blocks, need, plan.dur, scarce)
        b0 = first_hopeful(high, rows, p, s, (plan.begin - first_s) // SLOT // BLOCK, need)
        start = best_start(
            cells, low, high, rows, p, s, first_s, need, plan, b0, scarce, floor, FAR, scratch.spans, scratch.bound
        )
        if start < 0:
            continue
        write_row(
            cells, rows, pool, p, ask, plan, first_s, start, ready, transport, latency, weights, need, scratch.trial
        )
        if better(scratch.trial, 1, s, row, 1, s):
            for i in range(ROW):
                row[i] = scratch.trial[i]
    return row[POOL] >= 0


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _free(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Any, first_s: int, now: int, runs: Runs, r: int, sign: int
) -> None:
    """Free (``sign`` -1), or take again, what a run keeps of its present window."""
    p = runs.pool[r]
    if runs.kept[r] > now:
        k0, k1 = slots_of(first_s, now, runs.kept[r])
        need = Need(sign * runs.need[r, 0], sign * runs.need[r, 1], sign * runs.need[r, 2], sign * runs.need[r, 3])
        reserve(cells, low, high, rows, p, pool[p, SITE], k0, min(k1, cells.shape[1] - 2), need)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _take_back(cells: Any, low: Any, high: Any, rows: Rows, pool: Any, first_s: int, ask: Job, row: Any) -> None:
    """Free the window of a row that was taken."""
    p = row[POOL]
    k0, k1 = slots_of(first_s, row[START], row[UNTIL])
    n = need_of(pool, p, ask)
    reserve(cells, low, high, rows, p, pool[p, SITE], k0, k1, Need(-n.cores, -n.mem, -n.cards, -n.mw))


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def _try(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Any, s: int, first_s: int, now: int, weights: Weights, ask: Job,
    ready: int, transport: int, latency: int, before: int, runs: Runs, count: int, p: int, scarce: bool,
    scratch: Scratch,
) -> tuple[int, int]:
    """(gain, how many stop) where runs of pool ``p`` stop; none where that cannot be. The board is left as it was."""
    once, row = with_times(ask, ask.seconds, now), scratch.row
    stops, last, found = 0, -1, False
    for r in range(count):
        if runs.pool[r] != p:
            continue
        if stops == MOST_STOPPED:
            break
        _free(cells, low, high, rows, pool, first_s, now, runs, r, -1)
        stops, last = stops + 1, r
        if best_at(
            cells, low, high, rows, pool, s, first_s, now, weights, once, ready, transport, latency, scarce, scratch
        ):
            found = True
            break
    gain, taken, n, rest = 0, np.empty((MOST_STOPPED + 1, ROW), np.int64), 0, 0
    if found:
        gain = before - total_of(row)
        take(cells, low, high, rows, pool, once, first_s, row)
        set_to(taken[0], row)
        n, end_s = 1, first_s + (cells.shape[1] - 1) * SLOT
        for r in range(last + 1):
            if runs.pool[r] != p:
                continue
            left = job_of(runs.rest, r)
            if not best_at(
                cells, low, high, rows, pool, s, first_s, now, weights, left, runs.ready[r], runs.transport[r],
                runs.latency[r], scarce, scratch,
            ):
                found = False
                break
            gain -= total_of(row)
            take(cells, low, high, rows, pool, left, first_s, row)
            taken[n] = row
            n += 1
            on = with_times(left, runs.on[r], left.latest)
            plan = plan_of(
                pool, p, on, end_s, now, runs.ready[r], runs.transport[r], runs.latency[r], weights
            )
            write_row(
                cells, rows, pool, p, on, plan, first_s, now, runs.ready[r], runs.transport[r], runs.latency[r],
                weights, need_of(pool, p, on), scratch.trial,
            )
            gain += total_of(scratch.trial)
    if n > 0:
        _take_back(cells, low, high, rows, pool, first_s, once, taken[0])
    for r in range(last + 1):
        if runs.pool[r] == p:
            rest += 1
            if rest < n:
                _take_back(cells, low, high, rows, pool, first_s, job_of(runs.rest, r), taken[rest])
            _free(cells, low, high, rows, pool, first_s, now, runs, r, 1)
    return (gain, stops) if found else (0, 0)


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def best_room(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Any, s: int, first_s: int, now: int, weights: Weights, ask: Job,
    ready: int, transport: int, latency: int, before: int, runs: Runs, count: int, scratch: Scratch,
) -> tuple[int, int, int]:
    """(gain in micro-yuan, pool, how many) of the best set of runs to stop for the job to start at site ``s`` now.

    ``before`` micro-yuan is what it costs where it is placed, whose windows are free when this is called; of ``runs``
    the first ``count`` count. The first so many of those in that pool are to stop; 0: none. The board is left as it
    was.
    """
    scarce = any_scarce(cells, rows)
    best, best_p, best_n = 0, -1, 0
    for p in range(pool.shape[0]):
        if pool[p, SITE] != s:
            continue
        gain, stops = _try(
            cells, low, high, rows, pool, s, first_s, now, weights, ask, ready, transport, latency, before, runs, count,
            p, scarce, scratch,
        )
        if stops > 0 and (best_n == 0 or gain > best):
            best, best_p, best_n = gain, p, stops
    return best, best_p, best_n
