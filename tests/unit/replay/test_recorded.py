"""What a live region did, done again from its journals: the same placements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import DataGrade
from sanjin.model.units import GB, HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.recorded import Compared, compare, read, replay_recorded
from tests.tree_world import World, shrunk


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Yangquan is small, so that its own work does not all fit."""
    made = World(tmp_path, shrunk(load_region(bundled("shanxi")), "yangquan", 64))
    made.turn(6)
    yield made
    made.close()


def a_days_work(world: World, jobs: int = 27, seed: int = 5) -> None:
    """Jobs of all kinds from many nodes at seconds of their own; some stoppable, some arrays, some with data."""
    draw, names = np.random.default_rng(seed), list(world.region.nodes)
    data = [d for d in world.region.datasets.values() if d.grade is DataGrade.GENERAL]
    for i in range(jobs):
        world.run(int(draw.integers(20, 900)), by=int(draw.integers(7, 120)))
        world.clock.advance(world.clock.now() + 1)
        spec = JobSpec(
            name=f"j{i}",
            command=("true",),
            environment={"RUN_S": str(int(draw.integers(300, 5000)))},
            cores=int(draw.integers(1, 33)),
            memory_bytes=GB,
            duration_s=int(draw.integers(600, 7200)),
            delay_price_fen_per_hour=int(draw.integers(0, 3000)),
            stoppable=i % 9 in (3, 7),
            members=4 if i % 9 == 4 else 0,
            inputs=(data[i % len(data)].id,) if i % 8 == 5 else (),
        )
        name = "yangquan" if i % 3 == 0 else names[int(draw.integers(len(names)))]
        node = world.nodes[name]
        future = node.submit([Submission(key=f"k{i}", spec=spec)])
        world.turn(3)
        assert future.result(0)
    for _ in range(48):
        world.run(HOUR_S, by=300)
        if all(JobState(s).ended for node in world.nodes.values() for s in node.parts.store.counts()):
            break


def again(world: World, policy: Policy | None = None) -> Compared:
    recorded = read({name: node.parts.store for name, node in world.nodes.items()})
    replayed = replay_recorded(recorded, world.region, policy or Policy())
    return compare(recorded, replayed, world.region)


def test_a_recorded_day_is_placed_alike_and_under_another_rule_it_is_not(world: World) -> None:
    a_days_work(world)
    found = again(world)
    assert found.submitted == 27 and found.others == ()
    assert found.same == found.same_second == found.jobs >= 27
    other = again(world, Policy(rule=Rule.GREENEST))
    assert other.same < other.jobs and len(other.others) == other.jobs - other.same
    assert all(o.recorded and o.replayed and o.recorded != o.replayed for o in other.others)


def test_cancelled_work_is_cancelled_again_and_makes_room_as_it_did(world: World) -> None:
    node, ids = world.nodes["yangquan"], list[str]()
    for i in range(4):  # each fills the site, and must run there
        spec = JobSpec(name=f"c{i}", command=("true",), cores=64, memory_bytes=GB, duration_s=4 * HOUR_S,
                       environment={"RUN_S": "14000"}, site="yangquan")  # fmt: skip
        future = node.submit([Submission(key=f"c{i}", spec=spec)])
        world.run(120, by=30)
        ids += [r.id for r in future.result(0)]
    for job in ids[:2]:  # one that runs, one that waits
        node.cancel(job)
        world.run(600, by=30)
    world.run(24 * HOUR_S, by=300)
    assert node.parts.store.counts() == {"cancelled": 2, "succeeded": 2}
    found = again(world)
    assert found.others == () and found.same == 4
