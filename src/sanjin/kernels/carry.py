"""Transfers over links: when the last byte comes, with what is booked on every link in every slot.

A transfer takes what its narrowest link has left, slot by slot; within a slot transfers follow each other. All
is in whole bytes and seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sanjin.kernels.board import SLOT

NEVER = np.int64(2**62)


@njit(cache=True, error_model="numpy")
def _free_from(load: Any, sizes: Any, links: Any, k: int, first_s: int, from_s: int) -> int:
    """When, in slot ``k``, the links are free of what was booked before; not before ``from_s``."""
    busy = 0
    for i in range(links.shape[0]):
        size = sizes[links[i]]
        busy = max(busy, (min(load[links[i], k], size) * SLOT + size - 1) // size)
    return max(first_s + k * SLOT + busy, from_s)


@njit(cache=True, error_model="numpy")
def arrival(load: Any, sizes: Any, links: Any, first_s: int, from_s: int, size_bytes: int, amounts: Any) -> int:
    """When ``size_bytes`` that leave at ``from_s`` have come over ``links``, or :data:`NEVER` within the horizon.

    ``load`` int64[L, T]: bytes booked a slot; ``sizes`` int64[L]: bytes a slot that a link carries. ``amounts``
    int64[T] gets the bytes of each slot from that of ``from_s`` on, up to the last; nothing is booked.
    """
    k0 = max((from_s - first_s) // SLOT, 0)
    narrowest = sizes[links[0]]
    for i in range(1, links.shape[0]):
        narrowest = min(narrowest, sizes[links[i]])
    rate, left = narrowest // SLOT, size_bytes
    for k in range(k0, load.shape[1]):
        room = narrowest
        for i in range(links.shape[0]):
            room = min(room, max(sizes[links[i]] - load[links[i], k], 0))
        if k == k0:
            room = min(room, rate * (first_s + (k + 1) * SLOT - _free_from(load, sizes, links, k, first_s, from_s)))
        amounts[k - k0] = min(room, left)
        if room >= left:
            begin = _free_from(load, sizes, links, k, first_s, from_s)
            return min(begin + (left + rate - 1) // rate, first_s + (k + 1) * SLOT)
        left -= room
    return NEVER


@njit(cache=True, error_model="numpy")
def book(load: Any, links: Any, first_s: int, from_s: int, size_bytes: int, amounts: Any) -> None:
    """Book what :func:`arrival` found for this transfer."""
    k, left = max((from_s - first_s) // SLOT, 0), size_bytes
    i = 0
    while left > 0 and k < load.shape[1]:
        for n in range(links.shape[0]):
            load[links[n], k] += amounts[i]
        left -= amounts[i]
        i += 1
        k += 1
