"""What nodes say to each other about jobs and envelopes, and what it means to the one who hears it.

Up and down go nine kinds of message. Each is written to the store with the event that it follows
from, numbered, sent until acknowledged, and applied once.

Where a peer was silent for so long that its copy of a job was given up, what it wrote of the job before it read of
that is still on its way. ``seen`` of a message, the last mail of the receiver that its sender had taken in when it
wrote, tells the one from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

import msgspec

from sanjin.flow import envelopes, run
from sanjin.flow.envelopes import Amount
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.data import Artifact
from sanjin.model.job import JobSpec, JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord, Progress
from sanjin.ports import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What every message has. ``brings``: it hands its job over to the node that hears it."""

    job: str
    seen: int = 0
    brings: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise(_Word):
    """Up: this job is better placed outside my subtree, or cannot be placed in it (``full``)."""

    kind: ClassVar[str] = "raise"
    key: str
    spec: JobSpec
    submitted_s: int
    epoch: int
    full: bool
    artifacts: tuple[Artifact, ...] = ()
    progress: Progress | None = None
    brings: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign(_Word):
    """Down: this job is yours to place in your subtree, under a lease of this epoch."""

    kind: ClassVar[str] = "assign"
    key: str
    spec: JobSpec
    submitted_s: int
    epoch: int
    artifacts: tuple[Artifact, ...] = ()
    progress: Progress | None = None
    brings: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline(_Word):
    """Up: what you assigned no longer fits here, or is better off elsewhere now; take it back."""

    kind: ClassVar[str] = "decline"
    epoch: int
    reason: Reason
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(_Word):
    """Towards the holder: end this job."""

    kind: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp(_Word):
    """To a peer that was silent: end the copy that you have of me, it is placed again."""

    kind: ClassVar[str] = "give_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(_Word):
    """Towards the owner: how the job stands."""

    kind: ClassVar[str] = "report"
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
    left: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope(_Word):
    """What words about a tenant's envelope have: they are of no job."""

    job: str = ""
    tenant: str
    cores: int
    fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Want(_Envelope):
    """Up: work is held for want of so much; less than the least of it is of no use."""

    kind: ClassVar[str] = "want"
    least_cores: int
    least_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lend(_Envelope):
    """Down: so much is reserved for you, or nothing."""

    kind: ClassVar[str] = "lend"
    until_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack(_Envelope):
    """Up: so much of what you lent is free again."""

    kind: ClassVar[str] = "give_back"


Message = Raise | Assign | Decline | Cancel | GiveUp | Report | Want | Lend | GiveBack
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    c.kind: msgspec.json.Decoder(c) for c in get_args(Message)
}
_encode = msgspec.json.Encoder().encode
_REPORT_FIELDS = tuple(f.name for f in fields(Report) if f.name not in ("job", "epoch", "seen"))


_SPOKEN_OF = frozenset({
    ev.Raised, ev.Assigned, ev.Declined, ev.Refused, ev.CancelAsked, ev.Replaced, ev.EnvelopeAsked, ev.EnvelopeLent,
    ev.EnvelopeReturned,
})  # fmt: skip
"""Events from which a message may follow."""


class TreeRouter:
    """Derives messages from events, and events from messages."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Any, ...]] = {}

    def follows(self, view: View, event: ev.Event, record: JobRecord | None) -> list[tuple[str, str, bytes]]:
        """(peer, kind, body) of the messages that follow from an event."""
        if type(event) not in _SPOKEN_OF:
            return []
        message: Message
        if isinstance(event, ev.EnvelopeMoved):
            peer, message = event.peer, _of_an_envelope(event)
        elif record is None:
            return []
        elif isinstance(event, ev.Raised):
            peer = event.parent
            message = Raise(
                job=record.id, key=record.key, spec=record.spec, submitted_s=record.submitted_s, epoch=record.epoch,
                full=event.full, seen=view.mark(peer).received, artifacts=record.artifacts, progress=record.progress(),
            )  # fmt: skip
        elif isinstance(event, ev.Assigned):
            peer = event.child
            message = Assign(
                job=record.id, key=record.key, spec=record.spec, submitted_s=record.submitted_s, epoch=event.epoch,
                seen=view.mark(peer).received, artifacts=record.artifacts, progress=record.progress(),
            )  # fmt: skip
        elif isinstance(event, ev.Declined | ev.Refused):
            peer = event.peer if isinstance(event, ev.Refused) else record.came_from
            message = Decline(
                job=record.id, epoch=event.epoch, reason=event.reason, seen=view.mark(peer).received,
                progress=record.progress() if isinstance(event, ev.Declined) else None,
            )  # fmt: skip
        elif isinstance(event, ev.Replaced):
            peer = event.peer
            message = GiveUp(job=record.id)
        elif isinstance(event, ev.CancelAsked) and record.sent_to:
            peer = record.sent_to
            message = Cancel(job=record.id)
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
        message = Report(job=record.id, epoch=record.epoch, seen=view.mark(record.came_from).received, **values)
        return record.came_from, message.kind, _encode(message)

    def read(self, mail: Mail) -> Message:
        """The message in a mail. Raises KeyError or ValueError for one that this version cannot read."""
        return _decoders[mail.kind].decode(mail.body)

    def receive(self, view: View, peer: str, word: Message, known: JobRecord | None, now_s: int) -> list[ev.Event]:
        """What a message from a peer means here; ``known`` is its job as last known, also where it is over."""
        if isinstance(word, _Envelope):
            return _moved(view, word, peer, now_s)
        record = view.jobs.get(word.job)
        if isinstance(word, Cancel):
            # from where it came, and from nowhere else: who had a copy that was given up may pass an end on
            return run.cancel(view, word.job, now_s) if record and record.came_from == peer else []
        if isinstance(word, GiveUp):
            return _given_up(view, record, peer, now_s)
        if known is not None and word.seen < known.given_up_at(peer):
            return _late(word, peer)
        if isinstance(word, Raise | Assign):
            return _brought(record, known, peer, word, now_s)
        if record is None or not _of_now(record, peer, word):
            return _late(word, peer)
        if isinstance(word, Decline):
            back = ev.TakenBack(
                job=word.job, child=peer, reason=word.reason, epoch=word.epoch, progress=word.progress
            )
            return [back, *_cancelled_meanwhile(record, now_s)]
        values = {name: getattr(word, name) for name in _REPORT_FIELDS}
        return [ev.Reported(job=word.job, peer=peer, epoch=word.epoch, **values)]


def _of_an_envelope(event: ev.EnvelopeMoved) -> Message:
    """What the peer hears of it."""
    what: dict[str, Any] = {"tenant": event.tenant, "cores": event.cores, "fen": event.fen}
    if isinstance(event, ev.EnvelopeAsked):
        return Want(**what, least_cores=event.least_cores, least_fen=event.least_fen)
    if isinstance(event, ev.EnvelopeLent):
        return Lend(**what, until_s=event.until_s)
    return GiveBack(**what)


def _moved(view: View, word: _Envelope, peer: str, now_s: int) -> list[ev.Event]:
    """A word about an envelope: a child asks or gives back, the parent answers. Nobody else has a say."""
    if isinstance(word, Lend):
        if peer != view.parent:
            return []
        return [
            ev.EnvelopeBorrowed(
                job="", peer=peer, tenant=word.tenant, cores=word.cores, fen=word.fen, until_s=word.until_s
            )
        ]
    if peer == view.parent:
        return []
    if isinstance(word, Want):
        whole, least = Amount(word.cores, word.fen), Amount(word.least_cores, word.least_fen)
        lent = envelopes.lend(view, peer, word.tenant, whole, least, now_s)
        return [lent] if lent else []
    share = view.envelopes.share(word.tenant, peer)  # never more than was lent, whatever the child says
    back = Amount(word.cores, word.fen).or_nothing().at_most(Amount(share.cores, share.fen))
    return [ev.EnvelopeRegained(job="", peer=peer, tenant=word.tenant, cores=back.cores, fen=back.fen)]


def _of_now(record: JobRecord, peer: str, word: Message) -> bool:
    """Whether the peer has the job, and wrote this after it had read so."""
    return record.sent_to == peer and word.seen >= record.sent_mail


def _brought(
    record: JobRecord | None, known: JobRecord | None, peer: str, word: Raise | Assign, now_s: int
) -> list[ev.Event]:
    """A job comes: a new one, or one that was sent to this peer."""
    if record is not None and not _of_now(record, peer, word):
        return [ev.Refused(job=word.job, peer=peer, epoch=word.epoch, reason=Reason.EARLIER_COPY)]
    received = ev.Received(
        job=word.job,
        peer=peer,
        epoch=max(word.epoch, known.epoch + (record is None) if known else 0),
        key=word.key,
        spec=word.spec,
        submitted_s=word.submitted_s,
        bound=isinstance(word, Assign),
        full=isinstance(word, Raise) and word.full,
        given_up=known.given_up if known else (),
        artifacts=word.artifacts,
        progress=word.progress,
    )
    return [received, *_cancelled_meanwhile(record, now_s)]


def _given_up(view: View, record: JobRecord | None, peer: str, now_s: int) -> list[ev.Event]:
    """The peer that the job came from has placed it again: the copy here ends."""
    if record is None or record.came_from != peer:
        return []
    if record.sent_to == peer:  # on its way back, where it is not wanted any more
        return [run.without_run(record, JobState.CANCELLED, Reason.CANCELLED, now_s)]
    return run.cancel(view, record.id, now_s)


def _late(message: Message, peer: str) -> list[ev.Event]:
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
