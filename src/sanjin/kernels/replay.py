"""The replay's loop: arrivals placed by the placement kernel, ends that free what is left of their windows.

Jobs come in order of arrival. Before each is placed, every run that has ended by then gives back its window from
the slot of its end on, as a live node does. Where data lie and what moving them costs is worked out on the
way, so that a job takes no more memory than its own figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sanjin.kernels.board import OK, SLOT, Need, Rows, any_scarce, reserve, spans_of
from sanjin.kernels.easy import _larger, _pop, _push
from sanjin.kernels.place import choose_one, floors_of
from sanjin.kernels.tables import FINISH, POOL, ROW, SITE, SPEED, START, UNTIL, Job, Weights, need_of

_MB = 1_000_000


@njit(cache=True, error_model="numpy")
def _give_back(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, pool: Any, j: int, cores: Any, cards: Any,
    asked: Any, place: Any, start: Any, end: Any, horizon: int,
) -> None:
    """Free what is left of the window of a run that has ended, from the slot of its end on."""
    p = place[j]
    until = start[j] + (asked[j] * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]
    if end[j] >= until:
        return
    k0, k1 = (end[j] - first_s) // SLOT, min((until - 1 - first_s) // SLOT, horizon - 1)
    if k0 > k1:
        return
    ask = Job(cores[j], 0, cards[j], -1, -1, asked[j], 0, 0, 0, 0, 0, 0, cores[j], 0, 0)
    need = need_of(pool, p, ask)
    reserve(
        cells, low, high, rows, p, pool[p, SITE], k0, k1, Need(-need.cores, -need.mem, -need.cards, -need.mw)
    )


@njit(cache=True, nogil=True, error_model="numpy")
def replay_jobs(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, weights: Weights, pool: Any, near: Any,
    arrive: Any, run: Any, asked: Any, cores: Any, cards: Any, delay: Any, origin: Any, data: Any,
    fare: Any, rate: Any, lag: Any, home_only: bool, hurries: bool, ahead_s: int, place: Any, start: Any, end: Any,
) -> None:
    """Place J jobs; writes ``place`` (a pool, or -1), ``start`` and ``end`` int64[J].

    ``arrive`` seconds UTC, ``run`` and ``asked`` seconds at speed 1 (``run`` not above ``asked``), ``delay``
    pico-yuan a second of waiting (until the finish where the rule ``hurries``), ``data`` bytes at site ``origin``.
    Between sites, int64[S, S]: ``fare`` micro-yuan a GB, ``rate`` bytes a second, ``lag`` seconds. A job's window
    lies within ``ahead_s`` from its arrival's slot on. ``near`` int64[S, S]: of equal places, the one with the
    greater value for the job's origin is taken.
    """
    sites, scarce = near.shape[0], any_scarce(cells, rows)
    spans, floors = spans_of(low, rows), floors_of(low, rows, pool)
    pools, scratch = np.empty((4, pool.shape[0]), np.int64), np.empty(low.shape[1], np.int64)
    won, trial = np.zeros((1, ROW), np.int64), np.zeros(ROW, np.int64)
    barred, ready = np.zeros((1, sites), np.int64), np.zeros((1, sites), np.int64)
    transport, latency = np.zeros((1, sites), np.int64), np.zeros((1, sites), np.int64)
    heap_at, heap_job, running = np.empty(1024, np.int64), np.empty(1024, np.int64), 0
    horizon = cells.shape[1] - 1
    for j in range(arrive.shape[0]):
        now = arrive[j]
        while running > 0 and heap_at[0] <= now:
            _give_back(
                cells, low, high, rows, first_s, pool, heap_job[0], cores, cards, asked, place, start, end, horizon
            )
            _pop(heap_at, heap_job, running)
            running -= 1
        for s in range(sites):
            barred[0, s] = 1 if home_only and s != origin[j] else OK
            ready[0, s], transport[0, s] = now, 0
            if data[j] > 0 and s != origin[j]:
                ready[0, s] = now + (data[j] + rate[origin[j], s] - 1) // rate[origin[j], s] + lag[origin[j], s]
                transport[0, s] = data[j] // _MB * fare[origin[j], s] // 1000
        latest = now // SLOT * SLOT + ahead_s
        per_run = delay[j] if hurries else 0
        ask = Job(cores[j], 0, cards[j], -1, -1, asked[j], now, now, latest, delay[j], 0, 0, cores[j], 0, per_run)
        choose_one(
            cells, low, high, rows, first_s, now, weights, pool, near[origin[j]], ask, 0, barred, ready, transport,
            latency, won, scarce, spans, floors, pools, scratch, trial,
        )
        place[j] = won[0, POOL]
        if won[0, POOL] < 0:
            continue
        start[j] = won[0, START]
        end[j] = won[0, START] + (run[j] * 1000 + pool[won[0, POOL], SPEED] - 1) // pool[won[0, POOL], SPEED]
        if end[j] // SLOT < (won[0, UNTIL] - 1) // SLOT or end[j] < won[0, FINISH]:
            if running == heap_at.shape[0]:
                heap_at, heap_job = _larger(heap_at), _larger(heap_job)
            _push(heap_at, heap_job, running, end[j], j)
            running += 1
