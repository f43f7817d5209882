"""Asking down the tree chooses what a look at every pool does; which node decides; what nodes are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.supply import Board
from sanjin.kernels import tables
from sanjin.kernels.board import BLOCK
from sanjin.kernels.carry import Lines
from sanjin.kernels.tiers import LEVELS, Offers
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Region
from sanjin.model.series import Quantity, Series
from sanjin.regions.country import Recipe as Country
from sanjin.regions.country import country
from sanjin.regions.load import bundled, load_region, read_region
from sanjin.replay import tiers
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import replay_online
from sanjin.replay.outages import Outage
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, slots_of, workload

SHANXI = load_region(bundled("shanxi"))
COUNTRY = read_region(country(Country(prefectures=62, pools=500)), "country")
EVERY_POOL = 10**9


def busy(seed: int, data_share: float = 0.2, jobs: int = 1500) -> Workload:
    """Jobs that come within hours, and fill what is cheap."""
    trace = generate(Recipe(jobs=jobs, days=0.25, seed=seed, widest=5, over_asked=2.0))
    rule = MapRule(seed=seed, fold_days=0, load=0.9, data_share=data_share)
    return workload(COUNTRY, trace, rule, slots_of(trace, rule))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([Rule.LEAST_TOTAL, Rule.EARLIEST_FINISH, Rule.GREENEST]), st.booleans())
def test_down_the_tree_is_found_what_a_look_at_every_pool_finds(seed: int, rule: Rule, failing: bool) -> None:
    work = busy(seed)
    if failing:
        work = replace(work, outages=(Outage(site="horinger", from_s=3000, until_s=9000),))
    policy = Policy(rule=rule, move_gain_fen=-1)
    down, every = replay_online(work, policy), replay_online(work, policy, many_pools=EVERY_POOL)
    assert down.asked is not None and every.asked is None
    assert down.digest() == every.digest()
    assert down.end_s.tolist() == every.end_s.tolist() and down.lost.job.tolist() == every.lost.job.tolist()


def test_moves_of_waiting_work_are_the_same_too() -> None:
    work = busy(3, jobs=2500)
    policy = Policy(move_gain_fen=0)
    down, every = replay_online(work, policy), replay_online(work, policy, many_pools=EVERY_POOL)
    assert down.moves == every.moves > 0 and down.digest() == every.digest()


def test_few_nodes_are_asked_a_job() -> None:
    work = busy(1)
    found = replay_online(work, Policy(move_gain_fen=-1))
    assert found.asked is not None
    assert len(work) < found.asked.sum() < len(work) * len(COUNTRY.nodes) / 3


def test_where_a_price_is_below_nothing_every_pool_is_looked_at() -> None:
    trace = generate(Recipe(jobs=50, days=0.25, widest=3))
    rule = MapRule(fold_days=0)
    begin = workload(COUNTRY, trace, rule, slots_of(trace, rule)).begin_s // 3600
    cheap = {Quantity.PRICE: {"horinger": np.full(24, -0.4)}}
    series = Series(name="s", source="s", synthetic=True, first_hour=begin, hours=24, values=cheap)
    work = workload(COUNTRY, trace, rule, slots_of(trace, rule), series)
    assert replay_online(work, Policy(move_gain_fen=-1)).asked is None


@pytest.mark.parametrize("region", [SHANXI, COUNTRY])
def test_the_lowest_node_with_both_in_its_subtree_decides(region: Region) -> None:
    names = list(region.nodes)
    both = np.array([(a, b) for a in range(len(names)) for b in range(len(names))])[:: 1 + len(names) // 12]
    found = tiers.deciders(region, both[:, 0], both[:, 1])
    for (a, b), node in zip(both.tolist(), found.tolist(), strict=True):
        under = region.subtree(names[node])
        assert names[a] in under and names[b] in under
        children = region.children(names[node])
        assert not any({names[a], names[b]} <= set(region.subtree(c)) for c in children)
    near = tiers.nearness(region)
    assert (near.diagonal()[both[:, 0]] >= near[both[:, 0], both[:, 1]]).all()


def test_offers_say_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a whole replay, each pool says what it has, and each offer the most of those below it, slot by slot."""
    kept: list[tuple[Offers, Board]] = []
    real = tiers.offers_of

    def seen(region: Region, pool: tables.Ints, board: Board, lines: Lines, weights: tables.Weights) -> Offers:
        offers = real(region, pool, board, lines, weights)
        kept.append((offers, board))
        return offers

    monkeypatch.setattr("sanjin.replay.online.offers_of", seen)
    work = busy(5)
    replay_online(work, Policy(move_gain_fen=-1))
    [(offers, board)] = kept
    free, count, slots = offers.free, len(work.pool), work.supply.slots
    assert (free[0, :count] == np.clip(board.cores, -1, None)).all()
    for level in range(1, LEVELS):
        for k in range(slots - (1 << level)):
            assert (free[level, :count, k] == free[0, :count, k : k + (1 << level)].min(axis=1)).all()
    for g in range(len(offers.first)):
        below = offers.below[offers.first[g] : offers.last[g]]
        assert (free[:, count + g] == free[:, below].max(axis=1)).all()
    for b in range(offers.most.shape[2]):
        assert (offers.most[:, :, b] == free[:, :, b * BLOCK : (b + 1) * BLOCK].max(axis=2)).all()
