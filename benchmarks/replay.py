"""How fast traces replay, on one core: the live flow (the headline), compiled queues and placement, live nodes.

- ``EASY, 10 pools``: every job in its own pool's queue with EASY backfill, to the second. Beside it SimPy, a general
  discrete-event simulator, in the plain FCFS form that its resources offer (a container of cores), and AccaSim on
  every tenth job, in one pool (``accasim_peer``).
- ``full pricing``: each of the jobs on every site and slot, exact capacity and power, then the accounts with their
  checks, over 16 sites x 96 slots (a day; Shanxi's prices repeated).
- ``through the flow``: the live loop of one node that stands for the whole region, with the journal's chain, meter and
  ledger, in memory: a turn a minute of the trace, and a turn at every instant at which something happens.
- ``through nodes``: the whole tree with its messages on a virtual clock, 11 nodes: stores in memory, and SQLite's.
- ``sweep``: replays of a 450,000-job trace that one core does in a minute (``sweep_rate``).

    python benchmarks/replay.py [--jobs 1000000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from accasim_peer import rate as accasim_rate
from common import finish
from sweep_rate import sweeps

from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.kernels import tables
from sanjin.kernels.carry import NO_WAY, Lines
from sanjin.kernels.easy import queue_starts
from sanjin.kernels.replay import Turns, replay_jobs
from sanjin.kernels.windows import FROM_THE_FIRST, Jobs
from sanjin.kernels.windows import Rule as LoopRule
from sanjin.model.policy import Policy
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import account
from sanjin.replay.through_flow import at_the_root, by_epoch, replay_through_flow
from sanjin.replay.through_node import in_whole_fen, replay_through_nodes
from sanjin.replay.trace import Trace
from sanjin.replay.workload import Rule, workload

POOLS = 10


def queues(trace: Trace, load: float) -> tuple[float, float]:
    """(jobs a second, mean wait in seconds) of EASY on ten pools."""
    home = np.random.default_rng(1).integers(0, POOLS, len(trace))
    size = max(int(trace.core_seconds() / load / trace.span_s() / POOLS), int(trace.cores.max()))
    took = waited = 0.0
    for p in range(POOLS):
        mine = home == p
        columns = [getattr(trace, f)[mine] for f in ("arrive_s", "cores", "run_s", "asked_s")]
        start = np.empty(int(mine.sum()), np.int64)
        began = time.perf_counter()
        queue_starts(*columns, size, True, start, np.zeros((0, 3), np.int64))
        took += time.perf_counter() - began
        waited += float((start - columns[0]).sum())
    return len(trace) / took, waited / len(trace)


def simpy_rate(trace: Trace, load: float) -> float:
    """Jobs a second of the same pools in SimPy, first come, first served."""
    import simpy

    home = np.random.default_rng(1).integers(0, POOLS, len(trace))
    size = max(int(trace.core_seconds() / load / trace.span_s() / POOLS), int(trace.cores.max()))
    world = simpy.Environment()
    pools = [simpy.Container(world, size, size) for _ in range(POOLS)]

    def job(p: int, cores: int, run: int):
        yield pools[p].get(cores)
        yield world.timeout(run)
        yield pools[p].put(cores)

    def source():
        rows = zip(trace.arrive_s.tolist(), home.tolist(), trace.cores.tolist(), trace.run_s.tolist(), strict=True)
        for arrive, p, cores, run in rows:
            yield world.timeout(arrive - world.now)
            world.process(job(p, cores, run))

    began = time.perf_counter()
    world.process(source())
    world.run()
    return len(trace) / (time.perf_counter() - began)


def pricing(jobs: int) -> tuple[float, float, float]:
    """(jobs a second, share that found a place, bytes a job) of the placement loop over 16 sites x 96 slots."""
    from place import FIRST_SLOT, PLAIN, world  # the same synthetic region as the placement benchmark

    board, (pool, _, job, _, _, _, _) = world(16, 96, jobs, 0.7)
    wanted = (tables.J_SINCE, tables.J_SECONDS, tables.J_SECONDS, tables.J_CORES, tables.J_CARDS, tables.J_DELAY)
    given = [job[:, column].copy() for column in wanted]
    given += [np.random.default_rng(2).integers(0, 16, jobs), np.zeros(jobs, np.int64)]  # origins; no data
    place, start, end = np.full(jobs, -1, np.int64), np.zeros(jobs, np.int64), np.zeros(jobs, np.int64)
    near, no_lines = np.ones((16, 16), np.int64), np.full((1, 16, 16), NO_WAY)
    none = np.zeros(0, np.int64)
    lines = Lines(*[no_lines] * 4, none, none, np.zeros((0, 96), np.int64))
    began = time.perf_counter()
    replay_jobs(
        board.cells, board.low, board.high, board.rows, FIRST_SLOT * SLOT_S, PLAIN, pool, near, Jobs(*given),
        lines, Turns(none, none, none), LoopRule(False, False, HORIZON_SLOTS * SLOT_S, -1),
        FROM_THE_FIRST, place, start, end,
    )  # fmt: skip
    rate = jobs / (time.perf_counter() - began)
    return rate, float((place >= 0).mean()), sum(a.nbytes for a in (*given, place, start, end)) / jobs


def whole(jobs: int) -> float:
    """Jobs a second of a week in Shanxi: loop, accounts and their checks together."""
    region = load_region(bundled("shanxi"))
    work = workload(region, generate(Recipe(jobs=jobs, days=7)), Rule(), 7 * 96 + 2 * HORIZON_SLOTS)
    began = time.perf_counter()
    account(work, replay_online(work, Policy()))
    return jobs / (time.perf_counter() - began)


def flow(jobs: int, epoch_s: int) -> tuple[float, bool]:
    """(jobs a second through the flow of one node, whether the digest is that of the compiled loop)."""
    region = load_region(bundled("shanxi"))
    rule = Rule(fold_days=0, data_share=0, delay_low_yuan=0.01)
    trace = generate(Recipe(jobs=jobs, days=jobs / 40_000, widest=4, over_asked=2.0))
    work = at_the_root(in_whole_fen(workload(region, trace, rule, 3 * 96 + 2 * HORIZON_SLOTS)))
    compiled = replay_online(by_epoch(work, epoch_s) if epoch_s else work, Policy())
    began = time.perf_counter()
    live = replay_through_flow(work, Policy(), epoch_s, MemoryStore(), lambda _: None)
    return jobs / (time.perf_counter() - began), live.digest() == compiled.digest()


def nodes(jobs: int, memory: bool) -> tuple[float, bool]:
    """(jobs a second through live nodes, whether the digest is that of the compiled loop)."""
    region = load_region(bundled("shanxi"))
    trace = generate(Recipe(jobs=jobs, days=2, widest=4))
    trace = replace(trace, arrive_s=np.maximum.accumulate(trace.arrive_s + np.arange(jobs)))
    rule = Rule(fold_days=0, data_share=0, delay_low_yuan=0.01)
    work = in_whole_fen(workload(region, trace, rule, 3 * 96 + 2 * HORIZON_SLOTS))
    compiled = replay_online(work, Policy())
    store = (lambda _: MemoryStore()) if memory else SqliteStore
    with tempfile.TemporaryDirectory(prefix="sanjin-bench-") as folder:
        began = time.perf_counter()
        live = replay_through_nodes(work, Policy(), Path(folder), store, lambda _: None)
        rate = jobs / (time.perf_counter() - began)
    return rate, live.digest() == compiled.digest()


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    given = options.parse_args()
    trace = generate(Recipe(jobs=given.jobs, days=30, over_asked=2.0))
    small = trace.part(slice(0, given.jobs // 20))
    queues(small, 0.8), pricing(1000), whole(1000)  # compiles
    easy, wait = queues(trace, 0.8)
    peer = simpy_rate(small, 0.8)
    tenth = trace.part(slice(0, given.jobs // 10, 10))
    acca = {f"AccaSim, {name}": accasim_rate(tenth, name == "EASY") for name in ("FIFO and first fit", "EASY")}
    others = {name: round(rate) for name, rate in acca.items() if rate}
    priced, placed, each = pricing(given.jobs // 10)
    week = whole(given.jobs // 5)
    flow(200, 60)  # compiles
    turned, one = flow(40_000, 60)
    instant, two = flow(20_000, 0)
    live, three = nodes(400, True)
    stored, four = nodes(400, False)
    equal = one and two and three and four
    print(f"{'what':52} {'jobs/s':>12} {'goal':>12}")
    for name, rate, goal in (
        (f"EASY, 10 pools, {given.jobs:,} jobs (mean wait {wait:,.0f} s)", easy, "1,000,000"),
        (f"SimPy, FCFS, the same pools, {len(small):,} jobs", peer, ""),
        *((f"{name}, one pool, {len(tenth):,} jobs", rate, "") for name, rate in others.items()),
        (f"full pricing, 16 x 96 ({placed:.0%} placed)", priced, "500,000"),
        ("a week in Shanxi: loop, accounts, checks", week, ""),
        ("through the flow of one node, a turn a minute", turned, "100,000"),
        ("through the flow of one node, a turn an instant", instant, ""),
        ("through 11 live nodes, stores in memory", live, ""),
        ("through 11 live nodes, SQLite", stored, ""),
    ):
        print(f"{name:52} {rate:12,.0f} {goal:>12}")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"a job's own figures in the loop: {each:.0f} bytes; whole process at its most: {most} MiB")
    points = sweeps()
    for s in points:
        print(f"sweep, 450,000 jobs in Shanxi, {s.name} (mean wait {s.wait_h:.1f} h): {s.a_minute:.1f} replays "
              f"a minute and core, {s.whole_a_minute:.1f} with mapping and accounts; from {s.timed} timed; goal 100")
    print(f"EASY against SimPy: {easy / peer:.0f} x")
    print(f"digests of live and compiled decisions: {'equal' if equal else 'DIFFERENT'}")
    finish(
        "replay", round(turned), "jobs/s through the live flow, with the digest of its decisions", 100_000,
        {"SimPy, FCFS on 10 pools": round(peer), **others}, flow_each_instant=round(instant),
        easy_10_pools=round(easy), easy_10_pools_goal=1_000_000, full_pricing=round(priced),
        full_pricing_goal=500_000, week=round(week), through_nodes=round(live),
        through_nodes_sqlite=round(stored), digest_equal=equal,
        sweep_replays_a_minute={s.name: round(s.a_minute, 1) for s in points}, sweep_goal=100,
    )  # fmt: skip


if __name__ == "__main__":
    main()
