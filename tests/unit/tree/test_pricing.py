"""Prices of scarcity keep themselves up to date: demand goes up the tree, prices come down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sanjin.model import event as ev
from sanjin.model.job import JobSpec, Submission
from sanjin.model.policy import Policy
from sanjin.model.units import HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.tree import pricing
from tests.tree_world import World, shrunk

HOME = "linfen"


def crowd(world: World, jobs: int) -> None:
    """More work for a small site than it can do at once."""
    spec = JobSpec(
        name="t", command=("true", "secret"), cores=8, duration_s=HOUR_S, site=HOME, delay_price_fen_per_hour=200
    )
    asked = [Submission(key=f"{world.clock.now()}-{i}", spec=replace(spec, cores=4 + i % 5)) for i in range(jobs)]
    world.nodes[HOME].submit(asked)
    for _ in range(4):
        world.turn(3)
        world.clock.advance(world.clock.now() + 1)


@pytest.fixture
def region():
    return shrunk(load_region(bundled("shanxi")), HOME, 8)


def turn_until_priced(world: World) -> None:
    world.nodes["taiyuan"].pricing.settle()
    for _ in range(6):
        world.clock.advance(world.clock.now() + 1)
        world.turn(3)


def test_the_root_learns_from_work_anywhere_and_every_node_uses_it(tmp_path: Path, region) -> None:
    world = World(tmp_path, region, policy=Policy(price_refresh_hours=1))
    kept = []
    world.nodes["taiyuan"].parts.keep_prices = kept.append
    crowd(world, pricing.LEAST_JOBS + 10)
    world.run(HOUR_S + 120, by=60)
    turn_until_priced(world)
    found = world.nodes["taiyuan"].pricing.prices
    assert found is not None and found.jobs == pricing.LEAST_JOBS + 10
    assert max(found.core[f"{HOME}/{region.nodes[HOME].site.pools[0].id}"]) > 0
    assert kept == [found]
    for node in world.nodes.values():
        assert node.view.supply.scarcity == found, node.name
        told = [e for e in node.parts.store.journal(limit=10_000) if e.kind == "node.priced"]
        assert len(told) == 1
        event = ev.decode(told[0].kind, told[0].body)
        assert isinstance(event, ev.Priced) and event.jobs == found.jobs
        # placement counts them from now on
        supply = node.view.supply
        pool = next(p for p, name in enumerate(supply.pools) if name.startswith(f"{HOME}/"))
        assert supply.board.cells[supply.board.rows.core + pool, -1] > 0
    world.close()


def test_what_goes_up_says_nothing_of_commands(tmp_path: Path, region) -> None:
    world = World(tmp_path, region, policy=Policy(price_refresh_hours=1))
    crowd(world, 5)
    seen = world.nodes["taiyuan"].pricing.seen
    assert len(seen) == 5
    assert all(s.spec.command == () and s.spec.environment == {} for s in seen.values())
    world.close()


def test_a_root_that_begins_anew_hears_of_last_weeks_work_again(tmp_path: Path, region) -> None:
    world = World(tmp_path, region, policy=Policy(price_refresh_hours=1))
    crowd(world, 20)
    world.nodes["taiyuan"].parts.store.close()
    world.open("taiyuan")
    crowd(world, 1)  # a call of theirs that the old root held is lost: the next comes with news
    for _ in range(4):
        world.clock.advance(world.clock.now() + 6)
        world.turn(3)
    assert len(world.nodes["taiyuan"].pricing.seen) == 21
    world.close()


def test_few_jobs_and_a_policy_of_never_leave_prices_alone(tmp_path: Path, region) -> None:
    for number, (jobs, hours) in enumerate(((pricing.LEAST_JOBS - 1, 1), (pricing.LEAST_JOBS + 10, 0))):
        world = World(tmp_path / str(number), region, policy=Policy(price_refresh_hours=hours))
        crowd(world, jobs)
        world.run(HOUR_S + 120, by=120)
        turn_until_priced(world)
        assert all(node.pricing.prices is None for node in world.nodes.values())
        world.close()


def test_only_the_latest_jobs_are_kept(tmp_path: Path, region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "SEEN_MAX", 10)
    world = World(tmp_path, region)
    crowd(world, 25)
    seen = world.nodes["taiyuan"].pricing.seen
    assert list(seen) == [f"{HOME}-{i}" for i in range(16, 26)]
    world.close()


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa1a\x01", b"[]"])
def test_what_cannot_be_read_is_left_aside(tmp_path: Path, region, body: bytes) -> None:
    made = pricing.Pricing(region, Policy(), True, None, 0)
    made.from_child(body)
    assert made.from_parent(body) is None
    assert not made.seen
