"""How near the best a week's placements come, in total yuan, and what plain rules cost beside them.

A year of a real trace (Azure or Alibaba PAI, from ``../shared/traces``; a generated one where that is absent) is
folded onto one week over Shanxi's pools, scaled so that the week's work asks for 60 % of the week's capacity.
Work may start until the end of a second week. Every job has a price of delay, drawn; a fifth have data at one site.

- ``bound``: no placement can cost less, even one that knows all jobs at once (dual of the linear program).
- ``known``: the online rule in order of arrival, with shadow prices from the very jobs that come.
- ``forecast``: the same with shadow prices from other weeks of the trace (jobs of odd weeks are placed, prices
  come from those of even weeks).
- ``no prices``: the same rule without shadow prices.

The other rules and the totals are priced by the same terms: energy, carbon, data, machines, waiting.

    python benchmarks/optimality.py [--trace azure|pai|made] [--rounds 80]
"""

from __future__ import annotations

import argparse
import heapq
import time
from dataclasses import replace

import numpy as np
from common import SHARED, finish

from sanjin.flow.scarcity import Capacity, Demand, choose, priced_board, shadow_prices
from sanjin.flow.supply import PriceBook, Supply
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.model.network import network_of
from sanjin.model.units import HOUR_S
from sanjin.regions.load import bundled, load_region

SLOT = kernel.SLOT
WEEK_S = 7 * 86_400
SLOTS = 2 * 672
BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi
LOAD = 0.6
HURRY = np.int64(10**12)
"""A price of delay that leaves no other wish: pico-yuan a second."""


def trace(name: str) -> tuple[str, np.ndarray]:
    """(name, rows of arrival in hours over a year, length in hours, cores)."""
    path = SHARED / "traces" / f"{name}-100k.csv"
    if name != "made" and path.exists():
        return name, np.loadtxt(path, delimiter=",", skiprows=1)
    rng = np.random.default_rng(3)
    count = 100_000
    length = np.minimum(rng.lognormal(-0.3, 1.4, count), 72)
    arrival = rng.uniform(0, 8760, count)
    return "made", np.column_stack([np.sort(arrival), length, 2.0 ** rng.integers(0, 5, count)])


class Week:
    """The pools, prices and jobs of the experiment."""

    def __init__(self, rows: np.ndarray, seed: int = 11) -> None:
        region = load_region(bundled("shanxi"))
        self.supply = Supply(region, "taiyuan", PriceBook(region, SLOTS), SLOTS)
        self.supply.roll(BEGIN_S)
        self.pool = self.supply.pool.copy()
        rng = np.random.default_rng(seed)
        hours = rows[:, 0]
        self.odd = (hours // 168).astype(int) % 2 == 1
        order = np.argsort(hours % 168, kind="stable")
        rows, self.odd = rows[order], self.odd[order]
        count = len(rows)
        job = np.zeros((count, tables.JOB_COLUMNS), np.int64)
        job[:, tables.J_CORES] = rows[:, 2]
        job[:, tables.J_MEM] = 1
        job[:, tables.J_CARD_KIND], job[:, tables.J_KIND] = -1, -1
        job[:, tables.J_SECONDS] = np.maximum(rows[:, 1] * HOUR_S, 60)
        job[:, tables.J_SINCE] = BEGIN_S + (rows[:, 0] % 168 * HOUR_S).astype(np.int64)
        job[:, tables.J_EARLIEST] = job[:, tables.J_SINCE]
        # yuan that an hour of delay costs a core: from nothing to speak of to more than the machine itself
        per_hour = 10.0 ** rng.uniform(-5, -1, count) * job[:, tables.J_CORES]
        job[:, tables.J_DELAY] = (per_hour * 1e12 / HOUR_S).astype(np.int64)
        self.job = job
        asked = float((job[:, tables.J_CORES] * job[:, tables.J_SECONDS]).sum())
        self._shrink(asked)
        sites = len(self.supply.sites)
        self.barred = np.zeros((count, sites), np.int64)
        self.ready = np.repeat(job[:, [tables.J_EARLIEST]], sites, axis=1)
        self.transport = np.zeros((count, sites), np.int64)
        network = network_of(region)
        held = np.flatnonzero(rng.random(count) < 0.2)
        weight = self.pool[:, tables.CORES] / self.pool[:, tables.CORES].sum()
        home_pool = rng.choice(len(self.pool), count, p=weight)
        self.home_pool = home_pool
        home = self.pool[home_pool, tables.SITE]
        size_gb = rng.lognormal(-2.0, 1.5, count)
        for j in held:
            self.transport[j] = np.rint(network.price_yuan_gb[home[j]] * size_gb[j] * 1e6).astype(np.int64)

    def _shrink(self, asked: float) -> None:
        """Make the pools as small as the trace wants them; every pool still holds the largest job."""
        least = int(self.job[:, tables.J_CORES].max())
        cores = self.pool[:, tables.CORES].astype(float)
        speed = self.pool[:, tables.SPEED] / 1000
        cores *= asked / LOAD / (cores * speed).sum() / WEEK_S
        self.pool[:, tables.CORES] = np.maximum(np.rint(cores), least).astype(np.int64)
        self.pool[:, tables.MEM] = 2**50

    def demand(self, which: np.ndarray) -> Demand:
        """Some of the jobs."""
        return Demand(
            pool=self.pool,
            own=self.supply.own,
            job=self.job[which],
            barred=self.barred[which],
            ready=self.ready[which],
            transport=self.transport[which],
            latency=np.zeros_like(self.transport[which]),
        )

    def capacity(self, share: float) -> Capacity:
        """This share of every pool, over both weeks; power as the cores can draw, so that it does not bind twice."""
        pools, sites = len(self.pool), len(self.supply.sites)
        cores = np.repeat(np.maximum(np.rint(self.pool[:, [tables.CORES]] * share), 1), SLOTS, axis=1).astype(np.int64)
        mw = np.zeros((sites, SLOTS), np.int64)
        np.add.at(mw, self.pool[:, tables.SITE], cores * self.pool[:, [tables.MW_CORE]] * 2)
        energy, carbon = self.supply.plain_prices()
        return Capacity(
            first_s=BEGIN_S,
            cores=cores,
            cards=np.zeros((pools, SLOTS), np.int64),
            mw=mw,
            energy=energy,
            carbon=carbon,
        )


def totals(capacity: Capacity, demand: Demand, won: np.ndarray) -> dict[str, float]:
    """Yuan by term of choices made by any rule, at the true prices; mean wait in hours."""
    pool, job, p = demand.pool, demand.job, won[:, tables.POOL]
    s = pool[p, tables.SITE]
    power = job[:, tables.J_CORES] * pool[p, tables.MW_CORE] + job[:, tables.J_MEM] * pool[p, tables.MW_GIB] // 1024
    start, end = won[:, tables.START] - capacity.first_s, won[:, tables.FINISH] - capacity.first_s

    def window(price: np.ndarray) -> float:
        cum = np.hstack([np.zeros((len(price), 1)), np.cumsum(price * float(SLOT), axis=1)])

        def until(at: np.ndarray) -> np.ndarray:
            k = np.minimum(at // SLOT, SLOTS - 1)
            return cum[s, k] + price[s, k] * (at - k * SLOT)

        return float(((until(end) - until(start)) * power / 1000).sum() / 1e12)

    use = ((end - start) * job[:, tables.J_CORES] * pool[p, tables.USE_CORE]).sum() / 1e12
    wait = start + capacity.first_s - job[:, tables.J_SINCE]
    found = {
        "energy": window(capacity.energy),
        "carbon": window(capacity.carbon),
        "data": float(demand.transport[np.arange(len(s)), s].sum() / 1e6),
        "machines": float(use),
        "waiting": float((wait * job[:, tables.J_DELAY].astype(float)).sum() / 1e12),
    }
    return {"total": sum(found.values()), **found, "wait h": float(wait.mean() / HOUR_S)}


def online(capacity: Capacity, demand: Demand, prices: tuple[np.ndarray, ...] | None) -> np.ndarray:
    """The online rule: each job in order of arrival takes its least total."""
    zero = np.zeros_like(capacity.cores)
    core, card, power = prices or (zero, zero, np.zeros_like(capacity.mw))
    board = priced_board(capacity, core, card, power, plenty=False)
    won, choice = choose(board, demand, capacity.first_s, capacity.first_s)
    assert (choice >= 0).all(), f"{(choice < 0).sum()} jobs found no place"
    return won


def hurried(demand: Demand) -> Demand:
    """The same jobs with no wish but to start."""
    job = demand.job.copy()
    job[:, tables.J_DELAY] = HURRY
    return replace(demand, job=job)


def greenest(capacity: Capacity, demand: Demand) -> np.ndarray:
    """Each job at its greenest site and hour within a day, whatever else it costs."""
    job, pool = demand.job.copy(), demand.pool.copy()
    job[:, tables.J_DELAY] = 1  # of equals the earliest
    pool[:, tables.USE_CORE] = 0
    board_of = replace(capacity, energy=np.zeros_like(capacity.energy), carbon=capacity.carbon * 100)
    job[:, tables.J_DEADLINE] = job[:, tables.J_SINCE] + 86_400 + job[:, tables.J_SECONDS] * 2
    asked = replace(demand, job=job, pool=pool, transport=np.zeros_like(demand.transport))
    zero = np.zeros_like(capacity.cores)
    board = priced_board(board_of, zero, zero, np.zeros_like(capacity.mw), plenty=False)
    won, choice = choose(board, asked, capacity.first_s, capacity.first_s)
    late = choice < 0  # full within a day: as soon as may be
    if late.any():
        rest = hurried(
            Demand(
                **{
                    f: getattr(demand, f) if f in ("pool", "own") else getattr(demand, f)[late]
                    for f in ("pool", "own", "job", "barred", "ready", "transport", "latency")
                }
            )
        )
        won[late], found = choose(board, rest, capacity.first_s, capacity.first_s)
        assert (found >= 0).all()
    return won


def at_home(capacity: Capacity, demand: Demand, home: np.ndarray, backfill: bool) -> np.ndarray:
    """FCFS, or EASY backfill, in each job's own pool; run times are known exactly."""
    won = np.zeros((len(home), tables.ROW), np.int64)
    seconds = -(-demand.job[:, tables.J_SECONDS] * 1000 // demand.pool[home, tables.SPEED])
    for p in range(len(demand.pool)):
        mine = np.flatnonzero(home == p)
        cores = demand.job[mine, tables.J_CORES]
        arrive = demand.job[mine, tables.J_SINCE]
        starts = easy(arrive, cores, seconds[mine], int(capacity.cores[p, 0]), backfill)
        won[mine, tables.POOL], won[mine, tables.START] = p, starts
        won[mine, tables.FINISH] = starts + seconds[mine]
    return won


def easy(arrive: np.ndarray, cores: np.ndarray, seconds: np.ndarray, size: int, backfill: bool) -> np.ndarray:
    """Start times on one pool: first come first served, with EASY backfill where asked.

    After Mu'alem and Feitelson (2001): only the first in the queue has a reservation; another may go
    before it where it ends by then or leaves enough for it.
    """
    starts = np.zeros(len(arrive), np.int64)
    running: list[tuple[int, int]] = []
    queue: list[int] = []
    free, nxt, now = size, 0, 0
    while nxt < len(arrive) or queue:
        due = [running[0][0]] if running else []
        due += [int(arrive[nxt])] if nxt < len(arrive) else []
        now = min(due)
        while running and running[0][0] <= now:
            free += heapq.heappop(running)[1]
        while nxt < len(arrive) and arrive[nxt] <= now:
            queue.append(nxt)
            nxt += 1

        begun: list[int] = []
        while queue and cores[queue[0]] <= free:
            begun.append(queue.pop(0))
            free -= int(cores[begun[-1]])
        _begin(begun, now, starts, seconds, cores, running)
        if not queue or not backfill:
            continue
        have, shadow = free, now
        for end, count in sorted(running):
            have += count
            if have >= cores[queue[0]]:
                shadow = end
                break
        spare = have - int(cores[queue[0]])
        for j in list(queue[1:]):
            if cores[j] <= free and (now + seconds[j] <= shadow or cores[j] <= spare):
                if now + seconds[j] > shadow:
                    spare -= int(cores[j])
                free -= int(cores[j])
                _begin([j], now, starts, seconds, cores, running)
                queue.remove(j)
    return starts


def _begin(
    jobs: list[int],
    now: int,
    starts: np.ndarray,
    seconds: np.ndarray,
    cores: np.ndarray,
    running: list[tuple[int, int]],
) -> None:
    for j in jobs:
        starts[j] = now
        heapq.heappush(running, (now + int(seconds[j]), int(cores[j])))


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trace", default="azure", choices=("azure", "pai", "made"))
    options.add_argument("--rounds", type=int, default=80)
    given = options.parse_args()
    name, rows = trace(given.trace)
    week = Week(rows)
    every, odd, even = np.ones(len(rows), bool), week.odd, ~week.odd
    share = float(
        (week.job[odd][:, tables.J_CORES] * week.job[odd][:, tables.J_SECONDS]).sum()
        / (week.job[:, tables.J_CORES] * week.job[:, tables.J_SECONDS]).sum()
    )
    results: dict[str, dict[str, float]] = {}
    for label, which, part in (("all", every, 1.0), ("odd weeks", odd, share)):
        demand, capacity = week.demand(which), week.capacity(part)
        plain = online(capacity, demand, None)
        began = time.perf_counter()
        found = shadow_prices(demand, capacity, rounds=given.rounds, threads=2)
        took = time.perf_counter() - began
        prices = (found.core, found.card, found.power)
        if label == "all":
            bound = found.bound_micro / 1e6
            results["bound"] = {"total": bound}
            results["known"] = totals(capacity, demand, online(capacity, demand, prices))
            results["no prices"] = totals(capacity, demand, plain)
            results["cheapest site now"] = totals(capacity, demand, online(capacity, hurried(demand), None))
            results["greenest within a day"] = totals(capacity, demand, greenest(capacity, demand))
            results["EASY at home"] = totals(capacity, demand, at_home(capacity, demand, week.home_pool, True))
            results["FCFS at home"] = totals(capacity, demand, at_home(capacity, demand, week.home_pool, False))
            print(f"{name}: {len(demand.job):,} jobs, {len(demand.pool)} pools, {SLOTS} slots; dual {took:.0f} s")
        else:
            other = week.demand(even)
            forecast = shadow_prices(other, week.capacity(1 - part), rounds=given.rounds, threads=2)
            guessed = (forecast.core, forecast.card, forecast.power)
            half_bound = found.bound_micro / 1e6
            half = totals(capacity, demand, online(capacity, demand, guessed))
            half_known = totals(capacity, demand, online(capacity, demand, prices))
            half_plain = totals(capacity, demand, plain)
    print(f"{'rule':24} {'yuan':>10} {'over bound':>11} " + " ".join(f"{t:>9}" for t in TERMS))
    for rule, sums in results.items():
        over = f"{(sums['total'] / bound - 1) * 100:9.2f} %"
        print(f"{rule:24} {sums['total']:10,.0f} {over:>11} " + " ".join(f"{sums.get(t, 0):9,.1f}" for t in TERMS))
    gaps = {
        "known": (results["known"]["total"] / bound - 1) * 100,
        "half known": (half_known["total"] / half_bound - 1) * 100,
        "half forecast": (half["total"] / half_bound - 1) * 100,
        "half no prices": (half_plain["total"] / half_bound - 1) * 100,
    }
    print("odd weeks alone, over their bound: " + ", ".join(f"{k} {v:.2f} %" for k, v in gaps.items() if "half" in k))
    peers = {r: round((s["total"] / bound - 1) * 100, 2) for r, s in results.items() if r not in ("bound", "known")}
    finish(
        "optimality", round(gaps["known"], 2), "% over the bound, demand known", 3.0, peers,
        trace=name, forecast=round(gaps["half forecast"], 2), forecast_goal=8.0,
    )  # fmt: skip


TERMS = ("energy", "carbon", "data", "machines", "waiting", "wait h")

if __name__ == "__main__":
    main()
