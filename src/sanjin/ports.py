"""What the loop needs from outside. Adapters implement these; nothing else touches the world."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sanjin.model.data import DataFile, RunOutputs
from sanjin.model.listing import JobQuery
from sanjin.model.record import JobRecord


class Clock(Protocol):
    """Region time. ``rate`` region seconds pass in one wall second (1 in normal running)."""

    rate: float

    def now(self) -> int:
        """Region time, integer seconds UTC."""
        ...

    def wall(self) -> float:
        """Wall seconds since an arbitrary instant, never going back: for intervals."""
        ...

    def region_at(self, wall_s: float) -> int:
        """Region time at the wall instant ``wall_s`` (seconds since the epoch)."""
        ...


class RunState(StrEnum):
    """What an engine knows of a run."""

    RUNNING = "running"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    """It was started, and its supervisor is gone without a result (power cut, kill -9)."""
    ABSENT = "absent"
    """It was never started here."""


class EndReason(StrEnum):
    """Why a run ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    """It had more on disk than a run may leave there."""
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """It was asked to stop so that a later run can go on from its checkpoint."""
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """A run to start. ``key`` is ours: starting one key twice starts one run.

    ``time_limit_s`` is in wall seconds, 0 for none. ``memory_bytes`` bounds the whole run, all its
    processes together, 0 for no bound. ``inputs`` maps a name to a file or folder on this site,
    shown to the job read-only as ``$SANJIN_INPUTS/<name>``.

    A run is one command, or a gang (``nodes`` above 1), or a part of an array (``members`` above 0),
    not both. All processes of a run share its work folder, its outputs and its two output streams.
    """

    key: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    cores: int = 1
    accelerators: int = 0
    """Cards of each copy or member; on a machine without any it is left to the command to find that out."""
    memory_bytes: int = 0
    time_limit_s: float = 0.0
    nodes: int = 1
    """How many copies of the command run at once as one gang. Above 1 each copy sees ``SANJIN_NODES``
    (this count), ``SANJIN_RANK`` (0 to nodes - 1) and ``SANJIN_GANG`` (a folder that all copies may
    read and write). The gang ends when all have ended; once one fails the others are asked to end, and
    that first failure is the run's result."""
    first_member: int = 0
    """The index of the first member of this part of an array."""
    members: int = 0
    """How many members of an array this run is, 0 where it is none. The command is started once for
    each index from ``first_member``, and sees it as ``SANJIN_INDEX``. A member that fails does not end
    the others. ``time_limit_s`` is then for each member."""
    parallel: int = 1
    """How many members run at once, at most; an engine may run fewer."""
    checkpoint: str = ""
    """Name of a folder that outlives the run, seen as ``SANJIN_CHECKPOINT``; a later run with the same
    name finds in it what an earlier one left. Empty for none. One run at a time should use a name."""
    checkpoint_from: str = ""
    """A folder at this site whose files are put in place of what the checkpoint holds before the run begins."""
    stop_grace_s: float = 10.0
    """Wall seconds between the request to stop (TERM) and KILL; see :meth:`Engine.stop`."""
    image: str = ""
    """The container image whose root file system the run sees (:mod:`sanjin.model.image`); empty: the site's own. Its
    folders and variables are the same. One that the site does not allow, or cannot have, is NOT_STARTED. The detail of
    the report names the image that ran, with its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used, measured on this machine. Times in wall seconds."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_peak_bytes: int = 0
    busy_s: float = 0.0
    """Wall seconds of all copies of the command together: nodes of a gang, members of an array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What an engine says of one run. Wall times are seconds since the epoch, 0 where unknown.

    ``outputs`` and ``checkpoint`` are the folders at this site where what it left lies; empty where there are none.
    """

    key: str
    state: RunState
    reason: EndReason | None = None
    exit_status: int = 0
    signal: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    usage: Usage = Usage()
    sandbox: str = ""
    """How it was confined: ``bwrap``, ``landlock``, ``apptainer`` or ``none``."""
    detail: str = ""
    outputs: str = ""
    checkpoint: str = ""
    members_done: int = 0
    """Of a part of an array that ended: members that ended with status 0. Members that a limit, a
    cancel or a stop of the whole run cut short, or never let start, are in neither count."""
    members_failed: int = 0
    """Of a part of an array that ended: members that failed by themselves or at their time limit. Where
    there are any, a part that ran to its end has exit status 1, and ``detail`` names the first few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What ``sanjin doctor`` shows of an engine."""

    name: str
    sandbox: str
    """``bwrap``, ``landlock`` or ``none``."""
    remarks: tuple[str, ...] = ()
    fault: str = ""
    """Why it can start nothing now: its cluster does not answer. Empty while it can."""


class TakenBy(StrEnum):
    """Why a part of a cluster is not for new work."""

    OTHERS = "others"
    """Work of others runs there."""
    QUEUE = "queue"
    """Work of others waits, and comes first."""
    DOWN = "down"
    """Machines that take no work."""
    RESERVED = "reserved"
    """Machines that the cluster keeps for something else, for maintenance say."""
    OURS = "ours"
    """Runs of this engine: what they have is in the node's own books."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A part of the machines of a cluster, or all of them."""

    cores: float = 0
    memory_bytes: float = 0
    accelerators: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What somebody has of a cluster, or will. ``count`` is of jobs, or machines."""

    by: TakenBy
    amount: Amount
    carded: bool = False
    """Whether it is of the machines that have accelerators, of which a cluster may have both kinds."""
    since: float = 0.0
    """Wall seconds since the epoch; 0 for what waits and begins as soon as there is room."""
    lasts_s: float = 0.0
    """Wall seconds that it lasts at most; 0 where the cluster does not know."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterUse:
    """What a cluster has, and what of it is not for new work of ours, as it said at ``at``, wall seconds since the
    epoch. ``plain`` are its machines without accelerators, ``carded`` those with."""

    at: float
    plain: Amount
    carded: Amount
    taken: tuple[Taken, ...]


class Engine(Protocol):
    """Runs work at one site. Every call is in bulk; none blocks for the length of a run."""

    def info(self) -> EngineInfo:
        """How runs are confined and what this machine lacks."""
        ...

    def others(self) -> ClusterUse | None:
        """What others have of this site's cluster, as it last said: never waits for it. None where nobody else uses it,
        or nothing is known yet."""
        ...

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Start the runs (at most once a key). Returns a report for each that could not start."""
        ...

    def watch(self) -> list[RunReport]:
        """Runs that ended and have not been forgotten. One call for the whole site."""
        ...

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys; used after a restart to adopt or to declare interrupted."""
        ...

    def cancel(self, keys: Sequence[str]) -> None:
        """Ask for the end of these runs; they then show up in :meth:`watch`. Wins over a stop."""
        ...

    def stop(self, keys: Sequence[str]) -> None:
        """Ask these runs to stop so that they can go on later, within their ``stop_grace_s``.

        They show up in :meth:`watch` as STOPPED whatever their exit status, save those that had ended
        by themselves before the request was seen.
        """
        ...

    def discard(self, checkpoints: Sequence[str]) -> None:
        """Remove these checkpoint folders, which no active run should use. Unknown names are ignored."""
        ...

    def forget(self, keys: Sequence[str]) -> None:
        """The end of these runs is recorded; do not report it again (logs and outputs stay)."""
        ...

    def logs(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        """Bytes of ``stdout`` or ``stderr`` from ``offset``, while running and after. Raises NotFound where they were
        removed."""
        ...

    def outputs(self, key: str) -> RunOutputs:
        """What a run left. Not ``registered`` until it has ended and its files were listed and summed; ask again.

        Links, devices and names that cannot be shown are left out, never followed; and so is all of a run that has no
        folder.
        """
        ...

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """Bytes of a file that a run left from ``offset``; fewer than ``limit`` at its end, none where it is gone."""
        ...

    def close(self) -> None:
        """Let go of resources; runs go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A dataset to bring to this site from another. ``done_at_s`` is when the link model lets it be here, or when it is
    tried again."""

    dataset: str
    source: str
    done_at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """A transfer that ended: ``path`` at this site and what was copied, or ``fault``. ``away``: a store or folder
    could not be reached now, so it is to be tried again."""

    dataset: str
    path: str = ""
    sha256: str = ""
    copied_bytes: int = 0
    fault: str = ""
    away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A folder that a run left at this site, to be registered as a dataset; see
    :class:`sanjin.model.data.Artifact`."""

    run: str
    dataset: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationReport:
    """A folder that was registered: its ``path`` as a dataset here and the bytes of its files; or ``fault``."""

    run: str
    dataset: str
    path: str = ""
    bytes: int = 0
    fault: str = ""


class DataStore(Protocol):
    """Where a site keeps datasets: a folder of files, or an object store. See :mod:`sanjin.adapters.movers.manifest`.

    What is wrong with a dataset is raised as ValueError; OSError where it cannot be read or written now.
    """

    site: str

    def held(self) -> list[str]:
        """Datasets that are here by the looks of it."""
        ...

    def manifest(self, dataset: str) -> bytes:
        """The manifest of a dataset here."""
        ...

    def part(self, dataset: str, file: DataFile, number: int) -> bytes:
        """A part of a file."""
        ...

    def part_sums(self, dataset: str, file: DataFile) -> list[str]:
        """The checksums of a file's parts; none where they are not known without reading."""
        ...

    def receive(self, dataset: str, source: DataStore) -> int:
        """Bring a dataset here, verified, in one step; goes on where it was cut. Bytes read from there."""
        ...

    def verify(self, dataset: str, *, look_only: bool = False) -> str:
        """Read all of a dataset against its manifest. What is wrong, or an empty text.

        With a fault it is no longer held until it has been brought anew, unless this is to look only.
        """
        ...


class Mover(Protocol):
    """Brings datasets to a site, verified by checksum, as files that runs can be shown."""

    def held(self) -> dict[str, str]:
        """Datasets whose files are here, verified: id to path."""
        ...

    def stored(self) -> list[str]:
        """Datasets that are in the site's own object store, whether their files are here or not."""
        ...

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """Bring these datasets here; idempotent. A report for each. The source may be this site: its own store."""
        ...

    def publish(self, publications: Sequence[Publication]) -> list[PublicationReport]:
        """Register these folders as datasets of this site; idempotent. A report for each.

        Links, devices and what cannot name a file of a dataset are left out.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal. ``hash`` chains over everything before; see :mod:`sanjin.flow.audit`."""

    seq: int
    at_s: int
    kind: str
    job: str
    body: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message to a peer that waits for its acknowledgement. ``seq`` counts up a peer."""

    peer: str
    seq: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMark:
    """How far the two numbered streams with a peer have come."""

    peer: str
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a tenant's envelope that a parent reserved for a child, as either of them knows it.

    At the parent ``peer`` is the child, at the child the parent. New work may be admitted with it before
    ``until_s``. ``ask_s``: when the child may ask for more.
    """

    tenant: str
    peer: str
    cores: int = 0
    fen: int = 0
    until_s: int = 0
    ask_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """A posting as stored: ``entry`` is the journal line that it came from."""

    entry: int
    job: str
    tenant: str
    at_s: int
    account: str
    fen: int


@dataclass(slots=True)
class Batch:
    """Everything one turn of the loop writes, in one transaction."""

    jobs: dict[str, JobRecord] = field(default_factory=dict[str, JobRecord])
    journal: list[Entry] = field(default_factory=list[Entry])
    outbox: list[Mail] = field(default_factory=list[Mail])
    acked: dict[str, int] = field(default_factory=dict[str, int])
    """Mail to this peer up to this number need not be sent again."""
    marks: dict[str, PeerMark] = field(default_factory=dict[str, PeerMark])
    ledger: list[LedgerLine] = field(default_factory=list[LedgerLine])
    shares: dict[tuple[str, str], Share] = field(default_factory=dict[tuple[str, str], Share])
    """By tenant and peer."""

    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (
            self.jobs or self.journal or self.outbox or self.acked or self.marks or self.ledger or self.shares
        )


@dataclass(slots=True)
class Stored:
    """What a node finds in its store when it starts."""

    live: list[JobRecord]
    outbox: list[Mail]
    marks: dict[str, PeerMark]
    tip_seq: int
    tip_hash: bytes
    next_number: int
    spent_fen: dict[str, int]
    """By tenant, of jobs owned here that ended."""
    shares: list[Share] = field(default_factory=list[Share])


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the jobs of one tenant that were submitted at a node and have ended."""

    jobs: int
    fen: int
    facility_mwh: int
    carbon_mg: int


class Store(Protocol):
    """The durable state of one node. The loop alone writes; anybody may read at any time."""

    def load(self) -> Stored:
        """Everything that a starting node needs."""
        ...

    def commit(self, batch: Batch) -> None:
        """Write all of ``batch`` or nothing, durably. Raises StoreFailed; then nothing was written."""
        ...

    def active(self) -> bool:
        """Whether this process writes the state, as far as is known here; only a commit is sure of it."""
        ...

    def find_keys(self, tenant: str, keys: Sequence[str]) -> dict[str, JobRecord]:
        """Jobs that were submitted here under these client keys."""
        ...

    def job(self, job: str) -> JobRecord | None:
        """One job, live or ended."""
        ...

    def find(self, jobs: Sequence[str]) -> dict[str, JobRecord]:
        """Those of these jobs that are known here, live or ended."""
        ...

    def jobs(self, query: JobQuery) -> list[JobRecord]:
        """Jobs that match."""
        ...

    def keys(self, query: JobQuery) -> tuple[list[int] | list[str], list[str]]:
        """What each job that matches is sorted by (:func:`sanjin.model.listing.key_of`), and its id, in the order in
        which they came. Bodies are not read: :meth:`find` has those of a page."""
        ...

    def count(self, query: JobQuery) -> int:
        """How many jobs match in all."""
        ...

    def counts(self) -> dict[str, int]:
        """Number of jobs owned here, by state."""
        ...

    def totals(self) -> dict[str, Totals]:
        """What the jobs owned here came to, by tenant."""
        ...

    def accounts(self) -> dict[tuple[str, str], int]:
        """Balance of each (tenant, account) of the ledger here, fen: debits positive."""
        ...

    def journal(self, after: int = 0, limit: int = 1000, job: str = "", tenant: str = "") -> list[Entry]:
        """Journal lines with a number above ``after``, in order, of one job or one tenant's jobs where given."""
        ...

    def tip(self) -> tuple[int, bytes]:
        """Number and hash of the last journal line, as recorded beside the journal."""
        ...

    def ledger(self, tenant: str = "") -> list[LedgerLine]:
        """Postings, in order."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Files(Protocol):
    """Small files by name; a name may hold slashes. What a node keeps beside its store, and what it publishes."""

    def read(self, name: str) -> bytes | None:
        """What a file holds, or None where there is none."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Put a file in place, whole or not at all; ``durable``: it is on disk when this returns.

        Raises StoreFailed where it cannot be written.
        """
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder of files; unknown names are ignored."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Hold these files for one thread of one process."""
        ...
