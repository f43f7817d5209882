"""Work that can stop and go on in replays: the compiled loop against the live flow, and what it adds up to."""

from __future__ import annotations

import pytest

from sanjin.adapters.store.memory import MemoryStore
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.units import HORIZON_SLOTS, HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import Outcome, account
from sanjin.replay.through_flow import at_the_root, replay_through_flow
from sanjin.replay.through_node import in_whole_fen
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, workload

SLOTS = 96 + 2 * HORIZON_SLOTS


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region(bundled("shanxi"))


def made(region: Region, seed: int, jobs: int = 60, over: float = 2.0, share: float = 0.6, **rule: object) -> Workload:
    """Jobs of hours, most of them stoppable, some patient and some urgent, for pools that hold a few."""
    recipe = Recipe(
        jobs=jobs, days=0.5, seed=seed, widest=3, over_asked=over, median_s=2 * HOUR_S, longest_s=10 * HOUR_S
    )
    given = {"load": 2.0, "fold_days": 0, "data_share": 0, "delay_low_yuan": 1e-4, "delay_high_yuan": 2.0, **rule}
    mapped = MapRule(seed=seed, stoppable_share=share, stop_cost_s=60 + 240 * (seed % 3), **given)
    return at_the_root(in_whole_fen(workload(region, generate(recipe), mapped, SLOTS)))


def same(one: Outcome, other: Outcome) -> None:
    assert one.place.tolist() == other.place.tolist()
    assert one.start_s.tolist() == other.start_s.tolist()
    assert one.end_s.tolist() == other.end_s.tolist()
    assert one.digest() == other.digest()


@pytest.mark.parametrize("move_gain_fen", [-1, 1])
@pytest.mark.parametrize("stop_gain_fen", [-1, 10])
@pytest.mark.parametrize("seed", range(4))
def test_the_flow_stops_and_divides_as_the_loop_does(
    region: Region, seed: int, stop_gain_fen: int, move_gain_fen: int
) -> None:
    work = made(region, seed)
    policy = Policy(stop_gain_fen=stop_gain_fen, move_gain_fen=move_gain_fen)
    compiled = replay_online(work, policy)
    live = replay_through_flow(work, policy, 0, MemoryStore(), lambda _: None)
    same(compiled, live)
    account(work, compiled)
