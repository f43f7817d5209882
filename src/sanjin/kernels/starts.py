"""The best start in one pool: every slot of its horizon priced and checked, blocks that cannot win passed over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sanjin.kernels.board import (
    BLOCK,
    OK,
    SLOT,
    Ints,
    Need,
    Rows,
    blocked,
    floor_of,
    hopeless,
    last_full,
    over,
    paid,
    scarcity_of,
    times_power,
)
from sanjin.kernels.tables import Plan

FAR = np.int64(2**63 - 1)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def best_start(
    cells: Any, low: Any, high: Any, rows: Rows, p: int, s: int, first_s: int, need: Need, plan: Plan, b0: int,
    scarce: bool, least: int, limit: int, spans: Ints, bound: Ints,
) -> int:
    """The least-priced feasible start in one pool that costs less than ``limit``, or -1; of equals the first.

    Candidates are ``plan.begin`` and every later slot boundary, none before ``b0``, the first block that may
    have room. ``least`` is less than any window of this length can cost: where waiting alone makes up the
    rest, nothing later is looked at. After the first block, the one that promises most is searched, then
    those whose bound is below what was found. Prices and ``limit`` leave ``plan.fixed`` out, pico-yuan.
    ``bound`` int64[B] is scratch.
    """
    if plan.latest < plan.begin:
        return -1
    b1 = (plan.latest - first_s) // SLOT // BLOCK
    reach = ((plan.hold - 1) // SLOT + BLOCK) // BLOCK  # blocks that a window may reach beyond its own
    # the first block first: what it offers ends the look ahead where waiting alone would cost more
    best, best_at = limit, -1
    if b0 <= b1 and (
        limit == FAR
        or plan.delay * (max(plan.begin, first_s + b0 * BLOCK * SLOT) - plan.since)
        + floor_of(spans, rows, p, s, b0, reach, need, plan.dur, scarce)
        < limit
    ):
        best, best_at = best_in_block(cells, low, rows, p, s, first_s, need, plan, b0, scarce, best, best_at)
    first, lowest_bound = -1, best
    for b in range(b0 + 1, b1 + 1):
        wait = plan.delay * (first_s + b * BLOCK * SLOT - plan.since)
        if wait + least >= best:
            b1 = b - 1
            break
        bound[b] = FAR
        if hopeless(high, rows, p, s, b, need):
            continue
        bound[b] = wait + floor_of(spans, rows, p, s, b, reach, need, plan.dur, scarce)
        if bound[b] < lowest_bound:
            first, lowest_bound = b, bound[b]
    if first >= 0:
        best, best_at = best_in_block(cells, low, rows, p, s, first_s, need, plan, first, scarce, best, best_at)
        for b in range(b0 + 1, b1 + 1):
            start = first_s + b * BLOCK * SLOT
            if b == first or bound[b] > best or (bound[b] == best and (best_at < 0 or start > best_at)):
                continue
            best, best_at = best_in_block(cells, low, rows, p, s, first_s, need, plan, b, scarce, best, best_at)
    return best_at


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def best_in_block(
    cells: Any, low: Any, rows: Rows, p: int, s: int, first_s: int, need: Need, plan: Plan, b: int,
    scarce: bool, best: int, best_at: int,
) -> tuple[int, int]:
    """(price, start) of the best start in block ``b`` where it beats what was found before, else the latter."""
    watt = rows.watt + s
    whole = plan.dur // SLOT
    rest = plan.dur - whole * SLOT  # seconds of its last slot that a start at a boundary takes
    k = max(b * BLOCK, (plan.begin - first_s) // SLOT)
    unknown = k  # from here on, room is not known yet
    while k < (b + 1) * BLOCK:
        start = max(plan.begin, first_s + k * SLOT)
        if start > plan.latest:
            break
        if blocked(cells, rows, p, s, k, need) != OK:
            k += 1
            continue
        end = start + plan.dur
        if start > first_s + k * SLOT:
            price = over(cells, watt, first_s, start, end)
        else:  # the same with fewer divisions
            price = cells[watt, k + whole] - cells[watt, k]
            if rest > 0:
                price += (cells[watt, k + whole + 1] - cells[watt, k + whole]) // SLOT * rest
        cost = times_power(price, need.mw) + plan.delay * (start - plan.since)
        last = (start + plan.hold - 1 - first_s) // SLOT
        if scarce:
            cost += scarcity_of(cells, rows, p, s, k, last, need)
        if cost > best or (cost == best and (best_at < 0 or start > best_at)):
            k += 1
            continue
        full = last_full(cells, low, rows, p, s, max(k, unknown), last, need)
        unknown = last + 1
        if full >= 0:
            k = full + 1  # no window that holds this slot has room
            continue
        k += 1
        if plan.budget > 0 and plan.paid + paid(cells, rows, s, first_s, start, end, need) > plan.budget:
            continue
        best, best_at = cost, start
    return best, best_at
