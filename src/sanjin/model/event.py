"""Events: everything that happens to work, written once to a node's journal.

State, messages to other nodes and ledger entries all derive from these. An event never changes
after it was written. To add one: a class here (its ``kind`` is its name in the journal), a line
``event.<kind>`` in the catalogue, and an ``apply`` in :mod:`sanjin.flow.view`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sanjin.model.data import Artifact
from sanjin.model.job import JobSpec, JobState
from sanjin.model.performance import Declaration, Measurement
from sanjin.model.placement import Placement
from sanjin.model.reason import Reason
from sanjin.model.record import Progress
from sanjin.model.struct import Struct

Row = tuple[int, ...]
"""One site's option as the kernel wrote it; see :mod:`sanjin.flow.options`."""


class Segment(Struct, frozen=True, kw_only=True):
    """A meter record: the part of a run that fell into one slot.

    Energy in mWh; ``price_micro_kwh`` micro-yuan and ``carbon_mg_kwh`` mg CO2e per kWh at the meter
    of the facility.
    """

    start_s: int
    seconds: int
    it_mwh: int
    facility_mwh: int
    price_micro_kwh: int
    carbon_mg_kwh: int


class Posting(Struct, frozen=True, kw_only=True):
    """One line of a double entry: ``fen`` is positive for a debit, negative for a credit."""

    account: str
    fen: int


class Event(Struct, frozen=True, kw_only=True):
    """Base of the events. ``job`` is empty for events of the node itself."""

    kind: ClassVar[str] = ""
    job: str


class NodeStarted(Event, frozen=True, kw_only=True):
    """The node came up. ``sites`` and ``pools`` name the indexes that decisions use."""

    kind: ClassVar[str] = "node.started"
    node: str
    region: str
    version: str
    sites: tuple[str, ...]
    pools: tuple[str, ...]


class Priced(Event, frozen=True, kw_only=True):
    """New prices of scarce capacity are in force here, learnt from ``jobs`` jobs until ``until_s``.

    ``bound_yuan`` and ``error`` as in :class:`sanjin.model.scarcity.Scarcity`.
    """

    kind: ClassVar[str] = "node.priced"
    until_s: int
    jobs: int
    bound_yuan: float
    error: float | None


class SiteMeasured(Event, frozen=True, kw_only=True):
    """The benchmark measured a machine of the site; ``declared`` is what its pools were declared to do then."""

    kind: ClassVar[str] = "site.measured"
    site: str
    measured: Measurement
    declared: tuple[Declaration, ...]


NodeNews = NodeStarted | Priced | SiteMeasured
"""What is written about the node itself, at the beginning of a turn."""


class Submitted(Event, frozen=True, kw_only=True):
    """A client's job was accepted here; this node owns it. ``waits_for`` as in
    :class:`sanjin.model.record.JobRecord`."""

    kind: ClassVar[str] = "job.submitted"
    key: str
    spec: JobSpec
    waits_for: tuple[tuple[str, str], ...] = ()


class Fed(Event, frozen=True, kw_only=True):
    """A job that this one comes after has succeeded, and left these files for it."""

    kind: ClassVar[str] = "job.fed"
    by: str
    artifacts: tuple[Artifact, ...]


class Received(Event, frozen=True, kw_only=True):
    """A job came from another node: raised by a child, or assigned by the parent.

    ``bound``: it has to stay in this subtree, the parent decided so. ``full``: the child that
    raised it could not place it itself.
    """

    kind: ClassVar[str] = "job.received"
    peer: str
    epoch: int
    key: str
    spec: JobSpec
    submitted_s: int
    bound: bool
    full: bool
    given_up: tuple[tuple[str, int], ...] = ()
    """As in :class:`sanjin.model.record.JobRecord`, where this node had the job before."""
    artifacts: tuple[Artifact, ...] = ()
    progress: Progress | None = None


class Refused(Event, frozen=True, kw_only=True):
    """A peer sent the job, and an earlier copy of it, which is being ended, is here still: not now."""

    kind: ClassVar[str] = "job.refused"
    peer: str
    epoch: int
    reason: Reason


class Held(Event, frozen=True, kw_only=True):
    """The job waits for its tenant's envelope."""

    kind: ClassVar[str] = "job.held"
    reason: Reason
    need: int
    free: int


class Admitted(Event, frozen=True, kw_only=True):
    """The job may be placed; ``reserved_fen`` of its tenant's budget is set aside."""

    kind: ClassVar[str] = "job.admitted"
    reserved_fen: int


class Waiting(Event, frozen=True, kw_only=True):
    """No site can take the job within the horizon; it is tried again when something changes."""

    kind: ClassVar[str] = "job.waiting"
    reason: Reason
    options: tuple[Row, ...]


class Part(Struct, frozen=True, kw_only=True):
    """Some members of an array, as a job of their own."""

    job: str
    first_member: int
    members: int


class Split(Event, frozen=True, kw_only=True):
    """An array is divided into parts, each of which is placed by itself. ``site`` has the largest of them;
    ``options`` are those of its first member."""

    kind: ClassVar[str] = "job.split"
    parts: tuple[Part, ...]
    site: str
    options: tuple[Row, ...]


class Gathered(Event, frozen=True, kw_only=True):
    """A part of an array ended, with so many members done and failed of those it had; sums are of this part."""

    kind: ClassVar[str] = "job.gathered"
    part: str
    site: str
    members: int
    members_done: int
    members_failed: int
    start_s: int
    end_s: int
    fen: int
    facility_mwh: int
    carbon_mg: int
    left: tuple[Artifact, ...] = ()


class Raised(Event, frozen=True, kw_only=True):
    """A place outside this subtree is better, or none is here: the parent decides."""

    kind: ClassVar[str] = "job.raised"
    parent: str
    full: bool
    options: tuple[Row, ...]


class Assigned(Event, frozen=True, kw_only=True):
    """Given to a child with a lease of ``epoch``.

    Where the child is the one that raised the job, the job is its own again and this node is done.
    """

    kind: ClassVar[str] = "job.assigned"
    child: str
    epoch: int
    placement: Placement
    options: tuple[Row, ...]


class Placed(Event, frozen=True, kw_only=True):
    """This site runs it: pool and window are reserved."""

    kind: ClassVar[str] = "job.placed"
    placement: Placement
    options: tuple[Row, ...]


class Unplaced(Event, frozen=True, kw_only=True):
    """The place is given up before the start, for a better one: the job is placed again. ``gain_micro`` is what
    that saves, micro-yuan, at the prices of now."""

    kind: ClassVar[str] = "job.unplaced"
    reason: Reason
    gain_micro: int


class Declined(Event, frozen=True, kw_only=True):
    """Capacity went since the offer, or work that was stopped is better off elsewhere: the job goes back to the node
    that sent it."""

    kind: ClassVar[str] = "job.declined"
    epoch: int
    reason: Reason


class TakenBack(Event, frozen=True, kw_only=True):
    """A child declined; the job is to be placed again. ``child`` is not tried twice in a row. ``epoch`` is that of
    the last lease below, which the next one must pass."""

    kind: ClassVar[str] = "job.taken_back"
    child: str
    reason: Reason
    epoch: int = 0
    progress: Progress | None = None


class Replaced(Event, frozen=True, kw_only=True):
    """The node that had the job has been silent for ``silent_s`` region seconds: the job is to be placed again, and
    ``peer`` is told to end it when it can be reached. ``confirmed``: an operator said that it does not run there."""

    kind: ClassVar[str] = "job.replaced"
    peer: str
    silent_s: int
    confirmed: bool = False


class ReportedLate(Event, frozen=True, kw_only=True):
    """A node from which the job had been taken back says how its copy ended. That copy counts in that node's own
    journal and ledger; the job itself goes on as it is."""

    kind: ClassVar[str] = "job.reported_late"
    peer: str
    epoch: int
    state: JobState
    site: str
    start_s: int
    end_s: int
    fen: int


class TransferStarted(Event, frozen=True, kw_only=True):
    """A dataset is on its way here. ``declared_bytes`` is what the link model charges for."""

    kind: ClassVar[str] = "transfer.started"
    dataset: str
    source: str
    declared_bytes: int
    done_at_s: int
    micro: int


class TransferEnded(Event, frozen=True, kw_only=True):
    """A dataset arrived and matched its checksum, or could not be had (``fault``)."""

    kind: ClassVar[str] = "transfer.ended"
    dataset: str
    copied_bytes: int
    sha256: str
    fault: str


class TransferDelayed(Event, frozen=True, kw_only=True):
    """An input of the job cannot be had now (``fault``), and is tried again for as long as the job may wait."""

    kind: ClassVar[str] = "transfer.delayed"
    dataset: str
    fault: str


class Started(Event, frozen=True, kw_only=True):
    """The intent to run, written before the engine is asked: a crash between is safe."""

    kind: ClassVar[str] = "job.started"
    run: str


class Opened(Event, frozen=True, kw_only=True):
    """A reservation begins."""

    kind: ClassVar[str] = "job.opened"


class StopAsked(Event, frozen=True, kw_only=True):
    """Stoppable work is to stop and go on later: its window ends, or it makes room for ``room_for``.

    ``gain_micro`` is what making room saves, the work lost counted, micro-yuan.
    """

    kind: ClassVar[str] = "job.stop_asked"
    reason: Reason
    room_for: str = ""
    gain_micro: int = 0


class RunOver(Event, frozen=True, kw_only=True):
    """Base of the ends of a run. Usage is measured: wall and CPU in milliseconds of this machine's time.

    ``start_s`` and ``end_s`` are region time. ``busy_ms`` is the wall time of all members of a part of an
    array together (0: it is none).
    """

    start_s: int
    end_s: int
    wall_ms: int
    cpu_ms: int
    memory_peak_bytes: int
    sandbox: str
    busy_ms: int = 0


class Paused(RunOver, frozen=True, kw_only=True):
    """A run stopped and the job goes on later; ``done_s`` of its work are done and kept, seconds at speed 1.
    ``checkpoint``: what is kept, where it may go on at another site."""

    kind: ClassVar[str] = "job.paused"
    reason: Reason
    done_s: int
    checkpoint: Artifact | None = None


class Ended(RunOver, frozen=True, kw_only=True):
    """The run is over, and the job with it."""

    kind: ClassVar[str] = "job.ended"
    state: JobState
    reason: Reason
    exit_status: int
    signal: int
    detail: str
    members_done: int = 0
    members_failed: int = 0
    left: tuple[Artifact, ...] = ()


class Metered(Event, frozen=True, kw_only=True):
    """Energy of a run by slot. CPU and memory measured; power, PUE and weather modelled.

    ``carbon_micro_kg`` is the price of carbon that it is settled with, micro-yuan per kg CO2e.
    """

    kind: ClassVar[str] = "job.metered"
    site: str
    pool: str
    core_seconds: int
    card_seconds: int
    use_micro: int
    transport_micro: int
    carbon_micro_kg: int
    segments: tuple[Segment, ...]


class Settled(Event, frozen=True, kw_only=True):
    """The double entry of a run; the postings add up to zero."""

    kind: ClassVar[str] = "job.settled"
    tenant: str
    fen: int
    it_mwh: int
    facility_mwh: int
    carbon_mg: int
    postings: tuple[Posting, ...]


class CancelAsked(Event, frozen=True, kw_only=True):
    """Somebody asked for the end of the job."""

    kind: ClassVar[str] = "job.cancel_asked"


class EnvelopeMoved(Event, frozen=True, kw_only=True):
    """Base of what happens to a tenant's envelope between a node and ``peer``: so many cores and fen of it."""

    peer: str
    tenant: str
    cores: int
    fen: int


class EnvelopeAsked(EnvelopeMoved, frozen=True, kw_only=True):
    """The parent is asked for more, since work is held; less than ``least_cores`` and ``least_fen`` is of no use."""

    kind: ClassVar[str] = "envelope.asked"
    least_cores: int
    least_fen: int


class EnvelopeLent(EnvelopeMoved, frozen=True, kw_only=True):
    """Reserved here for a child, which admits with it until ``until_s``. Nothing: the child is told that there is
    nothing to lend."""

    kind: ClassVar[str] = "envelope.lent"
    until_s: int


class EnvelopeBorrowed(EnvelopeMoved, frozen=True, kw_only=True):
    """The parent's answer arrived."""

    kind: ClassVar[str] = "envelope.borrowed"
    until_s: int


class EnvelopeReturned(EnvelopeMoved, frozen=True, kw_only=True):
    """What was borrowed, is not used and may not be used any more goes back to the parent."""

    kind: ClassVar[str] = "envelope.returned"


class EnvelopeRegained(EnvelopeMoved, frozen=True, kw_only=True):
    """A child gave back what it had borrowed: it is free here again."""

    kind: ClassVar[str] = "envelope.regained"


class Requeued(Event, frozen=True, kw_only=True):
    """An interrupted run of a repeatable job is to be run again."""

    kind: ClassVar[str] = "job.requeued"
    reason: Reason


class Reported(Event, frozen=True, kw_only=True):
    """The node that has the job told us how it stands."""

    kind: ClassVar[str] = "job.reported"
    peer: str
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


EVENTS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        NodeStarted,
        Priced,
        SiteMeasured,
        Submitted,
        Fed,
        Received,
        Held,
        Admitted,
        Waiting,
        Split,
        Gathered,
        Raised,
        Assigned,
        Placed,
        Unplaced,
        Declined,
        TakenBack,
        Refused,
        Replaced,
        ReportedLate,
        TransferStarted,
        TransferEnded,
        TransferDelayed,
        Started,
        Opened,
        StopAsked,
        Paused,
        Ended,
        Metered,
        Settled,
        CancelAsked,
        Requeued,
        Reported,
        EnvelopeAsked,
        EnvelopeLent,
        EnvelopeBorrowed,
        EnvelopeReturned,
        EnvelopeRegained,
    )
}
"""Every event by its kind: the closed list."""

_encoder = msgspec.json.Encoder(order="deterministic")
_decoders: dict[str, msgspec.json.Decoder[Event]] = {
    kind: msgspec.json.Decoder(cls) for kind, cls in EVENTS.items()
}


def encode(event: Event) -> bytes:
    """Canonical JSON of an event: the same event gives the same bytes."""
    return _encoder.encode(event)


def decode(kind: str, body: bytes) -> Event:
    """The event that :func:`encode` wrote. Raises ``KeyError`` for an unknown kind."""
    return _decoders[kind].decode(body)


def from_fields(kind: str, fields: dict[str, object]) -> Event:
    """The event of its fields, as an API shows them. Raises ``KeyError`` or ``ValueError``."""
    return msgspec.convert(fields, EVENTS[kind])
