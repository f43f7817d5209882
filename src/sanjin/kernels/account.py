"""What runs add up to: core-seconds and energy of every pool, site and slot, exactly as integers."""

from __future__ import annotations

from typing import Any

from numba import njit

from sanjin.kernels.board import SLOT
from sanjin.kernels.pieces import done_after
from sanjin.kernels.tables import MW_CARD, MW_CORE, SITE


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def add_runs(
    pool: Any, cores: Any, cards: Any, place: Any, start: Any, end: Any, first_s: int, core_s: Any, energy: Any
) -> None:
    """Add runs of ``cores`` and ``cards`` at pool ``place`` from ``start`` to ``end`` (int64[J]; -1: did not run).

    ``core_s`` int64[P, T] gets core-seconds, ``energy`` int64[S, T] milliwatt-seconds of IT load; what lies after
    the last slot is counted in it.
    """
    last = core_s.shape[1] - 1
    for j in range(place.shape[0]):
        p = place[j]
        if p < 0:
            continue
        s = pool[p, SITE]
        mw = cores[j] * pool[p, MW_CORE] + cards[j] * pool[p, MW_CARD]
        at = start[j]
        while at < end[j]:
            k = (at - first_s) // SLOT
            until = min(end[j], first_s + (k + 1) * SLOT)
            if k >= last:
                k, until = last, end[j]
            core_s[p, k] += cores[j] * (until - at)
            energy[s, k] += mw * (until - at)
            at = until


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def most_at_once(place: Any, start: Any, end: Any, amount: Any, order: Any, pools: int, most: Any) -> None:
    """The most of ``amount`` in use at one instant at each pool, into ``most`` int64[pools].

    ``order`` int64[2J] sorts starts (j) and ends (J + j) by time, ends first at one instant.
    """
    count = place.shape[0]
    for p in range(pools):
        most[p] = 0
    use = most * 0
    for i in range(order.shape[0]):
        j = order[i]
        if j < count:
            if place[j] >= 0:
                use[place[j]] += amount[j]
                most[place[j]] = max(most[place[j]], use[place[j]])
        elif place[j - count] >= 0:
            use[place[j - count]] -= amount[j - count]


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def add_work(job: Any, place: Any, ran_s: Any, speed: Any, stop_cost: Any, whole: Any, done: Any) -> None:
    """Add up in ``done`` int64[J] the work, seconds at speed 1, of R runs that stopped, in order of each job.

    int64[R] ``job``, pool ``place`` and seconds; ``speed`` int64[P] in 1/1000; ``stop_cost`` and ``whole`` int64[J].
    """
    for r in range(job.shape[0]):
        j = job[r]
        done[j] = done_after(done[j], ran_s[r], speed[place[r]], stop_cost[j], whole[j])
