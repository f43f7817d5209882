"""A job's life as spans of one trace, from the events that nodes write.

Nothing travels between nodes for this. The id of a trace follows from the region and the job, and the id of a span
from the node and what it is of, so that spans which separate processes make of one job join by themselves:

- The root is ``submit``, at the node that owns the job, whose name is in the job's id.
- Each other node that gets the job says so in one span ``receive``, whose parent is that of the node it came from.
- All else that a node does to the job, or to parts of it, hangs below its own ``receive`` (or ``submit``).

A span is made when something is over. The root is over as soon as the job is accepted, so that it is there also where
the job never ends; what hangs below it lasts longer than it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.ports import Entry

KEEP = 50_000
"""Jobs of a node of which it is known when their last step was; of older ones a step tells its end only."""

SECOND_NS = 1_000_000_000

Value = str | int | float | bool

_STEPS: dict[type[ev.Event], str] = {
    ev.Admitted: "admit",
    ev.Placed: "place",
    ev.Assigned: "assign",
    ev.Raised: "raise",
    ev.Split: "split",
    ev.Started: "stage",
    ev.Paused: "run",
    ev.Ended: "run",
}
"""What lasted from the step before to this event."""

_MOMENTS: dict[type[ev.Event], str] = {
    ev.Submitted: "submit",
    ev.Received: "receive",
    ev.Metered: "meter",
    ev.Settled: "settle",
    ev.Reported: "report",
}
"""What takes no time; other events are called by the last word of their kind."""

_TOLD = (
    "child", "parent", "peer", "site", "pool", "run", "dataset", "source", "exit_status", "members", "fen", "epoch",
)
"""Fields of events that a span tells, where they are there. What a job does is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span. Ids are integers of 128 and 64 bits, times nanoseconds since 1970 of this machine; ``parent_id`` 0 is
    the root; ``fault`` says what failed (empty: nothing), ``link`` are trace and span of a client's own."""

    name: str
    node: str
    trace_id: int
    span_id: int
    parent_id: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    fault: str = ""
    link: tuple[int, int] | None = None


@dataclass(slots=True)
class _Mark:
    """When a job's last step at a node was over, and whether it runs."""

    at_ns: int
    runs: bool = False


@dataclass(slots=True)
class _Kept:
    """What is known of the jobs of one node."""

    here: dict[str, None] = field(default_factory=dict[str, None])
    marks: dict[str, _Mark] = field(default_factory=dict[str, _Mark])


def whole(job: str) -> str:
    """The job of which this is a part, or itself."""
    node, _, number = job.rpartition("-")
    return f"{node}-{number.partition('.')[0]}"


def trace_of(region: str, job: str) -> int:
    """The id of a job's trace: the first 16 bytes of SHA-256 over ``<region>/<job>``, without the suffix of a part."""
    return _number(f"{region}/{whole(job)}", 16)


def stay_of(region: str, job: str, node: str) -> int:
    """The id of the span below which all hangs that a node does to a job; the owner's is the root."""
    return _number(f"{region}/{whole(job)}/{node}", 8)


def span_of(region: str, job: str, node: str, what: object) -> int:
    """The id of any other span; ``what`` is the journal's number of the entry that it was made of."""
    return _number(f"{region}/{job}/{node}/{what}", 8)


def _number(text: str, size: int) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:size], "big") or 1  # 0 is no id


class Spans:
    """Makes spans of the events of nodes of ``region``; ``rate`` is region seconds a wall second. Not safe to share
    between threads. It forgets the oldest jobs when there are too many, and all at a restart."""

    def __init__(self, region: str, rate: float = 1.0) -> None:
        self.region = region
        self._rate = rate
        self._nodes: dict[str, _Kept] = {}

    def make(self, node: str, wall_ns: int, entry: Entry, event: ev.Event) -> Span | None:
        """The span of an event that ``node`` wrote at this wall instant; None where it is of no job."""
        if not event.job:
            return None
        kept = self._nodes.setdefault(node, _Kept())
        mark = kept.marks.get(event.job)
        name, start_ns = self._step(event, entry, mark, wall_ns)
        self._remember(kept, event, wall_ns)
        span_id, parent_id = self._place(kept, node, entry, event)
        return Span(
            name=name, node=node, trace_id=trace_of(self.region, event.job), span_id=span_id, parent_id=parent_id,
            start_ns=min(start_ns, wall_ns), end_ns=wall_ns, attributes=self._attributes(node, entry, event),
            fault=_fault(event),
        )  # fmt: skip

    def _step(self, event: ev.Event, entry: Entry, mark: _Mark | None, wall_ns: int) -> tuple[str, int]:
        """(name, start) of what an event ends."""
        kind = type(event)
        name = _STEPS.get(kind)
        if name is None:
            return _MOMENTS.get(kind) or entry.kind.rpartition(".")[2], wall_ns
        if isinstance(event, ev.RunOver):
            if not event.start_s:  # it ended before it ran
                return "end", wall_ns
            if mark is None or not mark.runs:  # it began before this process
                return name, wall_ns - round(max(entry.at_s - event.start_s, 0) / self._rate * SECOND_NS)
        return name, mark.at_ns if mark else wall_ns

    def _remember(self, kept: _Kept, event: ev.Event, wall_ns: int) -> None:
        if isinstance(event, ev.Settled) or (isinstance(event, ev.Reported) and event.state.ended):
            kept.marks.pop(event.job, None)
            return
        if type(event) in _STEPS or isinstance(event, ev.Submitted | ev.Received | ev.Requeued | ev.TakenBack):
            kept.marks[event.job] = _Mark(wall_ns, isinstance(event, ev.Started))
        if isinstance(event, ev.Split):
            for part in event.parts:
                kept.marks[part.job] = _Mark(wall_ns)
        _trim(kept.marks)

    def _place(self, kept: _Kept, node: str, entry: Entry, event: ev.Event) -> tuple[int, int]:
        """(span, parent) ids."""
        job, stay = whole(event.job), stay_of(self.region, event.job, node)
        first = isinstance(event, ev.Submitted | ev.Received) and job not in kept.here
        if first:
            kept.here[job] = None
            _trim(kept.here)
        if isinstance(event, ev.Submitted):
            return stay, 0
        # the owner's is its submit, also where it was forgotten that it has it
        if first and isinstance(event, ev.Received) and node != job.rpartition("-")[0]:
            return stay, stay_of(self.region, job, event.peer)
        return span_of(self.region, event.job, node, entry.seq), stay

    def _attributes(self, node: str, entry: Entry, event: ev.Event) -> dict[str, Value]:
        found: dict[str, Value] = {
            "sanjin.region": self.region, "sanjin.node": node, "sanjin.job": event.job, "sanjin.event": entry.kind,
            "sanjin.seq": entry.seq, "sanjin.at_s": entry.at_s,
        }  # fmt: skip
        for name in _TOLD:
            value = getattr(event, name, None)
            if value is not None and value != "":
                found[f"sanjin.{name}"] = value
        if isinstance(event, ev.Placed | ev.Assigned):
            place = event.placement
            found["sanjin.site"], found["sanjin.pool"] = place.site, place.pool
        if isinstance(event, ev.Submitted | ev.Received):
            found["sanjin.tenant"] = event.spec.tenant
        if isinstance(event, ev.Ended | ev.Reported):
            found["sanjin.state"] = str(event.state)
        if (reason := getattr(event, "reason", None)) is not None:
            found["sanjin.reason"] = str(reason)
        return found


def _fault(event: ev.Event) -> str:
    if isinstance(event, ev.Ended | ev.Reported) and event.state is JobState.FAILED:
        return str(event.reason or event.state)  # not its detail, which may tell what the job does
    return ""


def _trim(kept: dict[str, _Mark] | dict[str, None]) -> None:
    while len(kept) > KEEP:
        del kept[next(iter(kept))]
