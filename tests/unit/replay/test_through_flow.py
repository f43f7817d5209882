"""The live loop of one node over a whole trace: it decides as the compiled loop does, and its books are in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.audit import verify
from sanjin.flow.settle import settle
from sanjin.kernels.tables import PLACE_A_TURN
from sanjin.model.event import Metered, decode
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Region
from sanjin.model.series import Quantity, Series
from sanjin.model.units import HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.ports import Store
from sanjin.regions.load import bundled, load_region
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import Outcome, account
from sanjin.replay.through_flow import at_the_root, by_epoch, replay_through_flow
from sanjin.replay.through_node import TENANT, in_whole_fen
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, workload


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region(bundled("shanxi"))


def made(
    region: Region, jobs: int = 400, over: float = 2.5, days: float = 0.5, series: Series | None = None
) -> Workload:
    trace = generate(Recipe(jobs=jobs, days=days, seed=4, widest=4, over_asked=over))
    rule = MapRule(load=0.8, fold_days=0, data_share=0, delay_low_yuan=0.01)
    return at_the_root(in_whole_fen(workload(region, trace, rule, 96 + 2 * HORIZON_SLOTS, series)))


def replayed(work: Workload, epoch_s: int, store: Store, rule: Rule = Rule.LEAST_TOTAL) -> Outcome:
    return replay_through_flow(work, Policy(rule=rule), epoch_s, store, lambda _: None)


@pytest.mark.parametrize("epoch_s", [0, 60, SLOT_S])
@pytest.mark.parametrize("over", [1.0, 2.5])
@pytest.mark.parametrize("rule", [Rule.LEAST_TOTAL, Rule.EARLIEST_FINISH])
def test_the_flow_decides_as_the_compiled_loop_does(region: Region, rule: Rule, over: float, epoch_s: int) -> None:
    """Under an epoch: as the compiled loop does where each job comes at the end of its epoch."""
    work = made(region, over=over)
    compiled = replay_online(by_epoch(work, epoch_s) if epoch_s else work, Policy(rule=rule))
    live = replayed(work, epoch_s, MemoryStore(), rule)
    assert live.start_s.tolist() == compiled.start_s.tolist()
    assert live.digest() == compiled.digest()
    assert live.end_s.tolist() == compiled.end_s.tolist()


def test_what_comes_at_the_ends_of_epochs_is_decided_and_billed_alike_under_any_epoch(region: Region) -> None:
    """Runs end at any second, and before what they asked for."""
    work = by_epoch(made(region), SLOT_S)
    found = {epoch_s: MemoryStore() for epoch_s in (0, 60, 300, SLOT_S)}
    digests = {replayed(work, epoch_s, store).digest() for epoch_s, store in found.items()}
    assert len(digests) == 1
    bills = [store.accounts() for store in found.values()]
    assert all(bill == bills[0] for bill in bills) and sum(bills[0].values()) == 0
    assert max(bills[0].values()) > 100


def test_what_is_metered_is_the_energy_of_the_accounts_for_wide_jobs_too(region: Region) -> None:
    work, store = made(region), MemoryStore()
    found = replayed(work, 0, store)
    assert (work.trace.cores > 1).mean() > 0.2
    metered = [decode(e.kind, e.body) for e in store.journal(limit=10**6) if e.kind == Metered.kind]
    it_mwh = sum(s.it_mwh for m in metered if isinstance(m, Metered) for s in m.segments)
    assert it_mwh * 3600 == pytest.approx(account(work, found).energy_mws.sum(), rel=0.001)


def test_the_journal_is_whole_and_every_bill_follows_from_its_meter(region: Region) -> None:
    work, store = made(region, jobs=200), MemoryStore()
    found = replayed(work, 60, store)
    assert (found.place >= 0).all()
    entries = store.journal(limit=10**6)

    def again(metered):
        return settle(metered, TENANT, region.nodes[metered.site].site.grid)

    audit = verify("taiyuan", entries, store.tip(), store.ledger(), again)
    moves = replay_online(by_epoch(work, 60), Policy()).moves  # each gives a place up, and takes another
    assert audit.problems == () and audit.entries == 7 * len(work) + 2 * moves and moves > 0
    assert store.counts() == {"succeeded": len(work)}
    billed = store.totals()[TENANT]
    assert billed.fen == store.accounts()[(TENANT, f"tenant:{TENANT}")] and billed.facility_mwh > 0
    assert len({e.body for e in entries if e.kind == "job.placed"}) == len(work) + moves


def test_the_flow_follows_a_series(region: Region) -> None:
    """Every other four hours are dear: it decides as the compiled loop does, and otherwise than without."""
    plain = made(region)
    price = np.where(np.arange(24 * 21) // 4 % 2, 5.0, 0.1)
    series = Series(
        name="steps", source="", synthetic=False, first_hour=plain.begin_s // HOUR_S, hours=len(price),
        values={Quantity.PRICE: {"*": price}},
    )  # fmt: skip
    work = made(region, series=series)
    live = replayed(work, 0, MemoryStore()).digest()
    assert live == replay_online(work, Policy()).digest() != replay_online(plain, Policy()).digest()


def test_where_it_is_stored_changes_nothing(region: Region, tmp_path: Path) -> None:
    work, memory, file = made(region, jobs=60), MemoryStore(), SqliteStore(tmp_path / "state.db")
    assert replayed(work, 0, memory).digest() == replayed(work, 0, file).digest()
    assert memory.tip() == file.tip()
    assert [memory.job(f"taiyuan-{n}") for n in range(1, 61)] == [file.job(f"taiyuan-{n}") for n in range(1, 61)]
    file.close()


def test_more_at_one_instant_than_a_turn_places(region: Region) -> None:
    work = made(region, jobs=PLACE_A_TURN + 100)
    trace = work.trace
    arrive = np.where(np.arange(len(work)) < PLACE_A_TURN + 50, trace.arrive_s[0], trace.arrive_s)
    work = replace(work, trace=replace(trace, arrive_s=arrive))
    assert replayed(work, 0, MemoryStore()).digest() == replay_online(work, Policy()).digest()


def test_the_time_of_a_decision_shows_as_waits(region: Region) -> None:
    """Alone in an empty region a job starts when it has been decided on; in a queue every decision adds up."""
    work = made(region, jobs=200, over=1.0)
    policy = Policy(rule=Rule.EARLIEST_FINISH)
    arrive = work.begin_s + work.trace.arrive_s

    def starts(a_job_us: int | None) -> np.ndarray:
        return replay_through_flow(work, policy, 0, MemoryStore(), lambda _: None, a_job_us).start_s

    free, slow, slower = starts(0), starts(2_000_000), starts(600_000_000)
    waits = slow - arrive
    assert (waits[free == arrive] >= 2).all() and waits[0] == 2
    assert (slower[0] - arrive[0]) == 600
    # decisions come one after the other: the last job begins when all have been taken
    assert slower.max() >= arrive[0] + 600 * len(work)
    assert (slower - arrive).mean() > waits.mean() > (free - arrive).mean()
    assert (starts(None) >= arrive).all()
