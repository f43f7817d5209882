"""Pieces: the cheapest slots for work that can be stopped and go on, found exactly by dynamic programming.

Run time is taken in whole slots. Work in ``c`` pieces needs the slots of its length plus what each stop
costs; the state after a slot is (slots used, pieces begun, whether the slot was used). The price of a
choice is that of its slots, and of waiting until the last of them is over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sanjin.kernels.board import OK, SLOT, Need, Rows, blocked, scarcity_of, times_power
from sanjin.kernels.lists import set_all
from sanjin.kernels.tables import (
    CARBON,
    ENERGY,
    FINISH,
    LATENCY,
    PICO,
    POOL,
    READY,
    ROW,
    SCARCITY,
    SITE,
    SPEED,
    START,
    TRANSPORT,
    UNTIL,
    USE,
    WAITING,
    Ints,
    Job,
)

_FAR = np.int64(2**62)

PIECES = 6
"""Pieces at most."""

LEAST_SAVED = 10_000
"""Micro-yuan that several windows must save against one: a fen."""


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def done_after(done: int, ran_s: int, speed: int, stop_cost: int, whole: int) -> int:
    """Work that is done when a run of ``ran_s`` seconds stops, of ``whole`` seconds at speed 1; at least 1, and never
    all of it. ``speed`` is the pool's, in 1/1000; where some was ``done`` before, going on cost ``stop_cost``."""
    worked = (ran_s * speed + 999) // 1000
    if done > 0:
        worked = max(worked - stop_cost, 0)
    return max(min(done + worked, whole - 1), 1)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def left_after(whole: int, done: int, stop_cost: int) -> int:
    """Work that is left, seconds at speed 1, with what going on after a stop costs."""
    return whole if done == 0 else max(whole - done, 1) + stop_cost


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def slots_needed(seconds: int, stop_cost: int, pieces: int) -> int:
    """Whole slots for work of so many seconds in so many pieces."""
    return (seconds + (pieces - 1) * stop_cost + SLOT - 1) // SLOT


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def slot_price(cells: Any, rows: Rows, p: int, s: int, k: int, need: Need) -> int:
    """Energy, carbon and scarcity of one slot, pico-yuan."""
    watt = cells[rows.watt + s, k + 1] - cells[rows.watt + s, k]
    return times_power(watt, need.mw) + scarcity_of(cells, rows, p, s, k, k, need)


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def best_pieces(
    cells: Any, rows: Rows, p: int, s: int, need: Need, k0: int, k1: int, seconds: int, stop_cost: int,
    most: int, delay: int, used: Any,
) -> int:
    """Mark in ``used`` bool[T] the slots of ``k0`` to ``k1`` (inclusive) that cost least; how many, or 0.

    ``seconds`` of run time in at most ``most`` pieces, each stop costing ``stop_cost`` seconds more; ``delay``
    pico-yuan a second until the last slot is over. Of equals the one that ends first, with fewer pieces.
    """
    set_all(used, False)
    width = k1 - k0 + 1
    if width < slots_needed(seconds, stop_cost, 1):
        return 0
    while slots_needed(seconds, stop_cost, most) > width:  # so many stops leave no time
        most -= 1
    longest = slots_needed(seconds, stop_cost, most)
    on = np.full((longest + 1, most + 1), _FAR, np.int64)
    off = np.full((longest + 1, most + 1), _FAR, np.int64)
    went_on = np.zeros((width, longest + 1, most + 1), np.bool_)  # the slot before was used too
    stopped = np.zeros((width, longest + 1, most + 1), np.bool_)  # off right after a slot in use
    off[0, 0] = 0
    best, best_k, best_c = _FAR, -1, 0
    for i in range(width):
        k = k0 + i
        free = blocked(cells, rows, p, s, k, need) == OK
        price = slot_price(cells, rows, p, s, k, need)
        for n in range(min(longest, i + 1), 0, -1):
            for c in range(1, min(most, n) + 1):
                after = min(off[n, c], on[n, c])
                goes_on, begins = on[n - 1, c], off[n - 1, c - 1]
                # a piece may not begin right after a slot in use: that is the same piece
                stopped[i, n, c] = on[n, c] < off[n, c]
                off[n, c] = after
                went_on[i, n, c] = goes_on <= begins
                least = min(goes_on, begins)
                on[n, c] = least + price if free and least < _FAR else _FAR
                if on[n, c] < _FAR and n == slots_needed(seconds, stop_cost, c):
                    total = on[n, c] + delay * (i + 1) * SLOT
                    if total < best:
                        best, best_k, best_c = total, i, c
    if best_k < 0:
        return 0
    n, c, i = slots_needed(seconds, stop_cost, best_c), best_c, best_k
    count = n
    while n > 0:
        used[k0 + i] = True
        on_before = went_on[i, n, c]
        n -= 1
        if on_before:
            i -= 1
            continue
        c -= 1
        i -= 1
        while n > 0 and not stopped[i, n, c]:
            i -= 1
        i -= 1
    return count


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def price_pieces(cells: Any, rows: Rows, p: int, s: int, first_s: int, need: Need, begins: Ints, ends: Ints) -> Ints:
    """Energy, carbon and scarcity of windows, pico-yuan int64[3]; scarcity in whole slots."""
    found = np.zeros(3, np.int64)
    for w in range(begins.shape[0]):
        k0, k1 = (begins[w] - first_s) // SLOT, (ends[w] - 1 - first_s) // SLOT
        for k in range(k0, k1 + 1):
            seconds = min(ends[w], first_s + (k + 1) * SLOT) - max(begins[w], first_s + k * SLOT)
            for i, row in enumerate((rows.energy + s, rows.carbon + s)):
                found[i] += times_power((cells[row, k + 1] - cells[row, k]) // SLOT * seconds, need.mw)
        found[2] += scarcity_of(cells, rows, p, s, k0, k1, need)
    return found


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def in_pieces(
    cells: Any, rows: Rows, pool: Any, first_s: int, need: Need, delay: int, row: Any, windows: Any, count: int,
    changed: Any,
) -> None:
    """Write into ``changed`` what ``row``, a job's one window somewhere in a pool, is in these windows instead.

    ``windows`` int64[>= count, 2] are (start, end) seconds. Machines and latency are those of the one window, for as
    long as these are; the pauses, and what the stops cost, are waited for.
    """
    begin, end, took = windows[0, 0], windows[count - 1, 1], 0
    for w in range(count):
        took += windows[w, 1] - windows[w, 0]
    found = price_pieces(
        cells, rows, row[POOL], pool[row[POOL], SITE], first_s, need, windows[:count, 0], windows[:count, 1]
    )
    length = row[FINISH] - row[START]
    for i in range(ROW):
        changed[i] = row[i]
    changed[START], changed[FINISH], changed[UNTIL] = begin, end, end
    changed[ENERGY], changed[CARBON], changed[SCARCITY] = found[0] // PICO, found[1] // PICO, found[2] // PICO
    changed[LATENCY], changed[USE] = row[LATENCY] * took // length, row[USE] * took // length
    changed[WAITING] = row[WAITING] + delay * (end - length - row[START]) // PICO


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _last_hopeful(cells: Any, rows: Rows, s: int, first_s: int, ask: Job, row: Any, k0: int, k1: int) -> int:
    """The slot after which work cannot end without waiting for more than energy that costs nothing would save."""
    if ask.delay <= 0:
        return k1
    for k in range(k0, k1 + 1):
        if cells[rows.watt + s, k + 1] < cells[rows.watt + s, k]:  # energy that pays: no bound
            return k1
    most = row[ENERGY] + row[CARBON] + row[SCARCITY] - LEAST_SAVED + 2  # and what rounding takes
    return (row[FINISH] + most * PICO // ask.delay - first_s) // SLOT + 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def divide(
    cells: Any, rows: Rows, pool: Any, first_s: int, need: Need, ask: Job, stop_cost: int, row: Any, windows: Any,
    changed: Any, used: Any,
) -> int:
    """The windows in which stoppable work costs at least :data:`LEAST_SAVED` less than in that of ``row``: how many,
    or 0 where there are none.

    Nothing is reserved, and the window of ``row`` is not when this is called. ``stop_cost`` seconds at speed 1. Writes
    ``windows`` int64[PIECES, 2], (start, end) seconds, the last ending when the work is done, and the row that
    they make, ``changed`` int64[ROW]; ``used`` bool[T] is scratch.
    """
    seconds, slots = row[FINISH] - row[START], cells.shape[1] - 1
    if seconds <= SLOT:
        return 0
    p = row[POOL]
    cost = (stop_cost * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]
    k0 = (max(ask.earliest, row[READY], first_s) - first_s + SLOT - 1) // SLOT
    k1 = slots - 1
    if ask.deadline > 0:
        k1 = min(k1, (ask.deadline - first_s) // SLOT - 1)
    k1 = min(k1, _last_hopeful(cells, rows, pool[p, SITE], first_s, ask, row, k0, k1))
    if best_pieces(cells, rows, p, pool[p, SITE], need, k0, k1, seconds, cost, PIECES, ask.delay, used) == 0:
        return 0
    count = 0
    for k in range(k0, k1 + 1):
        if used[k]:
            if k == k0 or not used[k - 1]:
                windows[count, 0] = first_s + k * SLOT
                count += 1
            windows[count - 1, 1] = first_s + (k + 1) * SLOT
    if count < 2:
        return 0
    left = seconds + (count - 1) * cost
    for w in range(count - 1):
        left -= windows[w, 1] - windows[w, 0]
    windows[count - 1, 1] = windows[count - 1, 0] + left
    in_pieces(cells, rows, pool, first_s, need, ask.delay, row, windows, count, changed)
    total, before = 0, 0
    for i in range(ENERGY, ROW):
        total, before = total + changed[i], before + row[i]
    if total + LEAST_SAVED > before:
        return 0
    if ask.budget > 0 and changed[ENERGY] + changed[CARBON] + changed[TRANSPORT] + changed[USE] > ask.budget:
        return 0
    return count
