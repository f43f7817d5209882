"""One pool's queue against a plain reference of a heap and a list."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.kernels.easy import queue_starts

Job = tuple[int, int, int, int]
"""Arrival, cores, run time, time asked."""


def reference(jobs: list[Job], size: int, backfill: bool) -> list[int]:
    """FCFS or EASY, written plainly."""
    starts = [-1] * len(jobs)
    running: list[tuple[int, int]] = []  # (end, job)
    queue: list[int] = []
    arrived = 0
    while running or arrived < len(jobs):
        coming = [running[0][0]] if running else []
        coming += [jobs[arrived][0]] if arrived < len(jobs) else []
        now = min(coming)
        while running and running[0][0] <= now:
            heapq.heappop(running)
        while arrived < len(jobs) and jobs[arrived][0] <= now:
            if jobs[arrived][1] <= size:
                queue.append(arrived)
            arrived += 1

        def free() -> int:
            return size - sum(jobs[j][1] for _, j in running)

        def begin(j: int, now: int = now) -> None:
            starts[j] = now
            heapq.heappush(running, (now + jobs[j][2], j))
            queue.remove(j)

        while queue and jobs[queue[0]][1] <= free():
            begin(queue[0])
        if not queue or not backfill:
            continue
        have, shadow = free(), now
        ends = sorted((max(starts[j] + jobs[j][3], now + 1), jobs[j][1]) for _, j in running)
        for end, _ in ends:
            shadow = end
            if have + sum(c for e, c in ends if e <= end) >= jobs[queue[0]][1]:
                break
        spare = have + sum(c for e, c in ends if e <= shadow) - jobs[queue[0]][1]
        for j in queue[1:]:
            late = now + jobs[j][3] > shadow
            if jobs[j][1] <= free() and (not late or jobs[j][1] <= spare):
                if late:
                    spare -= jobs[j][1]
                begin(j)
    return starts


def run(jobs: list[Job], size: int, backfill: bool, compiled: bool = True) -> list[int]:
    columns = [np.array(c, np.int64) for c in zip(*jobs, strict=True)] if jobs else [np.zeros(0, np.int64)] * 4
    start = np.empty(len(jobs), np.int64)
    function = queue_starts if compiled else queue_starts.py_func
    function(*columns, size, backfill, start)
    return [int(s) for s in start]


jobs_of = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 9), st.integers(0, 30), st.integers(0, 40)), max_size=90
).map(lambda jobs: sorted(jobs, key=lambda j: j[0]))


@settings(max_examples=400, deadline=None)
@given(jobs_of, st.integers(1, 12), st.booleans())
def test_every_job_starts_when_the_reference_says(jobs: list[Job], size: int, backfill: bool) -> None:
    assert run(jobs, size, backfill) == reference(jobs, size, backfill)


@settings(max_examples=20, deadline=None)
@given(jobs_of, st.integers(1, 12), st.booleans())
def test_compiled_and_uncompiled_agree(jobs: list[Job], size: int, backfill: bool) -> None:
    assert run(jobs, size, backfill) == run(jobs, size, backfill, compiled=False)


def test_a_long_queue_agrees_too() -> None:
    rng = np.random.default_rng(5)
    count = 3000
    arrive = np.sort(rng.integers(0, 20_000, count))
    took = rng.integers(1, 900, count)
    jobs = list(zip(arrive.tolist(), rng.integers(1, 65, count).tolist(), took.tolist(),
                    (took * rng.integers(1, 4, count)).tolist(), strict=True))
    for backfill in (False, True):
        assert run(jobs, 64, backfill) == reference(jobs, 64, backfill)


@settings(max_examples=60, deadline=None)
@given(jobs_of, st.integers(9, 12))
def test_first_come_first_served_is_what_simpy_does(jobs: list[Job], size: int) -> None:
    import simpy

    world = simpy.Environment()
    pool, starts = simpy.Container(world, size, size), [-1] * len(jobs)

    def job(j: int):
        yield world.timeout(jobs[j][0])
        yield pool.get(jobs[j][1])
        starts[j] = int(world.now)
        yield world.timeout(jobs[j][2])
        yield pool.put(jobs[j][1])

    for j in range(len(jobs)):
        world.process(job(j))
    world.run()
    assert run(jobs, size, backfill=False) == starts
