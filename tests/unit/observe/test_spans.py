"""Spans of jobs that wander through a whole region: one tree for each job, whichever nodes had it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.model import event as ev
from sanjin.model.job import JobSpec, Submission
from sanjin.observe import spans as module
from sanjin.observe.asked import read_parent, wanted
from sanjin.observe.spans import Span, Spans, stay_of, trace_of, whole
from sanjin.ports import Entry
from tests.tree_world import HOME, World, worlds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    with worlds(tmp_path) as build:
        yield build


def submit(world: World, node: str, count: int = 1, **spec: object) -> list[str]:
    job = JobSpec(**{"name": "t", "command": ("true",), "duration_s": 600, **spec})  # type: ignore[arg-type]
    asked = [Submission(spec=job, key=f"{node} {i} {spec}") for i in range(count)]
    future = world.nodes[node].submit(asked)
    world.turn(6)
    return [r.id for r in future.result(0)]


def spans_of(world: World) -> list[Span]:
    """As if each node had a process of its own."""
    found: list[Span] = []
    for name, node in world.nodes.items():
        maker = Spans("shanxi")
        for entry in node.parts.store.journal(limit=10**6):
            made = maker.make(name, entry.at_s * 10**9, entry, ev.decode(entry.kind, entry.body))
            found += [made] if made else []
    return found


def check_trees(found: list[Span]) -> dict[int, list[Span]]:
    traces: dict[int, list[Span]] = defaultdict(list)
    for span in found:
        traces[span.trace_id].append(span)
    for trace in traces.values():
        ids = {s.span_id for s in trace}
        assert len(ids) == len(trace)
        assert [s.name for s in trace if not s.parent_id] == ["submit"]
        assert all(not s.parent_id or s.parent_id in ids for s in trace)
        assert all(s.start_ns <= s.end_ns for s in trace)
    return traces


def test_the_jobs_of_a_day_are_trees_across_the_nodes(world: Callable[..., World]) -> None:
    region = world(cores=64)
    leaf = next(n.id for n in region.region.nodes.values() if n.parent == HOME)
    jobs = submit(region, leaf, 6, cores=16) + submit(region, HOME, 12, cores=48)
    jobs += submit(region, "datong", 1, site="taiyuan")
    jobs += submit(region, HOME, 1, members=900, cores=4)
    region.run(4 * 3600, by=300)
    traces = check_trees(spans_of(region))
    assert set(traces) == {trace_of("shanxi", job) for job in jobs}
    sent = traces[trace_of("shanxi", jobs[18])]
    names = {(s.node, s.name) for s in sent}
    assert {("datong", "submit"), ("datong", "raise"), ("datong", "report"), ("taiyuan", "receive")} <= names
    assert {("taiyuan", n) for n in ("place", "stage", "run", "meter", "settle")} <= names
    run = next(s for s in sent if s.name == "run")
    assert run.end_ns - run.start_ns == 600 * 10**9 or run.end_ns - run.start_ns < 1000 * 10**9
    assert run.attributes["sanjin.state"] == "succeeded" and run.attributes["sanjin.exit_status"] == 0
    assert len({s.node for s in traces[trace_of("shanxi", jobs[-1])]}) > 1  # its parts, in its trace
    assert any(len({s.node for s in t}) >= 3 for t in traces.values())


def test_ids_follow_from_names_alone() -> None:
    assert trace_of("shanxi", "datong-7.3") == trace_of("shanxi", "datong-7") != trace_of("other", "datong-7")
    assert trace_of("shanxi", "datong-7").to_bytes(16, "big") == hashlib.sha256(b"shanxi/datong-7").digest()[:16]
    assert whole("lv-liang-7.12") == "lv-liang-7"
    assert stay_of("shanxi", "datong-7.3", "taiyuan") == stay_of("shanxi", "datong-7", "taiyuan")


def entry(seq: int, event: ev.Event, at_s: int = 1000) -> Entry:
    return Entry(seq=seq, at_s=at_s, kind=event.kind, job=event.job, body=b"", hash=b"")


def ended(job: str, start_s: int, **more: object) -> ev.Ended:
    values: dict[str, object] = {
        "job": job, "state": "failed", "reason": "exit_status", "exit_status": 1, "signal": 0, "start_s": start_s,
        "end_s": 1000, "wall_ms": 1, "cpu_ms": 1, "memory_peak_bytes": 1, "sandbox": "", "detail": "secret", **more,
    }  # fmt: skip
    return ev.from_fields("job.ended", values)  # type: ignore[return-value]


def test_what_began_before_a_restart_is_dated_by_the_journal() -> None:
    maker, now = Spans("shanxi", rate=10.0), 10**18
    span = maker.make("datong", now, entry(5, ended("datong-1", 900)), ended("datong-1", 900))
    assert span is not None
    assert (span.name, span.start_ns, span.end_ns) == ("run", now - 10 * 10**9, now)
    assert span.fault == "exit_status" and "secret" not in str(span)
    never = maker.make("datong", now, entry(6, ended("datong-2", 0)), ended("datong-2", 0))
    assert never is not None and (never.name, never.start_ns) == ("end", now)
    started = ev.NodeStarted(job="", node="datong", region="shanxi", version="", sites=(), pools=())
    assert maker.make("datong", now, entry(7, started), started) is None


def test_only_so_many_jobs_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP", 3)
    maker = Spans("shanxi")
    for i in range(10):
        event = ev.Started(job=f"datong-{i}", run="r")
        maker.make("datong", 1, entry(i, event), event)
    assert list(maker._nodes["datong"].marks) == ["datong-7", "datong-8", "datong-9"]


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", True),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("", False),
    ],
)
def test_a_clients_span_is_read_as_the_standard_says(header: str, good: bool) -> None:
    assert (read_parent(header) is not None) == good


def test_traces_are_wanted_where_the_environment_says_so() -> None:
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert wanted(there) and wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"})
    assert not wanted({}) and not wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
    assert not wanted({**there, "OTEL_SDK_DISABLED": "true"})
    assert not wanted({**there, "OTEL_TRACES_EXPORTER": "none"})
