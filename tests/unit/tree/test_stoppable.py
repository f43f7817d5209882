"""Work that can stop and go on: divided over cheap windows, and making room for what is worth more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanjin.flow import audit
from sanjin.flow.reconsider import gain_micro
from sanjin.flow.settle import settle
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy, Rule
from sanjin.model.reason import Reason
from sanjin.model.units import HOUR_S, SLOT_S
from tests.tree_world import HOME, World, worlds

Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with worlds(tmp_path) as build:
        yield lambda cores=8, **policy: build(cores, Policy(rule=Rule.HOME_ONLY, **policy))


def spec(cores: int, seconds: int, **fields: object) -> JobSpec:
    made = JobSpec(name="t", command=("true",), cores=cores, duration_s=seconds, environment={"RUN_S": str(seconds)})
    return replace(made, **fields)


def submit(world: World, key: str, asked: JobSpec) -> str:
    future = world.nodes[HOME].submit([Submission(key=key, spec=asked)])
    world.nodes[HOME].step(0.0)
    return future.result(0)[0].id


def record(world: World, job: str):
    return world.nodes[HOME].parts.store.job(job)


def events(world: World, job: str) -> list[ev.Event]:
    return [ev.decode(e.kind, e.body) for e in world.nodes[HOME].parts.store.journal(job=job)]


def all_is_free(world: World) -> bool:
    supply = world.nodes[HOME].view.supply
    here = supply.pool[:, tables.SITE] == supply.site_index[HOME]
    return bool((supply.free_cores[here] == supply.pool[here, tables.CORES][:, None]).all())


def most_at_once(world: World) -> int:
    """Cores that ran at one instant at most."""
    engine = world.engines[HOME]
    over = {}
    for e in world.nodes[HOME].parts.store.journal(limit=100_000):
        event = ev.decode(e.kind, e.body)
        if isinstance(event, ev.Started):
            over[event.job] = event.run
        if isinstance(event, ev.RunOver):
            over[over[event.job]] = (event.start_s, event.end_s)
    spans = [(begin, end, engine.orders[key].cores) for key, (begin, end) in
             ((k, v) for k, v in over.items() if isinstance(v, tuple))]
    return max(sum(c for b, e, c in spans if b <= at < e) for at, _, _ in spans)


def check_audit(world: World) -> None:
    node = world.nodes[HOME]
    store = node.parts.store

    def resettle(metered: ev.Metered) -> ev.Settled:
        return settle(metered, store.job(metered.job).spec.tenant, world.region.nodes[HOME].site.grid)

    found = audit.verify(HOME, store.journal(limit=10**6), store.tip(), store.ledger(), resettle)
    assert found.problems == ()


def test_patient_work_runs_in_the_cheap_hours_alone_and_costs_less(make: Make) -> None:
    totals = []
    for stoppable in (True, False):
        world = make()
        job = submit(world, "a", spec(8, 10 * HOUR_S, stoppable=stoppable, delay_price_fen_per_hour=0))
        world.turn(2)
        placed = record(world, job).placement
        pieces = placed.windows()
        assert (len(pieces) > 1) == stoppable
        totals.append(placed.terms.total)
        stops = len(pieces) - 1
        assert sum(b - a for a, b in pieces) == 10 * HOUR_S + 60 * stops
        world.run(int(pieces[-1][1]) - world.clock.now() + 2 * HOUR_S, by=2 * SLOT_S)
        done = record(world, job)
        assert done.state is JobState.SUCCEEDED
        # every piece has its own run, and each is metered and settled; the bill is their sum
        runs = [e for e in events(world, job) if isinstance(e, ev.Started)]
        settled = [e for e in events(world, job) if isinstance(e, ev.Settled)]
        assert len(runs) == len(settled) == len(pieces)
        assert done.fen == sum(e.fen for e in settled) == world.nodes[HOME].view.tenant("public").spent_fen
        paused = [e for e in events(world, job) if isinstance(e, ev.Paused)]
        assert [e.reason for e in paused] == [Reason.WINDOW_ENDS] * stops
        assert all_is_free(world)
        check_audit(world)
    assert totals[0] < totals[1]


def test_a_stop_that_costs_more_than_it_saves_is_not_made(make: Make) -> None:
    world = make()
    asked = spec(8, 10 * HOUR_S, stoppable=True, delay_price_fen_per_hour=0, stop_cost_s=20 * HOUR_S)
    job = submit(world, "a", asked)
    world.turn(2)
    assert record(world, job).placement.pieces == ()


def test_work_that_is_worth_more_takes_the_place_of_what_can_wait(make: Make) -> None:
    world = make()
    slow = submit(world, "slow", spec(8, 12 * SLOT_S, stoppable=True, delay_price_fen_per_hour=1,
                                      earliest_start_s=0, deadline_s=world.clock.now() + 40 * SLOT_S,
                                      deadline_firm=True))
    world.run(record(world, slow).placement.start_s - world.clock.now() + 2 * SLOT_S, by=300)
    assert record(world, slow).state is JobState.RUNNING
    urgent = submit(world, "urgent", spec(6, 2 * SLOT_S, delay_price_fen_per_hour=10**5))
    asked_at = world.clock.now()
    world.turn(4)
    world.run(SLOT_S, by=60)
    assert record(world, urgent).start_s - asked_at <= 120
    stops = [e for e in events(world, slow) if isinstance(e, ev.StopAsked)]
    assert [(e.reason, e.room_for) for e in stops] == [(Reason.MADE_ROOM, urgent)]
    assert stops[0].gain_micro > 10**6
    kept = record(world, slow).done_s
    assert 2 * SLOT_S - 300 <= kept <= 3 * SLOT_S
    world.run(30 * SLOT_S, by=300)
    assert record(world, urgent).state is record(world, slow).state is JobState.SUCCEEDED
    ran = [e.end_s - e.start_s for e in events(world, slow) if isinstance(e, ev.RunOver)]
    assert sum(ran) == 12 * SLOT_S
    assert most_at_once(world) <= 8
    assert all_is_free(world) and not world.nodes[HOME].view.making_room
    check_audit(world)


@pytest.mark.parametrize("why", ["not stoppable", "not worth it", "forbidden"])
def test_nothing_stops_where_it_may_not_or_does_not_pay(make: Make, why: str) -> None:
    world = make(stop_gain_fen=-1) if why == "forbidden" else make()
    slow = submit(world, "slow", spec(8, 12 * SLOT_S, stoppable=why != "not stoppable", delay_price_fen_per_hour=10**5))
    world.run(2 * SLOT_S, by=300)
    price = 10**4 if why == "not worth it" else 10**6
    submit(world, "urgent", spec(6, 2 * SLOT_S, delay_price_fen_per_hour=price))
    world.run(SLOT_S, by=60)
    assert not any(isinstance(e, ev.StopAsked) for e in events(world, slow))


def test_a_stop_that_was_decided_before_a_crash_is_carried_out_after_it(make: Make) -> None:
    world = make()
    slow = submit(world, "slow", spec(8, 12 * SLOT_S, stoppable=True, delay_price_fen_per_hour=10**4))
    world.run(2 * SLOT_S, by=300)
    engine = world.engines[HOME]
    engine.stop = lambda keys: None  # the node dies before the engine hears
    urgent = submit(world, "urgent", spec(6, 2 * SLOT_S, delay_price_fen_per_hour=10**6))
    world.nodes[HOME].step(0.0)
    assert record(world, slow).stop_asked and record(world, slow).room_for == urgent
    del engine.stop
    world.nodes[HOME].parts.store.close()
    world.open(HOME)
    world.turn(3)
    world.run(2 * SLOT_S, by=60)
    assert record(world, urgent).state is JobState.RUNNING or record(world, urgent).state is JobState.SUCCEEDED
    world.run(40 * SLOT_S, by=300)
    assert record(world, slow).state is JobState.SUCCEEDED
    assert most_at_once(world) <= 8
    assert all_is_free(world)


def test_paused_work_that_is_cancelled_leaves_nothing_behind(make: Make) -> None:
    world = make()
    job = submit(world, "a", spec(8, 10 * HOUR_S, stoppable=True, delay_price_fen_per_hour=0))
    world.turn(2)
    world.run(record(world, job).placement.pieces[0][1] - world.clock.now() + SLOT_S, by=SLOT_S)
    assert record(world, job).state is JobState.PAUSED
    assert world.engines[HOME].done
    cancelled = world.nodes[HOME].cancel(job)
    world.turn(2)
    assert cancelled.result(0) and record(world, job).state is JobState.CANCELLED
    assert all_is_free(world) and not world.engines[HOME].done
    assert np.all(world.nodes[HOME].view.tenant("public").cores == 0)


def test_a_node_that_starts_again_knows_the_windows_that_are_left(make: Make) -> None:
    world = make()
    job = submit(world, "a", spec(8, 10 * HOUR_S, stoppable=True, delay_price_fen_per_hour=0))
    world.turn(2)
    world.run(record(world, job).placement.pieces[0][1] - world.clock.now() + SLOT_S, by=SLOT_S)
    before = world.nodes[HOME].view.supply.free_cores.copy()
    world.nodes[HOME].parts.store.close()
    world.open(HOME)
    assert (world.nodes[HOME].view.supply.free_cores == before).all()
    world.run(record(world, job).placement.pieces[-1][1] - world.clock.now() + HOUR_S, by=2 * SLOT_S)
    assert record(world, job).state is JobState.SUCCEEDED
    assert all_is_free(world)


def test_work_in_pieces_is_not_placed_again_for_nothing(make: Make) -> None:
    world = make(cores=800)
    job = submit(world, "a", spec(800, 10 * HOUR_S, stoppable=True, delay_price_fen_per_hour=0))
    world.turn(2)
    placed = record(world, job).placement
    assert len(placed.pieces) > 1 and placed.start_s - world.clock.now() > 8 * SLOT_S
    before = world.nodes[HOME].view.supply.free_cores.copy()
    assert gain_micro(world.nodes[HOME].view, record(world, job), world.clock.now())[0] <= 0
    assert (world.nodes[HOME].view.supply.free_cores == before).all()
    world.run(8 * SLOT_S, by=SLOT_S)
    assert not any(isinstance(e, ev.Unplaced) for e in events(world, job))
    assert record(world, job).placement == placed
