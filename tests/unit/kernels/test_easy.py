"""One pool's queue against a plain reference of a heap and a list."""

from __future__ import annotations

import heapq
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.kernels.easy import queue_starts
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.read import read_trace
from sanjin.replay.trace import Trace

RICC = Path(__file__).resolve().parents[4] / "shared" / "traces" / "ricc_first10k.swf"
"""8,192 cores."""

Job = tuple[int, int, int, int]
"""Arrival, cores, run time, time asked."""


def reference(jobs: list[Job], size: int, backfill: bool) -> list[int]:
    """FCFS or EASY, written plainly: a heap of what runs, a list of what waits."""
    starts = [-1] * len(jobs)
    running: list[tuple[int, int]] = []  # (end, job)
    queue: list[int] = []
    arrived, free = 0, size
    while running or arrived < len(jobs):
        coming = [running[0][0]] if running else []
        coming += [jobs[arrived][0]] if arrived < len(jobs) else []
        now = min(coming)
        while running and running[0][0] <= now:
            free += jobs[heapq.heappop(running)[1]][1]
        while arrived < len(jobs) and jobs[arrived][0] <= now:
            if jobs[arrived][1] <= size:
                queue.append(arrived)
            arrived += 1
        begun = 0
        while begun < len(queue) and jobs[queue[begun]][1] <= free:
            free -= start(jobs, queue[begun], now, starts, running)
            begun += 1
        del queue[:begun]
        if not queue or not backfill or not free:
            continue
        shadow, spare = reservation(jobs, queue[0], now, free, starts, running)
        left = queue[:1]
        for j in queue[1:]:
            _, cores, _, asked = jobs[j]
            late = now + asked > shadow
            if cores > free or (late and cores > spare):
                left.append(j)
                continue
            free -= start(jobs, j, now, starts, running)
            spare -= cores if late else 0
        queue = left
    return starts


def start(jobs: list[Job], j: int, now: int, starts: list[int], running: list[tuple[int, int]]) -> int:
    """Begin a job; returns the cores that it takes."""
    starts[j] = now
    heapq.heappush(running, (now + jobs[j][2], j))
    return jobs[j][1]


def reservation(
    jobs: list[Job], head: int, now: int, free: int, starts: list[int], running: list[tuple[int, int]]
) -> tuple[int, int]:
    """When enough is free for the first in the queue, by what running jobs asked for, and what is left then."""
    ends = sorted((max(starts[j] + jobs[j][3], now + 1), jobs[j][1]) for _, j in running)
    shadow = None
    for end, cores in ends:
        if shadow is not None and end > shadow:
            break
        free += cores
        if shadow is None and free >= jobs[head][1]:
            shadow = end
    assert shadow is not None
    return shadow, free - jobs[head][1]


def run(jobs: list[Job], size: int, backfill: bool, compiled: bool = True) -> list[int]:
    columns = [np.array(c, np.int64) for c in zip(*jobs, strict=True)] if jobs else [np.zeros(0, np.int64)] * 4
    start = np.empty(len(jobs), np.int64)
    function = queue_starts if compiled else queue_starts.py_func
    function(*columns, size, backfill, start, np.zeros((0, 3), np.int64))
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


def simpy_starts(jobs: list[Job], size: int) -> list[int]:
    """FCFS as SimPy has it: a container of cores."""
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
    return starts


@settings(max_examples=60, deadline=None)
@given(jobs_of, st.integers(9, 12))
def test_first_come_first_served_is_what_simpy_does(jobs: list[Job], size: int) -> None:
    assert run(jobs, size, backfill=False) == simpy_starts(jobs, size)


def test_a_long_queue_agrees_too() -> None:
    rng = np.random.default_rng(5)
    count = 3000
    arrive = np.sort(rng.integers(0, 20_000, count))
    took = rng.integers(1, 900, count)
    jobs = list(zip(arrive.tolist(), rng.integers(1, 65, count).tolist(), took.tolist(),
                    (took * rng.integers(1, 4, count)).tolist(), strict=True))
    for backfill in (False, True):
        assert run(jobs, 64, backfill) == reference(jobs, 64, backfill)


def rows(trace: Trace) -> list[Job]:
    columns = (trace.arrive_s, trace.cores, trace.run_s, trace.asked_s)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def agrees(jobs: list[Job], size: int) -> None:
    """Job for job with the reference under both disciplines, and with SimPy under FCFS; and there is a queue."""
    served, filled = (run(jobs, size, backfill) for backfill in (False, True))
    assert served == simpy_starts(jobs, size)
    assert served == reference(jobs, size, backfill=False)
    assert filled == reference(jobs, size, backfill=True)
    arrive = [j[0] for j in jobs]
    assert sum(f > a for f, a in zip(served, arrive, strict=True)) > len(jobs) / 10
    assert any(f < s for f, s in zip(filled, served, strict=True)) and sum(filled) < sum(served)


def test_a_hundred_thousand_jobs_start_when_the_references_say() -> None:
    trace = generate(Recipe(jobs=100_000, days=30, seed=7, over_asked=3.0))
    agrees(rows(trace), int(trace.core_seconds() / trace.span_s() / 0.75))


@pytest.mark.skipif(not RICC.exists(), reason="needs ../shared/traces beside the repository")
def test_a_recorded_trace_starts_when_the_references_say() -> None:
    trace = read_trace(RICC)
    assert len(trace) == 10_000
    agrees(rows(trace), 8192)
