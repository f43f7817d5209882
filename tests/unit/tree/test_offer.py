"""What one node tells another of free capacity, and what it makes of nonsense."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanjin.flow.view import Pending
from sanjin.model.errors import NotReachable
from sanjin.model.job import JobSpec, Submission
from sanjin.model.units import SLOT_S
from sanjin.tree import offer as offers
from sanjin.tree.children import told_of
from sanjin.tree.exchange import Request
from tests.tree_world import HOME, World, worlds


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("w"))
    made.run(180)
    yield made
    made.close()


def good(world: World) -> offers.Offer:
    view = world.nodes["datong"].view
    return offers.make(view, {"datong"}, "taiyuan")


def test_an_offer_comes_through_as_it_was(world: World) -> None:
    made = good(world)
    assert offers.decode(offers.encode(made)) == made


def test_a_large_offer_is_small_on_the_wire(world: World) -> None:
    view = world.nodes["taiyuan"].view
    made = offers.make(view, set(view.supply.sites), "x")
    body = offers.encode(made)
    assert offers.decode(body) == made
    assert len(body) < sum(len(part) for part in (made.cores, made.mem, made.cards, made.mw)) / 10
    with pytest.raises(ValueError, match="cut short"):
        offers.decode(body[:-5])
    with pytest.raises(ValueError, match="decompressed"):
        offers.decode(body[:2] + b"\xff" + body[3:])


def test_a_small_message_cannot_take_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "OFFER_MAX", 1 << 20)
    with pytest.raises(ValueError, match="more than 1 MiB"):
        offers.decode(zlib.compress(bytes(2 << 20)))


@pytest.mark.parametrize(
    "change",
    [
        {"cores": b""},
        {"mem": b"123"},
        {"mw": b"\0" * 8},
        {"slots": 0},
        {"slots": -1},
        {"pools": ("datong/general",)},
        {"sites": ()},
    ],
    ids=str,
)
def test_an_offer_that_contradicts_itself_is_refused(world: World, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another size"):
        offers.decode(offers.encode(replace(good(world), **change)))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_nonsense_from_a_child_changes_nothing_and_ends_no_turn(world: World, body: bytes) -> None:
    parent = world.nodes["taiyuan"]
    before = parent.view.supply.board.cells.copy()
    parent.answer(Request(node="datong", ack=0, mail=(), offer=body, want_outside=False))
    parent.step(0.0)
    assert parent.fault == ""
    assert (parent.view.supply.board.cells == before).all()


def test_a_child_cannot_offer_what_is_not_its_own(world: World) -> None:
    parent = world.nodes["taiyuan"]
    view = world.nodes["datong"].view
    theirs = offers.make(view, {"datong", "luliang"}, "taiyuan")
    mixed = replace(good(world), pools=("datong/general", "luliang/hpc"))
    before = parent.view.supply.board.cells.copy()
    for made in (theirs, mixed):
        forged = replace(made, cores=b"\0" * len(made.cores))
        offers.accept(parent.view, forged, "datong", {"datong"})
    assert (parent.view.supply.board.cells == before).all()


def test_an_offer_has_what_changed_since_and_the_same_again_is_no_news(world: World) -> None:
    child, parent = world.nodes["datong"].view, world.nodes["taiyuan"].view
    before = child.supply.version
    assert offers.make(child, {"datong"}, "taiyuan", before).sites == ()
    now, pool = world.clock.now(), child.supply.pool_index["datong/general"]
    child.supply.take(pool, now, now + 9, (1, 1, 0, 1), 1)
    news = offers.make(child, {"datong"}, "taiyuan", before)
    assert news.sites == ("datong",) == good(world).sites
    versions = []
    for _ in range(2):
        offers.accept(parent, news, "datong", {"datong"})
        versions.append((parent.supply.version, parent.supply.site_version.copy().tolist()))
    assert versions[0] == versions[1]
    assert parent.supply.site_version[parent.supply.site_index["datong"]] == parent.supply.version
    own, theirs = (v.supply.free_cores[v.supply.pools_at[v.supply.site_index["datong"]]] for v in (child, parent))
    assert (own == theirs).all()


@pytest.mark.parametrize("counted", [True, False])
def test_what_was_given_to_a_child_stays_reserved_until_the_child_has_counted_it(world: World, counted: bool) -> None:
    """Also where the child had nothing new to tell of the site: then what it was given went elsewhere."""
    child, parent = world.nodes["datong"].view, world.nodes["taiyuan"].view
    now, pool = world.clock.now(), parent.supply.pool_index["datong/general"]
    ack = child.mark("taiyuan").received
    before, sites = parent.supply.free_cores[pool].copy(), parent.supply.site_version.copy()
    parent.supply.take(pool, now, now + SLOT_S, (7, 7, 0, 7), 1)
    parent.pending["datong"] = [Pending(ack if counted else ack + 1, pool, now, now + SLOT_S, (7, 7, 0, 7))]
    nothing_new = offers.make(child, {"datong"}, "taiyuan", child.supply.version)
    for _ in range(2):
        offers.accept(parent, nothing_new, "datong", {"datong"})
        assert (before - parent.supply.free_cores[pool]).max() == (0 if counted else 7)
        assert len(parent.pending["datong"]) == (0 if counted else 1)
    offers.accept(parent, good(world), "datong", {"datong"})  # all told anew: what was not counted stays
    assert (before - parent.supply.free_cores[pool]).max() == (0 if counted else 7)
    assert (parent.supply.site_version >= sites).all()
    parent.pending["datong"] = []
    offers.accept(parent, good(world), "datong", {"datong"})
    assert (before == parent.supply.free_cores[pool]).all()


@pytest.mark.parametrize("seed", range(12))
def test_after_cuts_and_restarts_every_node_knows_what_every_site_has(tmp_path: Path, seed: int) -> None:
    """Within one slot, so that no new horizon tells everything anew; runs end before what they asked for."""
    rng = random.Random(seed)
    with worlds(tmp_path) as make:
        world = make(cores=24)
        children = [n for n, node in world.region.nodes.items() if node.parent]
        begin, jobs, cut = world.clock.now(), list[tuple[str, str]](), set[str]()
        for step in range(40):
            name = rng.choice(list(world.region.nodes))
            what = rng.random()
            if what < 0.55:
                site = rng.choice(["", "", HOME])
                some = [_job(rng, site) for _ in range(rng.choice([1, 1, 6]))]
                future = world.nodes[name].submit([Submission(key=f"{step}-{i}", spec=s) for i, s in enumerate(some)])
                world.nodes[name].step(0.0)
                jobs += [(name, r.id) for r in future.result(0)]
            elif what < 0.7 and jobs:
                owner, job = rng.choice(jobs)
                world.nodes[owner].cancel(job)
            elif what < 0.8:
                cut.add(child := rng.choice(children))
                world.board.cut(child)
            elif what < 0.9 and cut:
                cut.discard(child := rng.choice(sorted(cut)))
                world.board.heal(child)
            else:
                _restart(world, name)
            world.run(rng.choice([1, 4, 12]), by=1)
        for child in cut:
            world.board.heal(child)
        world.run(12, by=1)
        assert world.clock.now() // SLOT_S == begin // SLOT_S
        for site in world.region.nodes:
            truth = _rows(world, site, site)
            for name in world.nodes:
                assert np.array_equal(_rows(world, name, site), truth), f"{name} is wrong about {site}"


def test_after_a_decline_the_parent_reserves_nothing(tmp_path: Path) -> None:
    with worlds(tmp_path) as make:
        world = make(cores=8)
        now, parent = world.clock.now(), "taiyuan"
        wanted = JobSpec(
            name="x", command=("true",), tenant="public", cores=8, duration_s=2 * SLOT_S, site=HOME,
            deadline_s=now + 2 * SLOT_S, deadline_firm=True,
        )  # fmt: skip
        first = world.nodes[HOME].submit([Submission(key="a", spec=replace(wanted, cores=1, duration_s=SLOT_S))])
        second = world.nodes[parent].submit([Submission(key="b", spec=wanted)])
        world.board.cut(HOME)
        world.nodes[parent].step(0.0)  # gives all of the site, and does not hear that some is taken
        world.nodes[HOME].step(0.0)
        world.board.heal(HOME)
        world.run(6, by=1)
        job = second.result(0)[0].id
        kinds = [e.kind for e in world.nodes[HOME].parts.store.journal(job=job)]
        assert "job.declined" in kinds and first.result(0)[0].id
        world.run(6, by=1)
        assert np.array_equal(_rows(world, parent, HOME), _rows(world, HOME, HOME))


def _restart(world: World, name: str) -> None:
    world.nodes[name].step(0.0)  # takes in what children have just sent
    for child in world.nodes[name]._children.values():
        if child.held:  # its connection breaks
            child.held.future.set_exception(NotReachable(name))
    world.nodes[name].stop()
    world.open(name)


def _job(rng: random.Random, site: str) -> JobSpec:
    cores, slots = rng.choice([2, 8, 20]), rng.choice([1, 3, 9])
    price = rng.choice([0, 50, 10**4])
    return JobSpec(
        name="x", command=("true",), tenant="public", cores=cores, duration_s=slots * SLOT_S, site=site,
        delay_price_fen_per_hour=price, environment={"RUN_S": str(rng.choice([1, 5, 60, 10**5]))},
    )  # fmt: skip


def _rows(world: World, node: str, site: str) -> np.ndarray:
    supply = world.nodes[node].view.supply
    pools, index = supply.pools_at[supply.site_index[site]], supply.site_index[site]
    return np.concatenate(
        [supply.free_cores[pools], supply.free_mem[pools], supply.free_acc[pools], supply.free_mw[[index]]]
    )


def test_a_child_is_told_of_its_parent_and_of_the_cheapest_sites_where_there_are_many(tmp_path: Path) -> None:
    world = World(tmp_path)
    supply = world.nodes["taiyuan"].view.supply
    below = {"datong"}
    every = [i for i, s in enumerate(supply.sites) if s not in below]
    assert told_of(supply, "taiyuan", below) == every
    few = told_of(supply, "taiyuan", below, most=4)
    energy, carbon = supply.plain_prices()
    mean = (energy + carbon).mean(axis=1)
    own = supply.site_index["taiyuan"]
    assert len(few) == 4 and own in few
    left_out = [i for i in every if i not in few]
    assert max(mean[i] for i in few if i != own) <= min(mean[i] for i in left_out)
    world.close()
