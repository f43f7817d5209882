"""What others have of a site's cluster is not there for work placed here, and is again when it comes free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.record import JobRecord
from sanjin.model.units import GB, HOUR_S, SLOT_S
from sanjin.ports import Amount, ClusterUse, Taken, TakenBy
from tests.tree_world import HOME, World, worlds

CORES = 10


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    with worlds(tmp_path) as build:
        yield build


def others(world: World, cores: int, lasts_s: int, by: TakenBy = TakenBy.OTHERS, since: float = -1) -> ClusterUse:
    now = world.clock.now()
    amount = Amount(cores=cores, memory_bytes=0)
    taken = Taken(by=by, amount=amount, since=now if since < 0 else since, lasts_s=lasts_s)
    return ClusterUse(
        at=now, plain=Amount(cores=CORES, memory_bytes=CORES << 33), carded=Amount(), taken=(taken,) if cores else ()
    )


def submit(world: World, key: str, cores: int, **more: object) -> str:
    spec = JobSpec(
        name=key, command=("true",), cores=cores, memory_bytes=GB, duration_s=HOUR_S, delay_price_fen_per_hour=100_000,
        **{"site": HOME, **more},
    )  # fmt: skip
    asked = world.nodes[HOME].submit([Submission(key=key, spec=spec)])
    world.turn(6)
    return asked.result(0)[0].id


def record(world: World, job: str) -> JobRecord:
    found = world.nodes[HOME].parts.store.job(job)
    assert found is not None
    return found


def start_s(world: World, job: str) -> int:
    placement = record(world, job).placement
    assert placement is not None
    return placement.start_s - world.clock.now()


def test_work_waits_for_what_others_have_or_goes_elsewhere(make: Callable[..., World]) -> None:
    world = make(CORES)
    world.engines[HOME].use = others(world, 8, 2 * HOUR_S)
    world.turn(2)
    assert start_s(world, submit(world, "small", 2)) == 0
    assert start_s(world, submit(world, "large", 4)) == 2 * HOUR_S
    free = submit(world, "free", 4, site="")
    assert record(world, free).site not in ("", HOME)
    parent = world.nodes["taiyuan"].view.supply  # it hears of it as of any work
    row = parent.pool_index[f"{HOME}/{world.region.nodes[HOME].site.pools[0].id}"]
    world.run(60)
    assert parent.free_cores[row, :10].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 6, 6]
    status = world.nodes[HOME].others.status()
    assert status is not None
    assert [(p.what, p.count, p.cores) for p in status.parts] == [("whole", 0, CORES), ("others", 1, 8)]
    assert status.parts[1].until_s == status.seen_s + 2 * HOUR_S


def test_work_comes_forward_when_others_end_sooner(make: Callable[..., World]) -> None:
    world = make(CORES)
    world.engines[HOME].use = others(world, 8, 20 * HOUR_S)
    world.turn(2)
    job = submit(world, "waits", 4)
    assert start_s(world, job) == 20 * HOUR_S
    world.engines[HOME].use = others(world, 0, 0)
    world.run(SLOT_S)
    assert record(world, job).state is JobState.RUNNING


def test_work_that_has_not_begun_moves_when_others_take_its_place(make: Callable[..., World]) -> None:
    world = make(CORES)
    earliest = world.clock.now() + 4 * HOUR_S
    job = submit(world, "later", 4, earliest_start_s=earliest, site="")
    kept = submit(world, "kept", 2, earliest_start_s=earliest)
    placement = record(world, kept).placement
    pinned = submit(world, "pinned", 4, earliest_start_s=earliest)
    assert start_s(world, pinned) == 4 * HOUR_S
    world.engines[HOME].use = others(world, 8, 10 * HOUR_S)
    world.run(2 * SLOT_S)
    moved = record(world, pinned).placement
    assert moved is not None and moved.start_s >= earliest + 5 * HOUR_S
    assert record(world, job).site
    assert placement is not None
    world.run(5 * HOUR_S, by=300)
    assert record(world, kept).state in (JobState.RUNNING, JobState.SUCCEEDED)


def test_what_waits_of_others_is_done_by_what_is_free_before_ours(make: Callable[..., World]) -> None:
    world = make(CORES)
    world.engines[HOME].use = others(world, 30, 2 * HOUR_S, TakenBy.QUEUE, since=0)  # 60 core-hours at 10 cores
    world.turn(2)
    assert start_s(world, submit(world, "after", 4)) == 6 * HOUR_S


def test_a_node_that_begins_anew_counts_them_again_and_time_counts_them_off(make: Callable[..., World]) -> None:
    world = make(CORES)
    world.engines[HOME].use = others(world, 8, 2 * HOUR_S)
    world.turn(2)

    def free() -> list[int]:
        supply = world.nodes[HOME].view.supply
        return supply.free_cores[supply.pools_at[supply.site_index[HOME]][0], :9].tolist()

    assert free() == [2] * 8 + [10]
    world.nodes[HOME].stop()
    world.open(HOME)
    world.turn(2)
    assert free() == [2] * 8 + [10]
    world.run(HOUR_S)
    assert free() == [2] * 4 + [10] * 5
    world.engines[HOME].use = others(world, 10, 0)  # nobody knows for how long
    world.turn(2)
    assert free() == [0] * 9
