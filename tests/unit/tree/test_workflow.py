"""Jobs that come after others, at any site, and find what those left; work that was stopped and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from sanjin.flow import audit
from sanjin.flow.explain import explanation
from sanjin.flow.settle import settle
from sanjin.model import event as ev
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade, Region, Season
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.regions.load import bundled, load_region
from tests.tree_world import START_S, World

HOME = "yangquan"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = begun(World(tmp_path))
    yield made
    made.close()


def begun(world: World) -> World:
    world.clock.advance(START_S // SLOT_S * SLOT_S + SLOT_S)
    world.turn(6)
    return world


def spec(seconds: int = 600, **fields: object) -> JobSpec:
    made = JobSpec(name="t", command=("true",), duration_s=seconds, environment={"RUN_S": str(seconds)})
    return replace(made, **{"delay_price_fen_per_hour": 10**5, **fields})


def submit(world: World, *asked: tuple[str, JobSpec], node: str = HOME) -> list[str]:
    future = world.nodes[node].submit([Submission(key=key, spec=each) for key, each in asked])
    world.nodes[node].step(0.0)
    return [record.id for record in future.result(0)]


def settled(world: World, seconds: int, by: int = 60) -> None:
    """Let time pass."""
    for _ in range(seconds // by):
        world.clock.advance(world.clock.now() + by)
        world.turn(3)


def record(world: World, job: str, node: str = HOME) -> JobRecord:
    found = world.nodes[node].parts.store.job(job)
    assert found is not None
    return found


def events(world: World, job: str) -> list[tuple[str, ev.Event]]:
    """What all nodes wrote of a job: (node, event)."""
    return [
        (name, ev.decode(e.kind, e.body))
        for name, node in world.nodes.items()
        for e in node.parts.store.journal(job=job, limit=10**6)
    ]


def order_of(world: World, job: str):
    return next(o for e in world.engines.values() for key, o in e.orders.items() if key.startswith(f"{job}."))


def check_books(world: World) -> None:
    """Every node's audit is clean, and what tenants were billed is what their jobs came to."""
    billed = 0
    for name, node in world.nodes.items():
        store, grid = node.parts.store, world.region.nodes[name].site.grid

        def resettle(metered: ev.Metered, store=store, grid=grid) -> ev.Settled:
            return settle(metered, store.job(metered.job).spec.tenant, grid)

        found = audit.verify(name, store.journal(limit=10**6), store.tip(), store.ledger(), resettle)
        assert found.problems == ()
        billed += sum(line.fen for line in store.ledger() if line.account.startswith("tenant:"))
    owned = [r for node in world.nodes.values() for r in _all(node) if r.owned]
    assert billed == sum(r.fen for r in owned)
    for tenant in world.region.tenants:
        for name, node in world.nodes.items():
            mine = sum(r.fen for r in _all(node) if r.owned and r.spec.tenant == tenant)
            assert node.view.tenant(tenant).spent_fen == mine, (name, tenant)


def _all(node):
    from sanjin.ports import JobQuery

    return node.parts.store.jobs(JobQuery(limit=1000))


def test_each_job_waits_for_those_before_it_and_finds_what_they_left(world: World) -> None:
    a, b, c = submit(
        world,
        ("serve", spec(after=("train", "prepare"))),
        ("train", spec(site="luliang", after=("prepare",))),
        ("prepare", spec(site="datong")),
    )
    serve, train, prepare = a, b, c
    assert record(world, serve).reason is record(world, train).reason is Reason.COMES_AFTER
    settled(world, 4 * HOUR_S)
    done = [record(world, job) for job in (prepare, train, serve)]
    assert [r.state for r in done] == [JobState.SUCCEEDED] * 3
    assert done[0].end_s <= done[1].start_s < done[1].end_s <= done[2].start_s
    assert (done[0].site, done[1].site) == ("datong", "luliang")
    assert order_of(world, train).inputs == {"prepare": f"/{prepare}.out"}
    assert order_of(world, serve).inputs == {"prepare": f"/{prepare}.out", "train": f"/{train}.out"}
    # what was moved is paid for, as with any input
    moved = [e for _, e in events(world, train) if isinstance(e, ev.TransferStarted)]
    assert [(e.dataset, e.source, e.declared_bytes) for e in moved] == [(f"{prepare}.out", "datong", 10**9)]
    assert moved[0].micro > 0
    check_books(world)


def test_where_the_next_job_runs_is_decided_with_the_price_of_moving(world: World) -> None:
    first, then = submit(world, ("a", spec(site="datong")), ("b", spec(after=("a",))))
    settled(world, 2 * HOUR_S)
    node, supply = world.nodes[HOME], world.nodes[HOME].view.supply
    at_s, choice = next(
        (e.at_s, event) for e in node.parts.store.journal(job=then)
        if isinstance(event := ev.decode(e.kind, e.body), ev.Placed | ev.Assigned | ev.Raised)
    )  # fmt: skip
    done = record(world, then)
    found = explanation(supply, then, HOME, at_s, done.site, choice.options, done.spec, done.submitted_s)
    for option in found.options:
        way = world.network.transfer_micro(supply.site_index["datong"], supply.site_index[option.site], 10**9)
        assert option.terms is None or option.terms.transport == way
    assert sum(o.terms is not None for o in found.options) > 5
    assert record(world, first).left[0].site == "datong"


def test_a_job_may_come_after_one_that_is_over_by_key_or_id(world: World) -> None:
    (first,) = submit(world, ("a", spec(publish=True)))
    settled(world, HOUR_S)
    assert record(world, first).state is JobState.SUCCEEDED
    by_key, by_id = submit(world, ("b", spec(after=("a",))), ("c", spec(after=(first,))))
    settled(world, HOUR_S)
    assert record(world, by_key).state is record(world, by_id).state is JobState.SUCCEEDED
    assert order_of(world, by_id).inputs == {first: f"/{first}.out"}


def test_what_comes_after_a_failure_ends_and_never_begins(world: World) -> None:
    bad = spec(environment={"RUN_S": "60", "EXIT": "1"})
    a, b, c, d = submit(
        world, ("a", bad), ("b", spec(after=("a",))), ("c", spec(after=("b",))), ("d", spec(site="datong"))
    )
    settled(world, HOUR_S)
    assert record(world, a).reason is Reason.EXIT_STATUS
    for job in (b, c):
        assert (record(world, job).state, record(world, job).reason) == (JobState.FAILED, Reason.UPSTREAM_ENDED)
        assert not any(isinstance(e, ev.Started | ev.Admitted) for _, e in events(world, job))
    assert "a" in record(world, b).detail and record(world, d).state is JobState.SUCCEEDED
    (late,) = submit(world, ("e", spec(after=("b",)))) if record(world, b).spec.publish else (b,)
    settled(world, SLOT_S)
    assert record(world, late).reason is Reason.UPSTREAM_ENDED
    check_books(world)


def test_what_waits_can_be_cancelled_and_ends_what_comes_after_it(world: World) -> None:
    a, b, c = submit(world, ("a", spec(HOUR_S)), ("b", spec(after=("a",))), ("c", spec(after=("b",))))
    world.nodes[HOME].cancel(b)
    settled(world, 2 * HOUR_S)
    assert record(world, a).state is JobState.SUCCEEDED
    assert record(world, b).state is JobState.CANCELLED
    assert record(world, c).reason is Reason.UPSTREAM_ENDED


def test_what_could_not_be_registered_fails_and_is_told(world: World) -> None:
    (a,) = submit(world, ("a", spec(site="datong", publish=True, cores=64)))
    world.movers["datong"].full.add(a)
    (b,) = submit(world, ("b", spec(after=("a",))))
    settled(world, HOUR_S)
    assert (record(world, a).reason, record(world, a).detail) == (Reason.NOT_PUBLISHED, "no space left")
    assert record(world, b).reason is Reason.UPSTREAM_ENDED
    assert record(world, a).fen > 0  # what ran is paid for
    check_books(world)


def test_the_parts_of_an_array_each_leave_something(world: World) -> None:
    a, b = submit(world, ("a", spec(members=3, cores=2)), ("b", spec(after=("a",))))
    settled(world, 2 * HOUR_S)
    assert record(world, b).state is JobState.SUCCEEDED
    left = record(world, a).left
    assert {f"a{x.dataset.removeprefix(a).removesuffix('.out')}" for x in left} == set(order_of(world, b).inputs)


def test_a_crash_at_any_moment_loses_no_step(world: World) -> None:
    a, b = submit(world, ("a", spec(site="datong")), ("b", spec(site="luliang", after=("a",))))
    for _ in range(120):
        settled(world, 60)
        for name in (HOME, "datong"):
            old = world.nodes[name]
            old.parts.store.close()
            world.open(name)
        if record(world, b).state is JobState.SUCCEEDED:
            break
    assert record(world, a).state is record(world, b).state is JobState.SUCCEEDED
    runs = [e.run for _, e in events(world, a) if isinstance(e, ev.Started)]
    assert len(runs) == 1
    fed = [e for _, e in events(world, b) if isinstance(e, ev.Fed)]
    assert len(fed) == 1


def test_a_call_that_is_sent_again_in_another_cut_gives_the_same_jobs(world: World) -> None:
    first, then = submit(world, ("a", spec()), ("b", spec(after=("a",))))
    assert submit(world, ("a", spec())) == [first] and submit(world, ("b", spec(after=("a",)))) == [then]
    assert record(world, first).spec.publish


def test_what_is_wrong_with_the_order_is_said_at_once(world: World) -> None:
    submit(world, ("loose", spec()))
    important = spec(grade=DataGrade.IMPORTANT)
    asked = {
        "a": spec(after=("b",)), "b": spec(after=("c",)), "c": spec(after=("a",)), "d": spec(after=("c",)),
        "e": spec(after=("nobody", "nobody")), "f": spec(after=("loose",)), "g": important, "h": spec(after=("g",)),
        "no/name": spec(), "i": spec(after=("no/name",)), "j": spec(checkpoint_bytes=5),
    }  # fmt: skip
    with pytest.raises(ProblemsFound) as found:
        submit(world, *asked.items())
    codes = sorted({p.code for p in found.value.problems})
    assert codes == [
        "after_grade", "after_name", "after_ring", "after_twice", "after_unknown", "after_unpublished",
        "checkpoint_unused",
    ]  # fmt: skip
    ring = next(p for p in found.value.problems if p.code == "after_ring")
    assert ring.what.endswith("a, b, c, d")


# -- work that goes on at another site


def two_tariffs() -> Region:
    """Shanxi, where power is cheap at Datong in four hours of eight and at Luliang in the other four, and dear
    elsewhere and else; all sites are alike."""
    region = load_region(bundled("shanxi"))
    base = next(iter(region.tariffs.values()))

    def tariff(name: str, cheap: tuple[tuple[int, int], ...]):
        dear = tuple((h, h + 1) for h in range(24) if not any(a <= h < b for a, b in cheap))
        season = Season(name="year", months=tuple(range(1, 13)), periods={"valley": cheap, "sharp": dear})
        return replace(base, id=name, seasons=(season,))

    tariffs = {
        "even": tariff("even", tuple((h, h + 4) for h in range(0, 24, 8))),
        "odd": tariff("odd", tuple((h + 4, h + 8) for h in range(0, 24, 8))),
        "dear": tariff("dear", ()),
    }
    of = {"datong": "even", "luliang": "odd"}
    alike = region.nodes["datong"].site
    alike = replace(alike, power=replace(alike.power, generation=()))
    nodes = {
        name: replace(node, site=replace(alike, tariff=of.get(name, "dear"))) for name, node in region.nodes.items()
    }
    return replace(region, tariffs=tariffs, nodes=nodes)


@pytest.fixture
def edges(tmp_path: Path) -> Iterator[World]:
    made = begun(World(tmp_path, two_tariffs()))
    yield made
    made.close()


def patient(world: World, moves: int) -> JobSpec:
    """Work of eight hours that has to be done within 14."""
    return spec(
        8 * HOUR_S, stoppable=True, cores=64, memory_bytes=2**30, delay_price_fen_per_hour=0, checkpoint_bytes=moves,
        deadline_s=world.clock.now() + 14 * HOUR_S, deadline_firm=True,
    )  # fmt: skip


@pytest.mark.parametrize("moves", [True, False])
def test_at_the_edge_of_a_price_stopped_work_goes_on_where_it_is_cheap_now(edges: World, moves: bool) -> None:
    (job,) = submit(edges, ("a", patient(edges, 2 * 10**9 if moves else 0)))
    settled(edges, 15 * HOUR_S, by=900)
    done = record(edges, job)
    assert done.state is JobState.SUCCEEDED
    ran = [(e.start_s, name, e) for name, e in events(edges, job) if isinstance(e, ev.RunOver)]
    sites = [name for _, name, _ in sorted(ran, key=lambda r: r[0])]
    if not moves:
        assert len(set(sites)) == 1 and len(sites) > 1
        return
    assert set(sites) == {"datong", "luliang"}
    changes = sum(a != b for a, b in pairwise(sites))
    # every second of work was done once, and going on cost what the job said, each time
    stops = len(sites) - 1
    assert sum(e.end_s - e.start_s for _, _, e in ran) == pytest.approx(8 * HOUR_S, abs=180 * stops)
    # each move of the checkpoint was a transfer over the links, from where it was
    moved = [(name, e.source, e.dataset) for name, e in events(edges, job) if isinstance(e, ev.TransferStarted)]
    assert len(moved) == changes and all(source != name for name, source, _ in moved)
    runs = [e.fen for _, e in events(edges, job) if isinstance(e, ev.Settled)]
    assert len(runs) == len(sites) and done.fen == sum(runs)
    check_books(edges)
    assert all(not node.view.jobs for node in edges.nodes.values())


def test_a_checkpoint_that_is_larger_than_stated_stays(edges: World) -> None:
    (job,) = submit(edges, ("a", patient(edges, 10**8)))  # the model's checkpoints have 10^9 bytes
    settled(edges, 15 * HOUR_S, by=900)
    assert record(edges, job).state is JobState.SUCCEEDED
    assert len({name for name, e in events(edges, job) if isinstance(e, ev.RunOver)}) == 1
    check_books(edges)


def test_moving_work_survives_crashes_of_every_node(edges: World) -> None:
    (job,) = submit(edges, ("a", patient(edges, 2 * 10**9)))
    for n in range(15 * 4):
        settled(edges, 900, by=900)
        name = list(edges.nodes)[n % len(edges.nodes)]
        edges.nodes[name].parts.store.close()
        edges.open(name)
        if record(edges, job).state.ended:
            break
    settled(edges, HOUR_S, by=900)
    assert record(edges, job).state is JobState.SUCCEEDED
    keys = [e.run for _, e in events(edges, job) if isinstance(e, ev.Started)]
    assert len(keys) == len(set(keys)) >= 2
    check_books(edges)
