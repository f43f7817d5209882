"""What a live region did, done again from its journals: the same placements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy
from sanjin.model.region import DataGrade
from sanjin.model.units import GB, HOUR_S
from sanjin.replay.recorded import Compared, Recording, compare, read, replay_recorded
from tests.tree_world import World, shrunk
from sanjin.regions.load import bundled, load_region


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Yangquan is small, so that its own work does not all fit."""
    made = World(tmp_path, shrunk(load_region(bundled("shanxi")), "yangquan", 64))
    made.turn(6)
    yield made
    made.close()


def a_days_work(world: World, jobs: int = 40, seed: int = 5) -> None:
    """Jobs of all kinds from many nodes at seconds of their own; some stoppable, some arrays, some with data."""
    draw, names = np.random.default_rng(seed), list(world.region.nodes)
    data = [d for d in world.region.datasets.values() if d.grade is DataGrade.GENERAL]
    for i in range(jobs):
        world.run(int(draw.integers(20, 900)), by=int(draw.integers(7, 60)))
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
    world.run(48 * HOUR_S, by=300)


def again(world: World, policy: Policy | None = None) -> tuple[Recording, Compared]:
    recorded = read({name: node.parts.store for name, node in world.nodes.items()})
    replayed = replay_recorded(recorded, world.region, policy or Policy())
    return recorded, compare(recorded, replayed, world.region)


def test_a_recorded_day_is_placed_alike(world: World) -> None:
    a_days_work(world)
    recorded, found = again(world)
    print([o for o in found.others], found.same, found.same_second, found.jobs)
    assert found.submitted == 40 and found.others == ()
    assert found.same == found.jobs >= 40
