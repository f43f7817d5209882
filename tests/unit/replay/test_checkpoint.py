"""What-ifs that begin in the middle of a replay: nothing changed changes nothing, and what was before stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loop import AHEAD, LINKS, REGION, RULES, SITES, small

from sanjin.kernels import tables
from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import Policy, Rule
from sanjin.model.units import SLOT_S
from sanjin.regions.load import bundled
from sanjin.replay import online, tiers
from sanjin.replay.compare import RULES as COMPARED
from sanjin.replay.outages import Outage
from sanjin.replay.outcome import account
from sanjin.replay.scenario import load_scenarios
from sanjin.replay.sweep import sweep
from sanjin.replay.workload import Checkpoint, Fork, Workload, in_other_world


@pytest.fixture(autouse=True)
def short_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "LOOK_AHEAD_S", AHEAD * SLOT_S)
    monkeypatch.setattr(tiers, "FEW", 2)
    monkeypatch.setattr(tiers, "STEPS", 1)


def forked(work: Workload, held: Checkpoint, **changes: object) -> Workload:
    """The same world with some changes, from the checkpoint on."""
    return replace(work, fork=Fork(checkpoint=held, before=work), **changes)  # pyright: ignore[reportArgumentType]


plain = settings(max_examples=40, deadline=None)
seeds, times, gains = st.integers(0, 2**31), st.integers(0, 30), st.sampled_from([-1, 0, 1])


@plain
@given(seeds, st.sampled_from([1.0, 4.0]), st.booleans(), RULES, gains, times, st.booleans())
def test_a_fork_without_a_change_is_the_replay_itself(
    seed: int, over: float, data: bool, rule: Rule, gain: int, slot: int, tree: bool
) -> None:
    work, policy, many = small(seed, over, data, ()), Policy(rule=rule, move_gain_fen=gain), 0 if tree else 10**6
    whole = online.replay_online(work, policy, many_pools=many)
    held = online.checkpoint(work, policy, slot * SLOT_S, many_pools=many)
    found = online.replay_online(forked(work, held), policy, many_pools=many)
    assert found.digest() == whole.digest() and found.moves == whole.moves
    assert found.end_s.tolist() == whole.end_s.tolist()
    again = account(forked(work, held), found)
    assert again.terms == account(work, whole).terms


@plain
@given(seeds, st.booleans(), gains, st.booleans())
def test_a_fork_at_the_begin_is_the_other_world(seed: int, data: bool, gain: int, dear: bool) -> None:
    work, policy = small(seed, 2.0, data, ()), Policy(move_gain_fen=gain)
    price = replace(REGION.carbon_price, value=5000.0 if dear else 0.0)
    region = replace(REGION, carbon_price=price)
    other = replace(in_other_world(work, region, None, ()), pool=work.pool, cap_mw=work.cap_mw, origin=work.origin)
    held = online.checkpoint(work, policy, 0)
    same = replace(in_other_world(work, region, None, (), None, held), pool=work.pool, cap_mw=work.cap_mw)
    whole, found = (online.replay_online(w, policy) for w in (other, replace(same, origin=work.origin)))
    assert found.digest() == whole.digest()
    assert account(replace(same, origin=work.origin), found).terms == account(other, whole).terms


@plain
@given(seeds, st.booleans(), gains, times, st.integers(0, 8), st.sampled_from([None, *LINKS]), st.booleans())
def test_what_began_before_goes_on_and_the_rest_keeps_every_law(
    seed: int, data: bool, gain: int, slot: int, cores: int, cut: tuple[str, str] | None, announced: bool
) -> None:
    """With less capacity from the fork on, a site that goes down and a link that is cut."""
    work, policy = small(seed, 2.0, data, ()), Policy(move_gain_fen=gain)
    held = online.checkpoint(work, policy, slot * SLOT_S)
    pool = work.pool.copy()
    pool[:, tables.CORES] = np.minimum(pool[:, tables.CORES], np.where(pool[:, tables.SITE] < 2, cores, 8))
    at = slot * SLOT_S + 300
    down = [Outage(site=SITES[2], from_s=at, until_s=at + 7 * SLOT_S, announced=announced)]
    down += [Outage(link=cut, from_s=at, until_s=at + 5000)] if cut else []
    other = forked(work, held, pool=pool, outages=tuple(down))
    whole, found = online.replay_online(work, policy), online.replay_online(other, policy)
    account(other, found)  # raises where a law is broken
    began = (held.place >= 0) & (held.start_s < work.begin_s + slot * SLOT_S)
    kept = began & ~np.isin(np.arange(len(work)), found.lost.job)
    for a, b in ((found.place, whole.place), (found.start_s, whole.start_s), (found.end_s, whole.end_s)):
        assert (a[kept] == b[kept]).all()
    late = ~began & (found.place >= 0)
    assert (found.start_s[late] >= work.begin_s + slot * SLOT_S).all()


def test_what_was_used_before_is_paid_at_the_prices_of_then() -> None:
    work, policy = small(3, 1.0, False, ()), Policy()
    at = 8
    held = online.checkpoint(work, policy, at * SLOT_S)
    region = replace(REGION, carbon_price=replace(REGION.carbon_price, value=900.0))
    other = in_other_world(work, region, None, (), None, held)
    first = work.begin_s // SLOT_S
    before, after = work.supply.book.at(first), other.supply.book.at(first)
    col = first - before.first_slot
    assert (before.carbon[:, : col + at] == after.carbon[:, : col + at]).all()
    assert (before.carbon[:, col + at :] < after.carbon[:, col + at :]).all()


def test_scenarios_fork_where_they_say_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # other processes look as far ahead as ever
    text = """
scenarios:
  same: {from_h: 1}
  dear: {from_h: 1, region: {carbon_price: 900}}
  dear-always: {region: {carbon_price: 900}}
  down: {from_h: 1, outages: [{site: datong, from_h: 2, until_h: 6}]}
"""
    (tmp_path / "what-if.yaml").write_text(text)
    work = in_other_world(small(11, 2.0, True, ()), REGION, None, ())
    worlds = load_scenarios(tmp_path / "what-if.yaml", bundled("shanxi"), None, COMPARED)
    own = online.replay_online(work, Policy())
    found = {s.id: n for s, n in sweep(work, worlds, None, workers=1)}
    assert found == {s.id: n for s, n in sweep(work, worlds, None, workers=2)}
    assert found["same"].digest == own.digest()
    assert account(work, own).terms["carbon"] < found["dear"].terms_yuan["carbon"]
    assert found["dear"].terms_yuan["carbon"] < found["dear-always"].terms_yuan["carbon"]
    assert all(n.ran == len(work) for n in found.values())


def test_what_cannot_change_in_the_middle_is_said_all_at_once(tmp_path: Path) -> None:
    text = """
scenarios:
  queues: {from_h: 1, rule: easy_at_home}
  late: {from_h: 3000}
  early: {from_h: 1, outages: [{site: datong, from_h: 0.5, until_h: 30}]}
  faster: {from_h: 1, region: {nodes: {datong: {pools: {general: {speed: 2}}}}}}
"""
    (tmp_path / "what-if.yaml").write_text(text)
    worlds = load_scenarios(tmp_path / "what-if.yaml", bundled("shanxi"), None, COMPARED)
    with pytest.raises(ProblemsFound) as fault:
        sweep(small(11, 2.0, False, ()), worlds, None)
    assert {p.code for p in fault.value.problems} == {
        "fork_of_queues", "fork_after_all", "fork_after_outage", "fork_of_pools"
    }  # fmt: skip
