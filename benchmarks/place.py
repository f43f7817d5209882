"""Placement decisions a second on one core, all terms and constraints, and beside it two solvers.

Jobs of mixed size, length and price of delay, which ask for 70 % of all capacity (busy; the headline)
or 1 % (empty), are placed in order; each decision reserves capacity for the next ones. Prices are
Shanxi's tariff, weather and grid factors on synthetic sites, so that hours and sites differ as they do
there. The solvers get the same kind of question as a batch: 100 tasks on 17 sites, one binary variable
a (task, site), as a multi-cloud optimizer asks it (CBC), and its relaxation (HiGHS).

    python benchmarks/place.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
from common import finish

from sanjin.flow.supply import Board
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.model.energy import site_tables
from sanjin.model.money import pico_per_watt_second
from sanjin.regions.load import bundled, load_region

SLOT = kernel.SLOT
PLAIN = tables.Weights(1000, 1000)
LOADS = (0.7, 0.01)
"""Core-seconds that the jobs ask for, of those that the horizon has: a busy region, and an empty one."""

FIRST_SLOT = 1_784_044_800 // SLOT  # 2026-07-15 00:00 in Shanxi


def world(sites: int, slots: int, jobs: int, load: float, seed: int = 7) -> tuple[Board, list[np.ndarray]]:
    """Prices, capacity and the job tables of a synthetic region."""
    rng = np.random.default_rng(seed)
    region = load_region(bundled("shanxi"))
    nodes = list(region.nodes.values())
    energies = [site_tables(region, nodes[s % len(nodes)], FIRST_SLOT, slots) for s in range(sites)]
    unit = pico_per_watt_second(1.0)
    factor = rng.uniform(0.9, 1.1, (sites, 1))
    energy = np.rint(np.array([t.energy_yuan_kwh * t.pue for t in energies]) * factor * unit).astype(np.int64)
    carbon = np.rint(np.array([t.carbon_kg_kwh * t.pue for t in energies]) * 0.1 * unit).astype(np.int64)
    table = np.zeros((jobs, tables.JOB_COLUMNS), np.int64)
    table[:, tables.J_CORES] = 2 ** rng.integers(0, 6, jobs)
    table[:, tables.J_SECONDS] = np.minimum(rng.lognormal(7.5, 1.0, jobs), slots * SLOT // 4).astype(np.int64) + 60
    asked = int((table[:, tables.J_CORES] * table[:, tables.J_SECONDS]).sum())
    pool = np.zeros((sites, tables.POOL_COLUMNS), np.int64)
    pool[:, tables.SITE] = np.arange(sites)
    pool[:, tables.CARD_KIND] = -2
    share = rng.uniform(0.5, 1.5, sites)
    cores = asked / load / (slots * SLOT) * share / share.sum()
    pool[:, tables.CORES] = np.maximum(np.rint(cores), 64).astype(np.int64)
    pool[:, tables.MEM] = pool[:, tables.CORES] * 4096
    pool[:, tables.SPEED] = rng.integers(900, 1300, sites)
    pool[:, tables.MW_CORE], pool[:, tables.MW_GIB] = 6000, 400
    pool[:, tables.USE_CORE] = rng.integers(10_000_000, 14_000_000, sites)
    board = Board(sites, sites, slots)
    board.cores[:], board.mem[:] = pool[:, [tables.CORES]], pool[:, [tables.MEM]]
    board.mw[:] = pool[:, [tables.CORES]] * 6000
    nothing = np.zeros((sites, slots), np.int64)
    board.price(energy, carbon, nothing, nothing, nothing)
    board.settle()
    table[:, tables.J_MEM] = table[:, tables.J_CORES] * rng.integers(512, 4096, jobs)
    table[:, tables.J_CARD_KIND], table[:, tables.J_KIND] = -1, 0
    now = FIRST_SLOT * SLOT
    arrivals = now + np.sort(rng.integers(0, slots * SLOT * 9 // 10, jobs))
    table[:, tables.J_SINCE] = table[:, tables.J_EARLIEST] = arrivals
    # what an hour costs the owner: a hundredth of a fen to a yuan
    table[:, tables.J_DELAY] = (10.0 ** rng.uniform(8, 12, jobs) / 3600).astype(np.int64)
    barred = (rng.random((jobs, sites)) < 0.1).astype(np.int64)
    ready = np.repeat(table[:, [tables.J_EARLIEST]], sites, axis=1)
    transport = np.where(rng.random((jobs, sites)) < 0.3, rng.integers(0, 50_000, (jobs, sites)), 0)
    own = np.ones(sites, np.int64)
    return board, [pool, own, table, barred, ready, transport, np.zeros_like(transport)]


def rate(sites: int, slots: int, jobs: int, load: float, rounds: int, rows: bool = False) -> tuple[float, float]:
    """(decisions a second, share of jobs that found a place): the median of the rounds."""
    rates, placed = [], 0.0
    for round_ in range(rounds + 1):
        board, arrays = world(sites, slots, jobs, load)
        choice = np.full(jobs, -1, np.int64)
        out = np.zeros((jobs, sites, tables.ROW) if rows else (jobs, tables.ROW), np.int64)
        place: Callable[..., None] = kernel.place_batch if rows else kernel.choose_batch
        began = time.perf_counter()
        now = FIRST_SLOT * SLOT
        place(board.cells, board.low, board.high, board.rows, now, now, PLAIN, *arrays, out, choice)
        if round_:  # the first compiles, or reads what was compiled
            rates.append(jobs / (time.perf_counter() - began))
        placed = float((choice >= 0).mean())
    return statistics.median(rates), placed


def highs(tasks: int, sites: int) -> float:
    """Decisions a second of the relaxed assignment with HiGHS."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    rng = np.random.default_rng(1)
    cost, size, cap = rng.uniform(1, 5, (tasks, sites)), rng.integers(1, 16, tasks), 16 * tasks / sites
    index = np.arange(tasks * sites)
    once = coo_array((np.ones(index.size), (index // sites, index)))
    room = coo_array((size[index // sites].astype(float), (index % sites, index)))
    began = time.perf_counter()
    found = linprog(cost.ravel(), A_ub=room, b_ub=np.full(sites, cap), A_eq=once, b_eq=np.ones(tasks), method="highs")
    assert found.success
    return tasks / (time.perf_counter() - began)


def cbc(tasks: int, sites: int) -> float | None:
    """Decisions a second of the same as an integer program with PuLP and CBC (None where PuLP is not installed)."""
    try:
        import pulp
    except ImportError:
        return None
    rng = np.random.default_rng(1)
    cost, size, cap = rng.uniform(1, 5, (tasks, sites)), rng.integers(1, 16, tasks), 16 * tasks / sites
    began = time.perf_counter()
    problem = pulp.LpProblem("assign", pulp.LpMinimize)
    x = pulp.LpVariable.dicts("x", (range(tasks), range(sites)), cat="Binary")
    problem += pulp.lpSum(cost[t, s] * x[t][s] for t in range(tasks) for s in range(sites))
    for t in range(tasks):
        problem += pulp.lpSum(x[t].values()) == 1
    for s in range(sites):
        problem += pulp.lpSum(int(size[t]) * x[t][s] for t in range(tasks)) <= cap
    problem.solve(pulp.PULP_CBC_CMD(msg=False, threads=1))
    return tasks / (time.perf_counter() - began)


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    cases = ((16, 96, 20_000, 500_000), (11, 672, 20_000, 100_000), (340, 672, 5000, 5000))
    print("decisions a second")
    heads = (("sites x slots", 14), ("busy", 10), ("placed", 7), ("empty", 10), ("goal", 8), ("busy, all rows", 15))
    print(" ".join(f"{h:>{w}}" for h, w in (*heads, ("board MiB", 10))))
    headline, all_rates = 0.0, {}
    for sites, slots, jobs, goal in cases:
        (busy, placed), (empty, _) = (rate(sites, slots, jobs, load, rounds) for load in LOADS)
        rows, _ = rate(sites, slots, min(jobs, 5000), LOADS[0], 2, rows=True)
        headline = headline or busy
        all_rates[f"{sites}x{slots}"] = {"busy": round(busy), "empty": round(empty), "all rows": round(rows)}
        board, _ = world(sites, slots, 1, LOADS[0])
        mib = sum(part.nbytes for part in (board.cells, board.low, board.high)) / 2**20
        row = f"{busy:10,.0f} {placed:7.1%} {empty:10,.0f} {goal:8,} {rows:15,.0f} {mib:10.2f}"
        print(f"{f'{sites} x {slots}':>14} {row}")
    print(f"whole process at its most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    peers = {"HiGHS, relaxed, 100 x 17": round(highs(100, 17))}
    found = cbc(100, 17)
    if found is not None:
        peers["PuLP with CBC, 100 x 17"] = round(found, 1)
    for name, value in peers.items():
        print(f"{name}: {value:,} decisions/s; ratio {headline / value:,.0f}")
    finish("place", round(headline), "decisions/s", 500_000, dict(peers), rates=all_rates)


if __name__ == "__main__":
    main()
