"""Stoppable work in the replay's loop: its windows, what runs now, and who makes room for whom.

A job begins each of its windows when that comes and the machines are free, as at live nodes; it stops at the end of
a window that others follow, or at once where it makes room, and what it has done by then is kept at its site.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import SLOT, Need, Rows, reserve
from sanjin.kernels.pieces import PIECES, divide, done_after, in_pieces, left_after
from sanjin.kernels.place import total_of, write_row
from sanjin.kernels.room import Runs, Scratch, best_room, runs_of, scratch_of
from sanjin.kernels.tables import (
    CARDS,
    CORES,
    FINISH,
    J_CARD_KIND,
    J_CARDS,
    J_CORES,
    J_DEADLINE,
    J_DELAY,
    J_EARLIEST,
    J_KIND,
    J_LATEST,
    J_NODES,
    J_RUN,
    J_SECONDS,
    J_SINCE,
    JOB_COLUMNS,
    POOL,
    ROW,
    SITE,
    SPEED,
    START,
    UNTIL,
    WAITING,
    Job,
    Weights,
    need_of,
    plan_of,
    slots_of,
)
from sanjin.kernels.windows import Jobs, Rule, ask_of, ask_with, take_back, until_of

PLACED, RUNS, PAUSED, STOPPING, CLOSING, OVER = range(6)
"""How a job stands: its next window has not begun; it runs; it waits for its next window; it is to stop now, to
make room, or because its window ends; done."""

HALTED_JOB, HALTED_POOL, HALTED_START, HALTED_END, HALTED_KEPT, HALTED_RESUMED, HALTED_FOR_ROOM = range(7)
"""Rows of a table of runs that stopped: whether what they did was kept to the end, whether they went on with what
was done before, and whether they made room."""


class Stops(NamedTuple):
    """What a replay of J jobs, K of them stoppable, has to know of them.

    ``least`` micro-yuan is what a stop must gain (below 0: nothing makes room). bool[J]: ``able``, and ``making`` while
    others stop for it. int64[J]: ``cost`` seconds of work a stop; ``price`` pico-yuan a second, by which who stops
    first is told; ``nth`` of the stoppable (-1: none); ``done`` seconds at speed 1, kept at site ``held``; ``since``
    when it waits; ``waits`` micro-yuan, what waiting costs it where it is placed; ``state``.
    ``windows`` int64[K, PIECES, 2] with ``pieces`` of them, and in which ``window`` it is; ``on`` int64[K] are those
    that run, the first ``count[0]``. ``use`` int64[2, P] cores and cards and ``mw`` int64[S] that runs take now;
    ``cap`` int64[S]. The rest is scratch.
    """

    least: int
    able: Any
    making: Any
    cost: Any
    price: Any
    nth: Any
    done: Any
    held: Any
    since: Any
    waits: Any
    state: Any
    windows: Any
    pieces: Any
    window: Any
    on: Any
    count: Any
    use: Any
    mw: Any
    cap: Any
    used: Any
    changed: Any
    order: Any
    runs: Runs
    scratch: Scratch


def stops_of(
    able: Any, cost: Any, price: Any, arrive: Any, pool: Any, cap_mw: Any, least: int, low: Any, rows: Rows, slots: int
) -> Stops:
    """Nothing has begun. ``low`` and ``rows`` are the board's, ``slots`` its length."""
    count, many = len(able), int(able.sum())
    nth = np.where(able, np.cumsum(able) - 1, -1).astype(np.int64)
    return Stops(
        least, able.astype(np.bool_), np.zeros(count, np.bool_), cost.astype(np.int64), price.astype(np.int64), nth,
        np.zeros(count, np.int64), np.full(count, -1, np.int64), arrive.astype(np.int64), np.zeros(count, np.int64),
        np.zeros(count, np.int64), np.zeros((many, PIECES, 2), np.int64), np.ones(many, np.int64),
        np.zeros(many, np.int64), np.zeros(many, np.int64), np.zeros(1, np.int64), np.zeros((2, len(pool)), np.int64),
        np.zeros(len(cap_mw), np.int64), cap_mw.astype(np.int64), np.zeros(slots, np.bool_), np.zeros(ROW, np.int64),
        np.zeros(many), runs_of(many, JOB_COLUMNS), scratch_of(low, rows),
    )  # fmt: skip


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def keep(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, weights: Weights, pool: Any, stops: Stops, j: int,
    ask: Job, won: Any,
) -> int:
    """Divide a job over windows where that pays, and remember them; what it costs as placed, micro-yuan.

    ``won`` is the row of its one window, which is reserved; it becomes that of the windows, and these are reserved.
    """
    i, p, total = stops.nth[j], won[POOL], total_of(won)
    stops.state[j] = PLACED
    if i >= 0:
        stops.pieces[i], stops.window[i] = 1, 0
        stops.windows[i, 0, 0], stops.windows[i, 0, 1] = won[START], won[UNTIL]
    if i >= 0 and ask.deadline > 0 and won[FINISH] - won[START] > SLOT:
        need, s = need_of(pool, p, ask), pool[p, SITE]
        less = Need(-need.cores, -need.mem, -need.cards, -need.mw)
        k0, k1 = slots_of(first_s, won[START], won[UNTIL])
        reserve(cells, low, high, rows, p, s, k0, k1, less)
        count = divide(
            cells, rows, pool, first_s, need, ask, stops.cost[j], won, stops.windows[i], stops.changed, stops.used
        )
        if count == 0:
            stops.windows[i, 0, 0], stops.windows[i, 0, 1] = won[START], won[UNTIL]
            reserve(cells, low, high, rows, p, s, k0, k1, need)
        else:
            stops.pieces[i] = count
            for w in range(count):
                k0, k1 = slots_of(first_s, stops.windows[i, w, 0], stops.windows[i, w, 1])
                reserve(cells, low, high, rows, p, s, k0, k1, need)
            for c in range(ROW):
                won[c] = stops.changed[c]
            # from now on it is priced as it stands, from its first window on
            start, end_s, row = won[START], first_s + (cells.shape[1] - 1) * SLOT, stops.scratch.row
            plan = plan_of(pool, p, ask, end_s, start, 0, 0, 0, weights)
            write_row(cells, rows, pool, p, ask, plan, first_s, start, 0, 0, 0, weights, need, row)
            in_pieces(cells, rows, pool, first_s, need, ask.delay, row, stops.windows[i], count, stops.changed)
            total = total_of(stops.changed)
    stops.waits[j] = won[WAITING]
    return total


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def needs(pool: Any, jobs: Jobs, p: int, j: int) -> Need:
    """What a job takes from pool ``p``."""
    ask = Job(jobs.cores[j], 0, jobs.cards[j], -1, -1, 0, 0, 0, 0, 0, 0, 0, jobs.cores[j], 0, 0)
    return need_of(pool, p, ask)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def has_room_now(pool: Any, jobs: Jobs, stops: Stops, j: int, p: int) -> bool:
    """Whether what runs leaves room for the job to begin; as :meth:`sanjin.flow.view.View.has_room_now`."""
    need, s = needs(pool, jobs, p, j), pool[p, SITE]
    if stops.making[j] or stops.use[0, p] + need.cores > pool[p, CORES]:
        return False
    if stops.use[1, p] + need.cards > pool[p, CARDS]:
        return False
    return stops.mw[s] == 0 or stops.mw[s] + need.mw <= stops.cap[s]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def next_start(stops: Stops, j: int, start: Any) -> int:
    """When the window begins for which the job waits; -1 where it waits for none."""
    if stops.state[j] == PLACED:
        return start[j]
    if stops.state[j] == PAUSED:
        i = stops.nth[j]
        return stops.windows[i, stops.window[i], 0]
    return -1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def go(pool: Any, jobs: Jobs, stops: Stops, j: int, p: int, now: int, start: Any, end: Any) -> bool:
    """Let the job run from now on; whether it ends in this window, at ``end[j]``. Else it stops at that's end."""
    need, i, s = needs(pool, jobs, p, j), stops.nth[j], pool[p, SITE]
    stops.use[0, p] += need.cores
    stops.use[1, p] += need.cards
    stops.mw[s] += need.mw
    stops.state[j], start[j] = RUNS, now
    end[j] = until_of(pool, p, now, left_after(jobs.run[j], stops.done[j], stops.cost[j]))
    if i < 0:
        return True
    stops.on[stops.count[0]] = j
    stops.count[0] += 1
    return stops.window[i] + 1 >= stops.pieces[i] or end[j] <= stops.windows[i, stops.window[i], 1]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def leave(pool: Any, jobs: Jobs, stops: Stops, j: int, p: int) -> None:
    """The job runs no longer."""
    need, s = needs(pool, jobs, p, j), pool[p, SITE]
    stops.use[0, p] -= need.cores
    stops.use[1, p] -= need.cards
    stops.mw[s] -= need.mw
    for n in range(stops.count[0]):
        if stops.on[n] == j:
            stops.count[0] -= 1
            stops.on[n] = stops.on[stops.count[0]]
            break


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def pause(pool: Any, jobs: Jobs, stops: Stops, j: int, p: int, now: int, start: Any, end: Any) -> bool:
    """The job has stopped; whether it waits for its next window. Else the rest of it has no place."""
    i = stops.nth[j]
    for_room = stops.state[j] == STOPPING
    leave(pool, jobs, stops, j, p)
    stops.done[j] = done_after(stops.done[j], now - start[j], pool[p, SPEED], stops.cost[j], jobs.asked[j])
    stops.held[j] = pool[p, SITE]
    if for_room:
        stops.since[j], stops.pieces[i], stops.window[i], stops.state[j] = now, 1, 0, PLACED
        return False
    stops.window[i] += 1
    stops.state[j] = PAUSED
    end[j] = stops.windows[i, stops.pieces[i] - 1, 1]
    return True


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def forget(jobs: Jobs, stops: Stops, j: int, halted: Any, count: int) -> None:
    """What the job had done is lost with its site: it begins again."""
    stops.done[j], stops.held[j], stops.since[j], stops.state[j] = 0, -1, jobs.arrive[j], PLACED
    i = stops.nth[j]
    if i >= 0:
        stops.pieces[i], stops.window[i] = 1, 0
        for n in range(count):
            if halted[HALTED_JOB, n] == j:
                halted[HALTED_KEPT, n] = 0


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _gather(pool: Any, jobs: Jobs, stops: Stops, rule: Rule, s: int, now: int, place: Any, start: Any) -> int:
    """Fill ``stops.runs`` with what may stop at site ``s``, those first that wait most cheaply; how many."""
    runs, count = stops.runs, 0
    for n in range(stops.count[0]):
        j = stops.on[n]
        if stops.state[j] != RUNS or pool[place[j], SITE] != s:
            continue
        each, at = stops.price[j] / max(jobs.cores[j], 1), count
        while at > 0 and (stops.order[at - 1] > each or (stops.order[at - 1] == each and runs.job[at - 1] > j)):
            stops.order[at], runs.job[at] = stops.order[at - 1], runs.job[at - 1]
            at -= 1
        stops.order[at], runs.job[at] = each, j
        count += 1
    for r in range(count):
        j = runs.job[r]
        p, i = place[j], stops.nth[j]
        done = done_after(stops.done[j], now - start[j], pool[p, SPEED], stops.cost[j], jobs.asked[j])
        need, left = needs(pool, jobs, p, j), left_after(jobs.asked[j], done, stops.cost[j])
        rest, row = ask_with(jobs, j, now, rule, left, now), runs.rest[r]
        runs.pool[r], runs.kept[r] = p, stops.windows[i, stops.window[i], 1]
        runs.on[r], runs.ready[r] = max(jobs.asked[j] - done, 1), now
        runs.need[r, 0], runs.need[r, 1], runs.need[r, 2], runs.need[r, 3] = need.cores, need.mem, need.cards, need.mw
        row[J_CORES], row[J_CARDS], row[J_NODES] = rest.cores, rest.cards, rest.nodes
        row[J_CARD_KIND], row[J_KIND] = -1, -1
        row[J_SECONDS], row[J_SINCE], row[J_EARLIEST], row[J_DEADLINE] = rest.seconds, rest.since, now, rest.deadline
        row[J_DELAY], row[J_LATEST], row[J_RUN] = rest.delay, rest.latest, rest.run
    return count


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def room_for(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, weights: Weights, pool: Any, jobs: Jobs, rule: Rule,
    stops: Stops, j: int, now: int, place: Any, start: Any, worth: int, spare: Any,
) -> tuple[int, int]:
    """(pool, how many) of the runs that are to stop so that job ``j``, placed later, starts now; 0: none. They are the
    first so many of ``stops.runs`` in that pool. The board is left as it was."""
    if place[j] < 0 or stops.state[j] != PLACED or start[j] <= now or stops.waits[j] < stops.least:
        return -1, 0
    s = pool[place[j], SITE]
    if jobs.data[j] > 0 and s != jobs.origin[j]:  # its data are on their way
        return -1, 0
    count = _gather(pool, jobs, stops, rule, s, now, place, start)
    if count == 0:
        return -1, 0
    ask = ask_of(jobs, j, now, rule, stops)
    take_back(cells, low, high, rows, first_s, pool, jobs, j, place, start, start[j], -1, spare, None, stops)
    gain, p, stopped = best_room(
        cells, low, high, rows, pool, s, first_s, now, weights, ask, now, 0, 0, worth, stops.runs, count, stops.scratch
    )
    take_back(cells, low, high, rows, first_s, pool, jobs, j, place, start, start[j], 1, spare, None, stops)
    return (p, stopped) if gain >= max(stops.least, 1) else (-1, 0)
