"""The record of a job at one node: what that node knows of it now."""

from __future__ import annotations

from sanjin.model.data import Artifact
from sanjin.model.job import JobSpec, JobState
from sanjin.model.placement import Placement
from sanjin.model.reason import Reason
from sanjin.model.struct import Struct


class Progress(Struct, frozen=True, kw_only=True):
    """What work that was stopped has behind it, for the node that it goes on at. Fields as in :class:`JobRecord`."""

    done_s: int
    checkpoint: Artifact | None
    ran_at: tuple[str, ...]
    fen: int
    facility_mwh: int
    carbon_mg: int


class JobRecord(Struct, frozen=True, kw_only=True):
    """A job as this node sees it.

    ``came_from`` is the peer that sent it (empty: submitted here, this node owns it), ``sent_to``
    the peer that has it now (empty: it is here). ``epoch`` is the lease's number and only grows.
    ``reserved_fen`` is set aside of the tenant's budget while the job lives. ``placement`` is where
    it runs or is to run; ``start_s`` and ``end_s`` are what happened. ``barred`` names children
    that declined it; ``bound`` says that the parent decided it stays in this subtree.

    ``fen``, ``facility_mwh`` and ``carbon_mg`` come from settling.
    """

    id: str
    key: str
    spec: JobSpec
    state: JobState
    reason: Reason | None = None
    submitted_s: int = 0
    updated_s: int = 0
    came_from: str = ""
    sent_to: str = ""
    sent_mail: int = 0
    """The number of the mail that sent it there: what that peer wrote before it had read this is of an earlier time."""
    epoch: int = 0
    reserved_fen: int = 0
    placement: Placement | None = None
    site: str = ""
    pool: str = ""
    run: str = ""
    runs: int = 0
    part_of: str = ""
    """The array of which this is a part (empty: it is no part)."""
    parts: int = 0
    """Parts into which it was divided so far."""
    members_done: int = 0
    members_failed: int = 0
    members_over: int = 0
    """Members of parts that have ended, done or not."""
    window: int = 0
    """Which of its placement's windows it runs in, or is to run in next."""
    done_s: int = 0
    """Work that is done and kept, seconds at speed 1, of a job that was stopped and can go on."""
    checkpoint: Artifact | None = None
    """What it left there when it stopped last, where that may move."""
    ran_at: tuple[str, ...] = ()
    """Sites where it ran and was stopped, in order, each once for as long as it stayed."""
    waits_for: tuple[tuple[str, str], ...] = ()
    """Jobs that it comes after and that have not ended: id, and the name of what they leave for it."""
    artifacts: tuple[Artifact, ...] = ()
    """What the jobs that it comes after left for it."""
    left: tuple[Artifact, ...] = ()
    """What it left for jobs that come after it."""
    billed_fen: int = 0
    """Of ``fen``, what runs at the node that owns the job came to."""
    stop_asked: bool = False
    room_for: str = ""
    """The job for which this one was asked to stop."""
    start_s: int = 0
    end_s: int = 0
    barred: tuple[str, ...] = ()
    given_up: tuple[tuple[str, int], ...] = ()
    """Peers whose copy was given up while they were silent, with the number of the mail that tells them so: what
    they wrote of the job before they had read it is about that copy."""
    bound: bool = False
    cancel_asked: bool = False
    total_micro: int = 0
    transport_micro: int = 0
    fen: int = 0
    facility_mwh: int = 0
    carbon_mg: int = 0
    exit_status: int = 0
    detail: str = ""

    def given_up_at(self, peer: str) -> int:
        """The number of the last mail that told ``peer`` to give its copy up; 0 where none did."""
        return max((number for each, number in self.given_up if each == peer), default=0)

    def progress(self) -> Progress | None:
        """What it has behind it, where it was ever stopped."""
        if not self.ran_at:
            return None
        return Progress(
            done_s=self.done_s, checkpoint=self.checkpoint, ran_at=self.ran_at, fen=self.fen,
            facility_mwh=self.facility_mwh, carbon_mg=self.carbon_mg,
        )  # fmt: skip

    def moving(self) -> tuple[Artifact, ...]:
        """What later runs need of earlier ones: artifacts, and the checkpoint where that may move."""
        return (*self.artifacts, self.checkpoint) if self.checkpoint else self.artifacts

    def datasets(self) -> tuple[str, ...]:
        """All that must be at a site before it can start there, each once."""
        return tuple(dict.fromkeys((*self.spec.inputs, *(a.dataset for a in self.moving()))))

    @property
    def owned(self) -> bool:
        """Whether a client submitted it at this node."""
        return not self.came_from and not self.part_of

    def next_start_s(self) -> int:
        """When its present window begins; 0 where it has none."""
        return self.placement.windows()[self.window][0] if self.placement else 0
