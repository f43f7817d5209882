"""One pool with a queue: first come, first served, with or without EASY backfill, to the second.

Only the first in the queue has a reservation, reckoned from what running jobs asked for; another may start
before it where it is over by then, or where it leaves enough for it (Mu'alem and Feitelson, 2001). At one
instant ends come before arrivals. The queue stands in blocks that know their least width and least time
asked, so that blocks in which nothing can start are passed over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_QUEUE_BLOCK = 64
_NEVER = np.int64(2**62)


@njit(cache=True, error_model="numpy")
def _push(heap_at: Any, heap_job: Any, count: int, at: int, job: int) -> None:
    i = count
    while i > 0:
        up = (i - 1) // 2
        if heap_at[up] <= at:
            break
        heap_at[i], heap_job[i] = heap_at[up], heap_job[up]
        i = up
    heap_at[i], heap_job[i] = at, job


@njit(cache=True, error_model="numpy")
def _pop(heap_at: Any, heap_job: Any, count: int) -> None:
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


@njit(cache=True, error_model="numpy")
def _place_of(ends: Any, count: int, at: int) -> int:
    """Where ``at`` stands, or would stand, among sorted ``ends``."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ends[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, error_model="numpy")
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
    """
    count = arrive.shape[0]
    blocks = (count + _QUEUE_BLOCK - 1) // _QUEUE_BLOCK
    least_cores, least_asked = np.full(blocks, _NEVER, np.int64), np.full(blocks, _NEVER, np.int64)
    waiting = np.zeros(count, np.bool_)
    heap_at, heap_job = np.empty(1024, np.int64), np.empty(1024, np.int64)
    ends, widths = np.empty(1024, np.int64), np.empty(1024, np.int64)  # of running jobs, by expected end
    running, free, head, arrived, now = 0, size, 0, 0, 0
    start[:] = -1
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
        while running > 0 and heap_at[0] <= now:
            j = heap_job[0]
            _pop(heap_at, heap_job, running)
            at = start[j] + asked[j]
            k = _place_of(ends, running, at)
            while ends[k] != at or widths[k] != cores[j]:
                k += 1
            ends[k : running - 1] = ends[k + 1 : running].copy()
            widths[k : running - 1] = widths[k + 1 : running].copy()
            running -= 1
            free += cores[j]
        while arrived < count and arrive[arrived] <= now:
            if cores[arrived] <= size:
                b = arrived // _QUEUE_BLOCK
                waiting[arrived] = True
                least_cores[b] = min(least_cores[b], cores[arrived])
                least_asked[b] = min(least_asked[b], asked[arrived])
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
                b = j // _QUEUE_BLOCK
                waiting[j], start[j], head = True, -1, min(head, j)
                least_cores[b] = min(least_cores[b], cores[j])
                least_asked[b] = min(least_asked[b], asked[j])
            running, free = 0, size
        if is_down:
            continue
        drain = outages[o, 0] if o < outages.shape[0] and outages[o, 2] > 0 else _NEVER
        # the head as long as it fits, then what may go before it
        shadow, spare, reserved = _NEVER, 0, False
        b = head // _QUEUE_BLOCK
        while b * _QUEUE_BLOCK < arrived and free > 0:
            skip = least_cores[b] > free or (
                reserved and now + least_asked[b] > shadow and least_cores[b] > spare
            )
            if skip and (reserved or least_cores[b] == _NEVER):
                b += 1
                continue
            changed = False
            for j in range(max(b * _QUEUE_BLOCK, head), min((b + 1) * _QUEUE_BLOCK, arrived)):
                if not waiting[j]:
                    continue
                if now + asked[j] > drain:
                    if backfill:
                        continue
                    free_after = -1
                    break
                late = now + asked[j] > shadow
                if cores[j] > free or (late and cores[j] > spare):
                    if reserved:
                        continue
                    if not backfill:
                        free_after = -1
                        break
                    # the first that does not fit: when would it, by what running jobs asked for?
                    reserved, have = True, free
                    for k in range(running):
                        have += widths[k]
                        if have >= cores[j]:
                            shadow = max(ends[k], now + 1)
                            # all that end at that instant are free then
                            k += 1
                            while k < running and max(ends[k], now + 1) == shadow:
                                have += widths[k]
                                k += 1
                            break
                    spare = have - cores[j]
                    continue
                waiting[j], changed = False, True
                start[j] = now
                free -= cores[j]
                if reserved and late:
                    spare -= cores[j]
                if running == heap_at.shape[0]:
                    heap_at, heap_job = _larger(heap_at), _larger(heap_job)
                    ends, widths = _larger(ends), _larger(widths)
                _push(heap_at, heap_job, running, now + run[j], j)
                at = now + asked[j]
                k = _place_of(ends, running, at)
                ends[k + 1 : running + 1] = ends[k:running].copy()
                widths[k + 1 : running + 1] = widths[k:running].copy()
                ends[k], widths[k] = at, cores[j]
                running += 1
            else:
                free_after = 0
            if changed:
                least_cores[b], least_asked[b] = _NEVER, _NEVER
                for j in range(b * _QUEUE_BLOCK, min((b + 1) * _QUEUE_BLOCK, arrived)):
                    if waiting[j]:
                        least_cores[b] = min(least_cores[b], cores[j])
                        least_asked[b] = min(least_asked[b], asked[j])
            if free_after < 0:
                break
            b += 1
        while head < arrived and not waiting[head]:
            head += 1
    return lost[:, :lost_runs].copy()


@njit(cache=True, error_model="numpy")
def _larger(old: Any) -> Any:
    made = np.empty(2 * old.shape[0], np.int64)
    made[: old.shape[0]] = old
    return made


@njit(cache=True, error_model="numpy")
def wider(old: Any) -> Any:
    """A table with room for twice as many columns."""
    made = np.empty((old.shape[0], 2 * old.shape[1]), np.int64)
    made[:, : old.shape[1]] = old
    return made
