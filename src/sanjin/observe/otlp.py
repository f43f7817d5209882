"""Spans of jobs, sent to a collector by OTLP over HTTP: needs ``pip install 'sanjin[otel]'``.

The node's thread only puts what it wrote into a queue; a thread of its own makes spans, and the SDK's batch processor
sends them. Whatever is more than they can take is dropped and counted: a collector that is slow or away never holds
up work.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from queue import Empty, Full, Queue

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sanjin.model import event as ev
from sanjin.observe.asked import read_parent
from sanjin.observe.spans import SECOND_NS, Span, Spans, span_of, stay_of, trace_of
from sanjin.ports import Entry
from sanjin.tree.node import Listener

TURNS = 2_000
"""Turns of nodes that may wait to be made into spans."""

A_SECOND = 2_000
"""Spans made a second at most: making and sending one takes the interpreter from the nodes for 0.1 to 0.2 ms."""

QUEUE = 16_384
"""Spans that may wait to be sent, where OTEL_BSP_MAX_QUEUE_SIZE does not say otherwise."""

TELL_WALL_S = 60.0
END_WALL_S = 3.0
"""How long sending what is left may take at the end."""

log = logging.getLogger("sanjin.otlp")
Turn = tuple[str, int, Sequence[tuple[Entry, ev.Event]]]


class Tracing:
    """Sends spans of the nodes of ``region`` in this process; ``rate`` is region seconds a wall second.

    Where to, how and how many of them the standard's environment says (``OTEL_EXPORTER_OTLP_*``, ``OTEL_BSP_*``,
    ``OTEL_TRACES_SAMPLER``, ``OTEL_RESOURCE_ATTRIBUTES``). ``exporter`` is for tests.
    """

    def __init__(self, region: str, rate: float = 1.0, version: str = "", exporter: SpanExporter | None = None) -> None:
        self.dropped = 0
        """Turns and spans that were too many; what the SDK drops it says itself."""
        self._region = region
        self._spans = Spans(region, rate)
        # only for what it reads from the environment: the sampler and the resource
        provider = TracerProvider(resource=Resource.create(_named()), shutdown_on_exit=False)
        self._sampler, self._resource = provider.sampler, provider.resource
        self._resources: dict[str, Resource] = {}
        self._scope = InstrumentationScope("sanjin", version)
        size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE
        self._sender = BatchSpanProcessor(exporter or OTLPSpanExporter(), max_queue_size=size)
        self._turns: Queue[Turn | Span | None] = Queue(TURNS)
        self._second, self._made, self._told_at, self._told = 0, 0, 0.0, 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def also(self, listener: Listener) -> Listener:
        """A listener that tells this one too."""

        def both(node: str, events: Sequence[tuple[Entry, ev.Event]]) -> None:
            listener(node, events)
            self.listen(node, events)

        return both

    def listen(self, node: str, events: Sequence[tuple[Entry, ev.Event]]) -> None:
        """A node wrote these; called in its thread, and never waits."""
        self._put((node, time.time_ns(), events), len(events))

    def asked(self, node: str, jobs: Sequence[str], traceparent: str, since_ns: int) -> None:
        """A client submitted these jobs at ``node`` within a span of its own: each job's trace gets a link to that."""
        parent = read_parent(traceparent)
        if parent is None:
            return
        now = time.time_ns()
        for job in jobs:
            span = Span(
                name="request", node=node, trace_id=trace_of(self._region, job),
                span_id=span_of(self._region, job, node, f"request {since_ns}"),
                parent_id=stay_of(self._region, job, node), start_ns=since_ns, end_ns=now,
                attributes={"sanjin.node": node, "sanjin.job": job}, link=(parent.trace_id, parent.span_id),
            )  # fmt: skip
            self._put(span, 1)

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        self._ended = True
        try:
            self._turns.put_nowait(None)
        except Full:
            pass
        self._thread.join(END_WALL_S)
        self._tell(at_the_end=True)
        closing = threading.Thread(target=self._sender.shutdown, name="otlp-end", daemon=True)
        closing.start()  # it would wait for a collector that does not answer
        closing.join(END_WALL_S)

    def _put(self, item: Turn | Span, count: int) -> None:
        try:
            self._turns.put_nowait(item)
        except Full:
            self.dropped += count

    def _run(self) -> None:
        while True:
            try:
                item = self._turns.get(timeout=1.0)
            except Empty:
                if self._ended:
                    return
                self._tell()
                continue
            if item is None:
                return
            try:
                self._make(item)
            except Exception:  # what cannot be traced is no reason to end tracing
                log.exception("a span could not be made")
            self._tell()

    def _make(self, item: Turn | Span) -> None:
        if isinstance(item, Span):
            if self._taken(item.trace_id):
                self._sender.on_end(self._readable(item))
            return
        node, wall_ns, events = item
        for entry, event in events:
            if event.job and self._taken(trace_of(self._region, event.job)):
                found = self._spans.make(node, wall_ns, entry, event)
                if found:
                    self._sender.on_end(self._readable(found))

    def _taken(self, trace_id: int) -> bool:
        """Whether a span of this trace is to be made: it is in the sample, and there were not too many this second."""
        if self._sampler.should_sample(None, trace_id, "job").decision is not Decision.RECORD_AND_SAMPLE:
            return False
        second = time.monotonic_ns() // SECOND_NS
        self._second, self._made = second, (self._made if second == self._second else 0) + 1
        self.dropped += self._made > A_SECOND
        return self._made <= A_SECOND

    def _readable(self, span: Span) -> ReadableSpan:
        parent = _context(span.trace_id, span.parent_id, remote=True) if span.parent_id else None
        resource = self._resources.get(span.node)
        if resource is None:
            resource = self._resource.merge(Resource({SERVICE_INSTANCE_ID: span.node}))
            self._resources[span.node] = resource
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=parent,
            resource=resource,
            attributes=span.attributes,
            links=[Link(_context(*span.link, remote=True))] if span.link else (),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.fault) if span.fault else Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )

    def _tell(self, at_the_end: bool = False) -> None:
        """Say that some were dropped, now and then."""
        now = time.monotonic()
        if self.dropped > self._told and (at_the_end or now - self._told_at >= TELL_WALL_S):
            count = self.dropped - self._told
            log.warning("%d steps of jobs were not traced: they came faster than spans are made", count)
            self._told, self._told_at = self.dropped, now


def _named() -> dict[str, str]:
    """The service's name, where the environment gives none."""
    given = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if given else {SERVICE_NAME: "sanjin"}


def _context(trace_id: int, span_id: int, remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))
