"""Replays: laws of every outcome, the online loop against the batch kernel, and no saving where all is alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.sql import SqlStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.settle import settle
from sanjin.flow.supply import Board
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Figure, Region, Status
from sanjin.model.series import Quantity, Series
from sanjin.model.units import HORIZON_SLOTS, SLOT_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.compare import RULES, compare, figures
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import LOOK_AHEAD_S, board_of, delays, replay_online
from sanjin.replay.outcome import LawBroken, Outcome, account
from sanjin.replay.read import read_trace
from sanjin.replay.rules import queue_at_home
from sanjin.replay.through_node import in_whole_fen, replay_through_nodes
from sanjin.replay.trace import Trace
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, workload
from tests.postgres_server import PostgresServer

SHARED = Path(__file__).resolve().parents[4] / "shared" / "traces"
SLOTS = 7 * 96 + 2 * HORIZON_SLOTS


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region(bundled("shanxi"))


def made(region: Region, seed: int = 1, jobs: int = 2000, over: float = 1.0, **rule: object) -> Workload:
    trace = generate(Recipe(jobs=jobs, days=3, seed=seed, over_asked=over, widest=4))
    return workload(region, trace, MapRule(seed=seed, **rule), SLOTS)


@pytest.mark.parametrize("over", [1.0, 3.0])
def test_every_rule_obeys_the_laws(region: Region, over: float) -> None:
    work = made(region, over=over)
    found = compare(work)
    assert [each.key for each in found] == list(RULES)
    for each, n in zip(found, figures(work, found), strict=True):
        assert n.ran == len(work) or (over > 1 and n.ran >= len(work) - 5)  # of what asks for too long at home
        assert n.total_yuan == pytest.approx(sum(n.terms_yuan.values()), abs=1e-3)
        assert sum(n.yuan_by_site.values()) == pytest.approx(n.total_yuan, abs=0.01)
        assert n.pue > 1 and n.facility_kwh == pytest.approx(n.it_kwh * n.pue, rel=1e-3)
        ran = each.outcome.place >= 0
        assert (each.outcome.start_s >= work.begin_s + work.trace.arrive_s)[ran].all()
    everywhere = {each.key: (each.outcome.place >= 0).all() for each in found}
    for n in figures(work, found):  # sums over different jobs are never held against each other
        assert (n.saved_share is None) == (everywhere[n.rule] != everywhere["easy_at_home"])
    if over > 1:
        return
    by = {n.rule: n for n in figures(work, found)}
    assert by["own"].total_yuan <= min(n.total_yuan for n in by.values())
    assert by["greenest"].carbon_kg <= by["own"].carbon_kg <= by["easy_at_home"].carbon_kg
    assert by["easy_at_home"].wait_s["mean"] <= by["fcfs_at_home"].wait_s["mean"]


def test_the_same_seed_gives_the_same_digest_and_another_does_not(region: Region) -> None:
    one, again, other = (replay_online(made(region, seed), Policy()).digest() for seed in (1, 1, 2))
    assert one == again != other


def test_nothing_is_saved_where_all_sites_hours_and_distances_are_alike(region: Region) -> None:
    """The same prices everywhere and always, no distances, no queues: then where and when does not matter."""
    first = next(iter(region.nodes.values())).site
    pool = replace(first.pools[0], accelerators=0)
    power = replace(first.power, generation=())
    site = replace(first, pools=(pool,), power=power)
    tariff = {name: replace(t, seasons=()) for name, t in region.tariffs.items()}
    zero = Figure(0.0, "yuan/GB", "2026", "test", Status.ESTIMATED)
    climate = {
        name: replace(
            c,
            monthly_mean=tuple(replace(f, value=10.0) for f in c.monthly_mean),
            half_range=replace(c.half_range, value=0.0),
        )
        for name, c in region.climates.items()
    }
    alike = replace(
        region,
        nodes={n: replace(node, site=site) for n, node in region.nodes.items()},
        tariffs=tariff,
        climates=climate,
        links=tuple(replace(link, price=zero) for link in region.links),
    )
    for world, nothing in ((alike, True), (region, False)):
        work = made(world, load=0.05)
        found = figures(work, compare(work, ("own", "easy_at_home")))
        saved = found[0].saved_share
        assert (abs(saved) < 1e-9) if nothing else (saved > 0.05), saved
        assert (abs(found[0].carbon_saved_share) < 1e-9) == nothing


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([Rule.LEAST_TOTAL, Rule.EARLIEST_FINISH, Rule.GREENEST, Rule.HOME_ONLY]))
def test_the_loop_chooses_what_the_batch_kernel_chooses(seed: int, rule: Rule) -> None:
    """With run times known exactly nothing comes free early: then both are the same, job for job.

    All jobs come from the root, where no site is nearer than another.
    """
    region = load_region(bundled("shanxi"))
    work, policy = made(region, seed, jobs=300, data_share=0), Policy(rule=rule, move_gain_fen=-1)
    work = replace(work, origin=np.zeros(len(work), np.int64))
    found = replay_online(work, policy)
    board, job = board_of(work, policy), job_table(work)
    job[:, tables.J_DELAY] = delays(work, policy)
    job[:, tables.J_RUN] = job[:, tables.J_DELAY] if rule.hurries else 0
    arrive = work.begin_s + work.trace.arrive_s
    sites, count = len(work.supply.sites), len(work)
    away = np.arange(sites)[None, :] != work.origin[:, None]
    ready = np.repeat(arrive[:, None], sites, axis=1)
    transport = np.zeros((count, sites), np.int64)
    barred = (away & rule.at_home).astype(np.int64)
    won, choice = np.zeros((count, tables.ROW), np.int64), np.full(count, -1, np.int64)
    weights = policy.in_force()
    _choose(board, work, job, barred, ready, transport, won, choice, weights)
    assert (won[:, tables.START] == found.start_s).all()
    same = np.where(choice >= 0, won[:, tables.POOL], -1) == found.place
    assert same.all()


def job_table(work: Workload) -> np.ndarray:
    """The kernel's job table of a workload."""
    trace = work.trace
    job = np.zeros((len(work), tables.JOB_COLUMNS), np.int64)
    arrive = work.begin_s + trace.arrive_s
    job[:, tables.J_CORES], job[:, tables.J_CARDS], job[:, tables.J_NODES] = trace.cores, trace.cards, trace.cores
    job[:, tables.J_CARD_KIND], job[:, tables.J_KIND] = -1, -1
    job[:, tables.J_SECONDS] = trace.asked_s
    job[:, tables.J_SINCE] = job[:, tables.J_EARLIEST] = arrive
    job[:, tables.J_DEADLINE] = arrive // SLOT_S * SLOT_S + LOOK_AHEAD_S
    return job


def _choose(board: Board, work: Workload, job, barred, ready, transport, won, choice, weights) -> None:
    kernel.choose_batch(
        board.cells, board.low, board.high, board.rows, work.begin_s, work.begin_s,
        tables.Weights(round(weights.transport * 1000), round(weights.use * 1000)), work.pool,
        np.ones(len(work.supply.sites), np.int64), job, barred, ready, transport, np.zeros_like(transport), won, choice,
    )  # fmt: skip


def test_what_ends_early_makes_room(region: Region) -> None:
    """One pool, and jobs that ask for more than they run: what comes after an early end takes the place it left."""
    count = 3
    trace = Trace(
        name="t", arrive_s=np.array([0, 10, 4 * SLOT_S]), run_s=np.full(count, 2 * SLOT_S),
        asked_s=np.array([20, 20, 10]) * SLOT_S, cores=np.full(count, 8), cards=np.zeros(count, np.int64),
        user=np.full(count, -1), queue=np.full(count, -1), waited_s=np.full(count, -1),
    )  # fmt: skip
    work = workload(region, trace, MapRule(load=0, data_share=0, fold_days=0), SLOTS)
    pool = work.pool.copy()
    pool[:, tables.CORES] = 1
    pool[0, tables.CORES], pool[0, tables.SPEED] = 8, 1000
    work = replace(work, pool=pool, delay_pico=np.full(count, 10**9))
    found = replay_online(work, Policy(rule=Rule.EARLIEST_FINISH, move_gain_fen=-1))
    begin = work.begin_s
    assert (found.start_s - begin).tolist() == [0, 20 * SLOT_S, 4 * SLOT_S]
    account(work, found)


def test_a_broken_sum_is_never_shown(region: Region) -> None:
    work = made(region, jobs=200)
    found = queue_at_home(work, True)
    early = replace(found, start_s=found.start_s - 10**6, end_s=found.end_s - 10**6)
    with pytest.raises(LawBroken):
        account(work, early)
    crowded = Outcome(
        rule="x", place=np.zeros(200, np.int64),
        start_s=np.full(200, work.begin_s + work.trace.span_s()), end_s=np.full(200, work.begin_s + 10**6),
    )  # fmt: skip
    with pytest.raises(LawBroken):
        account(work, crowded)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/traces beside the repository")
def test_a_recorded_trace_obeys_the_laws(region: Region) -> None:
    trace = read_trace(SHARED / "ricc_first10k.swf")
    work = workload(region, trace, MapRule(fold_days=0), -(-trace.span_s() // SLOT_S) + 2 * HORIZON_SLOTS)
    for n in figures(work, compare(work, ("own", "easy_at_home", "fcfs_at_home"))):
        assert n.ran == len(trace) == 10_000


@pytest.mark.parametrize("over", [1.0, 2.5])
@pytest.mark.parametrize("rule", [Rule.LEAST_TOTAL, Rule.EARLIEST_FINISH])
def test_live_nodes_place_a_trace_as_the_loop_does(region: Region, tmp_path: Path, over: float, rule: Rule) -> None:
    """The whole tree with its stores and messages, on a virtual clock: the same digest, job for job."""
    trace = generate(Recipe(jobs=150, days=2, seed=4, widest=4, over_asked=over))
    second = np.maximum.accumulate(trace.arrive_s + np.arange(150))  # one at a time
    trace = replace(trace, arrive_s=second)
    work = workload(region, trace, MapRule(load=0.8, fold_days=0, data_share=0, delay_low_yuan=0.01), SLOTS)
    work = in_whole_fen(work)
    compiled = replay_online(work, Policy(rule=rule, move_gain_fen=-1))
    live = replay_through_nodes(work, Policy(rule=rule), tmp_path, SqliteStore, lambda _: None)
    assert live.start_s.tolist() == compiled.start_s.tolist()
    assert live.digest() == compiled.digest()
    assert live.end_s.tolist() == compiled.end_s.tolist()


def test_live_nodes_over_one_postgresql_place_a_trace_as_the_loop_does(
    region: Region, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Eleven nodes, each in a schema of its own: the database changes nothing of what is decided."""
    trace = generate(Recipe(jobs=12, days=1, seed=4, widest=4))
    trace = replace(trace, arrive_s=np.maximum.accumulate(trace.arrive_s + np.arange(12)))
    rule = MapRule(load=0.8, fold_days=0, data_share=0, delay_low_yuan=0.01)
    work = in_whole_fen(workload(region, trace, rule, SLOTS))

    def store(path: Path) -> SqlStore:
        return store_of(postgres.url(f"replay-{path.parent.name}"))

    live = replay_through_nodes(work, Policy(), tmp_path, store, lambda _: None)
    assert live.digest() == replay_online(work, Policy()).digest()


def spot(hours: int = 40 * 24) -> Series:
    """Prices of a made-up spot market from the end of 2025 on, often below nothing, and carbon by the hour."""
    rng = np.random.default_rng(8)
    names = ("*", "datong", "yangquan")
    values = {
        Quantity.PRICE: {name: np.round(rng.uniform(-0.8, 0.9, hours), 4) for name in names},
        Quantity.CARBON: {"*": np.round(rng.uniform(0.0, 1.0, hours), 4)},
        Quantity.TEMPERATURE: {"linfen": np.round(rng.uniform(-20.0, 38.0, hours), 1)},
    }
    return Series(name="spot", source="", synthetic=False, first_hour=490_890, hours=hours, values=values)


def test_a_saving_of_a_series_is_followed(region: Region) -> None:
    """Where energy pays, the region's rule is paid; where nothing is said, nothing changes."""
    trace = generate(Recipe(jobs=400, days=3, seed=2, widest=4))
    by = {}
    for key, series in (("none", None), ("spot", spot()), ("elsewhere", replace(spot(), first_hour=0))):
        work = workload(region, trace, MapRule(), SLOTS, series)
        by[key] = figures(work, compare(work, ("own", "easy_at_home")))
    assert by["none"] == by["elsewhere"]
    own, home = by["spot"]
    assert own.terms_yuan["energy"] < home.terms_yuan["energy"] and own.total_yuan < home.total_yuan
    assert own.terms_yuan["energy"] < 0


def test_live_nodes_follow_a_series_as_the_loop_does(region: Region, tmp_path: Path) -> None:
    """Also where prices are below nothing: the same digest."""
    trace = generate(Recipe(jobs=150, days=2, seed=4, widest=4, over_asked=2.0))
    trace = replace(trace, arrive_s=np.maximum.accumulate(trace.arrive_s + np.arange(150)))
    rule = MapRule(load=0.8, fold_days=0, data_share=0, delay_low_yuan=0.01)
    work = in_whole_fen(workload(region, trace, rule, SLOTS, spot()))
    compiled = replay_online(work, Policy())
    assert compiled.digest() != replay_online(in_whole_fen(workload(region, trace, rule, SLOTS)), Policy()).digest()
    live = replay_through_nodes(work, Policy(), tmp_path, SqliteStore, lambda _: None)
    assert live.start_s.tolist() == compiled.start_s.tolist() and live.digest() == compiled.digest()


def test_energy_that_pays_may_settle_a_use_to_nothing() -> None:
    """The site still gets its due where the grid's account pays the whole of it."""
    segment = ev.Segment(
        start_s=0, seconds=900, it_mwh=1_000_000, facility_mwh=1_000_000, price_micro_kwh=-100_000, carbon_mg_kwh=0
    )  # fmt: skip
    metered = ev.Metered(
        job="j", site="s", pool="p", core_seconds=1, card_seconds=0, use_micro=100_000, transport_micro=0,
        carbon_micro_kg=0, segments=(segment,),
    )  # fmt: skip
    found = settle(metered, "t", "g")
    assert found.fen == 0 and sum(p.fen for p in found.postings) == 0
    assert {p.account: p.fen for p in found.postings} == {"tenant:t": 0, "site:s": -10, "energy:g": 10}
