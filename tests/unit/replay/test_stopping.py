"""Work that can stop and go on in replays: the compiled loop against the live flow, and what it adds up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanjin.adapters.store.memory import MemoryStore
from sanjin.cli.deeper import through_flow
from sanjin.flow.audit import verify
from sanjin.flow.settle import settle
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Region
from sanjin.model.units import HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.compare import RULES, assumptions, compare, figures
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import checkpoint, replay_online
from sanjin.replay.outages import Outage
from sanjin.replay.outcome import Halted, LawBroken, Outcome, account
from sanjin.replay.read import read_trace
from sanjin.replay.scenario import Scenario
from sanjin.replay.sweep import sweep
from sanjin.replay.through_flow import at_the_root, by_epoch, replay_through_flow
from sanjin.replay.through_node import TENANT, in_whole_fen, replay_through_nodes
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, workload

SLOTS = 96 + 2 * HORIZON_SLOTS


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region(bundled("shanxi"))


def mapped(region: Region, seed: int, jobs: int = 60, over: float = 2.0, share: float = 0.6, **rule: float) -> Workload:
    """Jobs of hours, most of them stoppable, some patient and some urgent, for pools that hold a few."""
    recipe = Recipe(
        jobs=jobs, days=0.5, seed=seed, widest=3, over_asked=over, median_s=2 * HOUR_S, longest_s=10 * HOUR_S
    )
    given = {"load": 2.0, "fold_days": 0, "data_share": 0, "delay_low_yuan": 1e-4, "delay_high_yuan": 2.0, **rule}
    how = MapRule(seed=seed, stoppable_share=share, stop_cost_s=60 + 240 * (seed % 3), **given)
    return in_whole_fen(workload(region, generate(recipe), how, SLOTS))


def made(region: Region, seed: int, **how: float) -> Workload:
    """The same, all submitted at the root."""
    return at_the_root(mapped(region, seed, **how))


def through_the_flow(work: Workload, policy: Policy, epoch_s: int = 0, store: MemoryStore | None = None) -> Outcome:
    return replay_through_flow(work, policy, epoch_s, store or MemoryStore(), lambda _: None)


def same(one: Outcome, other: Outcome) -> None:
    assert one.place.tolist() == other.place.tolist()
    assert one.start_s.tolist() == other.start_s.tolist()
    assert one.end_s.tolist() == other.end_s.tolist()
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    ("seed", "stop_gain_fen", "move_gain_fen", "rule", "over"),
    [
        (102, 0, 0, Rule.HOME_ONLY, 2.0), (106, 10, -1, Rule.HOME_ONLY, 1.0), (0, 0, -1, Rule.LEAST_TOTAL, 2.0),
        (3, 10, 1, Rule.LEAST_TOTAL, 2.0), (111, 0, 0, Rule.HOME_ONLY, 2.0), (2, -1, -1, Rule.HOME_ONLY, 2.0),
        (0, -1, 0, Rule.LEAST_TOTAL, 1.0), (29, 10, 0, Rule.EARLIEST_FINISH, 2.0),
    ],
)  # fmt: skip
def test_the_flow_stops_and_divides_as_the_loop_does(
    region: Region, seed: int, stop_gain_fen: int, move_gain_fen: int, rule: Rule, over: float
) -> None:
    """Windows, stops at their ends, runs that make room, work that is placed again: the same, job for job."""
    work = made(region, seed, over=over)
    policy = Policy(rule=rule, stop_gain_fen=stop_gain_fen, move_gain_fen=move_gain_fen)
    compiled = replay_online(work, policy)
    same(compiled, through_the_flow(work, policy))
    assert bool(compiled.halted.for_room.any()) == (stop_gain_fen >= 0)
    if rule is not Rule.EARLIEST_FINISH:
        assert (compiled.halted.for_room == 0).any()  # and some stop as their window ends
    account(work, compiled)


@pytest.mark.parametrize("epoch_s", [60, SLOT_S])
def test_the_flow_under_an_epoch_does_too(region: Region, epoch_s: int) -> None:
    work, policy = made(region, 102), Policy(rule=Rule.HOME_ONLY)
    compiled = replay_online(by_epoch(work, epoch_s), policy)
    assert len(compiled.halted)
    same(compiled, through_the_flow(work, policy, epoch_s))


def test_an_epoch_that_ends_within_slots_is_refused(region: Region) -> None:
    with pytest.raises(ProblemsFound) as found:
        through_flow(made(region, 1, jobs=5), None, 7, 0, "json")
    assert [(p.path, p.code) for p in found.value.problems] == [("--epoch", "stoppable_epoch")]


@pytest.mark.parametrize("rule", [Rule.LEAST_TOTAL, Rule.HOME_ONLY])
def test_live_nodes_divide_a_trace_as_the_loop_does(region: Region, tmp_path: Path, rule: Rule) -> None:
    """The whole tree, where only the site that runs a job divides it; without moves and without making room."""
    work = mapped(region, 7, jobs=60, load=0.8)
    second = np.maximum.accumulate(work.trace.arrive_s + np.arange(len(work)))  # one at a time
    work = replace(work, trace=replace(work.trace, arrive_s=second))
    compiled = replay_online(work, Policy(rule=rule, move_gain_fen=-1, stop_gain_fen=-1))
    assert len(compiled.halted) >= 3
    same(compiled, replay_through_nodes(work, Policy(rule=rule), tmp_path, lambda _: MemoryStore(), lambda _: None))


def test_every_run_is_metered_and_every_bill_follows(region: Region) -> None:
    work, store, policy = made(region, 102), MemoryStore(), Policy(rule=Rule.HOME_ONLY)
    found = through_the_flow(work, policy, store=store)
    entries = store.journal(limit=10**6)

    def again(metered):
        return settle(metered, TENANT, region.nodes[metered.site].site.grid)

    assert verify("taiyuan", entries, store.tip(), store.ledger(), again).problems == ()
    meters = [m for e in entries if isinstance(m := ev.decode(e.kind, e.body), ev.Metered)]
    sums = account(work, found)
    assert len(meters) == len(work) + int((found.halted.end_s > found.halted.start_s).sum()) > len(work) + 20
    assert sum(m.core_seconds for m in meters) == sums.core_s.sum()


FAILING = (
    Outage(site="taiyuan", from_s=20 * SLOT_S + 7, until_s=60 * SLOT_S),
    Outage(site="datong", from_s=30 * SLOT_S, until_s=50 * SLOT_S, announced=True),
    Outage(site="yangquan", from_s=100 * SLOT_S + 1, until_s=130 * SLOT_S),
)


@pytest.mark.parametrize("seed", [0, 2, 9, 102, 106])
@pytest.mark.parametrize("gain", [-1, 0])
def test_where_sites_fail_the_laws_hold_and_what_was_kept_there_is_lost(region: Region, seed: int, gain: int) -> None:
    work = replace(mapped(region, seed, jobs=150, load=1.5, data_share=0.3), outages=FAILING)
    found = replay_online(work, Policy(stop_gain_fen=gain, move_gain_fen=gain))
    sums = account(work, found)
    assert (found.place >= 0).all() and len(found.halted) > 0
    gone = found.halted.kept == 0
    assert sums.lost_core_s > 0 and sums.wait_s.min() >= 0
    fails = {work.supply.site_index[o.site]: work.begin_s + o.from_s for o in FAILING if not o.announced}
    for p, end in zip(found.halted.place[gone], found.halted.end_s[gone], strict=True):
        assert end <= fails[int(work.pool[p, tables.SITE])]


def test_work_that_is_lost_or_done_twice_is_never_shown(region: Region) -> None:
    work = made(region, 102)
    found = replay_online(work, Policy(rule=Rule.HOME_ONLY))
    of = found.halted
    for wrong in (
        replace(of, end_s=of.end_s - (np.arange(len(of)) == 3) * 60),
        Halted(*(a[1:] for a in (of.job, of.place, of.start_s, of.end_s, of.kept, of.resumed, of.for_room))),
    ):
        with pytest.raises(LawBroken):
            account(work, replace(found, halted=wrong))
    assert replace(found, halted=Halted()).digest() != found.digest()


def test_stopping_saves_and_rules_beside_the_own_make_no_room(region: Region) -> None:
    work = mapped(region, 4, jobs=200, load=0.1, delay_high_yuan=0.01)
    whole = replace(work, stoppable=np.zeros(len(work), np.bool_))
    found, without = (figures(w, compare(w)) for w in (work, whole))
    by = {n.rule: n for n in found}
    assert [n.rule for n in found] == list(RULES)
    assert by["own"].stops > 0 and by["own"].total_yuan < without[0].total_yuan
    assert all(n.made_room == 0 for n in found[1:]) and by["easy_at_home"].stops == 0
    assert all(n.stops == 0 for n in without)
    said, plain = ({en for en, _ in assumptions(w)} for w in (work, whole))
    assert sum("stoppable" in en.lower() for en in said - plain) == 1 and len(said - plain) == 2


def test_a_trace_says_which_work_can_stop_and_a_share_is_drawn_of_the_rest(region: Region, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = ["arrive_s,run_s,cores,stoppable,stop_cost_s", "0,60,1,1,5", "1,60,1,0,nan", "2,60,1,nan,nan", "3,60,1,1,-1"]
    path.write_text("\n".join(rows))
    trace = read_trace(path)
    assert trace.stoppable.tolist() == [1, 0, -1, 1] and trace.stop_cost_s.tolist() == [5, -1, -1, -1]
    for share, third in ((0.0, False), (1.0, True)):
        work = workload(region, trace, MapRule(stoppable_share=share, stop_cost_s=90), 2 * HORIZON_SLOTS)
        assert work.stoppable.tolist() == [True, False, third, True]
        assert work.stop_cost_s.tolist() == [5, 90, 90, 90]
    assert trace.part(slice(1, 3)).stoppable.tolist() == [0, -1]


def test_a_world_that_changes_in_the_middle_is_refused(region: Region) -> None:
    work = mapped(region, 1, jobs=20)
    later = Scenario(id="later", title_en="", title_zh="", region=region, policy=Policy(), from_s=SLOT_S)
    with pytest.raises(ProblemsFound) as found:
        sweep(work, [later], None, 1)
    assert [p.code for p in found.value.problems] == ["fork_of_stoppable"]
    assert checkpoint(replace(work, stoppable=np.zeros(20, np.bool_)), Policy(), SLOT_S).arrived >= 0
