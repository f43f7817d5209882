"""Jobs: what somebody asks for, and the states it passes through."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sanjin.model.region import DataGrade, PoolKind
from sanjin.model.units import MIB


class Effects(StrEnum):
    """Whether running a job twice does harm."""

    ONCE = "once"
    REPEATABLE = "repeatable"


class JobState(StrEnum):
    """Where a job stands, as the node that shows it knows it.

    ``held`` waits for quota or budget, ``queued`` for a place, ``raised`` for the parent's answer;
    ``assigned`` was given to a child; ``returned`` was given back to the node it came from; the parts of a
    ``divided`` array have places of their own; ``placed`` has a site, a pool and a start here; then
    ``staging``, ``running`` and one of the ends. ``paused`` was stopped and goes on in its next window.
    """

    HELD = "held"
    QUEUED = "queued"
    RAISED = "raised"
    DIVIDED = "divided"
    ASSIGNED = "assigned"
    RETURNED = "returned"
    PLACED = "placed"
    STAGING = "staging"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"

    __hash__ = str.__hash__  # the enum's own takes four times as long, and states are looked up all the time

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to a job in this state."""
        return self in ENDED

    @property
    def live(self) -> bool:
        """Whether the node that shows this state still has something to do with the job."""
        return self not in ENDED and self is not JobState.RETURNED


ENDED = frozenset(
    {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.INTERRUPTED,
        JobState.REFUSED,
    }
)


class JobOrder(StrEnum):
    """What a list of jobs is sorted by; of equals, by when they came.

    Jobs that have not started (ended) stand last by ``started`` (``ended``), either way. ``cost`` is what was settled
    so far. ``wait`` is the time from submission to the start, of a job that has none to its end, or to now.
    """

    SUBMITTED = "submitted"
    STARTED = "started"
    ENDED = "ended"
    COST = "cost"
    WAIT = "wait"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What to run and under which conditions. Units stand last in names.

    ``duration_s`` is the expected run time on a core of speed 1, in region seconds; ``time_limit_s``
    ends the job (default: four times the duration, at least 15 min). ``inputs`` names datasets of
    the region. ``earliest_start_s`` and ``deadline_s`` are seconds UTC; a deadline that is not firm
    only shows in reports. ``delay_price_fen_per_hour`` is what an hour of waiting costs the owner.
    ``nodes`` machines are taken at once (a gang: all or none); cores, memory and accelerators are of each.
    ``members`` (0: none) makes an array: the command runs once for each member, which finds its number, from
    ``first_member`` on, in ``$SANJIN_INDEX``; all else is of each member.
    ``duration_spread_s`` is how much longer it may well take: capacity is kept for it, and a firm deadline
    counts with it, while the price reckons with the expected time. ``priority`` goes before the order of
    arrival within a queue. ``stoppable`` work can be stopped and go on later from its checkpoint;
    each time costs it ``stop_cost_s`` of work. With ``checkpoint_bytes`` it may go on at another site, to which its
    checkpoint moves, where that has no more bytes than so; with 0 it goes on where it was.
    ``after`` names jobs of the tenant, by key or id, that must have succeeded before: what they left is among its
    inputs, under the name by which they were given. ``publish``: its outputs become a dataset when it has succeeded,
    for jobs that come after it.
    ``latency_class_ms`` (1, 5, 20) bounds the one-way latency from ``latency_origin`` (the node of
    submission where empty). ``budget_fen`` bounds the placement's price. ``kind`` is a label for
    reports.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    tenant: str = "public"
    queue: str = "batch"
    kind: str = ""
    cores: int = 1
    memory_bytes: int = 512 * MIB
    accelerators: int = 0
    accelerator_kind: str = ""
    pool_kind: PoolKind | None = None
    nodes: int = 1
    members: int = 0
    first_member: int = 0
    duration_s: int = 900
    duration_spread_s: int = 0
    priority: int = 0
    stoppable: bool = False
    stop_cost_s: int = 60
    checkpoint_bytes: int = 0
    time_limit_s: int = 0
    inputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    publish: bool = False
    earliest_start_s: int = 0
    deadline_s: int = 0
    deadline_firm: bool = False
    delay_price_fen_per_hour: int = 10
    grade: DataGrade = DataGrade.GENERAL
    latency_class_ms: int = 0
    latency_origin: str = ""
    effects: Effects = Effects.ONCE
    replace_after_s: int = 0
    """Region seconds without a word from the node that has it, after which it is placed again elsewhere (0: it waits
    for that node). Only for repeatable work: the node may be running it."""
    budget_fen: int = 0
    site: str = ""
    """Run only here (a node id); empty: anywhere."""
    reserves: bool = False
    """Run nothing, but keep this capacity of ``site`` from the earliest start on, for ``duration_s``."""
    reservation: str = ""
    """Run inside this reservation (the id of a job that reserves)."""
    image: str = ""
    """The container image that is the run's root file system: a reference as in :mod:`sanjin.model.image`; empty: the
    site's own system. A site runs those alone that it allows."""
    sample_cores: int = 0
    """Cores that the command really uses, where it is a sample of a job of ``cores``: measured CPU
    and memory are then multiplied by cores / sample_cores, and every figure says so. 0: no sample."""

    def width(self) -> int:
        """Machines that it takes at once: the nodes of a gang, for each member of an array."""
        return self.nodes * self.members if self.members > 0 else self.nodes

    def all_cores(self) -> int:
        """Cores that it takes at once."""
        return self.cores * self.width()

    def quota_cores(self) -> int:
        """Cores that count against the tenant's quota: what runs inside a reservation is counted with that."""
        return 0 if self.reservation else self.all_cores()

    def all_memory_bytes(self) -> int:
        """Memory that it takes at once."""
        return self.memory_bytes * self.width()

    def all_accelerators(self) -> int:
        """Accelerators that it takes at once."""
        return self.accelerators * self.width()

    def amounts(self) -> tuple[int, int, int]:
        """Cores, MiB and accelerators that it takes at once."""
        width = self.width()
        return self.cores * width, -(-self.memory_bytes * width // MIB), self.accelerators * width

    def scale(self) -> float:
        """By how much measured CPU and memory are multiplied (1 unless the job is a sample)."""
        return self.cores / self.sample_cores if self.sample_cores else 1.0

    def limit_s(self) -> int:
        """The time limit in force, region seconds."""
        return self.time_limit_s or max(4 * self.duration_s, 900)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as a client sends it. ``key`` makes a repeat harmless: one key, one job, a tenant."""

    key: str
    spec: JobSpec
