"""Run: which placed jobs start now, and what an engine's report means."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from sanjin.flow.stage import inputs_here
from sanjin.flow.view import View
from sanjin.kernels.pieces import done_after
from sanjin.model import event as ev
from sanjin.model.data import Artifact
from sanjin.model.job import Effects, JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.ports import EndReason, Publication, PublicationReport, RunReport, RunState

OUTPUTS = ".out"
"""What the name of a dataset of outputs ends with, after the job's id."""

_REASONS = {
    EndReason.SIGNAL: Reason.SIGNAL,
    EndReason.TIME_LIMIT: Reason.TIME_LIMIT,
    EndReason.MEMORY_LIMIT: Reason.MEMORY_LIMIT,
    EndReason.PROCESS_LIMIT: Reason.PROCESS_LIMIT,
    EndReason.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
    EndReason.CANCELLED: Reason.CANCELLED,
    EndReason.NOT_STARTED: Reason.NOT_STARTED,
}


def due(view: View, now_s: int) -> Iterator[ev.Started | ev.Opened]:
    """Starts whose time has come, whose inputs are here, whose lease is live and whose machines are free.

    The caller applies each event before it asks for the next. A job whose inputs are still on their way is looked at
    again when they arrive.
    """
    again: list[tuple[int, str]] = []
    seen: set[str] = set()  # a job stands in the heap once for each change of its record
    while view.starts and view.starts[0][0] <= now_s:
        start_s, job = heapq.heappop(view.starts)
        record = view.jobs.get(job)
        if record is None or job in seen or not is_ready(record, start_s):
            continue
        seen.add(job)
        if record.bound and view.parent and now_s > view.lease_until_s:
            again.append((start_s, job))  # no start without a live lease
        elif job in view.making_room:
            again.append((start_s, job))  # what makes room for it still runs
        elif not view.has_room_now(record):
            again.append((start_s, job))
        elif record.spec.reserves:
            yield ev.Opened(job=job)
        elif inputs_here(view, record):
            yield ev.Started(job=job, run=f"{job}.{record.epoch}.{record.runs + 1}")
    for item in again:
        heapq.heappush(view.starts, item)


def is_ready(record: JobRecord, start_s: int) -> bool:
    """Whether a queue entry still speaks of this job's present placement."""
    placed = record.state in (JobState.PLACED, JobState.STAGING, JobState.PAUSED) and not record.sent_to
    return placed and record.placement is not None and record.next_start_s() == start_s


def stops_due(view: View, now_s: int) -> Iterator[ev.StopAsked | ev.Ended]:
    """Runs whose window is over and that go on in a later one; and reservations that are over."""
    while view.stops and view.stops[0][0] <= now_s:
        end_s, job = heapq.heappop(view.stops)
        record = view.jobs.get(job)
        if record is None or record.state is not JobState.RUNNING or record.stop_asked or record.placement is None:
            continue
        pieces = record.placement.pieces
        if record.spec.reserves:
            yield without_run(record, JobState.SUCCEEDED, Reason.RESERVATION_OVER, now_s)
        elif record.window + 1 < len(pieces) and pieces[record.window][1] == end_s:
            yield ev.StopAsked(job=job, reason=Reason.WINDOW_ENDS)


def outputs_of(job: str) -> str:
    """The dataset of a job's outputs."""
    return f"{job}{OUTPUTS}"


def checkpoint_of(run: str) -> str:
    """The dataset of what a stopped run left to go on from."""
    return f"{run}.ckpt"


def to_publish(record: JobRecord, report: RunReport) -> Publication | None:
    """What of an ended run has to be registered as a dataset before the job goes on: outputs for the jobs that come
    after it, or a checkpoint that may move."""
    done = report.state is RunState.ENDED and report.reason is EndReason.EXIT and report.exit_status == 0
    if done and record.spec.publish and report.outputs:
        return Publication(run=report.key, dataset=outputs_of(record.id), folder=report.outputs)
    if report.reason is EndReason.STOPPED and record.spec.checkpoint_bytes and report.checkpoint:
        return Publication(run=report.key, dataset=checkpoint_of(report.key), folder=report.checkpoint)
    return None


def ended(
    record: JobRecord, report: RunReport, start_s: int, end_s: int, speed: int, found: PublicationReport | None = None
) -> ev.Event:
    """What a report of an ended, stopped or interrupted run does to its job. Times are region seconds.

    ``speed`` is the pool's, in 1/1000: work that a stopped run has done is taken to be its run time at this speed,
    less what going on after an earlier stop cost. ``found`` is what became of what was to be published.
    """
    artifact = Artifact(dataset=found.dataset, site=record.site, bytes=found.bytes) if found else None
    if report.state is RunState.INTERRUPTED:
        if record.spec.effects is Effects.REPEATABLE and not record.cancel_asked:
            return ev.Requeued(job=record.id, reason=Reason.INTERRUPTED)
        return without_run(record, JobState.INTERRUPTED, Reason.INTERRUPTED, end_s, report.detail)
    if report.reason is EndReason.STOPPED:
        spec = record.spec
        return ev.Paused(
            job=record.id,
            reason=Reason.MADE_ROOM if record.room_for else Reason.WINDOW_ENDS,
            done_s=int(done_after(record.done_s, max(end_s - start_s, 0), speed, spec.stop_cost_s, spec.duration_s)),
            checkpoint=artifact if found and not found.fault and found.bytes <= spec.checkpoint_bytes else None,
            **_measured(report, start_s, end_s),
        )
    ok = report.reason is EndReason.EXIT and report.exit_status == 0
    reason = Reason.EXIT_ZERO if ok else _REASONS.get(report.reason or EndReason.EXIT, Reason.EXIT_STATUS)
    cancelled = report.reason is EndReason.CANCELLED
    state = JobState.SUCCEEDED if ok else JobState.CANCELLED if cancelled else JobState.FAILED
    fault = found.fault if found else ""
    if fault:  # those that come after it would miss what it left
        state, reason = JobState.FAILED, Reason.NOT_PUBLISHED
    return ev.Ended(
        job=record.id,
        state=state,
        reason=reason,
        exit_status=report.exit_status,
        signal=report.signal,
        **_measured(report, start_s, end_s),
        detail=fault or report.detail,
        left=(artifact,) if artifact and not fault else (),
        busy_ms=round(report.usage.busy_s * 1000) if record.spec.members else 0,
        members_done=report.members_done,
        members_failed=report.members_failed,
    )


def _measured(report: RunReport, start_s: int, end_s: int) -> dict[str, Any]:
    """What every end of a run says of it; see :class:`sanjin.model.event.RunOver`."""
    return {
        "start_s": start_s,
        "end_s": max(end_s, start_s),
        "wall_ms": round(report.usage.wall_s * 1000),
        "cpu_ms": round(report.usage.cpu_s * 1000),
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "sandbox": report.sandbox,
    }


def without_run(record: JobRecord, state: JobState, reason: Reason, at_s: int, detail: str = "") -> ev.Ended:
    """The end of a job that used nothing: cancelled before its start, interrupted, input missing."""
    return ev.Ended(
        job=record.id,
        state=state,
        reason=reason,
        exit_status=0,
        signal=0,
        start_s=record.start_s,
        end_s=at_s,
        wall_ms=0,
        cpu_ms=0,
        memory_peak_bytes=0,
        sandbox="",
        detail=detail,
    )


def cancel(view: View, job: str, now_s: int) -> list[ev.Event]:
    """Ask for a job's end. Work that has not started ends at once; a run is told to stop."""
    record = view.jobs.get(job)
    if record is None or record.cancel_asked or record.state.ended:
        return []
    found: list[ev.Event] = [ev.CancelAsked(job=job)]
    if record.state is JobState.DIVIDED:  # it ends when its parts have
        parts = [r.id for r in view.jobs.values() if r.part_of == job]
        return [*found, *(e for part in parts for e in cancel(view, part, now_s))]
    if not record.sent_to and (record.state is not JobState.RUNNING or record.spec.reserves):
        found.append(without_run(record, JobState.CANCELLED, Reason.CANCELLED, now_s))
    return found
