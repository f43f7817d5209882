"""Reservations: capacity kept for a tenant, work placed inside, and the end of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy, Rule
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S
from tests.tree_world import HOME, World, worlds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with worlds(tmp_path) as build:
        yield build(8, Policy(rule=Rule.HOME_ONLY))


def submit(world: World, key: str, spec: JobSpec) -> str:
    future = world.nodes[HOME].submit([Submission(key=key, spec=spec)])
    world.nodes[HOME].step(0.0)
    return future.result(0)[0].id


def work(cores: int, slots: int, **fields: object) -> JobSpec:
    made = JobSpec(
        name="t", command=("true",), cores=cores, duration_s=slots * SLOT_S, delay_price_fen_per_hour=10**5,
        environment={"RUN_S": str(slots * SLOT_S)},
    )  # fmt: skip
    return replace(made, **fields)


def reserve(world: World, cores: int = 6, begin: int = 2, slots: int = 4, **fields: object) -> str:
    made = JobSpec(
        name="r", command=(), reserves=True, site=HOME, cores=cores, duration_s=slots * SLOT_S,
        earliest_start_s=world.clock.now() + begin * SLOT_S,
    )  # fmt: skip
    job = submit(world, f"r{begin}", replace(made, **fields))
    world.turn(2)
    return job


def record(world: World, job: str) -> JobRecord:
    found = world.nodes[HOME].parts.store.job(job)
    assert found is not None
    return found


def all_is_free(world: World) -> bool:
    supply = world.nodes[HOME].view.supply
    here = supply.pool[:, tables.SITE] == supply.site_index[HOME]
    return bool((supply.free_cores[here] == supply.pool[here, tables.CORES][:, None]).all())


def test_others_go_around_it_and_work_inside_uses_it(world: World) -> None:
    now = world.clock.now()
    kept = reserve(world)
    placed = record(world, kept).placement
    assert (placed.start_s, placed.finish_s) == (now + 2 * SLOT_S, now + 6 * SLOT_S)
    assert record(world, kept).reason is Reason.ASKED_LATER
    other = submit(world, "other", work(4, 3))
    inside = submit(world, "inside", work(4, 2, reservation=kept))
    second = submit(world, "second", work(4, 2, reservation=kept))
    world.turn(2)
    assert record(world, other).placement.start_s == now + 6 * SLOT_S
    assert record(world, inside).placement.start_s == now + 2 * SLOT_S
    assert record(world, second).placement.start_s == now + 4 * SLOT_S
    world.run(12 * SLOT_S, by=300)
    for job in (other, inside, second, kept):
        assert record(world, job).state is JobState.SUCCEEDED, job
    assert record(world, kept).reason is Reason.RESERVATION_OVER
    assert record(world, kept).fen == 0 < record(world, inside).fen
    assert not [k for k in world.engines[HOME].started if k.startswith(f"{kept}.")]
    assert all_is_free(world) and world.nodes[HOME].view.tenant("public").cores == 0


def test_what_still_runs_when_it_ends_is_ended(world: World) -> None:
    kept = reserve(world, slots=2)
    inside = submit(world, "inside", work(4, 2, reservation=kept, environment={"RUN_S": str(9 * SLOT_S)}))
    world.run(5 * SLOT_S, by=300)
    assert record(world, kept).state is JobState.SUCCEEDED
    assert record(world, inside).state is JobState.CANCELLED
    assert all_is_free(world)


def test_what_finds_no_room_inside_waits_for_it_and_never_leaves(world: World) -> None:
    kept = reserve(world, slots=4)
    jobs = [submit(world, f"i{i}", work(6, 2, reservation=kept)) for i in range(2)]
    third = submit(world, "i3", work(6, 2, reservation=kept))
    world.turn(2)
    assert record(world, third).reason is Reason.RESERVATION_FULL
    world.nodes[HOME].cancel(jobs[1])
    world.run(10 * SLOT_S, by=300)
    assert record(world, third).state is JobState.SUCCEEDED
    assert all_is_free(world)


def test_a_reservation_that_is_cancelled_frees_its_capacity_and_ends_what_it_holds(world: World) -> None:
    kept = reserve(world)
    inside = submit(world, "inside", work(4, 2, reservation=kept))
    world.run(3 * SLOT_S, by=300)
    assert record(world, inside).state is JobState.RUNNING
    cancelled = world.nodes[HOME].cancel(kept)
    world.run(SLOT_S, by=300)
    assert cancelled.result(0)
    assert record(world, kept).state is record(world, inside).state is JobState.CANCELLED
    assert all_is_free(world)


def test_a_node_that_starts_again_still_keeps_it(world: World) -> None:
    kept = reserve(world)
    inside = submit(world, "inside", work(4, 2, reservation=kept))
    world.run(3 * SLOT_S, by=300)
    before = world.nodes[HOME].view.supply.free_cores.copy()
    world.nodes[HOME].parts.store.close()
    world.open(HOME)
    assert (world.nodes[HOME].view.supply.free_cores == before).all()
    world.run(6 * SLOT_S, by=300)
    assert record(world, kept).state is record(world, inside).state is JobState.SUCCEEDED
    assert all_is_free(world)


def test_it_begins_when_it_says_or_not_at_all(world: World) -> None:
    full = submit(world, "full", work(8, 12))
    world.turn(2)
    kept = reserve(world)
    assert record(world, kept).reason is Reason.NO_PLACE
    kinds = [e.kind for e in world.nodes[HOME].parts.store.journal(job=kept)]
    assert ev.Placed.kind not in kinds
    world.nodes[HOME].cancel(full)
    world.turn(3)
    assert record(world, kept).state is JobState.PLACED


def test_what_came_too_late_ends(world: World) -> None:
    full = submit(world, "full", work(8, 12))
    world.turn(2)
    kept = reserve(world)
    world.run(4 * SLOT_S, by=300)
    assert (record(world, kept).state, record(world, kept).reason) == (JobState.FAILED, Reason.NO_PLACE)
    world.run(12 * SLOT_S, by=300)
    assert record(world, full).state is JobState.SUCCEEDED
    assert all_is_free(world)


@pytest.mark.parametrize(
    "fields",
    [
        {"reserves": True, "site": "datong", "command": ()},
        {"reserves": True, "site": HOME},
        {"reserves": True, "site": HOME, "command": (), "members": 3},
        {"reservation": "yangquan-99"},
    ],
)
def test_what_cannot_be_is_refused(world: World, fields: dict[str, object]) -> None:
    with pytest.raises(ProblemsFound):
        submit(world, "x", work(1, 1, **fields))


def test_another_tenant_cannot_use_it(world: World) -> None:
    kept = reserve(world)
    tenants = [t for t in world.region.tenants if t != "public" and world.region.tenants[t].envelope(HOME).cores >= 4]
    with pytest.raises(ProblemsFound) as fault:
        submit(world, "x", work(4, 1, reservation=kept, tenant=tenants[0]))
    assert [p.code for p in fault.value.problems] == ["unknown_reservation"]
