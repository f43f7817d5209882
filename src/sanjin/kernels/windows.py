"""Jobs of a replay, and the windows that they take of the board, as the compiled loop has them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import OK, SLOT, Need, Rows, reserve, room
from sanjin.kernels.carry import NEVER
from sanjin.kernels.easy import push
from sanjin.kernels.lists import larger, with_one
from sanjin.kernels.pieces import left_after
from sanjin.kernels.place import total_of, write_row
from sanjin.kernels.tables import ROW, SITE, SPEED, Job, Weights, need_code, need_of, plan_of
from sanjin.kernels.tiers import renew

_ALL = 2**40
"""More cores than any pool has: what keeps a site that is down from being chosen."""


class Jobs(NamedTuple):
    """J jobs in order of arrival, int64[J]: seconds UTC; seconds at speed 1 (``run`` not above ``asked``);
    ``delay`` pico-yuan a second of waiting; ``data`` bytes at site ``origin``."""

    arrive: Any
    run: Any
    asked: Any
    cores: Any
    cards: Any
    delay: Any
    origin: Any
    data: Any


class Rule(NamedTuple):
    """``home_only``: each at its origin; ``hurries``: time until the finish costs. A window lies within
    ``ahead_s`` from the slot of the decision (work that asks for more starts within it). ``move_gain``
    micro-yuan: what has not started moves where it saves that much (less than 0: never)."""

    home_only: bool
    hurries: bool
    ahead_s: int
    move_gain: int


class Begin(NamedTuple):
    """Where a replay goes on from the begin of a slot: ``arrived`` jobs came before ``from_s``; ``given`` bool[J],
    whether the rest of the window was given back; ``later`` are jobs that may still move, ``parked`` those without a
    place, in order."""

    from_s: int
    arrived: int
    given: Any
    later: Any
    parked: Any


UNBEGUN = -(2**62)
"""For ``from_s``: nothing came before."""


FROM_THE_FIRST = Begin(UNBEGUN, 0, np.empty(0, np.bool_), np.empty(0, np.int64), np.empty(0, np.int64))
"""A replay of all jobs."""


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def nothing_free(pools: int) -> Any:
    """In which slots capacity came free, the first and the last of each pool, int64[2, pools]: in none yet."""
    slots = np.empty((2, pools), np.int64)
    for p in range(pools):
        slots[0, p], slots[1, p] = NEVER, -1
    return slots


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def slowest_of(pool: Any) -> int:
    """The slowest pool, of equals the first."""
    found = 0
    for p in range(pool.shape[0]):
        if pool[p, SPEED] < pool[found, SPEED]:
            found = p
    return found


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def ask_with(jobs: Jobs, j: int, now: int, rule: Rule, asked: int, since: int) -> Job:
    """The job as the placement kernel takes it, with so many seconds of work that waits since then."""
    slot = now // SLOT * SLOT
    deadline, latest = slot + rule.ahead_s, 0
    if asked > rule.ahead_s:
        deadline, latest = 0, slot + rule.ahead_s
    per_run = jobs.delay[j] if rule.hurries else 0
    cores = jobs.cores[j]
    return Job(
        cores, 0, jobs.cards[j], -1, -1, asked, since, now, deadline, jobs.delay[j], 0, 0, cores, latest, per_run
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def ask_of(jobs: Jobs, j: int, now: int, rule: Rule, stops: Any = None) -> Job:
    """The job, or what is left of it, as the placement kernel takes it; ``stops`` where work can stop
    (:class:`sanjin.kernels.stops.Stops`)."""
    if stops is None:
        return ask_with(jobs, j, now, rule, jobs.asked[j], jobs.arrive[j])
    return ask_with(jobs, j, now, rule, asked_of(jobs, j, stops), stops.since[j])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def asked_of(jobs: Jobs, j: int, stops: Any = None) -> int:
    """Seconds at speed 1 that the job asks for, or that are left of them."""
    if stops is None:
        return jobs.asked[j]
    return left_after(jobs.asked[j], stops.done[j], stops.cost[j])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def until_of(pool: Any, p: int, start: int, asked: int) -> int:
    return start + (asked * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def widen(freed: Any, pool: Any, p: int, k0: int, k1: int) -> None:
    """Note that capacity came free in a pool; power did for all pools of the site."""
    for q in range(pool.shape[0]):
        if pool[q, SITE] == pool[p, SITE]:
            freed[0, q], freed[1, q] = min(freed[0, q], k0), max(freed[1, q], k1)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def take_back(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, pool: Any, jobs: Jobs, j: int, place: Any, start: Any,
    from_s: int, sign: int, freed: Any, offers: Any, stops: Any = None,
) -> None:
    """Free (``sign`` -1) or take what is left of a job's window, or windows, from the slot of ``from_s`` on.

    ``freed`` int64[2, P]: the first and last slot of each pool in which capacity came free, widened by this.
    """
    if stops is not None:
        i = stops.nth[j]
        if i >= 0 and stops.pieces[i] > 1:
            for w in range(stops.window[i], stops.pieces[i]):
                _take_back(
                    cells, low, high, rows, first_s, pool, jobs, j, place[j], stops.windows[i, w, 0],
                    stops.windows[i, w, 1], from_s, sign, freed, offers,
                )
            return
    until = until_of(pool, place[j], start[j], asked_of(jobs, j, stops))
    _take_back(
        cells, low, high, rows, first_s, pool, jobs, j, place[j], start[j], until, from_s, sign, freed, offers
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _take_back(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, pool: Any, jobs: Jobs, j: int, p: int, start: int,
    until: int, from_s: int, sign: int, freed: Any, offers: Any,
) -> None:
    """The same of one window."""
    k0, k1 = (max(from_s, start) - first_s) // SLOT, min((until - 1 - first_s) // SLOT, cells.shape[1] - 2)
    if k0 > k1 or from_s >= until:
        return
    ask = Job(jobs.cores[j], 0, jobs.cards[j], -1, -1, jobs.asked[j], 0, 0, 0, 0, 0, 0, jobs.cores[j], 0, 0)
    n = need_of(pool, p, ask)
    reserve(
        cells, low, high, rows, p, pool[p, SITE], k0, k1,
        Need(sign * n.cores, sign * n.mem, sign * n.cards, sign * n.mw),
    )
    if offers is not None:
        renew(offers, cells, rows, p, k0, k1)
    if sign < 0:
        widen(freed, pool, p, k0, k1)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def shut(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, pool: Any, s: int, now: int, sign: int, offers: Any
) -> None:
    """Keep a site's pools from being chosen from now on (``sign`` 1), or let them be again."""
    for p in range(pool.shape[0]):
        if pool[p, SITE] == s:
            k0, k1 = (now - first_s) // SLOT, cells.shape[1] - 2
            reserve(cells, low, high, rows, p, s, k0, k1, Need(sign * _ALL, 0, 0, 0))
            if offers is not None:
                renew(offers, cells, rows, p, k0, k1)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def resume(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, weights: Weights, pool: Any, jobs: Jobs, rule: Rule,
    begin: Begin, place: Any, start: Any, end: Any, given: Any, worth: Any, listed: Any, freed: Any, offers: Any,
) -> Any:
    """Take the windows of a replay that goes on: (running and its heap, jobs without a place, jobs that may move).

    What runs keeps its cores, whether the pool still has them or not. What has not started, in order of start, keeps
    its window where the pool has room for it, and is without a place where not. ``worth`` becomes what each costs at
    the prices of this board.
    """
    heap_at, heap_job, running = np.empty(1024, np.int64), np.empty(1024, np.int64), 0
    parked, no_place = np.empty(1024, np.int64), 0
    for j in begin.parked:
        parked, no_place = with_one(parked, no_place, j)
    row, at = np.zeros(ROW, np.int64), begin.from_s
    end_s = first_s + (cells.shape[1] - 1) * SLOT
    placed = np.flatnonzero((place[: begin.arrived] >= 0) & ~given[: begin.arrived])
    for j in placed[np.argsort(start[placed], kind="mergesort")]:
        p, ask = place[j], ask_of(jobs, j, at, rule)
        need = need_of(pool, p, ask)
        if start[j] >= at:
            until = until_of(pool, p, start[j], jobs.asked[j])
            first, last = (start[j] - first_s) // SLOT, (until - 1 - first_s) // SLOT
            if need_code(pool, p, ask) != OK or room(cells, low, rows, p, pool[p, SITE], first, last, need) != OK:
                place[j] = -1
                for q in range(pool.shape[0]):
                    if need_code(pool, q, ask) == OK:
                        parked, no_place = with_one(parked, no_place, j)
                        break
                continue
        take_back(cells, low, high, rows, first_s, pool, jobs, j, place, start, at, 1, freed, offers)
        if running == heap_at.shape[0]:
            heap_at, heap_job = larger(heap_at), larger(heap_job)
        push(heap_at, heap_job, running, end[j], j)
        running += 1
    later, late = np.empty(1024, np.int64), 0
    for j in begin.later:
        if place[j] < 0:
            continue
        p, ask = place[j], ask_of(jobs, j, at, rule)
        need = need_of(pool, p, ask)
        plan = plan_of(pool, p, ask, end_s, start[j], 0, 0, 0, weights)
        write_row(cells, rows, pool, p, ask, plan, first_s, start[j], 0, 0, 0, weights, need, row)
        worth[j], listed[j] = total_of(row), True
        later, late = with_one(later, late, j)
    return running, heap_at, heap_job, parked, no_place, later, late
