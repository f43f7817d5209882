"""Tenants' envelopes between nodes: borrowed where work lacks them, reserved before they are used, given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.envelopes import ASK_AGAIN_S, LENT_S, Amount, Envelopes, lend
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.model.region import Envelope, Region, Tenant
from sanjin.model.units import GIB
from sanjin.regions.load import bundled, load_region
from tests.tree_world import World

EDGE, HUB, CORE = "shuozhou", "datong", "taiyuan"


def with_envelopes(**cores: int) -> Region:
    """Shanxi with one tenant, ``t``, whose cores are stated by node and whose yuan suffice everywhere."""
    region = load_region(bundled("shanxi"))
    parts = {node: Envelope(cores=many, yuan=1000.0) for node, many in cores.items()}
    return replace(region, tenants={"t": Tenant("t", "T", "T", parts)})


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def build(**cores: int) -> World:
        made.append(World(tmp_path / str(len(made)), with_envelopes(**cores)))
        made[-1].turn(6)
        return made[-1]

    yield build
    for world in made:
        world.close()


def submit(world: World, node: str, *cores: int, seconds: int = 600, site: str = "") -> list[str]:
    """Jobs of so many cores each; their ids."""
    at = len(world.nodes[node].view.jobs) + world.nodes[node].view.next_number
    asked = [
        Submission(
            key=f"{at}-{i}",
            spec=JobSpec(
                name="x", command=("true",), tenant="t", cores=n, memory_bytes=GIB, duration_s=seconds,
                environment={"RUN_S": str(seconds)}, site=site, delay_price_fen_per_hour=10**6,
            ),
        )
        for i, n in enumerate(cores)
    ]  # fmt: skip
    future = world.nodes[node].submit(asked)
    world.turn(8)
    return [r.id for r in future.result(0)]


def state(world: World, node: str, job: str) -> JobState:
    record = world.nodes[node].parts.store.job(job)
    assert record is not None
    return record.state


def part(world: World, node: str, peer: str) -> tuple[int, int]:
    share = world.nodes[node].view.envelopes.share("t", peer)
    return share.cores, share.fen


def test_who_lacks_an_envelope_borrows_of_its_parent_and_gives_it_back(worlds: Callable[..., World]) -> None:
    world = worlds(shuozhou=4, datong=8)
    jobs = submit(world, EDGE, 4, 4, 2, seconds=LENT_S + 3600)
    assert all(state(world, EDGE, j) is not JobState.HELD for j in jobs)
    assert part(world, EDGE, HUB) == part(world, HUB, EDGE) and part(world, HUB, EDGE)[0] == 6
    free = world.nodes[HUB].view.envelopes.free("t")
    assert free.cores == 2  # what the child uses is not free here
    kinds = [e.kind for e in world.nodes[HUB].parts.store.journal() if e.kind.startswith("envelope")]
    assert kinds == ["envelope.lent"]
    world.run(LENT_S, by=900)
    assert part(world, HUB, EDGE)[0] == 6  # in use until its work ends
    world.run(3 * 3600, by=900)
    assert all(state(world, EDGE, j) is JobState.SUCCEEDED for j in jobs)
    assert part(world, EDGE, HUB) == part(world, HUB, EDGE) == (0, 0)
    assert world.nodes[HUB].view.envelopes.free("t") == Amount(8, 100_000)
    assert world.nodes[EDGE].view.envelopes.free("t").cores == 4


def test_what_was_borrowed_stays_usable_while_the_line_is_cut_and_then_it_is_over(
    worlds: Callable[..., World],
) -> None:
    world = worlds(shuozhou=4, datong=16)
    submit(world, EDGE, 4, 4, 4, site=EDGE)
    assert part(world, EDGE, HUB)[0] == 8
    world.board.cut(EDGE)
    world.run(1800)
    assert world.nodes[EDGE].view.envelopes.free("t").cores == 12  # all have ended, nothing was given back
    second = submit(world, EDGE, 6, 6, site=EDGE)
    assert all(state(world, EDGE, j) is not JobState.HELD for j in second)
    world.run(LENT_S, by=600)
    late = submit(world, EDGE, 3, 3, site=EDGE)
    assert [state(world, EDGE, j) is JobState.HELD for j in late] == [False, True]
    assert part(world, EDGE, HUB) == (0, 0) and part(world, HUB, EDGE)[0] == 8  # which the hub has not heard of
    world.board.heal(EDGE)
    world.run(1800)
    assert part(world, EDGE, HUB) == part(world, HUB, EDGE)


def test_an_ask_goes_up_the_tree_and_nothing_to_lend_is_an_answer(worlds: Callable[..., World]) -> None:
    world = worlds(shuozhou=4, datong=4, taiyuan=8)
    (first,) = submit(world, EDGE, 12, seconds=4 * 3600)
    assert state(world, EDGE, first) is JobState.HELD
    world.run(2 * ASK_AGAIN_S)
    assert state(world, EDGE, first) is not JobState.HELD  # four of its own, the hub's, and four by way of the hub
    assert part(world, CORE, HUB)[0] == 4 and part(world, HUB, EDGE)[0] == 8
    (held,) = submit(world, EDGE, 8)
    record = world.nodes[EDGE].parts.store.job(held)
    assert record is not None and (record.state, record.reason) == (JobState.HELD, Reason.QUOTA)
    asked = [e for e in world.nodes[EDGE].parts.store.journal() if e.kind == "envelope.asked"]
    world.run(600)
    again = [e for e in world.nodes[EDGE].parts.store.journal() if e.kind == "envelope.asked"]
    assert len(again) - len(asked) <= 1  # not at every turn


def test_more_than_all_nodes_above_have_together_is_refused(worlds: Callable[..., World]) -> None:
    world = worlds(shuozhou=4, datong=4, taiyuan=8, yangquan=100)
    with pytest.raises(ProblemsFound, match="quota of 16"):
        submit(world, EDGE, 17)
    with pytest.raises(ProblemsFound, match="may not use node"):
        submit(world, "linfen", 1)


def test_a_restart_knows_what_is_lent(worlds: Callable[..., World]) -> None:
    world = worlds(shuozhou=4, datong=8)
    submit(world, EDGE, 4, 4)
    before = {n: (dict(v.envelopes.shares), v.envelopes.free("t")) for n, v in views(world)}
    for name in (EDGE, HUB):
        world.nodes[name].stop()
        world.open(name)
    assert {n: (dict(v.envelopes.shares), v.envelopes.free("t")) for n, v in views(world)} == before


def views(world: World) -> list[tuple[str, View]]:
    return [(name, world.nodes[name].view) for name in (EDGE, HUB)]


# -- the law: whatever is asked and given back, in whatever order, nothing is there twice

amounts = st.builds(Amount, st.integers(-2, 30), st.integers(-50, 3000))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ask", "give"]), st.sampled_from(["a", "b"]), amounts, amounts), max_size=30),
    st.integers(0, 20),
)
def test_what_children_have_and_what_is_free_add_up(words: list[tuple[str, str, Amount, Amount]], used: int) -> None:
    region = with_envelopes(datong=20)
    view = object.__new__(View)
    view.region, view.node, view.parent = region, HUB, CORE
    at = view.envelopes = Envelopes(region, HUB, CORE)
    at.tenant("t").cores = used
    has = {"a": Amount(), "b": Amount()}
    for number, (kind, child, whole, least) in enumerate(words):
        if kind == "ask":
            event = lend(view, child, "t", whole, least, number)
            assert event is not None and min(event.cores, event.fen) >= 0
            if event.cores or event.fen:
                assert Amount(event.cores, event.fen).covers(least.at_most(whole))
            at.moved(event, number)
            has[child] += Amount(event.cores, event.fen)
        else:
            back = whole.or_nothing().at_most(has[child])
            at.moved(
                ev.EnvelopeRegained(job="", peer=child, tenant="t", cores=back.cores, fen=back.fen), number
            )  # fmt: skip
            has[child] -= back
        assert at.free("t") + has["a"] + has["b"] + Amount(used) == Amount(20, 100_000)
        assert at.free("t").cores >= 0 and at.free("t").fen >= 0


def test_who_only_reads_changes_nothing() -> None:
    at = Envelopes(with_envelopes(datong=20), HUB, CORE)
    assert at.free("t") == at.stated("t") == Amount(20, 100_000) and at.used("t") == Amount()
    assert not at.use and not at.shares
