"""Prices of scarcity learnt from a week's work: where they arise, and what nodes do with them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanjin.flow.learn import SLOTS, WEEK_S, _empty_region, learn
from sanjin.flow.place import asked
from sanjin.flow.scarcity import Demand, choose
from sanjin.flow.supply import PriceBook, Supply
from sanjin.kernels import tables
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import HOURS_A_WEEK, Scarcity, hour_of_week
from sanjin.model.struct import changed
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.regions.load import bundled, load_region
from sanjin.regions.scale import scaled
from tests.tree_world import START_S, World

BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region(bundled("shanxi"))


def records(
    seed: int, count: int, begin_s: int, node: str = "linfen", latency: int = 0, times: int = 1
) -> list[JobRecord]:
    """A week of jobs from one city that mostly come by day."""
    rnd = random.Random(seed)
    found = []
    for i in range(count):
        hour = min(max(rnd.gauss(11, 3), 0), 23.9)
        at_s = begin_s + rnd.randrange(7) * 86_400 + round(hour * 3600)
        spec = JobSpec(
            name="x",
            command=("x",),
            cores=rnd.choice((32, 64, 128)) * times,
            memory_bytes=2**30,
            duration_s=rnd.choice((3600, 7200, 14_400)),
            delay_price_fen_per_hour=rnd.choice((1, 3, 100)),
            latency_class_ms=latency,
        )
        found.append(JobRecord(id=f"{node}-{i}", key=str(i), spec=spec, state=JobState.SUCCEEDED, submitted_s=at_s))
    return found


def test_weeks_begin_on_monday_at_local_midnight() -> None:
    assert hour_of_week(BEGIN_S // SLOT_S, 8) == 0
    assert hour_of_week(BEGIN_S // SLOT_S - 1, 8) == HOURS_A_WEEK - 1
    assert hour_of_week((BEGIN_S + 3 * 86_400 + 5 * 3600) // SLOT_S, 8) == 77


def test_only_what_is_crowded_gets_a_price(region: Region) -> None:
    found = learn(region, records(1, 1200, BEGIN_S, latency=1, times=16), BEGIN_S + WEEK_S, rounds=40)
    assert found.jobs == 1200
    assert {name.partition("/")[0] for name in (*found.core, *found.power)} == {"linfen"}
    assert all(len(week) == HOURS_A_WEEK and min(week) >= 0 for week in found.core.values())
    # by day more is asked for than at night
    week = np.array(found.core["linfen/general"]).reshape(7, 24)
    assert week[:, 9:16].mean() > week[:, 0:6].mean()


def test_little_work_and_no_work_make_nothing_scarce(region: Region) -> None:
    few = learn(region, records(1, 20, BEGIN_S), BEGIN_S + WEEK_S, rounds=10)
    none = learn(region, [], BEGIN_S + WEEK_S)
    old = learn(region, records(1, 20, BEGIN_S), BEGIN_S + 3 * WEEK_S)
    assert (few.core, few.power, none.core, old.jobs) == ({}, {}, {}, 0)


def test_with_prices_from_last_week_this_week_costs_less(region: Region) -> None:
    """Weeks differ in every job, and are alike in what they ask for. 1.7 % less was seen."""
    small = scaled(region, {n: {p.id: max(p.cores // 30, 4000) for p in m.site.pools} for n, m in region.nodes.items()})
    last = [r for n in region.nodes for r in records(seed_of(n), 1000, BEGIN_S - WEEK_S, n)]
    this = [r for w in (0, 1) for n in region.nodes for r in records(seed_of(n) + 1 + w, 1000, BEGIN_S + w * WEEK_S, n)]
    prices = learn(small, last, BEGIN_S - 1, rounds=60, threads=2)
    assert prices.core
    plain, priced = (total(small, this, s) for s in (None, prices))
    assert priced < 0.995 * plain


def seed_of(name: str) -> int:
    return sum(map(ord, name))


def total(region: Region, jobs: list[JobRecord], scarcity: Scarcity | None) -> int:
    """Micro-yuan that the online rule pays for these jobs in order of arrival."""
    view = _empty_region(region, BEGIN_S)
    view.supply = supply = Supply(region, region.root().id, PriceBook(region, SLOTS), SLOTS, scarcity)
    supply.roll(BEGIN_S)
    supply.heard[:] = True
    timed = sorted(jobs, key=lambda r: r.submitted_s)
    timed = [changed(r, spec=replace(r.spec, earliest_start_s=r.submitted_s)) for r in timed]
    job, barred, ready, transport, latency = asked(view, timed, BEGIN_S).arrays()
    own = np.ones(len(supply.sites), np.int64)
    demand = Demand(
        pool=supply.pool, own=own, job=job, barred=barred, ready=ready, transport=transport, latency=latency
    )
    supply.board.settle()
    won, choice = choose(supply.board, demand, BEGIN_S, BEGIN_S)
    assert (choice >= 0).all()
    return int(won[:, tables.ENERGY :].sum() - won[:, tables.SCARCITY].sum())


def test_nodes_price_scarcity_and_say_so(region: Region, tmp_path: Path) -> None:
    dear = tuple(0.5 for _ in range(HOURS_A_WEEK))
    core = {"luliang/hpc": dear, "nowhere/x": dear}
    prices = Scarcity(core=core, card={}, power={}, jobs=1, until_s=0, bound_yuan=0.0)
    worlds = {k: World(tmp_path / k, scarcity=s) for k, s in (("plain", None), ("priced", prices))}
    found = {}
    for name, world in worlds.items():
        world.run(180)
        spec = JobSpec(name="x", command=("x",), cores=100, delay_price_fen_per_hour=9999)
        future = world.nodes["taiyuan"].dry_run([spec])
        world.nodes["taiyuan"].step(0)
        found[name] = future.result(0)[0]
        world.close()
    assert found["plain"].chosen == "luliang"
    assert found["priced"].chosen != "luliang"
    option = found["priced"].at("luliang")
    assert option is not None and option.terms is not None
    before = found["plain"].at("luliang")
    assert before is not None and before.terms is not None
    assert option.pool == before.pool or option.terms.scarcity == 0
    for each in found["priced"].options:
        if each.terms:
            assert each.total_micro == each.terms.total
    slots = worlds["priced"].nodes["taiyuan"].view.supply
    assert slots.first_slot * SLOT_S >= START_S and slots.slots == HORIZON_SLOTS


def test_the_error_of_the_forecast_is_stated_where_there_is_a_week_before(region: Region) -> None:
    until_s = BEGIN_S + WEEK_S
    alone = records(1, 50, BEGIN_S)
    assert learn(region, alone, until_s, rounds=2).error is None
    again = [changed(r, submitted_s=r.submitted_s - WEEK_S) for r in alone]
    assert learn(region, [*again, *alone], until_s, rounds=2).error == 0.0
    other = records(2, 50, BEGIN_S - WEEK_S)
    error = learn(region, [*other, *alone], until_s, rounds=2).error
    assert error is not None and error > 0.1
