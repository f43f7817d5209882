"""A job submitted at one node and run at another, each a process of its own: one trace at the collector."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

pytest.importorskip("opentelemetry.sdk")

from sanjin.observe.spans import trace_of
from tests.nodes import NodeProcess
from tests.otlp_receiver import Got, Receiver

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def until(what: Callable[[], bool], seconds: float = 45.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


def is_one_tree(trace: list[Got]) -> bool:
    ids = [s.id for s in trace]
    assert len(ids) == len(set(ids))
    assert len([s for s in trace if not s.parent]) <= 1
    return {s.parent for s in trace} - {""} <= set(ids)


def test_one_trace_from_submit_to_settle_across_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "300")
    core, hub, edge = (NodeProcess(tmp_path, site) for site in ("taiyuan", "datong", "shuozhou"))
    core.up("--region", "shanxi")
    hub.join(core)
    edge.join(hub)
    try:
        until(lambda: all(n.ask("sites")[0]["parent_reachable"] for n in (hub, edge)))
        token = (edge.state / "token").read_text()
        body = {"key": "k", "spec": {"name": "t", "command": ["true"], "duration_s": 60, "site": "taiyuan"}}
        headers = {"Authorization": f"Bearer {token}", "traceparent": CLIENT}
        answer = httpx.post(f"{edge.told['url']}/v1/jobs", json=body, headers=headers)
        job = answer.json()["jobs"][0]
        wanted = f"{trace_of('shanxi', job):032x}"
        ends = {("taiyuan", "settle"), ("datong", "report"), ("shuozhou", "report"), ("shuozhou", "request")}
        until(lambda: ends <= {(s.instance, s.name) for s in receiver.traces()[wanted]})
    finally:
        edge.end()
        hub.end()
        core.end()
        receiver.close()
    trace = receiver.traces()[wanted]
    assert is_one_tree(trace)
    assert {(s.name, s.instance) for s in trace if not s.parent} == {("submit", "shuozhou")}
    steps = {(s.instance, s.name) for s in trace}
    assert {("shuozhou", "raise"), ("datong", "receive"), ("datong", "raise"), ("taiyuan", "receive")} <= steps
    assert {("taiyuan", name) for name in ("place", "stage", "run", "meter", "settle")} <= steps
    link = next(s for s in trace if s.name == "request")
    assert link.links == ((CLIENT[3:35], CLIENT[36:52]),) and link.instance == "shuozhou"
    assert all(abs(s.end_ns / 1e9 - time.time()) < 300 for s in trace)  # of the wall, not of the region
