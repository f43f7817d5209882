"""Two processes that stand by for each other as one node, over one PostgreSQL: one goes on where the other was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import NodeProcess
from tests.postgres_server import PostgresServer
from tests.support import until

HOUR = ("--duration", "1h")


class StandBy(NodeProcess):
    """A further process of a node that is up; it answers once it has taken over."""

    def begin(self, *options: str) -> None:
        self.waiting = threading.Thread(target=self.up, args=options, daemon=True)
        self.waiting.start()
        until(lambda: (self.state / "log").exists() and "takes over when that ends" in self.log(), "waits", 60.0)


@pytest.fixture
def replicas(tmp_path: Path, postgres: PostgresServer) -> Iterator[tuple[NodeProcess, StandBy, NodeProcess]]:
    options = ("--region", "shanxi", "--store", postgres.url("stand-by"), "--identity", str(tmp_path / "identity"))
    first, second = NodeProcess(tmp_path / "a", "taiyuan"), StandBy(tmp_path / "b", "taiyuan")
    second.listen = first.listen
    hub = NodeProcess(tmp_path / "c", "datong")
    first.up(*options)
    hub.join(first)
    second.begin(*options)
    yield first, second, hub
    for each in (hub, second, first):
        each.end()


def states(node: NodeProcess) -> dict[str, str]:
    return {j["id"]: j["state"] for j in node.ask("jobs")["jobs"]}


def submit(node: NodeProcess, *words: str) -> str:
    return node.json("submit", "--site", "taiyuan", "--delay-price", "1000", *words)["jobs"][0]


def test_the_second_goes_on_where_the_first_was(replicas: tuple[NodeProcess, StandBy, NodeProcess]) -> None:
    first, second, hub = replicas
    until(lambda: hub.ask("sites")[0]["parent_reachable"], "the hub reaches its parent", 60.0)
    over = submit(first, "--duration", "60s", "--", "true")
    once = submit(first, *HOUR, "--", "sleep", "600")
    again = submit(first, *HOUR, "--repeatable", "--", "sleep", "600")
    until(lambda: states(first) == {over: "succeeded", once: "running", again: "running"}, "they run", 60.0)
    first.end(signal.SIGKILL)
    second.waiting.join(60.0)
    assert second.told, second.log()
    # what ran elsewhere and must not run twice is not begun again here, where nobody knows of it
    until(lambda: states(second) == {over: "succeeded", once: "interrupted", again: "running"}, "taken over", 60.0)
    assert next(j["detail"] for j in second.ask("jobs")["jobs"] if j["id"] == once).startswith("the node's state is")
    until(lambda: hub.ask("sites")[0]["parent_reachable"], "the hub reaches the other", 60.0)
    late = hub.json("submit", "--site", "taiyuan", "--duration", "60s", "--", "true")["jobs"][0]
    until(lambda: states(hub)[late] == "succeeded", "work from below runs at the other", 60.0)
    audit = second.ask("audit?node=taiyuan")
    assert [a["problems"] for a in audit] == [[]]
    # the first comes back, and waits in its turn
    back = StandBy(first.root, "taiyuan")
    back.listen = first.listen
    back.begin()
    second.end()
    back.waiting.join(60.0)
    try:
        until(lambda: states(back)[over] == "succeeded" and states(back)[again] == "running", "the first again", 60.0)
    finally:
        back.end()
