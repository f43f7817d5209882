"""One pool with a queue: first come, first served, with or without EASY backfill, to the second.

Only the first in the queue has a reservation, reckoned from what running jobs asked for; another may start
before it where it is over by then, or where it leaves enough for it (Mu'alem and Feitelson, 2001). At one
instant ends come before arrivals.

Waiting jobs stand in a tree over leaves of a few jobs each, whose nodes know the least width and the least time
asked below them, so that what cannot start is passed over. While nothing ends, only what has just come can start:
less time is left until the reservation than before, and no more cores.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.lists import larger, set_all, wider

_LEAF = 8
_NEVER = np.int64(2**62)
_WIDEST = 2**24
"""More cores than any pool has."""


class _Bound(NamedTuple):
    """What may start: at most ``cores`` wide, asking for at most ``drain`` seconds; and at most ``within`` seconds
    or at most ``narrow`` wide."""

    cores: int
    drain: int
    within: int
    narrow: int


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _passes(cores: int, asked: int, bound: _Bound) -> bool:
    return cores <= bound.cores and asked <= bound.drain and (asked <= bound.within or cores <= bound.narrow)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _next_leaf(least: Any, leaves: int, leaf: int, bound: _Bound) -> int:
    """The first leaf from ``leaf`` on in which something may start by what its node knows; -1: there is none.

    ``least`` int64[2, 2 * leaves] of a tree whose root is node 1 and whose leaves are the last half: the least width
    and the least time asked below each node."""
    if leaf >= leaves:
        return -1
    node = leaves + leaf
    while True:
        if _passes(least[0, node], least[1, node], bound):
            if node >= leaves:
                return node - leaves
            node *= 2
            continue
        while node & 1:  # the right one of two: what comes next is to the right of their parent
            node >>= 1
        if node == 0:
            return -1
        node += 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _wait(least: Any, leaves: int, waiting: Any, cores: Any, asked: Any, j: int) -> None:
    """Job ``j`` waits."""
    waiting[j] = True
    node = leaves + j // _LEAF
    while node > 0 and (least[0, node] > cores[j] or least[1, node] > asked[j]):
        least[0, node], least[1, node] = min(least[0, node], cores[j]), min(least[1, node], asked[j])
        node >>= 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _leave(least: Any, leaves: int, waiting: Any, cores: Any, asked: Any, j: int) -> None:
    """Job ``j`` waits no longer."""
    waiting[j] = False
    leaf = j // _LEAF
    narrowest, shortest = _NEVER, _NEVER
    for i in range(leaf * _LEAF, min((leaf + 1) * _LEAF, cores.shape[0])):
        if waiting[i]:
            narrowest, shortest = min(narrowest, cores[i]), min(shortest, asked[i])
    node = leaves + leaf
    while least[0, node] != narrowest or least[1, node] != shortest:
        least[0, node], least[1, node] = narrowest, shortest
        node >>= 1
        if node == 0:
            break
        narrowest = min(least[0, 2 * node], least[0, 2 * node + 1])
        shortest = min(least[1, 2 * node], least[1, 2 * node + 1])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def push(heap_at: Any, heap_job: Any, count: int, at: int, job: int) -> None:
    i = count
    while i > 0:
        up = (i - 1) // 2
        if heap_at[up] <= at:
            break
        heap_at[i], heap_job[i] = heap_at[up], heap_job[up]
        i = up
    heap_at[i], heap_job[i] = at, job


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def pop(heap_at: Any, heap_job: Any, count: int) -> None:
    """Take the least off a heap of ``count``."""
    last = count - 1
    at, job = heap_at[last], heap_job[last]
    i = 0
    while True:
        down = 2 * i + 1
        if down >= last:
            break
        if down + 1 < last and heap_at[down + 1] < heap_at[down]:
            down += 1
        if at <= heap_at[down]:
            break
        heap_at[i], heap_job[i] = heap_at[down], heap_job[down]
        i = down
    heap_at[i], heap_job[i] = at, job


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _place_of(book: Any, first: int, count: int, key: int) -> int:
    """Where ``key`` stands, or would stand, among the ``count`` sorted ones from ``first``."""
    low, high = first, first + count
    while low < high:
        middle = (low + high) // 2
        if book[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _insert(book: Any, first: int, count: int, key: int) -> int:
    """Put one among ``count`` sorted ones, moving the side with fewer; where they begin now."""
    k, last = _place_of(book, first, count, key), first + count
    if first > 0 and k - first < last - k:
        for i in range(first, k):
            book[i - 1] = book[i]
        book[k - 1] = key
        return first - 1
    for i in range(last, k, -1):
        book[i] = book[i - 1]
    book[k] = key
    return first


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _remove(book: Any, first: int, count: int, key: int) -> int:
    """Take one of ``count`` sorted ones out, moving the side with fewer; where they begin now."""
    k, last = _place_of(book, first, count, key), first + count
    if k - first < last - k:
        for i in range(k, first, -1):
            book[i] = book[i - 1]
        return first + 1
    for i in range(k, last - 1):
        book[i] = book[i + 1]
    return first


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def _with_room(book: Any, first: int, count: int) -> tuple[Any, int]:
    """The same ones with room for one more at the end, and where they begin."""
    if first + count < book.shape[0]:
        return book, first
    made = np.empty(max(book.shape[0], 4 * count), np.int64) if 2 * count > book.shape[0] else book
    at = (made.shape[0] - count) // 2
    for i in range(count):  # to the left, where it is the same array
        made[at + i] = book[first + i]
    return made, at


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _reservation(book: Any, first: int, running: int, now: int, free: int, width: int) -> tuple[int, int]:
    """When so many cores are expected to be free, and how many more will be."""
    have, k, last = free, first, first + running
    while k < last and have < width:
        have += book[k] % _WIDEST
        k += 1
    if have < width:
        return _NEVER, have - width
    at = max(book[k - 1] // _WIDEST, now + 1)
    while k < last and max(book[k] // _WIDEST, now + 1) == at:  # all that end at that instant are free then
        have += book[k] % _WIDEST
        k += 1
    return at, have - width


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def queue_starts(
    arrive: Any, cores: Any, run: Any, asked: Any, size: int, backfill: bool, start: Any, outages: Any
) -> Any:
    """Write the start of each job into ``start`` int64[J]; jobs in order of arrival.

    ``arrive``, ``run`` (what it takes) and ``asked`` (what it asked for) in seconds, ``cores`` of a pool of
    ``size``; all int64[J]. A job wider than the pool never starts (-1). A run that outlasts what it asked for is
    expected to end a second from now.

    ``outages`` int64[N, 3] are spans in which the pool is down, in order: begin, end, and whether it was announced.
    Then nothing starts that asked for more than is left until the begin; else what runs at the begin is lost,
    and queues again as when it came. Returns the lost runs, int64[3, R]: job, start, end.

    Raises ValueError for a pool of 2**24 cores or more.
    """
    if size >= _WIDEST:
        raise ValueError("a pool of more cores than this can count")
    count, leaves = arrive.shape[0], 1
    while leaves * _LEAF < count:
        leaves *= 2
    least = np.full((2, 2 * leaves), _NEVER, np.int64)
    waiting = np.zeros(count, np.bool_)
    heap_at, heap_job = np.empty(1024, np.int64), np.empty(1024, np.int64)
    book, first = np.empty(1024, np.int64), 0  # of running jobs the expected end and the width, in order
    running, free, head, arrived = 0, size, 0, 0
    reserved, shadow, spare = False, _NEVER, 0  # the reservation of the first in the queue, where it has one
    set_all(start, -1)
    lost, lost_runs, o, is_down = np.empty((3, 16), np.int64), 0, 0, False
    while True:
        now = _NEVER
        if running > 0:
            now = heap_at[0]
        if arrived < count and arrive[arrived] < now:
            now = arrive[arrived]
        edge = _NEVER
        if o < outages.shape[0]:
            edge = outages[o, 1] if is_down else outages[o, 0]
        if edge < now and (now < _NEVER or head < arrived):
            now = edge
        if now == _NEVER:
            break
        # only arrivals: what waits still has to, unless a run outlasts what it asked for or the pool goes down
        first_new = arrived if backfill and reserved and o == outages.shape[0] and book[first] // _WIDEST > now else -1
        while running > 0 and heap_at[0] <= now:
            j = heap_job[0]
            pop(heap_at, heap_job, running)
            first = _remove(book, first, running, (start[j] + asked[j]) * _WIDEST + cores[j])
            running -= 1
            free += cores[j]
            first_new = -1
        while arrived < count and arrive[arrived] <= now:
            if cores[arrived] <= size:
                _wait(least, leaves, waiting, cores, asked, arrived)
            arrived += 1
        if o < outages.shape[0] and is_down and outages[o, 1] <= now:
            is_down = False
            o += 1
        if o < outages.shape[0] and not is_down and outages[o, 0] <= now:
            is_down = True
            for i in range(running):
                j = heap_job[i]
                if lost_runs == lost.shape[1]:
                    lost = wider(lost)
                lost[0, lost_runs], lost[1, lost_runs], lost[2, lost_runs] = j, start[j], now
                lost_runs += 1
                start[j], head = -1, min(head, j)
                _wait(least, leaves, waiting, cores, asked, j)
            running, free = 0, size
        if is_down:
            continue
        left = _NEVER - now
        if o < outages.shape[0] and outages[o, 2] > 0:
            left = outages[o, 0] - now
        # the first in the queue as long as it fits, then what may go before it
        j = first_new
        if first_new < 0:
            reserved, j = False, head
        while free > 0:
            bound = _Bound(free, left, shadow - now, spare)
            if not reserved:  # whatever waits; without backfill, also what must wait for an outage to be over
                bound = _Bound(size, left if backfill else _NEVER - 1, _NEVER, 0)
            leaf = j // _LEAF
            while j < arrived:
                if waiting[j] and _passes(cores[j], asked[j], bound):
                    break
                j += 1
                if j // _LEAF != leaf:
                    leaf = _next_leaf(least, leaves, leaf + 1, bound)
                    j = count if leaf < 0 else leaf * _LEAF
            if j >= arrived:
                break
            if not reserved and (cores[j] > free or asked[j] > left):
                if not backfill:
                    break
                reserved = True
                shadow, spare = _reservation(book, first, running, now, free, cores[j])
                j += 1
                continue
            _leave(least, leaves, waiting, cores, asked, j)
            start[j] = now
            free -= cores[j]
            if reserved and asked[j] > shadow - now:
                spare -= cores[j]
            if running == heap_at.shape[0]:
                heap_at, heap_job = larger(heap_at), larger(heap_job)
            push(heap_at, heap_job, running, now + run[j], j)
            book, first = _with_room(book, first, running)
            first = _insert(book, first, running, (now + asked[j]) * _WIDEST + cores[j])
            running += 1
            j += 1
        while head < arrived and not waiting[head]:
            head += 1
    return lost[:, :lost_runs].copy()
