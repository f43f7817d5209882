"""What a region shows of itself: sites as they stand now, what happened to a job, and bills.

These are views. They are computed from the nodes' state and journals and are stored nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.errors import Problem
from sanjin.model.event import Posting, Segment
from sanjin.model.performance import NOT_MEASURED, TOLERANCE, Compared, Measurement
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.region import NodeTier, PoolKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool and what is free of it in the present slot."""

    pool: str
    kind: PoolKind
    cores: int
    free_cores: int
    memory_bytes: int
    free_memory_bytes: int
    accelerators: int
    free_accelerators: int
    accelerator_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFigures:
    """What the machines of a site are declared to do and what a benchmark measured, side by side.

    ``measured`` is None where it has not been measured, ``below`` says that any figure is more than ``tolerance`` (a
    share) below what is declared. ``not_measured`` is what the benchmark says nothing about. Placing does not look at
    any of this.
    """

    site: str
    below: bool
    figures: tuple[Compared, ...]
    measured: Measurement | None
    tolerance: float = TOLERANCE
    not_measured: tuple[str, ...] = NOT_MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPart:
    """A part of a site's cluster: all of it (``what`` is ``whole``), or what is not for new work here, as in
    :class:`sanjin.ports.TakenBy`. ``count`` is of jobs or machines, ``until_s`` when the last of it ends at the latest
    (0: the cluster does not know)."""

    what: str
    count: int
    cores: int
    memory_bytes: int
    accelerators: int
    until_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """The cluster of a site that others use too, as it said at ``seen_s``. The pools' free capacity counts it in."""

    seen_s: int
    parts: tuple[ClusterPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus:
    """A node and its site now.

    ``jobs`` counts the jobs that were submitted here by state. Prices are per kWh at the facility's
    meter and modelled like ``pue``; ``it_reserved_kw`` is what placed work may draw at most of
    ``it_cap_kw``. ``fault`` is the last failure of the node or its engine, empty while they work. ``performance`` is of
    this site, and of those below it whose nodes other processes run, where anything is declared or measured.
    ``cluster`` is there where the site shares its cluster with others. Where another process runs the node, this is
    what the node above it knows: no ``engine``, no ``jobs``, and of running and queued work what went through here.
    ``heard_s`` is when its parent last heard of it, region time, as far as that is known here (of the root: now).
    """

    site: str
    parent: str
    tier: NodeTier
    name_en: str
    name_zh: str
    parent_reachable: bool
    fault: str
    engine: str
    sandbox: str
    running: int
    queued: int
    jobs: dict[str, int]
    pools: tuple[PoolStatus, ...]
    period: str
    energy_yuan_kwh: float
    carbon_kg_kwh: float
    pue: float
    it_cap_kw: float
    it_reserved_kw: float
    performance: tuple[SiteFigures, ...] = ()
    cluster: ClusterStatus | None = None
    lat: float = 0.0
    lon: float = 0.0
    heard_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """A link now, as the root knows it: modelled. ``carried_bytes`` of ``capacity_bytes`` are booked in the present
    slot (bandwidth is that of both ways together), ``ahead_bytes`` in the slots after it. ``up``: neither end is
    silent."""

    a: str
    b: str
    gbit_s: float
    latency_ms: float
    yuan_gb: float
    carried_bytes: int
    capacity_bytes: int
    ahead_bytes: int
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A line to a site's parent that is cut on purpose, for ``for_s`` seconds of the wall; or that is joined again."""

    site: str
    cut: bool
    for_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks, and what for that is not refused outright: ``may`` lists actions permitted for at least something (the
    own tenant, an own site)."""

    user: str
    name: str
    roles: tuple[str, ...]
    tenant: str
    sites: tuple[str, ...]
    may: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """A region that is up. ``now_s`` is region time, of which ``rate`` seconds pass in one wall second.

    ``policy`` is in force since ``up_since_s``, when the region came up; what was decided before was decided
    under the policy of then.
    """

    region: str
    name_en: str
    name_zh: str
    version: str
    utc_offset_h: int
    now_s: int
    rate: float
    nodes: tuple[str, ...]
    policy: Policy
    up_since_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One journal entry as people read it. ``body`` holds the event's fields."""

    node: str
    seq: int
    at_s: int
    kind: str
    job: str
    body: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs, newest first or as asked. ``next`` continues the list (empty: there are no more). ``count`` is how
    many match in all, where that was asked for (-1: it was not)."""

    jobs: tuple[JobRecord, ...]
    next: str
    count: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBill:
    """How one run was billed: what was measured, its energy by slot, and the double entry.

    CPU and memory are measured; energy is modelled from them. Empty tuples: not settled yet.
    """

    job: str
    site: str
    pool: str
    core_seconds: int
    card_seconds: int
    fen: int
    it_mwh: int
    facility_mwh: int
    carbon_mg: int
    segments: tuple[Segment, ...]
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a tenant's ended jobs came to.

    ``fen`` is the sum as the nodes know it where the jobs were submitted; ``accounts`` is where the
    money went by the ledgers of the sites that ran them (``site:datong``, ``energy:shanxi``), ``posted_fen``
    its sum. They differ only while a report is on its way.
    """

    tenant: str
    jobs: int
    fen: int
    posted_fen: int
    facility_mwh: int
    carbon_mg: int
    accounts: dict[str, int]


@dataclass(frozen=True, slots=True)
class EnvelopeStatus:
    """What a tenant may use at a node: cores at once, fen in all.

    ``stated`` in the region document, ``borrowed`` from the parent, ``lent`` to children, ``used`` by work that was
    submitted here (cores of what lives; fen spent, and set aside for what lives) and ``free``: stated and borrowed
    less lent and used. New work is admitted with what is borrowed before ``until_s`` (0: nothing is borrowed).
    """

    tenant: str
    node: str
    cores_stated: int
    cores_borrowed: int
    cores_lent: int
    cores_used: int
    cores_free: int
    fen_stated: int
    fen_borrowed: int
    fen_lent: int
    fen_used: int
    fen_free: int
    until_s: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What verifying a node's journal found. ``problems`` is empty where all is well."""

    node: str
    entries: int
    tip: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Ids of the jobs that were accepted, in the order of the request. They are durable."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """``asked``: whether the job was still live, so that its end was asked for."""

    asked: bool


@dataclass(frozen=True, slots=True)
class Health:
    """``faults`` has a line for each node that failed lately; ``ok`` says that there is none."""

    ok: bool
    faults: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Every node here can take work. ``parent_reachable``: no node here is cut off from its parent; cut off or not, it
    takes work."""

    ready: bool
    parent_reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDetails:
    """An error answer (RFC 9457). ``code`` is the stable name, ``errors`` all that is wrong with the input."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[Problem, ...]
