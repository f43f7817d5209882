"""A generated country: 5 million jobs placed down its tree of nodes, and how the cost of a job grows.

31 provinces, 337 prefectures and 3,000 pools below the hubs and clusters of ``national.yaml`` (``sanjin region
country``), a week of 5 million generated jobs that ask for 60 % of all cores; each placed once
(``move_gain_fen: -1``), one core.

- ``down the tree``: each node asks the child whose offer promises most (:mod:`sanjin.kernels.tiers`).
- ``every pool``: the same choices (the digests are compared) by one look at every pool: the peer.
- growth: microseconds a job when the number of sites, the jobs, or the slots that a placement looks ahead grow, all
  else alike; the exponent is the slope between first and last on a double logarithmic scale.

    python benchmarks/national.py [--jobs 5000000] [--plot growth.png]
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from pathlib import Path

import numpy as np
from common import finish

from sanjin.kernels import tables
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.regions.country import Recipe as Country
from sanjin.regions.country import country
from sanjin.regions.load import read_region
from sanjin.replay import online
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.outcome import Outcome, account
from sanjin.replay.tiers import ancestors, deciders
from sanjin.replay.workload import Rule, Workload, slots_of, workload

ONCE = Policy(move_gain_fen=-1)
A_WEEK = 5_000_000
GOAL_S = 300
EVERY_POOL = 10**9


def made(prefectures: int, pools: int) -> Region:
    """A country of this size."""
    return read_region(country(Country(prefectures=prefectures, pools=pools)), "country")


def mapped(region: Region, jobs: int, days: float) -> Workload:
    """So many generated jobs in so many days, in this country."""
    trace, rule = generate(Recipe(jobs=jobs, days=days, over_asked=1.5)), Rule(fold_days=0)
    return workload(region, trace, rule, slots_of(trace, rule))


def timed(work: Workload, many_pools: int = online.MANY_POOLS) -> tuple[float, Outcome]:
    """(seconds, outcome) of a replay, tables and all."""
    began = time.perf_counter()
    found = online.replay_online(work, ONCE, many_pools=many_pools)
    return time.perf_counter() - began, found


def by_level(work: Workload, found: Outcome) -> list[tuple[str, float, float]]:
    """Of each level of the tree: its tiers, the share of jobs decided there, and how often a job asks its nodes."""
    assert found.asked is not None and (found.place >= 0).all()
    by = deciders(work.region, work.origin, work.pool[found.place, tables.SITE])
    nodes = list(work.region.nodes.values())
    depth = ancestors(work.region).sum(axis=1) - 1
    told: list[tuple[str, float, float]] = []
    for level in range(int(depth.max()) + 1):
        here = np.flatnonzero(depth == level)
        tiers = " and ".join(sorted({nodes[n].tier.value for n in here.tolist()}))
        told.append((f"{level} {tiers}", float(np.isin(by, here).mean()), float(found.asked[here].sum()) / len(work)))
    return told


def growth(jobs: int) -> dict[str, list[tuple[int, float]]]:
    """Microseconds a job over sites, jobs and slots ahead."""
    found: dict[str, list[tuple[int, float]]] = {"sites": [], "jobs": [], "slots ahead": []}
    days = 7 * jobs / A_WEEK
    for part in (8, 4, 2, 1):
        region = made(max(337 // part, 31), 3000 // part)
        took, _ = timed(mapped(region, jobs, days * part))  # as many jobs a core
        found["sites"].append((len(region.nodes), took / jobs * 1e6))
    region = made(337, 3000)
    for part in (8, 4, 2, 1):
        took, _ = timed(mapped(region, jobs // part, days / part))
        found["jobs"].append((jobs // part, took / (jobs // part) * 1e6))
    kept = online.LOOK_AHEAD_S
    for part in (7, 4, 2, 1):
        online.LOOK_AHEAD_S = HORIZON_SLOTS // part * SLOT_S
        took, _ = timed(mapped(region, jobs, days))
        found["slots ahead"].append((HORIZON_SLOTS // part, took / jobs * 1e6))
    online.LOOK_AHEAD_S = kept
    return found


def exponent(points: list[tuple[int, float]]) -> float:
    """The slope from the first to the last point, of logarithms."""
    (a, first), (b, last) = points[0], points[-1]
    return math.log(last / first) / math.log(b / a)


def plot(found: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Microseconds a job over each, in a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, parts = plt.subplots(1, len(found), figsize=(10, 2.8), sharey=True)
    for axes, (name, points) in zip(parts, found.items(), strict=True):
        axes.loglog(*zip(*points, strict=True), marker="o", color="#0072B2")
        axes.set_xticks([x for x, _ in points], [f"{x:,}" for x, _ in points])
        axes.minorticks_off()
        axes.set_xlabel(f"{name}: exponent {exponent(points):.2f}")
        axes.grid(alpha=0.3)
    values = [y for points in found.values() for _, y in points]
    ticks = [t for t in (5, 10, 20, 50, 100, 200, 500, 1000) if min(values) / 2 < t < max(values) * 2]
    parts[0].set_yticks(ticks, [str(t) for t in ticks])
    parts[0].set_ylabel("microseconds a job")
    figure.savefig(path, bbox_inches="tight", dpi=110)


def main() -> None:
    """Measure, print tables, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=A_WEEK)
    options.add_argument("--plot", type=Path)
    given = options.parse_args()
    region = made(337, 3000)
    compiling = mapped(region, 1000, 1.0)
    timed(compiling), timed(compiling, EVERY_POOL)
    small = mapped(region, given.jobs // 50, 7 * given.jobs / 50 / A_WEEK)
    took, down = timed(small)
    flat, every = timed(small, EVERY_POOL)
    same = down.digest() == every.digest()
    ratio = flat / took
    print(f"{len(small):,} jobs down the tree {len(small) / took:,.0f}/s, every pool {len(small) / flat:,.0f}/s; "
          f"digests {'equal' if same else 'DIFFERENT'}")
    grown = growth(given.jobs // 20)
    for name, points in grown.items():
        shown = ", ".join(f"{x:,}: {y:.0f} us" for x, y in points)
        print(f"  {name:12} {shown}; exponent {exponent(points):.2f}")
    if given.plot:
        plot(grown, given.plot)
    work = mapped(region, given.jobs, 7 * given.jobs / A_WEEK)
    began = time.perf_counter()
    took, found = timed(work)
    sums = account(work, found)
    whole = time.perf_counter() - began
    print(f"{len(work):,} jobs, {len(region.nodes)} sites, {len(work.pool):,} pools, {work.supply.slots:,} slots: loop "
          f"{took:.0f} s, with accounts and checks {whole:.0f} s ({len(work) / whole:,.0f}/s); {sums.total:,.0f} yuan")
    print(f"{'level':26} {'decides':>8} {'asked a job':>12}")
    tiers = by_level(work, found)
    for name, share, asked in tiers:
        print(f"{name:26} {share:8.1%} {asked:12.2f}")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"whole process at its most: {most:,} MiB")
    finish(
        "national", round(whole), f"s for {len(work):,} jobs", GOAL_S, {"every pool, times as long": round(ratio, 1)},
        jobs_s=round(len(work) / whole), digest_equal=same, memory_mib=most,
        growth={name: round(exponent(points), 2) for name, points in grown.items()},
        decided={name: round(share, 4) for name, share, _ in tiers},
        asked={name: round(asked, 2) for name, _, asked in tiers},
    )  # fmt: skip


if __name__ == "__main__":
    main()
