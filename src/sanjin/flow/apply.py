"""Apply: how each event changes what a node knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord, Progress
from sanjin.model.struct import changed


def apply(view: View, event: ev.Event, at_s: int) -> JobRecord | None:
    """Change the view by one event; the job's new record where there is one."""
    handler = _APPLY.get(type(event))
    return handler(view, event, at_s) if handler else None


def _submitted(view: View, e: ev.Submitted, at_s: int) -> JobRecord:
    view.next_number += 1
    view.admit_due = True
    return view.put(
        JobRecord(
            id=e.job, key=e.key, spec=e.spec, state=JobState.HELD, submitted_s=at_s, updated_s=at_s,
            waits_for=e.waits_for, reason=Reason.COMES_AFTER if e.waits_for else None,
        )
    )  # fmt: skip


def _fed(view: View, e: ev.Fed, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    view.followers.get(e.by, {}).pop(e.job, None)
    rest = tuple(each for each in record.waits_for if each[0] != e.by)
    view.admit_due = view.admit_due or not rest
    return view.change(
        e.job, at_s, waits_for=rest, artifacts=(*record.artifacts, *e.artifacts),
        reason=Reason.COMES_AFTER if rest else None,
    )  # fmt: skip


def _behind(progress: Progress | None) -> dict[str, Any]:
    """What a record takes over of the work that was done elsewhere."""
    if progress is None:
        return {}
    return {name: getattr(progress, name) for name in Progress.__struct_fields__}


_OF_A_COPY = {"fen": 0, "facility_mwh": 0, "carbon_mg": 0, "start_s": 0, "members_done": 0, "members_failed": 0}
"""What was reported of a copy elsewhere, where the job begins anew: what that came to stands in the books there."""


def _received(view: View, e: ev.Received, at_s: int) -> JobRecord:
    old = view.jobs.get(e.job)
    if old is not None:  # it comes back to us: ours again, or raised anew by the child we gave it to
        barred = (*old.barred, e.peer) if e.full else old.barred
        return view.change(
            e.job, at_s, sent_to="", bound=e.bound, epoch=e.epoch, state=JobState.QUEUED, reason=None, barred=barred,
            **{**_OF_A_COPY, **_behind(e.progress)},
        )  # fmt: skip
    return view.put(
        JobRecord(
            id=e.job,
            key=e.key,
            spec=e.spec,
            state=JobState.QUEUED,
            submitted_s=e.submitted_s,
            updated_s=at_s,
            came_from=e.peer,
            epoch=e.epoch,
            bound=e.bound,
            barred=(e.peer,) if e.full else (),
            given_up=e.given_up,
            artifacts=e.artifacts,
            **_behind(e.progress),
        )
    )


def _refused(view: View, e: ev.Refused, at_s: int) -> JobRecord:
    return view.jobs[e.job]


def _held(view: View, e: ev.Held, at_s: int) -> JobRecord:
    return view.change(e.job, at_s, state=JobState.HELD, reason=e.reason)


def _admitted(view: View, e: ev.Admitted, at_s: int) -> JobRecord:
    spec = view.jobs[e.job].spec
    use = view.tenant(spec.tenant)
    use.cores += spec.quota_cores()
    use.reserved_fen += e.reserved_fen
    return view.change(e.job, at_s, state=JobState.QUEUED, reason=None, reserved_fen=e.reserved_fen)


def _waiting(view: View, e: ev.Waiting, at_s: int) -> JobRecord:
    return view.change(e.job, at_s, state=JobState.QUEUED, reason=e.reason, barred=())


def _split(view: View, e: ev.Split, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    for part in e.parts:
        view.put(changed(part_record(record, part), state=JobState.QUEUED, reason=None, updated_s=at_s))
    return view.change(
        e.job, at_s, state=JobState.DIVIDED, reason=None, parts=record.parts + len(e.parts), site=e.site, barred=()
    )


def part_record(record: JobRecord, part: ev.Part) -> JobRecord:
    """The record with which a part of an array begins."""
    return changed(
        record,
        id=part.job,
        spec=replace(record.spec, members=part.members, first_member=part.first_member),
        part_of=record.id,
        came_from="",
        epoch=0,
        reserved_fen=0,
        parts=0,
    )


def _gathered(view: View, e: ev.Gathered, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    over, done = record.members_over + e.members, record.members_done + e.members_done
    fen, how = record.fen + e.fen, dict[str, Any]()
    if over == record.spec.members:
        whole = done == record.spec.members
        ended = JobState.SUCCEEDED if whole else JobState.CANCELLED if record.cancel_asked else JobState.FAILED
        reason = Reason.EXIT_ZERO if whole else Reason.CANCELLED if record.cancel_asked else Reason.MEMBERS_FAILED
        view.close_account(record, fen)
        how = {"state": ended, "reason": reason, "reserved_fen": 0, "exit_status": 0 if whole else 1}
    return view.change(
        e.job,
        at_s,
        members_over=over,
        members_done=done,
        members_failed=record.members_failed + e.members_failed,
        start_s=min(filter(None, (record.start_s, e.start_s)), default=0),
        end_s=max(record.end_s, e.end_s),
        fen=fen,
        facility_mwh=record.facility_mwh + e.facility_mwh,
        carbon_mg=record.carbon_mg + e.carbon_mg,
        left=(*record.left, *e.left),
        **how,
    )


def _raised(view: View, e: ev.Raised, at_s: int) -> JobRecord:
    return view.change(
        e.job, at_s, state=JobState.RAISED, reason=Reason.PARENT_ASKED, sent_to=e.parent, bound=False,
        sent_mail=view.mark(e.parent).sent + 1, barred=(),  # if it comes back, all children are asked again
    )  # fmt: skip


def _assigned(view: View, e: ev.Assigned, at_s: int) -> JobRecord:
    back = view.jobs[e.job].came_from == e.child
    return view.change(
        e.job,
        at_s,
        state=JobState.RETURNED if back else JobState.ASSIGNED,
        reason=None,
        sent_to=e.child,
        sent_mail=view.mark(e.child).sent + 1,
        epoch=e.epoch,
        placement=e.placement,
        site=e.placement.site,
        pool=e.placement.pool,
        total_micro=e.placement.terms.total,
    )


def _placed(view: View, e: ev.Placed, at_s: int) -> JobRecord:
    stopped = view.jobs[e.job].reason is Reason.MADE_ROOM  # it waits because of that, whatever its new place costs
    later = Reason.MADE_ROOM if stopped else Reason.CHEAPER_LATER
    if e.placement.start_s <= view.jobs[e.job].spec.earliest_start_s:
        later = Reason.ASKED_LATER
    return view.change(
        e.job,
        at_s,
        state=JobState.PLACED,
        reason=later if e.placement.start_s > at_s else None,
        placement=e.placement,
        site=e.placement.site,
        pool=e.placement.pool,
        total_micro=e.placement.terms.total,
        barred=(),
    )


def _unplaced(view: View, e: ev.Unplaced, at_s: int) -> JobRecord:
    view.release(view.jobs[e.job], at_s)
    return view.change(e.job, at_s, state=JobState.QUEUED, reason=None, placement=None)


def _declined(view: View, e: ev.Declined, at_s: int) -> JobRecord:
    view.supply.changed(own=True, freed=False)  # an offer follows, and tells the parent that nothing was taken
    return view.change(e.job, at_s, state=JobState.RETURNED, reason=e.reason, sent_to=view.jobs[e.job].came_from)


def _taken_back(view: View, e: ev.TakenBack, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    later = e.reason is Reason.EARLIER_COPY  # then it waits a while, and the child is asked again
    able = later or e.reason is Reason.BETTER_PLACE
    barred, epoch = record.barred if able else (*record.barred, e.child), max(record.epoch, e.epoch)
    return view.change(
        e.job, at_s, state=JobState.QUEUED, reason=e.reason if later else None, sent_to="", barred=barred, epoch=epoch,
        bound=record.bound and e.reason is not Reason.BETTER_PLACE, **_behind(e.progress),
    )  # fmt: skip


def _replaced(view: View, e: ev.Replaced, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    told = view.mark(e.peer).sent + 1  # the mail that follows from this
    return view.change(
        e.job, at_s, state=JobState.QUEUED, reason=None, sent_to="", placement=None, epoch=record.epoch + 1,
        barred=(*record.barred, e.peer), given_up=(*record.given_up, (e.peer, told)),
        **_OF_A_COPY, **_without_progress(view, record, e.peer),
    )  # fmt: skip


def _without_progress(view: View, record: JobRecord, peer: str) -> dict[str, Any]:
    """Where the checkpoint is with a peer that is silent, the work begins anew."""
    if record.checkpoint is None or view.child_of(record.checkpoint.site) != peer:
        return {}
    return {"done_s": 0, "checkpoint": None, "ran_at": ()}


def _reported_late(view: View, e: ev.ReportedLate, at_s: int) -> None:
    """The job itself goes on as it is."""


def _transfer_started(view: View, e: ev.TransferStarted, at_s: int) -> JobRecord:
    view.moving[e.dataset] = e.done_at_s
    paid = view.jobs[e.job].transport_micro + e.micro
    return view.change(e.job, at_s, state=JobState.STAGING, reason=Reason.INPUTS_MOVING, transport_micro=paid)


def _transfer_ended(view: View, e: ev.TransferEnded, at_s: int) -> None:
    view.moving.pop(e.dataset, None)
    if not e.fault:
        if e.dataset in view.region.datasets:
            view.holders.setdefault(e.dataset, set()).add(view.node)
        view.supply.changed(own=True, freed=True, sites=(view.supply.site_index[view.node],))


def _transfer_delayed(view: View, e: ev.TransferDelayed, at_s: int) -> JobRecord:
    return view.change(e.job, at_s, reason=Reason.INPUT_AWAY, detail=e.fault)


def _started(view: View, e: ev.Started, at_s: int) -> JobRecord:
    view.running[e.run] = e.job
    view.occupy(view.jobs[e.job], 1)
    if view.jobs[e.job].spec.stoppable:
        view.stoppable.add(e.run)
    runs = view.jobs[e.job].runs + 1
    return view.change(e.job, at_s, state=JobState.RUNNING, reason=None, run=e.run, runs=runs, start_s=at_s)


def _opened(view: View, e: ev.Opened, at_s: int) -> JobRecord:
    view.occupy(view.jobs[e.job], 1)
    return view.change(e.job, at_s, state=JobState.RUNNING, reason=None, start_s=at_s)


def _stop_asked(view: View, e: ev.StopAsked, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    placement = record.placement
    if e.room_for and placement is not None:
        view.release(record, at_s)
        placement = replace(placement, finish_s=at_s, until_s=at_s, pieces=())
        view.making_room.setdefault(e.room_for, set()).add(e.job)
    window = 0 if e.room_for else record.window
    return view.change(e.job, at_s, stop_asked=True, room_for=e.room_for, placement=placement, window=window)


def _paused(view: View, e: ev.Paused, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    _left_the_machine(view, record)
    how: dict[str, Any] = {"state": JobState.PAUSED, "window": record.window + 1}
    last = not record.placement or record.window + 1 >= len(record.placement.pieces)
    if record.room_for or last or e.checkpoint:  # what may move is placed anew, wherever is best now
        view.release(record, at_s)
        how = {"state": JobState.QUEUED, "window": 0, "placement": None}
    stayed = record.ran_at[-1:] == (record.site,)
    return view.change(
        e.job, at_s, **how, reason=e.reason, done_s=e.done_s, end_s=e.end_s, stop_asked=False, room_for="",
        checkpoint=e.checkpoint, ran_at=record.ran_at if stayed else (*record.ran_at, record.site),
        bound=record.bound and not e.checkpoint,
    )  # fmt: skip


def _left_the_machine(view: View, record: JobRecord) -> None:
    """The job's run is over, if it had one."""
    if record.state is JobState.RUNNING and not record.sent_to:
        view.occupy(record, -1)
    view.running.pop(record.run, None)
    view.stoppable.discard(record.run)
    if record.room_for:
        rest = view.making_room.get(record.room_for, set[str]())
        rest.discard(record.id)
        if not rest:
            view.making_room.pop(record.room_for, None)


def _ended(view: View, e: ev.Ended, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    _left_the_machine(view, record)
    view.admit_due = view.admit_due or record.state is JobState.HELD  # what lacks an envelope is other work now
    view.release(record, min(e.end_s, at_s))  # its window is free from its end on, whenever that is heard of
    view.close_account(record, 0)
    return view.change(
        e.job,
        at_s,
        state=e.state,
        reason=e.reason,
        start_s=e.start_s,
        end_s=e.end_s,
        exit_status=e.exit_status,
        detail=e.detail,
        members_done=e.members_done,
        members_failed=e.members_failed,
        left=e.left,
        reserved_fen=0,
        stop_asked=False,
        room_for="",
    )


def _settled(view: View, e: ev.Settled, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    if record.owned:
        view.tenant(e.tenant).spent_fen += e.fen
    return view.change(
        e.job,
        at_s,
        fen=record.fen + e.fen,
        facility_mwh=record.facility_mwh + e.facility_mwh,
        carbon_mg=record.carbon_mg + e.carbon_mg,
        billed_fen=record.billed_fen + e.fen if record.owned else 0,
        transport_micro=0,
    )


def _cancel_asked(view: View, e: ev.CancelAsked, at_s: int) -> JobRecord:
    return view.change(e.job, at_s, cancel_asked=True)


def _requeued(view: View, e: ev.Requeued, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    _left_the_machine(view, record)
    view.release(record, at_s)
    return view.change(
        e.job,
        at_s,
        state=JobState.QUEUED,
        reason=None,
        placement=None,
        window=0,
        run="",
        start_s=0,
        stop_asked=False,
        room_for="",
    )


def _reported(view: View, e: ev.Reported, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    if e.state.ended:
        view.close_account(record, e.fen - record.billed_fen)
    return view.change(
        e.job,
        at_s,
        left=e.left,
        state=e.state,
        reason=e.reason,
        site=e.site,
        pool=e.pool,
        start_s=e.start_s,
        end_s=e.end_s,
        total_micro=e.total_micro,
        fen=e.fen,
        facility_mwh=e.facility_mwh,
        carbon_mg=e.carbon_mg,
        exit_status=e.exit_status,
        detail=e.detail,
        members_done=e.members_done,
        members_failed=e.members_failed,
        reserved_fen=0 if e.state.ended else record.reserved_fen,
    )


def _envelope_moved(view: View, e: ev.EnvelopeMoved, at_s: int) -> None:
    view.envelopes.moved(e, at_s)
    view.admit_due = True


_APPLY: dict[type[ev.Event], Callable[[View, Any, int], JobRecord | None]] = {
    ev.Submitted: _submitted,
    ev.Fed: _fed,
    ev.Received: _received,
    ev.Held: _held,
    ev.Admitted: _admitted,
    ev.Waiting: _waiting,
    ev.Split: _split,
    ev.Gathered: _gathered,
    ev.Raised: _raised,
    ev.Assigned: _assigned,
    ev.Placed: _placed,
    ev.Unplaced: _unplaced,
    ev.Declined: _declined,
    ev.Refused: _refused,
    ev.Replaced: _replaced,
    ev.ReportedLate: _reported_late,
    ev.TakenBack: _taken_back,
    ev.TransferStarted: _transfer_started,
    ev.TransferEnded: _transfer_ended,
    ev.TransferDelayed: _transfer_delayed,
    ev.Started: _started,
    ev.Opened: _opened,
    ev.StopAsked: _stop_asked,
    ev.Paused: _paused,
    ev.Ended: _ended,
    ev.Settled: _settled,
    ev.CancelAsked: _cancel_asked,
    ev.Requeued: _requeued,
    ev.Reported: _reported,
    ev.EnvelopeAsked: _envelope_moved,
    ev.EnvelopeLent: _envelope_moved,
    ev.EnvelopeBorrowed: _envelope_moved,
    ev.EnvelopeReturned: _envelope_moved,
    ev.EnvelopeRegained: _envelope_moved,
}
