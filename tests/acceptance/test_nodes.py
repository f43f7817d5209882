"""Core and hub as processes of their own: enrolment, work across the line, a parent that dies, a child revoked."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.nodes import NodeProcess


def until(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    root = tmp_path_factory.mktemp("nodes")
    core, hub = NodeProcess(root, "taiyuan"), NodeProcess(root, "datong")
    core.up("--region", "shanxi")
    hub.join(core)
    yield core, hub
    hub.end()
    core.end()


def reached(node: NodeProcess) -> bool:
    return node.json("sites")[0]["parent_reachable"]


def submit(node: NodeProcess, *options: str) -> str:
    return node.json("submit", "--duration", "60s", *options, "--", "true")["jobs"][0]


def state(node: NodeProcess, job: str) -> str:
    return next(j["state"] for j in node.json("jobs")["jobs"] if j["id"] == job)


def test_work_goes_up_the_line_runs_there_and_its_end_comes_back(tree: tuple[NodeProcess, NodeProcess]) -> None:
    _, hub = tree
    until(lambda: reached(hub))
    there, here = submit(hub, "--site", "taiyuan"), submit(hub, "--site", "datong")
    until(lambda: state(hub, there) == "succeeded" and state(hub, here) == "succeeded")
    record = next(j for j in hub.json("jobs")["jobs"] if j["id"] == there)
    assert record["site"] == "taiyuan"
    logs = hub.run("logs", there)
    assert logs.returncode == 4 and "taiyuan" in logs.stderr  # its node has the rest


def test_who_has_no_invitation_or_a_used_one_stays_outside(tree: tuple[NodeProcess, NodeProcess]) -> None:
    core, _ = tree
    parent, spare = f"https://{core.listen}", NodeProcess(core.root / "spare", "datong")
    words = ("node", "--site", "datong", "--parent", parent, "--state", str(spare.state))
    assert spare.run(*words).returncode == 5  # no token
    token = core.json("node", "invite", "datong")["token"]
    wrong = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")
    assert spare.run(*words, "--token", wrong).returncode == 5
    assert core.run("node", "invite", "beijing").returncode == 3


def test_a_hub_goes_on_without_its_parent_and_tells_it_all_later(tree: tuple[NodeProcess, NodeProcess]) -> None:
    core, hub = tree
    core.end(signal.SIGKILL)
    until(lambda: not reached(hub))
    alone = submit(hub)
    until(lambda: state(hub, alone) == "succeeded")
    waiting = submit(hub, "--site", "taiyuan")
    hub.end(signal.SIGKILL)
    hub.up()  # from its folder alone, the parent away
    assert hub.told["parent"] == f"https://{core.listen}"
    core.up()
    until(lambda: reached(hub))
    until(lambda: state(hub, waiting) == "succeeded")
    assert all(not r["problems"] for node in tree for r in node.json("audit", "verify"))


def test_a_revoked_child_is_refused_until_it_is_invited_again(tree: tuple[NodeProcess, NodeProcess]) -> None:
    core, hub = tree
    until(lambda: reached(hub))
    assert core.json("node", "children")[0]["revoked"] is False
    core.json("node", "revoke", "datong", "--dry-run")
    core.json("node", "revoke", "datong")
    until(lambda: not reached(hub), 60)
    assert "revoked" in hub.log()
    hub.end()
    token = core.json("node", "invite", "datong")["token"]
    hub.up("--token", token)
    until(lambda: reached(hub))
