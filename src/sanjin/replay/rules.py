"""The rules that replay a trace: the region's own, and what plain queues at home would do.

Run times are those recorded; every rule plans with what jobs asked for.
"""

from __future__ import annotations

import numpy as np

from sanjin.kernels import tables
from sanjin.kernels.easy import queue_starts
from sanjin.replay.outages import spans
from sanjin.replay.outcome import Lost, Outcome
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload


def queue_at_home(work: Workload, backfill: bool) -> Outcome:
    """FCFS, or EASY backfill, each job in the largest pool of its own city that could hold it.

    A job that no pool there could hold goes to the nearest city with one that could.
    """
    trace, count, sites = work.trace, len(work), work.supply.sites
    home = home_pools(work)
    start, end = np.zeros(count, np.int64), np.zeros(count, np.int64)
    place, lost = home.copy(), list[Ints]()
    by_pool = np.argsort(home, kind="stable")
    ends = np.searchsorted(home[by_pool], np.arange(len(work.pool) + 1))
    for p in np.unique(home[home >= 0]).tolist():
        mine = by_pool[ends[p] : ends[p + 1]]
        speed = int(work.pool[p, tables.SPEED])
        run, asked = (-(-seconds[mine] * 1000 // speed) for seconds in (trace.run_s, trace.asked_s))
        found = np.empty(len(mine), np.int64)
        size = int(work.pool[p, tables.CORES])
        down = np.array(spans(work.outages, sites[int(work.pool[p, tables.SITE])]), np.int64).reshape(-1, 3)
        broken = queue_starts(trace.arrive_s[mine], trace.cores[mine], run, asked, size, backfill, found, down)
        where = np.full(broken.shape[1], p, np.int64)
        lost.append(np.array([mine[broken[0]], where, work.begin_s + broken[1], work.begin_s + broken[2]]))
        place[mine[found < 0]] = -1
        start[mine] = work.begin_s + found
        end[mine] = start[mine] + run
    name = "EASY at home" if backfill else "FCFS at home"
    runs = Lost(*np.concatenate(lost, axis=1)) if lost else Lost()
    return Outcome(rule=name, place=place, start_s=start, end_s=end, lost=runs)


def home_pools(work: Workload) -> Ints:
    """int64[J]: the pool of each job when it stays at home; -1 where no pool of the region could hold it."""
    trace, pool = work.trace, work.pool
    largest = np.argsort(-pool[:, tables.CORES], kind="stable")
    wide, deep = int(trace.cores.max(initial=0)) + 1, int(trace.cards.max(initial=0)) + 1
    shapes, index = np.unique((work.origin * wide + trace.cores) * deep + trace.cards, return_inverse=True)
    shapes = np.column_stack([shapes // (wide * deep), shapes // deep % wide, shapes % deep])
    found = np.full(len(shapes), -1, np.int64)
    for i, (origin, cores, cards) in enumerate(shapes):
        fits = (pool[:, tables.CORES] >= cores) & (pool[:, tables.CARDS] >= cards)
        distance = work.network.latency_ms[origin]
        able = largest[fits[largest]]
        if len(able):
            # of one site the largest: it comes first
            found[i] = able[np.argmin(distance[pool[able, tables.SITE]])]
    return found[index]
