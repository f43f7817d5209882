"""Sending spans: what arrives, and that a collector that is slow or away holds nothing up."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("opentelemetry.sdk")

from sanjin.cli.tracing import open_tracing
from sanjin.model import event as ev
from sanjin.observe import otlp
from sanjin.observe.otlp import Tracing
from sanjin.observe.spans import stay_of, trace_of
from sanjin.ports import Entry
from tests.otlp_receiver import Receiver

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    yield made
    made.close()


def turn(count: int, after: int = 0) -> list[tuple[Entry, ev.Event]]:
    events = [ev.Admitted(job=f"datong-{i}", reserved_fen=1) for i in range(after, after + count)]
    return [(Entry(seq=i + 1, at_s=1, kind=e.kind, job=e.job, body=b"", hash=b""), e) for i, e in enumerate(events)]


def test_spans_arrive_with_the_ids_that_follow_from_names(receiver: Receiver) -> None:
    tracing = Tracing("shanxi")
    heard: list[str] = []
    tracing.also(lambda node, _: heard.append(node))("datong", turn(3))
    tracing.asked("datong", ["datong-1"], CLIENT, time.time_ns())
    tracing.asked("datong", ["datong-1"], "nonsense", time.time_ns())
    tracing.close()
    assert heard == ["datong"] and tracing.dropped == 0
    *admits, request = receiver.spans
    assert [s.attributes["sanjin.job"] for s in admits] == ["datong-0", "datong-1", "datong-2"]
    assert {(s.name, s.service, s.instance) for s in admits} == {("admit", "sanjin", "datong")}
    assert (int(request.trace, 16), int(request.parent, 16)) == (
        trace_of("shanxi", "datong-1"), stay_of("shanxi", "datong-1", "datong"),
    )  # fmt: skip
    assert request.links == ((CLIENT[3:35], CLIENT[36:52]),)


def test_a_share_of_traces_is_the_same_share_everywhere(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    for node in ("datong", "taiyuan"):
        tracing = Tracing("shanxi")
        tracing.listen(node, turn(400))
        tracing.close()
    kept = {node: {s.trace for s in receiver.spans if s.instance == node} for node in ("datong", "taiyuan")}
    assert kept["datong"] == kept["taiyuan"] and 50 < len(kept["datong"]) < 150
    assert {s.service for s in receiver.spans} == {"ours"}


@pytest.mark.parametrize("away", [False, True])
def test_a_collector_that_is_slow_or_away_holds_nothing_up(
    away: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Receiver(delay_s=60)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1" if away else slow.url)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
    monkeypatch.setattr(otlp, "TURNS", 5)
    monkeypatch.setattr(otlp, "END_WALL_S", 0.5)
    tracing = Tracing("shanxi")
    began = time.monotonic()
    for _ in range(300):
        tracing.listen("datong", turn(0))
        tracing.listen("datong", made)
    assert time.monotonic() - began < 1.0
    assert tracing.dropped > 0
    began = time.monotonic()
    tracing.close()
    assert time.monotonic() - began < 3.0
    assert "were not traced" in caplog.text
    slow.close()


made = turn(1000)


def test_more_than_a_seconds_worth_is_dropped(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "A_SECOND", 10)
    tracing = Tracing("shanxi")
    tracing.listen("datong", made)
    tracing.close()
    assert 0 < len(receiver.spans) <= 30 and tracing.dropped == 1000 - len(receiver.spans)


def test_missing_packages_are_said_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object):
        if name.startswith("sanjin.observe.otlp"):
            raise ImportError("No module named 'opentelemetry'")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setenv("SANJIN_LANG", "en")
    monkeypatch.setattr(builtins, "__import__", without)
    assert open_tracing("shanxi", 1.0) is None
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert open_tracing("shanxi", 1.0) is None
    assert "sanjin[otel]" in capsys.readouterr().err
