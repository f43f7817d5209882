"""What a job shows of its shape: the machines of a gang, the parts of an array, the windows of work that can stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sanjin.cli.output import at, sentence, span, table, text
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.record import JobRecord
from sanjin.model.status import Happening

PARTS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Window:
    """When work that can stop ran, runs or is to run: seconds UTC, and the key of its wording."""

    start_s: int
    end_s: int
    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The last stop of a job: when, for which other job (empty: its window ended), and what was done by then."""

    at_s: int
    room_for: str
    done_s: int


def told(events: Sequence[Happening]) -> list[tuple[int, ev.Event]]:
    """What happened, as events with their time."""
    return [(e.at_s, ev.from_fields(e.kind, e.body)) for e in events]


def windows(events: Sequence[Happening]) -> list[Window]:
    """The runs of a job so far and the windows it has still to come, in order."""
    ran: list[Window] = []
    planned: tuple[tuple[int, int], ...] = ()
    runs_since = 0
    for at_s, event in told(events):
        if isinstance(event, ev.Placed):
            planned = event.placement.windows()
        elif isinstance(event, ev.Started):
            runs_since = at_s
        elif isinstance(event, ev.RunOver):
            if runs_since:
                ran.append(Window(event.start_s, event.end_s, "window.ran"))
            planned, runs_since = planned[1:] if isinstance(event, ev.Paused) else (), 0
        elif isinstance(event, ev.StopAsked) and event.room_for:
            planned = planned[:1]
        elif isinstance(event, ev.Unplaced | ev.Requeued):
            planned, runs_since = (), 0
    if runs_since and planned:
        ran.append(Window(runs_since, planned[0][1], "window.runs"))
        planned = planned[1:]
    return [*ran, *(Window(begin, end, "window.planned") for begin, end in planned)]


def next_window(events: Sequence[Happening]) -> Window | None:
    """The window in which a job is to run next."""
    return next((w for w in windows(events) if w.key == "window.planned"), None)


def last_stop(events: Sequence[Happening]) -> Stop | None:
    """The last stop, where the job has not begun again since."""
    found, room_for = None, ""
    for at_s, event in told(events):
        if isinstance(event, ev.StopAsked):
            room_for = event.room_for
        elif isinstance(event, ev.Paused):
            found = Stop(at_s, room_for, event.done_s)
        elif isinstance(event, ev.Started):
            found = None
    return found


def done_of(record: JobRecord, events: Sequence[Happening]) -> int:
    """Seconds of work at speed 1 that are done and kept: as of the last stop while it runs."""
    if record.state is JobState.SUCCEEDED:
        return record.spec.duration_s
    return max([record.done_s, *(e.done_s for _, e in told(events) if isinstance(e, ev.Paused))])


def parts_of(events: Sequence[Happening]) -> list[ev.Part]:
    """The parts into which an array was divided, in order of their members."""
    found = [part for _, e in told(events) if isinstance(e, ev.Split) for part in e.parts]
    return sorted(found, key=lambda p: p.first_member)


def print_shape(record: JobRecord, events: Sequence[Happening], parts: Sequence[JobRecord], utc_offset_h: int) -> None:
    """What is special about a job's shape; nothing where it is one plain run. ``parts`` are those of an array."""
    spec = record.spec
    if spec.nodes > 1:
        print(sentence("shape.gang", nodes=spec.nodes, cores=spec.cores))
    if "." in record.id.rpartition("-")[2]:  # the node that runs a part knows it by its id alone
        print(sentence("shape.part", array=record.id.rpartition(".")[0]))
    if spec.members:
        done, failed = record.members_done, record.members_failed
        last = spec.first_member + spec.members - 1
        left = spec.members - done - failed
        values = {"members": spec.members, "first": spec.first_member, "last": last, "done": done, "failed": failed}
        print(sentence("shape.array", **values, left=left))
    if spec.after:
        print(sentence("shape.after", jobs=", ".join(spec.after)))
    if record.waits_for and not record.state.ended:
        waits = [name if name == job else f"{name} ({job})" for job, name in record.waits_for]
        print(sentence("shape.waits_for", jobs=", ".join(waits)))
    sites = list(dict.fromkeys(happening.node for happening in events if happening.kind == ev.Started.kind))
    if spec.checkpoint_bytes and len(sites) > 1:
        print(sentence("shape.ran_at", sites=", ".join(sites)))
    if spec.stoppable:
        done_s, runs = done_of(record, events), sum(w.key != "window.planned" for w in windows(events))
        print(sentence("shape.stoppable", done=span(done_s), whole=span(spec.duration_s), runs=runs))
        rows = [[text(w.key), at(w.start_s, utc_offset_h), at(w.end_s, utc_offset_h)] for w in windows(events)]
        if rows:
            table(("head.window", "head.start", "head.end"), rows)
    if parts:
        print_parts(parts, utc_offset_h)
        count = len(parts_of(events))
        if count > len(parts):
            print(sentence("shape.more_parts", count=count - len(parts), last=parts_of(events)[-1].job))


def print_parts(parts: Sequence[JobRecord], utc_offset_h: int) -> None:
    """The parts of an array as a table."""
    rows = [
        [
            p.id,
            f"{p.spec.first_member}-{p.spec.first_member + p.spec.members - 1}",
            text(f"state.{p.state}"),
            p.site,
            at(p.start_s or (p.placement.start_s if p.placement else 0), utc_offset_h),
            at(p.end_s, utc_offset_h),
            p.members_done,
            p.members_failed,
        ]
        for p in parts
    ]
    heads = ("part", "members", "state", "site", "start", "end", "done", "failed")
    table([f"head.{h}" for h in heads], rows, left=(0, 2, 3))


def in_short(event: ev.Event) -> str:
    """What an event says of a job's shape, in a few words (empty: nothing)."""
    if isinstance(event, ev.Split):
        return text("told.parts", count=len(event.parts))
    if isinstance(event, ev.Gathered):
        return f"{event.part} " + text("told.members", done=event.members_done, failed=event.members_failed)
    if isinstance(event, ev.Fed):
        return text("told.fed", job=event.by, bytes=sum(a.bytes for a in event.artifacts))
    if isinstance(event, ev.StopAsked) and event.room_for:
        return text("told.room_for", job=event.room_for)
    if isinstance(event, ev.Paused):
        return text("told.done", done=span(event.done_s))
    if isinstance(event, ev.Placed) and event.placement.pieces:
        return text("told.windows", count=len(event.placement.pieces))
    if isinstance(event, ev.Unplaced):
        return text("told.gain", yuan=f"{event.gain_micro / 1e6:.4f}")
    return ""
