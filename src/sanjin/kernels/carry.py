"""Transfers over links: when the last byte comes, with what is booked on every link in every slot.

A transfer takes what its narrowest link has left, slot by slot; within a slot transfers follow each other. All
is in whole bytes and seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import OK, SLOT

NEVER = np.int64(2**62)

NO_WAY, CUT = -1, -2
BARRED = 1
_MB = 1_000_000


class Lines(NamedTuple):
    """E states of the links; which is in force is said by turns. int64[E, S, S]: ``fare`` micro-yuan a GB, ``lag``
    seconds, ``first`` and ``last`` the part of ``way`` (link numbers) between two sites; ``first`` :data:`NO_WAY`:
    nothing can be moved; :data:`CUT`: nor can work be sent.
    ``sizes`` int64[L] bytes a slot, ``load`` int64[L, T] gets what transfers book."""

    fare: Any
    lag: Any
    first: Any
    last: Any
    way: Any
    sizes: Any
    load: Any


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _free_from(load: Any, sizes: Any, links: Any, k: int, first_s: int, from_s: int) -> int:
    """When, in slot ``k``, the links are free of what was booked before; not before ``from_s``."""
    busy = 0
    for i in range(links.shape[0]):
        size = sizes[links[i]]
        busy = max(busy, (min(load[links[i], k], size) * SLOT + size - 1) // size)
    return max(first_s + k * SLOT + busy, from_s)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
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


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
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


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def reach(
    lines: Lines, state: int, first_s: int, now: int, origin: int, s: int, data: int, lost: bool, amounts: Any
) -> tuple[int, int, int]:
    """Whether work from ``origin`` may go to site ``s`` (:data:`BARRED`: not), when its ``data`` bytes can be there,
    and what moving them costs, micro-yuan. ``lost``: they cannot be had, since the origin is down."""
    first = lines.first[state, origin, s]
    if s != origin and (first == CUT or (data > 0 and (lost or first < 0))):
        return BARRED, now, 0
    if s == origin or data == 0:
        return OK, now, 0
    way = lines.way[first : lines.last[state, origin, s]]
    come = arrival(lines.load, lines.sizes, way, first_s, now, data, amounts)
    if come == NEVER:
        return BARRED, now, 0
    return OK, come + lines.lag[state, origin, s], data // _MB * lines.fare[state, origin, s] // 1000
