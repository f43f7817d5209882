"""The view: what one node knows, in memory.

Rooms read the view and return events; :func:`sanjin.flow.apply.apply` is the only thing that changes it, but for
the free capacity that the placement kernel reserves as it chooses. After a crash the same view is
rebuilt from the store.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from sanjin.flow.envelopes import Envelopes, TenantUse
from sanjin.flow.links import Links
from sanjin.flow.supply import Supply
from sanjin.kernels import tables
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
    followers: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])
    """Jobs that wait for a job to succeed, by that job."""
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
            _set(self.held, record.id, here and record.state is JobState.HELD and not record.waits_for)
            for job, _ in record.waits_for:
                self.followers.setdefault(job, {})[record.id] = None
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
