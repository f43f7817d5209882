"""What one node tells another of free capacity, and what it makes of nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanjin.tree import offer as offers
from sanjin.tree.exchange import Request
from tests.tree_world import World


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
