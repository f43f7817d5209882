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
from sanjin.kernels.tables import Ints

_FAR = np.int64(2**62)


@njit(cache=True, error_model="numpy")
def slots_needed(seconds: int, stop_cost: int, pieces: int) -> int:
    """Whole slots for work of so many seconds in so many pieces."""
    return (seconds + (pieces - 1) * stop_cost + SLOT - 1) // SLOT


@njit(cache=True, error_model="numpy")
def slot_price(cells: Any, rows: Rows, p: int, s: int, k: int, need: Need) -> int:
    """Energy, carbon and scarcity of one slot, pico-yuan."""
    watt = cells[rows.watt + s, k + 1] - cells[rows.watt + s, k]
    return times_power(watt, need.mw) + scarcity_of(cells, rows, p, s, k, k, need)


@njit(cache=True, nogil=True, error_model="numpy")
def best_pieces(
    cells: Any, rows: Rows, p: int, s: int, need: Need, k0: int, k1: int, seconds: int, stop_cost: int,
    most: int, delay: int, used: Any,
) -> int:
    """Mark in ``used`` bool[T] the slots of ``k0`` to ``k1`` (inclusive) that cost least; how many, or 0.

    ``seconds`` of run time in at most ``most`` pieces, each stop costing ``stop_cost`` seconds more; ``delay``
    pico-yuan a second until the last slot is over. Of equals the one that ends first, with fewer pieces.
    """
    used[:] = False
    width, longest = k1 - k0 + 1, slots_needed(seconds, stop_cost, most)
    if width < slots_needed(seconds, stop_cost, 1):
        return 0
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


@njit(cache=True, error_model="numpy")
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
