"""A what-if from the live state of a region: it goes on as it was about to, and the original is not touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sanjin.adapters.store.sqlite import SqliteStore, snapshot
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy
from sanjin.model.units import GB, HORIZON_SLOTS, HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.fork import Forked, fork, last_s, with_payer
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.through_node import in_whole_fen
from sanjin.replay.workload import Rule, Workload, workload
from tests.tree_world import World, shrunk


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Yangquan is small, of speed 1: runs there last what was planned for them."""
    made = World(tmp_path / "live", shrunk(load_region(bundled("shanxi")), "yangquan", 64))
    made.turn(6)
    yield made
    made.close()


def submit(world: World, name: str, key: str, cores: int = 16, hours: int = 2, **more: Any) -> str:
    spec = JobSpec(
        name=key, command=() if more.get("reserves") else ("true",), cores=cores, memory_bytes=GB,
        duration_s=hours * HOUR_S, environment={"RUN_S": str(hours * HOUR_S)}, **more,
    )  # fmt: skip
    future = world.nodes[name].submit([Submission(key=key, spec=spec)])
    world.run(60, by=20)
    return future.result(0)[0].id


def busy(world: World, full_days: int = 8) -> dict[str, str]:
    """One of each: running, placed for later, a reservation, work given to another node, and on a full horizon waiting
    without a place."""
    now = world.clock.now()
    ids = {
        "runs": submit(world, "yangquan", "runs", cores=48, site="yangquan", delay_price_fen_per_hour=10**5),
        "reserves": submit(world, "yangquan", "reserves", cores=16, site="yangquan", reserves=True, hours=5),
        "placed": submit(world, "yangquan", "placed", cores=48, site="yangquan", delay_price_fen_per_hour=10**5),
        "later": submit(world, "taiyuan", "later", earliest_start_s=now + 9 * HOUR_S, deadline_firm=False),
        "away": submit(world, "datong", "away", cores=40, site="changzhi", delay_price_fen_per_hour=10**5),
    }
    for day in range(full_days):  # eight: the horizon is full
        submit(world, "yangquan", f"full{day}", cores=64, hours=24, site="yangquan", delay_price_fen_per_hour=10**5)
    ids["queued"] = submit(world, "yangquan", "queued", cores=64, hours=24, site="yangquan")
    world.run(1800, by=60)
    return ids


def forked(world: World, to: Path, work: Workload | None = None) -> Forked:
    stores: dict[str, SqliteStore] = {}
    for name in world.nodes:
        snapshot(world.folder / name / "state.db", to / name / "state.db")
        stores[name] = SqliteStore(to / name / "state.db")
    data = {n: frozenset(d.id for d in world.region.datasets.values() if n in d.replicas) for n in world.nodes}
    return fork(stores, world.region, Policy(), work, data)


def digests(world: World) -> dict[str, str]:
    files = [world.folder / n / f"state.db{end}" for n in world.nodes for end in ("", "-wal")]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


def test_all_work_goes_on_as_it_was_placed_and_the_original_is_not_touched(world: World, tmp_path: Path) -> None:
    ids, before = busy(world), digests(world)
    states = {name: world.nodes[job.rpartition("-")[0]].parts.store.job(job).state for name, job in ids.items()}
    assert states["runs"] is JobState.RUNNING and states["reserves"] is JobState.RUNNING
    assert states["placed"] is JobState.PLACED and states["queued"] is JobState.QUEUED
    found = forked(world, tmp_path / "fork")
    assert digests(world) == before
    became = {b.job: b for b in found.there}
    assert found.begin_s == last_s({n: node.parts.store for n, node in world.nodes.items()})
    assert found.came == () and {b.before for b in found.there} >= {JobState.RUNNING, JobState.PLACED}
    assert {b.after for b in found.there} == {JobState.SUCCEEDED}
    assert all(b.as_placed for b in found.there if b.place)
    waited = [b for b in found.there if b.place is None]
    assert ids["queued"] in {b.job for b in waited} and all(b.start_s > found.begin_s for b in waited)
    # the live region, let go on, does the same
    world.run(12 * HOUR_S, by=60)
    for name in ("runs", "placed", "later", "away", "reserves"):
        record = world.nodes[ids[name].rpartition("-")[0]].parts.store.job(ids[name])
        mine = became[ids[name]]
        assert (record.state, record.site, record.pool) == (mine.after, mine.site, mine.pool)
        assert record.start_s == mine.start_s
        if record.site == "yangquan":  # where machines are of speed 1; the live region is looked at every minute
            assert abs(record.end_s - mine.end_s) <= 60


def test_a_trace_comes_on_top_and_waits_for_what_is_there(world: World, tmp_path: Path) -> None:
    ids = busy(world, full_days=1)
    begin_s = last_s({n: node.parts.store for n, node in world.nodes.items()})
    trace = generate(Recipe(jobs=30, days=0.1, seed=3, widest=4))
    rule = Rule(load=0.0, fold_days=0, data_share=0, begin_s=begin_s)
    work = in_whole_fen(workload(with_payer(world.region), trace, rule, 96 + 2 * HORIZON_SLOTS))
    found = forked(world, tmp_path / "fork", work)
    assert found.refused == 0 and len(found.came) == 30
    assert all(b.after is JobState.SUCCEEDED and b.start_s >= b.submitted_s >= begin_s for b in found.came)
    assert sum(b.fen for b in found.came) > 0
    assert {b.job for b in found.there} >= set(ids.values())
