"""What a site's machines do goes up the tree, is told once, and again to a parent that begins anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.cli.measuring import Keeper
from sanjin.model import event as ev
from sanjin.model.performance import SitePerformance
from sanjin.model.region import Quantity
from sanjin.tree.exchange import Answer, Request
from sanjin.tree.inbox import Said
from sanjin.tree.overview import site_figures
from sanjin.tree.performance import Performances
from tests.tree_world import World
from tests.unit.model.test_performance import declared, measured

EDGE, HUB, CORE = "shuozhou", "datong", "taiyuan"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.turn(4)
    yield made
    made.close()


def said(world: World, site: str, **values: float) -> SitePerformance:
    pool = world.region.nodes[site].site.pools[0].id
    promise = declared(Quantity.FP64_CORE, 40.0, pool)
    return SitePerformance(site=site, said_at_ms=world.clock.now(), declared=(promise,), measured=measured(**values))


def figures(world: World, node: str, site: str) -> list[tuple[float, float, bool]]:
    return [
        (x.declared, x.measured, x.below) for f in site_figures(world.nodes[node]) if f.site == site for x in f.figures
    ]


def events(world: World, node: str) -> list[ev.SiteMeasured]:
    found = [ev.decode(e.kind, e.body) for e in world.nodes[node].parts.store.journal()]
    return [e for e in found if isinstance(e, ev.SiteMeasured)]


def test_a_measurement_two_levels_below_reaches_the_core(world: World) -> None:
    assert world.region.nodes[EDGE].parent == HUB and world.region.nodes[HUB].parent == CORE
    world.nodes[EDGE].performances.say(said(world, EDGE, fp64_core=30.0), new=True)
    world.run(300)
    for node in (EDGE, HUB, CORE):
        assert figures(world, node, EDGE) == [(40.0, 30.0, True)]
    assert figures(world, "yangquan", EDGE) == []
    assert len(events(world, EDGE)) == 1 and events(world, EDGE)[0].declared[0].figure.value == 40.0
    assert events(world, HUB) == events(world, CORE) == []


def test_it_is_told_when_it_changes_and_not_with_every_call(world: World) -> None:
    calls: list[bytes] = []
    inside = world.nodes[HUB].answer
    world.board.join(HUB, lambda r: (calls.append(r.performance), inside(r))[1])
    world.nodes[EDGE].performances.say(said(world, EDGE, fp64_core=30.0), new=True)
    world.run(300)
    assert 1 <= sum(map(bool, calls)) <= 3 < len(calls)  # again only until an answer has come
    told = sum(map(bool, calls))
    world.nodes[EDGE].performances.say(said(world, EDGE, fp64_core=39.0), new=False)
    world.run(300)
    assert figures(world, CORE, EDGE) == [(40.0, 39.0, False)] and sum(map(bool, calls)) > told
    assert len(events(world, EDGE)) == 1


def test_a_line_that_is_cut_delays_it_and_a_core_that_begins_anew_is_told_again(world: World) -> None:
    world.board.cut(EDGE)
    world.nodes[EDGE].performances.say(said(world, EDGE, fp64_core=30.0), new=True)
    world.run(300)
    assert figures(world, HUB, EDGE) == []
    world.board.heal(EDGE)
    world.run(300)
    assert figures(world, CORE, EDGE) == [(40.0, 30.0, True)]
    world.nodes[CORE].stop()
    world.open(CORE)
    world.run(1200)  # the call that the old one held is never answered here: the next comes with the next slot
    assert figures(world, CORE, EDGE) == [(40.0, 30.0, True)]


def test_a_lost_answer_has_all_of_it_told_again(world: World) -> None:
    book = Performances(world.region, EDGE, lambda _: None)
    book.take(Said(said(world, EDGE, fp64_core=30.0), new=False), lambda _: None)
    answer = Answer(ack=0, mail=(), outside=b"", lease_s=0, want_offer=False)
    told = book.for_parent(1)
    assert told and book.for_parent(2) == told
    book.heard(1, answer)
    assert book.for_parent(3) == b""
    book.heard(2, None)
    assert book.for_parent(4) == told
    book.heard(4, answer)
    book.heard(5, replace(answer, want_demand=True))
    assert book.for_parent(6) == told


def test_what_is_not_a_childs_to_tell_or_older_is_left_aside(world: World) -> None:
    book, below = world.nodes[HUB].performances, world.nodes[HUB]._below[EDGE]
    good = said(world, EDGE, fp64_core=30.0)
    for body in (b"?", encoded(replace(good, site=CORE)), encoded(replace(good, measured=measured(fp64_core=-1.0)))):
        book.from_child(body, below)
    assert book.known == {}
    book.from_child(encoded(good), below)
    book.from_child(encoded(replace(good, said_at_ms=good.said_at_ms - 1, measured=None)), below)
    assert book.known == {EDGE: good}


def encoded(*found: SitePerformance) -> bytes:
    return msgspec.msgpack.encode(found)


def test_a_request_of_an_older_version_can_be_read() -> None:
    old = msgspec.msgpack.encode({"node": "n", "ack": 0, "mail": (), "offer": b"", "want_outside": False})
    assert msgspec.msgpack.decode(old, type=Request).performance == b""


def test_a_node_hears_of_what_its_folder_has_and_its_journal_has_it_once(world: World, tmp_path: Path) -> None:
    folder, node = StateFolder(tmp_path), world.nodes[EDGE]
    keeper = Keeper(folder, world.region, EDGE)
    keeper.look(node)
    assert node._inbox.empty()
    folder.keep_measurement(measured(fp64_core=30.0))
    keeper.look(node)
    for _, event in node.step(0.0).events:
        keeper.listen(EDGE, [(None, event)])  # type: ignore[list-item]
    keeper.look(node)
    assert node._inbox.empty() and len(events(world, EDGE)) == 1 and figures(world, EDGE, EDGE) == [(0.0, 30.0, False)]
    again = Keeper(folder, world.region, EDGE)  # as after a restart
    again.look(node)
    node.step(0.0)
    assert len(events(world, EDGE)) == 1
