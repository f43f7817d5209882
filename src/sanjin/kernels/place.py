"""The placement kernel: price every feasible (site, pool, start) of a batch of jobs, take the least.

Arrays in, arrays out; no Python objects; columns in :mod:`sanjin.kernels.tables`. With
``NUMBA_DISABLE_JIT=1`` the same source runs uncompiled.

Shapes: S sites, P pools, T slots of the horizon, B blocks of :data:`BLOCK` slots, J jobs. Pools of a
site lie in the order of the region document.

How it is fast: the board (:mod:`sanjin.kernels.board`) prices any window at once and lets whole blocks of
slots be skipped; the block that promises most is searched early; and where only the choice is wanted,
pools are tried in the order of a lower bound on their total until none that is left can win. What runs
for every pool that is tried is compiled into the loop (``forceinline``): handing on arrays costs as much
as the work itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sanjin.kernels.board import (
    BLOCK,
    CODE_CAPACITY,
    OK,
    SLOT,
    Need,
    Rows,
    any_scarce,
    first_hopeful,
    floor_of,
    over,
    paid,
    reserve,
    room,
    scarcity_of,
    spans_of,
    times_power,
)
from sanjin.kernels.lists import set_all, set_to
from sanjin.kernels.starts import FAR, best_start
from sanjin.kernels.tables import (
    CARBON,
    CODE,
    CODE_BUDGET,
    CODE_DEADLINE,
    CODE_POOL_KIND,
    ENERGY,
    FINISH,
    LATENCY,
    PICO,
    POOL,
    READY,
    ROW,
    SCARCITY,
    SITE,
    START,
    TRANSPORT,
    UNTIL,
    USE,
    WAITING,
    Ints,
    Job,
    Plan,
    Weights,
    job_of,
    need_code,
    need_of,
    plan_of,
    slots_of,
    use_of,
    weighed,
)
from sanjin.kernels.tiers import BOUND, HOPEFUL, LEAST, QUEUE, Search, ask_down, ask_roots, begin_asking, least_of, pop

ROUNDING = 8
"""Micro-yuan by which a total of rounded terms may lie below the exact one, and one more."""


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def why_not(
    cells: Any, low: Any, rows: Rows, p: int, s: int, first_s: int, need: Need, plan: Plan, deadline: int
) -> int:
    """The code that rules a pool out where no start is feasible: the budget where it alone stood against one,
    else what stood against the first start."""
    slots = cells.shape[1] - 1
    k, code = (plan.begin - first_s) // SLOT, OK
    while True:
        start = max(plan.begin, first_s + k * SLOT)
        until = start + plan.hold
        last = (until - 1 - first_s) // SLOT
        if deadline > 0 and until > deadline:
            return code if code != OK else CODE_DEADLINE
        if last >= slots or start > plan.latest:
            return code if code != OK else CODE_CAPACITY
        hit = room(cells, low, rows, p, s, k, last, need)
        if hit == OK and plan.budget > 0:
            bill = plan.paid + paid(cells, rows, s, first_s, start, start + plan.dur, need)
            if bill > plan.budget:
                return CODE_BUDGET
        code = code if code != OK else hit
        k += 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def write_row(
    cells: Any, rows: Rows, pool: Ints, p: int, ask: Job, plan: Plan, first_s: int, start: int, ready: int,
    transport: int, latency: int, weights: Weights, need: Need, row: Ints,
) -> None:
    """Fill a result row for a start that was found."""
    s = pool[p, SITE]
    end, until = start + plan.dur, start + plan.hold
    k0, k1 = slots_of(first_s, start, until)
    row[POOL], row[CODE], row[START], row[FINISH], row[UNTIL], row[READY] = p, OK, start, end, until, ready
    row[ENERGY] = times_power(over(cells, rows.energy + s, first_s, start, end), need.mw) // PICO
    row[CARBON] = times_power(over(cells, rows.carbon + s, first_s, start, end), need.mw) // PICO
    row[TRANSPORT] = weighed(transport * PICO, weights.transport) // PICO
    row[LATENCY] = latency * plan.dur // PICO
    row[USE] = weighed(use_of(pool, p, ask, plan.dur), weights.use) // PICO
    row[SCARCITY] = scarcity_of(cells, rows, p, s, k0, k1, need) // PICO
    row[WAITING] = (ask.delay * (start - plan.since) + ask.run * plan.dur) // PICO


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def price_at(
    cells: Any, rows: Rows, pool: Any, p: int, job: Any, first_s: int, start: int, ready: int, transport: int,
    latency: int, weights: Weights, row: Any,
) -> None:
    """Fill ``row`` with what job 0 costs at one start in pool ``p``, whether there is room or not."""
    ask = job_of(job, 0)
    end_s = first_s + (cells.shape[1] - 1) * SLOT
    plan = plan_of(pool, p, ask, end_s, start, ready, transport, latency, weights)
    write_row(
        cells, rows, pool, p, ask, plan, first_s, start, ready, transport, latency, weights, need_of(pool, p, ask), row
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def total_of(row: Ints) -> int:
    """Sum of a row's terms, micro-yuan."""
    total = row[ENERGY] + row[CARBON] + row[TRANSPORT] + row[LATENCY]
    return total + row[USE] + row[SCARCITY] + row[WAITING]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def better(row: Ints, own: int, s: int, best: Ints, best_own: int, best_s: int) -> bool:
    """Whether a row beats the best so far: by total, start, own subtree first, site, pool."""
    total, held = total_of(row), total_of(best)
    if best[POOL] < 0 or total != held:
        return best[POOL] < 0 or total < held
    if row[START] != best[START]:
        return row[START] < best[START]
    if own != best_own:
        return own > best_own
    if s != best_s:
        return s < best_s
    return row[POOL] < best[POOL]


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")  # other nodes of the process go on meanwhile
def place_batch(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, now_s: int, weights: Weights,
    pool: Any, own: Any, job: Any, barred: Any, ready: Any, transport: Any, latency: Any, out: Any, choice: Any,
) -> None:
    """Place jobs in order with a row for every site; each takes the best, see :func:`better`.

    ``pool`` int64[P, POOL_COLUMNS] and ``job`` int64[J, JOB_COLUMNS]; ``own`` int64[S] marks the own subtree.
    ``barred`` int64[J, S]: 0 or the code that rules a site out. ``ready`` int64[J, S]: when inputs can be
    there. ``transport`` int64[J, S]: micro-yuan. ``latency`` int64[J, S]: pico-yuan a second of running.
    Writes ``out`` int64[J, S, ROW] and ``choice`` int64[J] (site or -1), and reserves what it chose.
    """
    sites, blocks, scarce = own.shape[0], low.shape[1], any_scarce(cells, rows)
    end_s = first_s + (cells.shape[1] - 1) * SLOT
    spans = spans_of(low, rows)
    trial, scratch = np.zeros(ROW, np.int64), np.empty(blocks, np.int64)
    for j in range(job.shape[0]):
        ask = job_of(job, j)
        for s in range(sites):
            set_all(out[j, s], 0)
            out[j, s, POOL] = -1
            out[j, s, CODE] = barred[j, s] if barred[j, s] != OK else CODE_POOL_KIND
            out[j, s, READY] = ready[j, s]
        best = -1
        for p in range(pool.shape[0]):
            s = pool[p, SITE]
            if barred[j, s] != OK:
                continue
            code = need_code(pool, p, ask)
            row = out[j, s]
            if code == OK:
                need = need_of(pool, p, ask)
                plan = plan_of(pool, p, ask, end_s, now_s, ready[j, s], transport[j, s], latency[j, s], weights)
                floor = floor_of(spans, rows, p, s, 0, blocks, need, plan.dur, scarce)
                b0 = first_hopeful(high, rows, p, s, (plan.begin - first_s) // SLOT // BLOCK, need)
                start = best_start(
                    cells, low, high, rows, p, s, first_s, need, plan, b0, scarce, floor, FAR, spans, scratch
                )
                if start >= 0:
                    write_row(
                        cells, rows, pool, p, ask, plan, first_s, start, ready[j, s], transport[j, s],
                        latency[j, s], weights, need, trial,
                    )
                    if better(trial, own[s], s, row, own[s], s):
                        set_to(row, trial)
                    continue
                code = why_not(cells, low, rows, p, s, first_s, need, plan, ask.deadline)
            if row[POOL] < 0:
                row[CODE] = max(row[CODE], code)
        for s in range(sites):
            if out[j, s, POOL] >= 0 and (best < 0 or better(out[j, s], own[s], s, out[j, best], own[best], best)):
                best = s
        choice[j] = best
        if best >= 0:
            take(cells, low, high, rows, pool, ask, first_s, out[j, best])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def take(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Ints, ask: Job, first_s: int, row: Ints
) -> None:
    """Reserve what a row says."""
    p = row[POOL]
    k0, k1 = slots_of(first_s, row[START], row[UNTIL])
    reserve(cells, low, high, rows, p, pool[p, SITE], k0, k1, need_of(pool, p, ask))


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def floors_of(low: Any, rows: Rows, pool: Any) -> Ints:
    """The least price of a second over the whole horizon: watt, power, core, card; int64[P, 4]."""
    floors = np.empty((pool.shape[0], 4), np.int64)
    for p in range(pool.shape[0]):
        for i, row in enumerate((rows.watt + pool[p, SITE], rows.power + pool[p, SITE], rows.core + p, rows.card + p)):
            floors[p, i] = low[row].min()
    return floors


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def choose_one(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, now_s: int, weights: Weights, pool: Any, own: Any,
    ask: Job, j: int, barred: Any, ready: Any, transport: Any, latency: Any, won: Any, scarce: bool, spans: Ints,
    floors: Ints, pools: Ints, scratch: Ints, trial: Ints, offers: Any = None, sender: Any = None,
) -> int:
    """Find the best place of job ``j``, write its row into ``won[j]`` and reserve it; its site, or -1.

    Job tables as in :func:`place_batch`; ``floors`` from :func:`floors_of`; ``pools`` int64[4, P], ``scratch``
    int64[B] and ``trial`` int64[ROW] are scratch. It is part of its callers when compiled, since arrays that
    are handed on cost more than the search of an empty pool. Pools are tried in
    the order of a bound that their total cannot be below; those whose bound is above the best total are not
    tried. The bound is first that of a start at once; when a pool's turn comes, that of its first block with room.
    With ``offers`` and a ``sender`` (:mod:`sanjin.kernels.tiers`; ``pools`` int64[4, P + G]) the search goes down the
    tree, and works ``barred``, ``ready`` and ``transport`` out where it comes: the same choice.
    """
    end_s = first_s + (cells.shape[1] - 1) * SLOT
    for i in range(ROW):
        won[j, i] = 0
    won[j, POOL] = -1
    best_s = -1
    left, all_asked = 0, False
    if offers is not None:
        search = Search(
            ask, sender, spans, floors, first_s, end_s, now_s, weights, pool, barred, ready, transport, pools,
        )
        left, all_asked = begin_asking(offers, search), sender.at_home
    else:
        for p in range(pool.shape[0]):
            s = pool[p, SITE]
            if barred[j, s] != OK or need_code(pool, p, ask) != OK:
                continue
            need = need_of(pool, p, ask)
            plan = plan_of(pool, p, ask, end_s, now_s, ready[j, s], transport[j, s], latency[j, s], weights)
            pools[LEAST, p] = least_of(floors, p, need, plan)
            pools[QUEUE, left], pools[HOPEFUL, p] = p, -1
            pools[BOUND, left] = pools[LEAST, p] + plan.fixed + plan.delay * (plan.begin - plan.since)
            left += 1
    limit = FAR
    while True:
        if offers is not None:
            if not all_asked and (left == 0 or pools[BOUND, 0] >= 0):  # what won last has been tried
                left, all_asked = ask_roots(offers, search, limit, left), True
            left = ask_down(offers, search, limit, left)
            at = 0 if left > 0 and pools[BOUND, 0] < limit else -1
        else:
            at, lowest_bound = -1, limit
            for i in range(left):
                if pools[BOUND, i] < lowest_bound:
                    at, lowest_bound = i, pools[BOUND, i]
        if at < 0:
            break
        p = pools[QUEUE, at]
        s = pool[p, SITE]
        need = need_of(pool, p, ask)
        plan = plan_of(pool, p, ask, end_s, now_s, ready[j, s], transport[j, s], latency[j, s], weights)
        if pools[HOPEFUL, p] < 0:
            b0 = (plan.begin - first_s) // SLOT // BLOCK
            pools[HOPEFUL, p] = first_hopeful(high, rows, p, s, b0, need)
            if pools[HOPEFUL, p] > b0:  # it has to wait, so others may promise more
                waits = first_s + pools[HOPEFUL, p] * BLOCK * SLOT - plan.since
                pools[BOUND, at] = pools[LEAST, p] + plan.fixed + plan.delay * waits
                continue
        if offers is not None:
            left = pop(pools, left)
        else:
            left -= 1
            pools[QUEUE, at], pools[BOUND, at] = pools[QUEUE, left], pools[BOUND, left]
        start = best_start(
            cells, low, high, rows, p, s, first_s, need, plan, pools[HOPEFUL, p], scarce, pools[LEAST, p],
            limit - plan.fixed if limit < FAR else FAR, spans, scratch,
        )
        if start < 0:
            continue
        write_row(
            cells, rows, pool, p, ask, plan, first_s, start, ready[j, s], transport[j, s], latency[j, s],
            weights, need, trial,
        )
        if best_s < 0 or better(trial, own[s], s, won[j], own[best_s], best_s):
            for i in range(ROW):
                won[j, i] = trial[i]
            best_s = s
            # what costs this much cannot win even after its terms are rounded down
            limit = (total_of(trial) + ROUNDING) * PICO
    if best_s >= 0:
        take(cells, low, high, rows, pool, ask, first_s, won[j])
    return best_s


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def choose_batch(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, now_s: int, weights: Weights,
    pool: Any, own: Any, job: Any, barred: Any, ready: Any, transport: Any, latency: Any, won: Any, choice: Any,
) -> None:
    """The same choices as :func:`place_batch`, without the rows of the sites that lose.

    Writes the winning rows ``won`` int64[J, ROW] and ``choice`` int64[J].
    """
    scarce, spans, floors = any_scarce(cells, rows), spans_of(low, rows), floors_of(low, rows, pool)
    pools, scratch = np.empty((4, pool.shape[0]), np.int64), np.empty(low.shape[1], np.int64)
    trial = np.zeros(ROW, np.int64)
    for j in range(job.shape[0]):
        choice[j] = choose_one(
            cells, low, high, rows, first_s, now_s, weights, pool, own, job_of(job, j), j, barred, ready,
            transport, latency, won, scarce, spans, floors, pools, scratch, trial,
        )
