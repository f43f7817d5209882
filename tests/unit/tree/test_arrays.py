"""Arrays in live nodes: every member once, in few parts, and the whole as one job with one bill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.admit import ceiling_fen
from sanjin.flow.arrays import place_array
from sanjin.flow.place import place
from sanjin.model import event as ev
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.policy import Policy, Rule
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.model.units import SLOT_S
from tests.tree_world import HOME, World, worlds

Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with worlds(tmp_path) as build:
        yield build


def array(members: int, cores: int = 1, slots: int = 1, **fields: object) -> JobSpec:
    seconds = slots * SLOT_S
    made = JobSpec(
        name="t", command=("true",), cores=cores, members=members, duration_s=seconds,
        environment={"RUN_S": str(seconds)}, delay_price_fen_per_hour=10**4,
    )  # fmt: skip
    return replace(made, **fields)


def submit(world: World, node: str, *specs: JobSpec) -> list[str]:
    future = world.nodes[node].submit([Submission(key=f"k{i}", spec=s) for i, s in enumerate(specs)])
    world.nodes[node].step(0.0)
    return [r.id for r in future.result(0)]


def record(world: World, job: str, node: str = "") -> JobRecord:
    found = world.nodes[node or job.rpartition("-")[0]].parts.store.job(job)
    assert found is not None
    return found


def members_run(world: World) -> Counter[int]:
    """How often each index was started, anywhere."""
    return Counter(
        i
        for engine in world.engines.values()
        for order in engine.orders.values()
        for i in range(order.first_member, order.first_member + order.members)
    )


def books(world: World) -> int:
    """Fen that the ledgers of all nodes debit to tenants."""
    lines = [line for node in world.nodes.values() for line in node.parts.store.ledger()]
    assert sum(line.fen for line in lines) == 0
    return sum(line.fen for line in lines if line.account.startswith("tenant:"))


def test_an_array_that_fits_is_one_run(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    job = submit(world, HOME, array(8))[0]
    world.run(3 * SLOT_S, by=300)
    done = record(world, job)
    assert (done.state, done.members_done, done.members_failed) == (JobState.SUCCEEDED, 8, 0)
    assert list(world.engines[HOME].orders) == [f"{job}.0.1"]
    assert books(world) == done.fen > 0


def test_an_array_larger_than_its_site_runs_in_parts(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    job = submit(world, HOME, array(20, first_member=100))[0]
    world.turn(2)
    assert record(world, job).state is JobState.DIVIDED
    assert record(world, job).parts == 3
    world.run(6 * SLOT_S, by=300)
    done = record(world, job)
    assert (done.state, done.members_done, done.members_over) == (JobState.SUCCEEDED, 20, 20)
    assert members_run(world) == Counter(range(100, 120))
    starts = sorted(engine for engine in world.engines[HOME].started.values())
    assert [s - starts[0] for s in starts] == [0, SLOT_S, 2 * SLOT_S]
    assert books(world) == done.fen == world.nodes[HOME].view.tenant("public").spent_fen
    assert world.nodes[HOME].view.tenant("public").cores == 0
    counts = world.nodes[HOME].parts.store.counts()
    assert counts == {"succeeded": 1}  # its parts are not jobs of anybody
    assert world.nodes[HOME].parts.store.totals()["public"].fen == done.fen


@pytest.mark.parametrize("node", ["taiyuan", "linfen", "datong"])
def test_a_hundred_thousand_members_spread_over_the_region(make: Make, node: str) -> None:
    world = make()
    quota = world.region.tenants["public"].envelope(node).cores
    members = min(100_000, quota // 2)
    job = submit(world, node, array(members, cores=2))[0]
    world.turn(8)
    world.run(6 * SLOT_S, by=300)
    done = record(world, job)
    assert (done.state, done.members_done) == (JobState.SUCCEEDED, members), done
    run = members_run(world)
    assert len(run) == members and max(run.values()) == 1
    assert books(world) == done.fen
    for each in world.nodes.values():
        supply = each.view.supply
        assert min(supply.free_cores.min(), supply.free_mem.min(), supply.free_mw.min()) >= 0


def test_what_is_set_aside_for_an_array_lets_it_carry_its_inputs_to_every_site(make: Make) -> None:
    view = make(cores=8).nodes[HOME].view
    dataset = next(iter(view.region.datasets))
    carried = ceiling_fen(view, array(1, inputs=(dataset,))) - ceiling_fen(view, array(1))
    assert carried > 0
    for members, sites in ((3, 3), (500, len(view.supply.sites))):
        more = ceiling_fen(view, array(members, inputs=(dataset,))) - ceiling_fen(view, array(members))
        assert abs(more - sites * carried) <= sites


def test_members_that_fail_are_counted_and_the_others_go_on(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    job = submit(world, HOME, array(20, environment={"RUN_S": "900", "FAIL": "3,5,17"}))[0]
    world.run(6 * SLOT_S, by=300)
    done = record(world, job)
    assert (done.state, done.reason) == (JobState.FAILED, Reason.MEMBERS_FAILED)
    assert (done.members_done, done.members_failed, done.exit_status) == (17, 3, 1)


def test_an_array_that_is_cancelled_ends_with_all_its_parts(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    job = submit(world, HOME, array(20, slots=2))[0]
    world.run(SLOT_S, by=300)
    cancelled = world.nodes[HOME].cancel(job)
    world.run(SLOT_S, by=300)
    assert cancelled.result(0)
    done = record(world, job)
    assert (done.state, done.members_done) == (JobState.CANCELLED, 0)
    assert not world.nodes[HOME].view.jobs
    assert world.nodes[HOME].view.tenant("public").cores == 0
    assert books(world) == done.fen > 0  # what the first part used until then


def test_parts_outlive_their_node(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    job = submit(world, HOME, array(20, slots=2))[0]
    world.run(SLOT_S, by=300)
    world.nodes[HOME].parts.store.close()
    world.open(HOME)
    world.run(8 * SLOT_S, by=300)
    done = record(world, job)
    assert (done.state, done.members_done) == (JobState.SUCCEEDED, 20)
    assert members_run(world) == Counter(range(20))
    assert books(world) == done.fen


def test_what_cannot_be_an_array_is_refused(make: Make) -> None:
    world = make()
    wrong = [array(5, nodes=2), array(5, stoppable=True), array(0, first_member=3), array(100_001)]
    for spec in wrong:
        with pytest.raises(ProblemsFound):
            world.nodes[HOME].submit([Submission(key="k", spec=spec)])


def test_members_go_where_they_would_go_singly(make: Make) -> None:
    world = make(cores=8)
    node = world.nodes[HOME]
    board = node.view.supply.board
    kept = board.cells.copy()

    def all_free() -> None:
        board.cells[:] = kept
        board.settle()

    @settings(max_examples=100, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 6), st.integers(0, 3000))
    def law(members: int, cores: int, slots: int, price: int) -> None:
        spec = array(members, cores, slots, delay_price_fen_per_hour=price, site=HOME)
        whole = JobRecord(id="a-1", key="", spec=spec, state=JobState.QUEUED)
        single = replace(spec, members=0)
        for i in range(members):
            node.view.put(JobRecord(id=f"b-{i}", key="", spec=single, state=JobState.QUEUED))
        found, sizes = Counter[tuple[str, int]](), {f"{HOME}-1": members}
        all_free()
        for event in place_array(node.view, changed(whole, id=f"{HOME}-1"), world.clock.now()):
            if isinstance(event, ev.Placed):
                found[event.placement.pool, event.placement.start_s] += sizes[event.job]
            elif isinstance(event, ev.Split):
                sizes |= {p.job: p.members for p in event.parts}
        all_free()
        alone = place(node.view, [f"b-{i}" for i in range(members)], world.clock.now())
        singly = [(e.placement.pool, e.placement.start_s) for e in alone if isinstance(e, ev.Placed)]
        assert found == Counter(singly)

    law()


def free_at_home(world: World) -> list[int]:
    """Free cores of the one pool at home, by slot."""
    supply = world.nodes[HOME].view.supply
    return supply.free_cores[supply.pool_index[f"{HOME}/{world.region.nodes[HOME].site.pools[0].id}"]].tolist()


def test_a_dry_run_of_an_array_prices_a_member_and_changes_nothing(make: Make) -> None:
    world = make(cores=8)
    before = world.nodes[HOME].view.supply.free_cores.copy()
    futures = [world.nodes[HOME].dry_run([array(n, site=HOME)]) for n in (0, 20)]
    world.nodes[HOME].step(0.0)
    single, of_array = (f.result(0)[0].choice() for f in futures)
    assert single == of_array
    assert (world.nodes[HOME].view.supply.free_cores == before).all()


def test_parts_that_are_placed_again_never_take_more_than_there_is(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    early = replace(array(0, cores=8, slots=6), environment={"RUN_S": "300"})  # it ends long before its time
    _, job = submit(world, HOME, early, array(30))
    for _ in range(90):
        world.run(60, by=60)
        assert min(free_at_home(world)) >= 0 and max(free_at_home(world)) <= 8
    assert record(world, job).state is JobState.SUCCEEDED
    engine = world.engines[HOME]
    spans = [(at, at + SLOT_S, engine.orders[k].members) for k, at in engine.started.items() if k.startswith(job)]
    assert max(sum(n for a, b, n in spans if a <= at < b) for at, _, _ in spans) <= 8
    journal = [e for e in world.nodes[HOME].parts.store.journal(limit=10**4) if e.kind == "job.unplaced"]
    assert len(journal) == 4
    assert min(at for at, _, _ in spans) == min(engine.started.values()) + SLOT_S


def test_nothing_stops_for_an_array(make: Make) -> None:
    world = make(cores=8, policy=Policy(rule=Rule.HOME_ONLY))
    slow = submit(world, HOME, replace(array(0, cores=8, slots=12), stoppable=True))[0]
    world.run(2 * SLOT_S, by=300)
    future = world.nodes[HOME].submit([Submission(key="a", spec=array(6, delay_price_fen_per_hour=10**6))])
    world.run(SLOT_S, by=300)
    assert record(world, slow).state is JobState.RUNNING
    world.run(16 * SLOT_S, by=300)
    assert record(world, future.result(0)[0].id).state is JobState.SUCCEEDED
