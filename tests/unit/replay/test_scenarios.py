"""Scenarios: what an overlay changes, what is refused, and that figures do not depend on where they are reckoned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanjin.kernels import tables
from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Status
from sanjin.model.units import HORIZON_SLOTS, HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.compare import RULES, compare, figures, held_against
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.scenario import Scenario, load_scenarios
from sanjin.replay.sweep import replay_scenario, sweep
from sanjin.replay.tables import write_parquet
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, in_other_world, workload

SHANXI = bundled("shanxi")


@pytest.fixture(scope="module")
def work() -> Workload:
    trace = generate(Recipe(jobs=1500, days=3, seed=5, widest=4, over_asked=2.0))
    return workload(load_region(SHANXI), trace, MapRule(seed=5), 3 * 96 + 2 * HORIZON_SLOTS)


def scenarios(tmp_path: Path, text: str, policy: Path | None = None) -> list[Scenario]:
    path = tmp_path / "over.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenarios(path, SHANXI, policy, RULES)


def test_an_overlay_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    (found,) = scenarios(tmp_path, """
scenarios:
  changed:
    title_en: Changed
    title_zh: 已变
    region:
      carbon_price: 300
      links: {datong-taiyuan: {bandwidth: {value: 10, source: "a quote of May", status: estimated}}}
      nodes: {datong: {pools: {general: {capacity: 7}, ai: null}}}
    policy: {rule: greenest}
""")  # fmt: skip
    base, region = load_region(SHANXI), found.region
    assert (region.carbon_price.value, region.carbon_price.source) == (300, "what-if")
    assert region.carbon_price.status is Status.ESTIMATED
    datong = region.nodes["datong"].site
    assert [(p.id, p.cores) for p in datong.pools] == [("general", 7)]
    assert datong.power == base.nodes["datong"].site.power
    assert {n: v for n, v in region.nodes.items() if n != "datong"} == {
        n: v for n, v in base.nodes.items() if n != "datong"
    }
    changed = [(a, b) for a, b in zip(base.links, region.links, strict=True) if a != b]
    assert [(a.a, a.b, b.bandwidth.value, b.bandwidth.source) for a, b in changed] == [
        ("taiyuan", "datong", 10, "a quote of May")
    ]
    assert found.policy.rule is Rule.GREENEST
    assert (found.title_en, found.title_zh) == ("Changed", "已变")


def test_a_scenarios_policy_is_laid_over_the_given_one(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rule: greenest\nmove_gain_fen: 77\n", encoding="utf-8")
    same, other = scenarios(tmp_path, "scenarios: {a: {}, b: {policy: {rule: home_only}}}", policy)
    assert (same.policy.rule, same.policy.move_gain_fen) == (Rule.GREENEST, 77)
    assert (other.policy.rule, other.policy.move_gain_fen) == (Rule.HOME_ONLY, 77)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound) as fault:
        scenarios(tmp_path, """
scenarios:
  a: {region: {carbon_price: -1}, rule: slowest}
  b: {outages: [{site: beijing, from_h: 1, until_h: 2}, {site: datong, from_h: 3, until_h: 3}]}
  c: {outages: [{link: [datong, linfen], from_h: 1, until_h: 2}, {from_h: 1, until_h: 2}]}
  d: {region: {links: {datong-nowhere: {bandwidth: 3}}}}
  e: {lode: 0.7}
""")  # fmt: skip
    codes = sorted(p.code for p in fault.value.problems)
    assert codes == sorted(
        ["negative", "unknown_value", "unknown_value", "outage_ends", "unknown_link", "outage_of_what", "unknown_link",
         "unknown_key"]
    )  # fmt: skip


def test_a_sweep_is_a_scenario_for_every_combination(tmp_path: Path) -> None:
    found = scenarios(tmp_path, "sweep: {region.carbon_price: [0, 90], load: [0.5, 0.6, 0.7], rule: [own]}")
    assert [(s.region.carbon_price.value, s.load) for s in found] == [
        (c, load) for c in (0, 90) for load in (0.5, 0.6, 0.7)
    ]
    assert dict(found[0].values) == {"region.carbon_price": "0", "load": "0.5", "rule": "own"}
    with pytest.raises(ProblemsFound) as fault:
        scenarios(tmp_path, f"sweep: {{load: {[0.5] * 40}, region.carbon_price: {list(range(40))}}}")
    assert [p.code for p in fault.value.problems] == ["too_many_scenarios"]


def test_the_unchanged_scenario_is_the_replay_itself(work: Workload, tmp_path: Path) -> None:
    own = compare(work, ("own", "easy_at_home"))
    (same,) = scenarios(tmp_path, "scenarios: {same: {}}")
    found = replay_scenario(work, held_against(own), {}, same)
    assert found.digest == own[0].outcome.digest()
    assert found.total_yuan == figures(work, own)[0].total_yuan


def test_dear_carbon_costs_more_and_more_capacity_does_not(work: Workload, tmp_path: Path) -> None:
    text = """
scenarios:
  same: {}
  dear: {region: {carbon_price: 900}}
  more: {region: {nodes: {taiyuan: {pools: {general: {capacity: 400000}}}}}}
  roomy: {load: 0.3}
  down: {outages: [{site: datong, from_h: 10, until_h: 30}]}
  easy: {rule: easy_at_home, outages: [{site: datong, from_h: 10, until_h: 30}]}
"""
    done = dict((s.id, n) for s, n in sweep(work, scenarios(tmp_path, text), None, workers=1))
    same = done["same"]
    assert done["dear"].terms_yuan["carbon"] > 5 * same.terms_yuan["carbon"]
    assert done["dear"].carbon_kg < same.carbon_kg
    assert done["roomy"].wait_s["mean"] < same.wait_s["mean"]
    assert done["down"].lost_core_h > 0 and done["easy"].lost_core_h > 0 and same.lost_core_h == 0
    assert done["down"].total_yuan > same.total_yuan
    assert all(n.ran == len(work) for n in done.values())


def test_origins_worth_and_scale_stay_in_another_world(work: Workload, tmp_path: Path) -> None:
    text = "scenarios: {a: {region: {nodes: {datong: {pools: {general: {capacity: 900000}}}}}}}"
    (found,) = scenarios(tmp_path, text)
    world = in_other_world(work, found.region, found.load, found.outages)
    assert (world.origin == work.origin).all() and (world.delay_pico == work.delay_pico).all()
    assert world.scale == work.scale
    at = work.supply.pool_index["datong/general"]
    ratio = world.pool[:, tables.CORES] / work.pool[:, tables.CORES]
    assert ratio[at] == pytest.approx(1.5, rel=0.05)
    assert (np.delete(ratio, at) == 1).all()


def test_other_processes_reckon_the_same(work: Workload, tmp_path: Path) -> None:
    some = scenarios(tmp_path, "sweep: {region.carbon_price: [0, 900], load: [0.5, 0.9]}")
    seen: list[str] = []
    alone, spread = sweep(work, some, None, workers=1), sweep(work, some, None, workers=2, progress=seen.append)
    assert alone == spread
    assert sorted(seen) == sorted(s.id for s in some)


def test_ray_reckons_the_same(work: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real Ray of two processes, started for this test."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'sanjin[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    some = scenarios(tmp_path, "scenarios: {a: {}, b: {load: 0.9}}")
    with pytest.raises(ProblemsFound) as fault:
        sweep(work, some, None, ray="127.0.0.1:1")
    assert [p.code for p in fault.value.problems] == ["no_ray_there"]
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    try:
        assert sweep(work, some, None, ray="auto") == sweep(work, some, None, workers=1)
    finally:
        ray.shutdown()


def test_tables_hold_what_the_figures_say(work: Workload, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs DuckDB: pip install 'sanjin[examples]'")
    found = compare(work, ("own", "easy_at_home"), Policy())
    numbers = figures(work, found)
    write_parquet(tmp_path / "out", work, found, numbers)
    with duckdb.connect() as base:
        def ask(query: str) -> list[tuple[object, ...]]:
            return base.execute(query.replace("$", f"{tmp_path}/out/")).fetchall()

        energy = dict(ask("select rule, sum(it_kwh) from '$hours.parquet' group by rule"))
        hours = dict(ask("select rule, sum(core_hours) from '$hours.parquet' group by rule"))
        jobs = dict(ask("select rule, sum(cores * (end_s - start_s)) from '$jobs.parquet' group by rule"))
        assert ask("select rule, total_yuan from '$rules.parquet'") == [(n.rule, n.total_yuan) for n in numbers]
    for n in numbers:
        assert energy[n.rule] == pytest.approx(n.it_kwh, abs=1e-3)
        assert hours[n.rule] == pytest.approx(float(jobs[n.rule]) / HOUR_S)
