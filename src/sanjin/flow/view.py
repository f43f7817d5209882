"""The view: what one node knows, in memory, and how each event changes it.

Rooms read the view and return events; :meth:`View.apply` is the only thing that changes it, but for
the free capacity that the placement kernel reserves as it chooses. After a crash the same view is
rebuilt from the store.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sanjin.flow.envelopes import Envelopes, TenantUse
from sanjin.flow.links import Links
from sanjin.flow.supply import Supply
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.network import Network
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.struct import changed
from sanjin.ports import PeerMark


@dataclass(slots=True)
class Pending:
    """Capacity given to a child by mail that its last offer did not yet count."""

    seq: int
    pool: int
    start_s: int
    finish_s: int
    need: tuple[int, int, int, int]


@dataclass(slots=True)
class View:
    """A node's knowledge. ``jobs`` holds live jobs only; ended ones are in the store.

    ``held`` and ``queue`` keep the order of arrival; ``parked`` are queued jobs that found no place
    and wait for a change of supply. ``starts`` is a heap of (start, job) for work of this site.
    ``sites`` are those whose machines this node runs: its own where none are named; where there are more, inputs
    still go to its own alone. ``here`` are datasets in this site's store, ``holders`` the nodes that hold each
    dataset, as offered. ``moving`` maps a dataset on its way to the time when it may arrive.
    """

    node: str
    parent: str
    region: Region
    network: Network
    supply: Supply
    sites: frozenset[str] = frozenset()
    jobs: dict[str, JobRecord] = field(default_factory=dict[str, JobRecord])
    envelopes: Envelopes = field(init=False)
    held: dict[str, None] = field(default_factory=dict[str, None])
    queue: dict[str, None] = field(default_factory=dict[str, None])
    parked: dict[str, None] = field(default_factory=dict[str, None])
    refused: dict[str, int] = field(default_factory=dict[str, int])
    """Jobs that peers did not take, and since when, seconds UTC: they are placed again after a while."""
    starts: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    stops: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Heap of (end of a window, job) for work of this site that goes on in a later window."""
    making_room: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Jobs that were asked to stop and still run, by the job that they make room for."""
    running: dict[str, str] = field(default_factory=dict[str, str])
    """Run key to job, of runs at this site."""
    stoppable: set[str] = field(default_factory=set[str])
    """The keys of those that can be stopped and go on later."""
    in_use: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """Cores, MiB, cards and mW of each pool that runs, and reservations that have begun, really take now."""
    here: dict[str, str] = field(default_factory=dict[str, str])
    holders: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    links: Links = field(init=False)
    moving: dict[str, int] = field(default_factory=dict[str, int])
    held_heard: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Datasets of other sites, as last offered."""
    marks: dict[str, PeerMark] = field(default_factory=dict[str, PeerMark])
    pending: dict[str, list[Pending]] = field(default_factory=dict[str, list[Pending]])
    admit_due: bool = True
    """Whether a held job might be admitted since the last look."""
    parent_reachable: bool = False
    silent: dict[str, int] = field(default_factory=dict[str, int])
    """Peers that have not been heard of for a while, and since when, seconds UTC."""
    replaceable: dict[str, None] = field(default_factory=dict[str, None])
    """Jobs that another node has and that are placed again where that is silent too long."""
    lease_until_s: int = 0
    next_number: int = 1
    tip_seq: int = 0
    tip_hash: bytes = b""

    def __post_init__(self) -> None:
        self.sites = self.sites or frozenset({self.node})
        self.envelopes = Envelopes(self.region, self.node, self.parent)
        self.links = Links(self.network, self.supply.slots)
        self.links.roll(self.supply.first_slot)

    def child_of(self, site: str) -> str:
        """The child in whose subtree ``site`` lies; empty where it is not below this node."""
        nodes = self.region.nodes
        name = site
        while name and name != self.node:
            parent = nodes[name].parent
            if parent == self.node:
                return name
            name = parent
        return ""

    def mark(self, peer: str) -> PeerMark:
        """The stream marks of a peer."""
        return self.marks.get(peer) or PeerMark(peer=peer)

    def tenant(self, tenant: str) -> TenantUse:
        """The use of a tenant, created on first sight."""
        return self.envelopes.tenant(tenant)

    def apply(self, event: ev.Event, at_s: int) -> JobRecord | None:
        """Change the view by one event; the job's new record where there is one."""
        handler = _APPLY.get(type(event))
        return handler(self, event, at_s) if handler else None

    def put(self, record: JobRecord) -> JobRecord:
        """Store a record and keep the indexes in step with its state."""
        old = self.jobs.get(record.id)
        self.jobs[record.id] = record
        had, has = old is not None and _has_a_place(old), _has_a_place(record)
        if had != has or (old is not None and had and old.spec is not record.spec):
            self._count(old, -1)
            self._count(record, 1)
        here = not record.sent_to
        if old is None or old.state in _WAITS or record.state in _WAITS:
            queued = here and record.state is JobState.QUEUED
            parked = record.reason in (Reason.NO_PLACE, Reason.QUEUE_ORDER, Reason.RESERVATION_FULL)
            _set(self.held, record.id, here and record.state is JobState.HELD)
            refused = queued and record.reason in (Reason.EARLIER_COPY, Reason.DECLINED)
            _set(self.queue, record.id, queued and not parked and not refused)
            self.refused.pop(record.id, None)
            if refused:
                self.refused[record.id] = record.updated_s
            _set(self.parked, record.id, queued and parked)
        if record.spec.replace_after_s:
            _set(self.replaceable, record.id, bool(record.sent_to) and record.state.live)
        if here and record.placement:
            if record.state in (JobState.PLACED, JobState.STAGING, JobState.PAUSED):
                heapq.heappush(self.starts, (record.next_start_s(), record.id))
            elif record.state is JobState.RUNNING and record.window + 1 < len(record.placement.pieces):
                heapq.heappush(self.stops, (record.placement.pieces[record.window][1], record.id))
            elif record.state is JobState.RUNNING and record.spec.reserves:
                heapq.heappush(self.stops, (record.placement.finish_s, record.id))
        return record

    def _count(self, record: JobRecord | None, sign: int) -> None:
        if record is not None and _has_a_place(record):
            placed = self.tenant(record.spec.tenant).placed
            for i, amount in enumerate(record.spec.amounts()):
                placed[i] += sign * amount

    def change(self, job: str, at_s: int, **fields: Any) -> JobRecord:
        """The job's record with some fields replaced."""
        return self.put(changed(self.jobs[job], updated_s=at_s, **fields))

    def release(self, record: JobRecord, at_s: int) -> None:
        """Free what is left of the window that the job reserved at this site."""
        if record.spec.reservation:  # it took nothing of the site's that its reservation had not taken
            self.supply.changed(own=False, freed=True)
            return
        if record.placement and record.placement.site in self.sites and not record.sent_to:
            pool = self.supply.pool_of(record.placement)
            need = self.supply.need(record.spec, pool)
            for begin, end in record.placement.windows()[record.window :]:
                if max(begin, at_s) < end:
                    self.supply.take(pool, max(begin, at_s), end, need, -1)

    def occupy(self, record: JobRecord, sign: int) -> None:
        """Count (``sign`` 1) what begins to run at this site, or what is over (-1)."""
        if record.placement and not record.spec.reservation:  # what is inside one is counted with it
            pool = self.supply.pool_of(record.placement)
            use = self.in_use.setdefault(pool, [0, 0, 0, 0])
            for i, amount in enumerate(self.supply.need(record.spec, pool)):
                use[i] += sign * amount

    def has_room_now(self, record: JobRecord) -> bool:
        """Whether what runs leaves room for a placed job: what outlasts its window, began late or is still stopping
        takes machines that were promised to another."""
        if record.placement is None or record.spec.reservation:
            return True
        supply, pool = self.supply, self.supply.pool_of(record.placement)
        need, row, use = supply.need(record.spec, pool), supply.pool[pool].tolist(), self.in_use.get(pool)
        if use is not None and any(use[i] + need[i] > row[tables.CORES + i] for i in range(3)):
            return False
        site = row[tables.SITE]
        power = sum(other[3] for p, other in self.in_use.items() if int(supply.pool[p, tables.SITE]) == site)
        return not power or power + need[3] <= int(supply.it_cap_mw[site])

    def close_account(self, record: JobRecord, fen: int) -> None:
        """The job ended: what it held of its tenant's envelope here is free again, ``fen`` is spent."""
        if not record.owned or not record.reserved_fen:
            return
        use = self.tenant(record.spec.tenant)
        use.cores -= record.spec.quota_cores()
        use.reserved_fen -= record.reserved_fen
        use.spent_fen += fen
        self.admit_due = True


HAS_A_PLACE = frozenset({JobState.ASSIGNED, JobState.PLACED, JobState.STAGING, JobState.RUNNING, JobState.PAUSED})
_WAITS = (JobState.HELD, JobState.QUEUED)


def _has_a_place(record: JobRecord) -> bool:
    """Whether it takes capacity of the region's, here or at the node that has it."""
    return record.state in HAS_A_PLACE and not record.spec.reservation


def _set(index: dict[str, None], job: str, present: bool) -> None:
    if present:
        index.setdefault(job)
    else:
        index.pop(job, None)


def _submitted(view: View, e: ev.Submitted, at_s: int) -> JobRecord:
    view.next_number += 1
    view.admit_due = True
    return view.put(JobRecord(id=e.job, key=e.key, spec=e.spec, state=JobState.HELD, submitted_s=at_s, updated_s=at_s))


_OF_A_COPY = {"fen": 0, "facility_mwh": 0, "carbon_mg": 0, "start_s": 0, "members_done": 0, "members_failed": 0}
"""What was reported of a copy elsewhere, where the job begins anew: what that came to stands in the books there."""


def _received(view: View, e: ev.Received, at_s: int) -> JobRecord:
    old = view.jobs.get(e.job)
    if old is not None:  # it comes back to us: ours again, or raised anew by the child we gave it to
        barred = (*old.barred, e.peer) if e.full else old.barred
        return view.change(
            e.job, at_s, sent_to="", bound=e.bound, epoch=e.epoch, state=JobState.QUEUED, reason=None, barred=barred,
            **_OF_A_COPY,
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
    barred, epoch = record.barred if later else (*record.barred, e.child), max(record.epoch, e.epoch)
    reason = e.reason if later else None
    return view.change(e.job, at_s, state=JobState.QUEUED, reason=reason, sent_to="", barred=barred, epoch=epoch)


def _replaced(view: View, e: ev.Replaced, at_s: int) -> JobRecord:
    record = view.jobs[e.job]
    told = view.mark(e.peer).sent + 1  # the mail that follows from this
    return view.change(
        e.job, at_s, state=JobState.QUEUED, reason=None, sent_to="", placement=None, epoch=record.epoch + 1,
        barred=(*record.barred, e.peer), given_up=(*record.given_up, (e.peer, told)),
        **_OF_A_COPY,
    )  # fmt: skip


def _reported_late(view: View, e: ev.ReportedLate, at_s: int) -> None:
    """The job itself goes on as it is."""


def _transfer_started(view: View, e: ev.TransferStarted, at_s: int) -> JobRecord:
    view.moving[e.dataset] = e.done_at_s
    paid = view.jobs[e.job].transport_micro + e.micro
    return view.change(e.job, at_s, state=JobState.STAGING, reason=Reason.INPUTS_MOVING, transport_micro=paid)


def _transfer_ended(view: View, e: ev.TransferEnded, at_s: int) -> None:
    view.moving.pop(e.dataset, None)
    if not e.fault:
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
    if record.room_for or not record.placement or record.window + 1 >= len(record.placement.pieces):
        view.release(record, at_s)
        how = {"state": JobState.QUEUED, "window": 0, "placement": None}
    return view.change(
        e.job, at_s, **how, reason=e.reason, done_s=e.done_s, end_s=e.end_s, stop_asked=False, room_for=""
    )


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
        view.close_account(record, e.fen)
    return view.change(
        e.job,
        at_s,
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
