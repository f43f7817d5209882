"""What if, from the live state of a region: sites that are down, dearer carbon, and an original that is not touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.adapters.clock import VirtualClock
from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore, snapshots
from sanjin.model.access import Reach
from sanjin.model.job import Effects, JobSpec, JobState, Submission
from sanjin.model.policy import Policy
from sanjin.model.reason import Reason
from sanjin.model.units import GB, HOUR_S
from sanjin.model.what_if import SiteDown, Timeline, TimelineJob, TimelineSums, WhatIf
from sanjin.ports import RunOrder, RunState
from sanjin.regions.load import bundled, load_region
from sanjin.regions.what_if import changed, check
from sanjin.replay.fork import WentOn, go_on
from sanjin.replay.living import Down, Plan, PlannedEngine, apart, ended_well
from sanjin.replay.what_if import what_if
from sanjin.tree.timeline import within
from tests.tree_world import World

AT = "yangquan"
DOCUMENT = bundled("shanxi").read_text(encoding="utf-8")


def submit(world: World, key: str, origin: str = "taiyuan", hours: int = 4, **more: Any) -> str:
    spec = JobSpec(
        name=key, command=("true",), cores=16, memory_bytes=GB, duration_s=hours * HOUR_S,
        environment={"RUN_S": str(hours * HOUR_S)}, delay_price_fen_per_hour=10**5, **more,
    )  # fmt: skip
    future = world.nodes[origin].submit([Submission(key=key, spec=spec)])
    world.run(40, by=20)
    return future.result(0)[0].id


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, str]]]:
    """A region that is up with work at one site, and its state folder: some runs, some is to start there, one job may
    go anywhere."""
    folder = tmp_path_factory.mktemp("lived")
    world = World(folder)
    world.turn(6)
    later = world.clock.now() + 6 * HOUR_S
    ids = {
        "once": submit(world, "once", site=AT),
        "again": submit(world, "again", site=AT, effects=Effects.REPEATABLE),
        "here": submit(world, "here", origin=AT, site=AT, effects=Effects.REPEATABLE),
        "later": submit(world, "later", site=AT, earliest_start_s=later),
        "free": submit(world, "free", hours=1),
    }
    world.run(1200, by=60)
    state = StateFolder(folder)
    state.keep_region(DOCUMENT)
    (folder / "clock.json").write_text(
        json.dumps({"start_s": world.clock.now(), "rate": 1.0, "wall_s": time.time()})
    )
    yield world, ids
    world.close()


def record(world: World, job: str) -> Any:
    return world.nodes[job.rpartition("-")[0]].parts.store.job(job)


def gone_on(world: World, to: Path, *down: Down) -> WentOn:
    snapshots({world.folder / n / "state.db": to / n / "state.db" for n in world.nodes})
    stores = {n: SqliteStore(to / n / "state.db", durable=False) for n in world.nodes}
    data = {n: frozenset(d.id for d in world.region.datasets.values() if n in d.replicas) for n in world.nodes}
    try:
        return go_on(stores, world.region, Policy(), data, down=down)
    finally:
        shutil.rmtree(to)


def test_what_runs_where_the_power_fails_is_lost_and_only_repeatable_work_runs_again(
    lived: tuple[World, dict[str, str]], tmp_path: Path
) -> None:
    world, ids = lived
    assert {record(world, ids[k]).state for k in ("once", "again", "here")} == {JobState.RUNNING}
    now = world.clock.now()
    begin, until = now + HOUR_S, now + 9 * HOUR_S
    found = gone_on(world, tmp_path / "down", Down(AT, begin, until)).after
    once, again, here, later = (found[ids[k]] for k in ("once", "again", "here", "later"))
    assert (once.state, once.reason) == (JobState.INTERRUPTED, Reason.INTERRUPTED)
    assert once.end_s >= until and once.fen == 0  # nobody knew of it before the node came back
    for each in (again, here):
        assert each.state is JobState.SUCCEEDED and each.site == AT and each.start_s >= until
    assert later.state is JobState.SUCCEEDED and later.start_s >= until  # it was to start while the site was down
    assert found[ids["free"]].state is JobState.SUCCEEDED


def test_an_outage_that_meets_no_work_changes_nothing_of_it(
    lived: tuple[World, dict[str, str]], tmp_path: Path
) -> None:
    world, _ = lived
    free = next(n for n in ("jincheng", "xinzhou") if all(record(world, j).site != n for j in lived[1].values()))
    as_is = gone_on(world, tmp_path / "as-is")
    now = world.clock.now()
    other = gone_on(world, tmp_path / "down", Down(free, now + HOUR_S, now + 3 * HOUR_S))
    assert {k: (r.state, r.site, r.start_s, r.fen) for k, r in other.after.items()} == {
        k: (r.state, r.site, r.start_s, r.fen) for k, r in as_is.after.items()
    }


def test_a_site_that_is_down_from_the_first_second_on_is_down(
    lived: tuple[World, dict[str, str]], tmp_path: Path
) -> None:
    world, ids = lived
    now = world.clock.now()
    found = gone_on(world, tmp_path / "down", Down(AT, now + 1, now + 2 * HOUR_S)).after
    assert found[ids["once"]].state is JobState.INTERRUPTED
    assert found[ids["again"]].start_s >= now + 2 * HOUR_S


def digests(world: World) -> dict[str, str]:
    files = [world.folder / n / f"state.db{end}" for n in world.nodes for end in ("", "-wal")]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


def test_what_would_end_in_the_very_second_of_the_failure_is_lost_too() -> None:
    """A run that lasts longer than its job said ends at once in a what-if; power that fails at once comes before it."""
    clock = VirtualClock(1000)
    engine = PlannedEngine(clock, lambda order, now_s: Plan(now_s, ended_well(order, now_s, now_s)))
    for key, end_s in (("over", 1000), ("now", 1001), ("later", 2000)):
        order = RunOrder(key=key, command=("true",))
        engine.take_up(key, 0, Plan(end_s, ended_well(order, 0, end_s)))
    clock.advance(1001)
    engine.lose()
    assert [r.key for r in engine.watch()] == ["over"]
    lost = {r.key: r.state for r in engine.find(["now", "later"])}
    assert lost == dict.fromkeys(("now", "later"), RunState.INTERRUPTED)


def test_a_what_if_that_changes_nothing_finds_the_same_and_touches_nothing(
    lived: tuple[World, dict[str, str]],
) -> None:
    world, ids = lived
    before, tips = digests(world), {n: node.parts.store.tip() for n, node in world.nodes.items()}
    told: list[float] = []
    found = what_if(StateFolder(world.folder), WhatIf(), told.append)
    assert found.as_is.sums == found.changed.sums and found.as_is.jobs == found.changed.jobs
    assert {j.job for j in found.as_is.jobs} >= {ids["once"], ids["later"]}
    assert found.as_is.sums.succeeded == found.as_is.sums.jobs == len(found.as_is.jobs) > 0
    assert told == sorted(told) and told[-1] == 1.0
    assert digests(world) == before
    assert {n: node.parts.store.tip() for n, node in world.nodes.items()} == tips


def test_dearer_carbon_and_power_cost_more_and_a_site_that_is_down_loses_work(
    lived: tuple[World, dict[str, str]],
) -> None:
    world, ids = lived
    change = WhatIf(carbon_price=900, tariff=1.5, down=(SiteDown(site=AT, from_h=1, until_h=6),))
    found = what_if(StateFolder(world.folder), change)
    as_is, other = ({j.job: j for j in t.jobs} for t in (found.as_is, found.changed))
    assert other[ids["once"]].state is JobState.INTERRUPTED and as_is[ids["once"]].state is JobState.SUCCEEDED
    assert found.changed.sums.succeeded == found.as_is.sums.succeeded - 1
    later = ids["later"]  # it runs in both worlds
    assert other[later].fen > as_is[later].fen > 0


def test_the_changed_region_differs_in_what_was_asked_alone() -> None:
    region = load_region(bundled("shanxi"))
    assert changed(DOCUMENT, "x", region, WhatIf()) == region
    other = changed(DOCUMENT, "x", region, WhatIf(carbon_price=300, solar=2, tariff=1.1))
    assert other.carbon_price.value == 300 and other.carbon_price.source == "what-if"
    for name, tariff in region.tariffs.items():
        assert other.tariffs[name].flat.value == pytest.approx(1.1 * tariff.flat.value)
        assert other.tariffs[name].multipliers == tariff.multipliers
    for name, node in region.nodes.items():
        mine, theirs = node.site.power.generation, other.nodes[name].site.power.generation
        assert [g.peak.value * 2 for g in mine] == [g.peak.value for g in theirs]
        assert [g.price for g in mine] == [g.price for g in theirs]
        assert node.site.pools == other.nodes[name].site.pools
    assert any(n.site.power.generation for n in region.nodes.values())
    none = changed(DOCUMENT, "x", region, WhatIf(solar=0))
    assert not any(n.site.power.generation for n in none.nodes.values())


def test_everything_that_is_wrong_with_a_question_is_said_at_once() -> None:
    downs = (SiteDown(site="x", from_h=3, until_h=2), SiteDown(site="datong", from_h=-1, until_h=1e9))
    found = check(WhatIf(carbon_price=-1, solar=float("nan"), tariff=float("inf"), down=downs), ("datong",))
    assert sorted(p.path for p in found) == [
        "carbon_price", "down[0].site", "down[0].until_h", "down[1].from_h", "down[1].until_h", "solar", "tariff",
    ]  # fmt: skip
    assert check(WhatIf(down=(SiteDown(site="datong"),)), ("datong",)) == []
    assert len(check(WhatIf(down=downs * 60), ("datong",))) == 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(1, 20)), max_size=8))
def test_outages_that_meet_are_one_and_cover_the_same_time(given_: list[tuple[str, int, int]]) -> None:
    downs = [Down(site, begin, begin + length) for site, begin, length in given_]
    found = apart(downs)

    def covered(listed: list[Down]) -> set[tuple[str, int]]:
        return {(d.site, t) for d in listed for t in range(d.from_s, d.until_s)}

    assert covered(found) == covered(downs)
    assert sum(d.until_s - d.from_s for d in found) == len(covered(found))


def test_of_a_timeline_everybody_sees_the_own_jobs_and_the_sums_of_all() -> None:
    def job(tenant: str, site: str) -> TimelineJob:
        return TimelineJob(
            job=f"{site}-{tenant}", name="n", tenant=tenant, kind="", state=JobState.SUCCEEDED, origin="x", site=site,
            pool="p", cores=1, submitted_s=1, start_s=2, end_s=3, fen=4, facility_mwh=5, carbon_mg=6,
        )  # fmt: skip

    jobs = tuple(job(t, s) for t in ("a", "b") for s in ("x", "y"))
    sums = TimelineSums(jobs=4, succeeded=4, fen=16, facility_mwh=20, carbon_mg=24, mean_wait_s=1.0, late=0)
    whole = Timeline(begin_s=0, end_s=9, sums=sums, jobs=jobs)
    for reach, seen in (
        (Reach(everything=True), jobs),
        (Reach(tenant="a"), jobs[:2]),
        (Reach(sites=frozenset("x")), (jobs[0], jobs[2])),
        (Reach(), ()),
    ):
        found = within(whole, reach)
        assert found.jobs == seen and found.hidden == 4 - len(seen) and found.sums == sums
