"""Core and hub as processes of their own: enrolment, work across the line, a parent that dies, a child revoked."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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
    return node.ask("sites")[0]["parent_reachable"]


def submit(node: NodeProcess, *options: str) -> str:
    return node.json("submit", "--duration", "60s", *options, "--", "true")["jobs"][0]


def state(node: NodeProcess, job: str) -> str:
    return next(j["state"] for j in node.ask("jobs")["jobs"] if j["id"] == job)


def test_work_goes_up_the_line_runs_there_and_its_end_comes_back(tree: tuple[NodeProcess, NodeProcess]) -> None:
    core, hub = tree
    until(lambda: reached(hub))
    words = ("--site", "taiyuan", "--", "sh", "-c", "echo said; echo left > $SANJIN_OUTPUTS/left")
    there = hub.json("submit", "--duration", "60s", *words)["jobs"][0]
    here = submit(hub, "--site", "datong")
    until(lambda: state(hub, there) == "succeeded" and state(hub, here) == "succeeded")
    record = next(j for j in hub.json("jobs")["jobs"] if j["id"] == there)
    assert record["site"] == "taiyuan"
    logs = hub.run("logs", there)
    assert logs.returncode == 4 and "taiyuan" in logs.stderr  # its node has the rest
    assert core.run("logs", there).stdout == "said\n"
    assert [f["name"] for f in core.json("outputs", there)["files"]] == ["left"]
    assert core.json("bill", "--job", there)["site"] == core.json("job", there)["job"]["site"] == "taiyuan"
    assert core.run("explain", there).returncode == 0
    unknown = core.run("logs", "datong-99999")
    assert unknown.returncode == 4 and "datong" in unknown.stderr  # who might know it


def test_a_parent_tells_of_the_sites_below_what_it_knows(tree: tuple[NodeProcess, NodeProcess]) -> None:
    core, hub = tree
    until(lambda: reached(hub) and {s["site"]: s for s in core.ask("sites")}["datong"]["pools"][0]["free_cores"] > 0)
    sites = {s["site"]: s for s in core.ask("sites")}
    assert next(iter(sites)) == "taiyuan" and sites["datong"]["parent_reachable"] and sites["datong"]["heard_s"] > 0
    assert sites["taiyuan"]["engine"] == "local" and sites["datong"]["engine"] == ""
    assert sites["yangquan"]["pools"][0]["free_cores"] == 0  # it has offered nothing yet
    assert "taiyuan" not in {s["site"] for s in hub.ask("sites")}  # what is above is not below
    assert {s["site"] for s in core.ask("plan")["sites"]} == {s["site"] for s in core.ask("briefing")["sites"]}
    states = {r["id"]: r["state"] for r in core.ask("resources")}
    assert states["taiyuan"] == states["datong"] == "in_service"
    assert core.run("what-if", "--carbon-price", "300").returncode == 3  # for that all nodes have to be here


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
    hub.up("--token", token, "--no-benchmark")
    until(lambda: reached(hub))


DECLARED = """
pools:
  general:
    fp64_core: {value: 1000000, unit: GFLOP/s/core, date: 2026-11, source: made up for a test, status: believed}
    disk_write: {value: 0.001, unit: MB/s, date: 2026-11, source: made up for a test, status: believed}
"""


def figures(node: NodeProcess, site: str) -> dict[str, dict[str, object]]:
    found = [f for s in node.ask("sites") for f in s["performance"] if f["site"] == site]
    return {line["quantity"]: line for line in found[0]["figures"]} if found and found[0]["measured"] else {}


def test_a_node_that_joins_is_measured_and_its_parent_shows_it(tmp_path: Path) -> None:
    core, hub = NodeProcess(tmp_path, "taiyuan"), NodeProcess(tmp_path, "datong")
    declared = tmp_path / "declared.yaml"
    declared.write_text(DECLARED)
    try:
        core.up("--region", "shanxi")
        hub.join(core, "--declare", str(declared), benchmark=True)
        until(lambda: bool(figures(core, "datong")))
        found = figures(core, "datong")
        assert found["fp64_core"]["below"] is True and found["disk_write"]["below"] is False
        assert found["memory_bandwidth"]["declared"] == 0.0 and float(str(found["memory_bandwidth"]["measured"])) > 0
        assert "BELOW DECLARED" in core.run("sites").stdout
        before = json.loads((hub.state / "measured.json").read_text())
        assert before["sandbox"] in ("bwrap", "none")
        again = hub.json("node", "measure", "--seconds", "0.2")["measured"]  # while it runs
        until(lambda: [e["kind"] for e in hub.ask("journal?node=datong")].count("site.measured") == 2)
        until(lambda: figures(core, "datong")["fp64_core"]["measured"] == again["samples"][0]["median"])
        hub.end()
        hub.up()
        until(lambda: reached(hub))
        assert [e["kind"] for e in hub.json("audit", "journal")].count("site.measured") == 2  # it says it once
        assert all(not r["problems"] for r in hub.json("audit", "verify"))
    finally:
        hub.end()
        core.end()
