"""Whether it lives, and whether it takes work: two answers that need no token and tell nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from sanjin.adapters.clock import RealClock
from sanjin.api.app import make_app
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble
from sanjin.model.job import JobSpec, Submission
from sanjin.regions.load import bundled, load_region
from sanjin.tree.node import Node
from tests.support import until


@dataclass
class One:
    """Datong alone, whose parent is never there."""

    url: str
    node: Node

    def ask(self, what: str) -> httpx.Response:
        return httpx.get(f"{self.url}/v1/{what}", timeout=10)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[One]:
    hub = EventHub()
    live = assemble(load_region(bundled("shanxi")), tmp_path, RealClock(), "test", hub.listen, only=("datong",))
    live.nodes["datong"].parent = "taiyuan"
    server = Server(make_app(live, hub, "token", "test"), 0)
    live.start()
    server.start()
    yield One(server.url, live.nodes["datong"])
    server.stop()
    live.stop()


def refused(one: One, why: str) -> None:
    answer = one.ask("ready")
    assert answer.status_code == 503 and answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["code"] == "not_ready" and why in found["detail"]
    assert "datong" not in answer.text and "/" not in found["detail"].replace("docs/howto/deploy.md", "")


def test_a_node_without_its_parent_takes_work_and_says_that_it_is_cut_off(one: One) -> None:
    assert one.ask("health").json() == {"ok": True, "faults": {}}
    assert one.ask("ready").json() == {"ready": True, "parent_reachable": False}


def test_a_store_that_takes_no_writes_is_a_fault_until_it_does_also_while_nobody_writes(one: One) -> None:
    engine = one.node.parts.store._engine  # type: ignore[attr-defined]

    def full(connection: object, *_: object) -> None:
        connection.execute("pragma query_only=1")  # type: ignore[attr-defined]

    def roomy(connection: object, *_: object) -> None:
        connection.execute("pragma query_only=0")  # type: ignore[attr-defined]

    sa.event.listen(engine, "checkout", full)
    one.node.submit([Submission(key="a", spec=JobSpec(name="a", command=("true",)))]).exception(10)
    until(lambda: one.ask("ready").status_code == 503, "fault")
    for _ in range(15):  # and nobody asks it to write meanwhile
        refused(one, "takes no writes")
        time.sleep(0.1)
    assert one.ask("health").status_code == 200 and not one.ask("health").json()["ok"]
    sa.event.remove(engine, "checkout", full)
    sa.event.listen(engine, "checkout", roomy)
    until(lambda: one.ask("ready").status_code == 200, "readiness")
    assert one.ask("health").json()["ok"]


def test_who_was_taken_over_set_back_or_stands_still_takes_no_work(one: One, monkeypatch: pytest.MonkeyPatch) -> None:
    one.node.lines.behind.add("taiyuan")
    refused(one, "set back")
    assert not one.ask("health").json()["ok"]
    one.node.lines.behind.clear()
    monkeypatch.setattr(one.node.parts.store, "active", lambda: False)
    refused(one, "taken over")
    monkeypatch.undo()
    assert one.ask("ready").status_code == 200
    clock = one.node.parts.clock
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now + 30)
    one.node.turned_at = now
    monkeypatch.setattr(type(one.node), "step", lambda *_: time.sleep(0.05))
    refused(one, "no turns")
    assert one.ask("health").status_code == 200
    monkeypatch.setattr(clock, "wall", lambda: now + 600)
    assert one.ask("health").status_code == 503


def test_a_node_whose_thread_is_gone_is_dead(one: One) -> None:
    one.node._stop = True
    one.node._inbox.put(None)
    until(one.node.ended, "end of the thread")
    assert one.ask("health").status_code == 503
    refused(one, "no turns")
