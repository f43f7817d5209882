"""What nodes say to each other about jobs, and what it means to the one who hears it.

Up and down go five kinds of message. Each is written to the store with the event that it follows
from, numbered, sent until acknowledged, and applied once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import msgspec

from sanjin.flow import run
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import JobSpec, JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.ports import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """Up: this job is better placed outside my subtree, or cannot be placed in it (``full``)."""

    kind: ClassVar[str] = "raise"
    job: str
    key: str
    spec: JobSpec
    submitted_s: int
    epoch: int
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Down: this job is yours to place in your subtree, under a lease of this epoch."""

    kind: ClassVar[str] = "assign"
    job: str
    key: str
    spec: JobSpec
    submitted_s: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Up: what you assigned no longer fits here; take it back."""

    kind: ClassVar[str] = "decline"
    job: str
    epoch: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Towards the holder: end this job."""

    kind: ClassVar[str] = "cancel"
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Towards the owner: how the job stands."""

    kind: ClassVar[str] = "report"
    job: str
    epoch: int
    state: JobState
    reason: Reason | None
    site: str
    pool: str
    start_s: int
    end_s: int
    total_micro: int
    fen: int
    facility_mwh: int
    carbon_mg: int
    exit_status: int
    detail: str
    members_done: int = 0
    members_failed: int = 0


Message = Raise | Assign | Decline | Cancel | Report
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    c.kind: msgspec.json.Decoder(c) for c in (Raise, Assign, Decline, Cancel, Report)
}
_encode = msgspec.json.Encoder().encode
_REPORT_FIELDS = tuple(f.name for f in fields(Report) if f.name not in ("job", "epoch"))


def read(mail: Mail) -> Message:
    """The message in a mail. Raises KeyError or ValueError for one that this version cannot read."""
    return _decoders[mail.kind].decode(mail.body)


_SPOKEN_OF = frozenset({ev.Raised, ev.Assigned, ev.Declined, ev.CancelAsked, ev.Replaced})
"""Events from which a message may follow."""


class TreeRouter:
    """Derives messages from events, and events from messages."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Any, ...]] = {}

    def follows(self, view: View, event: ev.Event, record: JobRecord) -> list[tuple[str, str, bytes]]:
        """(peer, kind, body) of the messages that follow from an event."""
        if type(event) not in _SPOKEN_OF:
            return []
        message: Message
        if isinstance(event, ev.Raised):
            message = Raise(
                job=record.id,
                key=record.key,
                spec=record.spec,
                submitted_s=record.submitted_s,
                epoch=record.epoch,
                full=event.full,
            )
            peer = event.parent
        elif isinstance(event, ev.Assigned):
            message = Assign(
                job=record.id, key=record.key, spec=record.spec, submitted_s=record.submitted_s, epoch=event.epoch
            )
            peer = event.child
        elif isinstance(event, ev.Declined):
            message = Decline(job=record.id, epoch=event.epoch, reason=event.reason)
            peer = record.came_from
        elif isinstance(event, ev.Replaced):  # what it still has of the job is not wanted any more
            message = Cancel(job=record.id)
            peer = event.peer
        elif isinstance(event, ev.CancelAsked) and record.sent_to:
            message = Cancel(job=record.id)
            peer = record.sent_to
        else:
            return []
        return [(peer, message.kind, _encode(message))]

    def report(self, view: View, record: JobRecord) -> tuple[str, str, bytes] | None:
        """The report to the node that the job came from, where something in it changed."""
        if not record.came_from or record.state is JobState.RETURNED:
            return None
        values = {name: getattr(record, name) for name in _REPORT_FIELDS}
        if record.placement and not record.start_s:
            values["start_s"] = record.placement.start_s
        key = (record.epoch, *values.values())
        if self._told.get(record.id) == key:
            return None
        if record.state.live:
            self._told[record.id] = key
        else:
            self._told.pop(record.id, None)
        message = Report(job=record.id, epoch=record.epoch, **values)
        return record.came_from, message.kind, _encode(message)

    def receive(self, view: View, mail: Mail, now_s: int) -> list[ev.Event]:
        """What a message from a peer means here."""
        message = read(mail)
        record = view.jobs.get(message.job)
        from_parent = mail.peer == view.parent
        if isinstance(message, Raise | Assign):
            return [
                ev.Received(
                    job=message.job,
                    peer=mail.peer,
                    epoch=message.epoch,
                    key=message.key,
                    spec=message.spec,
                    submitted_s=message.submitted_s,
                    bound=isinstance(message, Assign),
                    full=isinstance(message, Raise) and message.full,
                ),
                *_cancelled_meanwhile(record, now_s),
            ]
        if isinstance(message, Cancel):
            return run.cancel(view, message.job, now_s)
        if record is None or record.sent_to != mail.peer or (not from_parent and message.epoch < record.epoch):
            return _late(message, mail.peer)  # about a job that has gone elsewhere
        if isinstance(message, Decline):
            back = ev.TakenBack(job=message.job, child=mail.peer, reason=message.reason, epoch=message.epoch)
            return [back, *_cancelled_meanwhile(record, now_s)]
        values = {name: getattr(message, name) for name in _REPORT_FIELDS}
        return [ev.Reported(job=message.job, peer=mail.peer, epoch=message.epoch, **values)]


def _late(message: Decline | Report, peer: str) -> list[ev.Event]:
    """A word about a copy that was given up: its end is kept in the journal."""
    if not isinstance(message, Report) or not message.state.ended:
        return []
    return [
        ev.ReportedLate(
            job=message.job, peer=peer, epoch=message.epoch, state=message.state, site=message.site,
            start_s=message.start_s, end_s=message.end_s, fen=message.fen,
        )
    ]  # fmt: skip


def _cancelled_meanwhile(record: JobRecord | None, now_s: int) -> list[ev.Event]:
    """A job whose end was asked for while it was away ends now that it is back."""
    if record is None or not record.cancel_asked:
        return []
    return [run.without_run(record, JobState.CANCELLED, Reason.CANCELLED, now_s)]
