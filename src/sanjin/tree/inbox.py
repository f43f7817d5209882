"""What other threads put into a node's inbox; the node's own thread takes it in at its next turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from sanjin.model.job import JobSpec, Submission
from sanjin.model.performance import SitePerformance
from sanjin.model.placement import Explanation
from sanjin.model.record import JobRecord
from sanjin.ports import PublicationReport, TransferReport
from sanjin.tree.exchange import Answer, Request


@dataclass(slots=True)
class DryRun:
    """Where these jobs would go."""

    specs: Sequence[JobSpec]
    future: Future[list[Explanation]]


@dataclass(slots=True)
class Cancel:
    """Somebody asks for the end of a job."""

    job: str
    future: Future[bool]


@dataclass(slots=True)
class Submit:
    """A client submits jobs."""

    submissions: Sequence[Submission]
    future: Future[list[JobRecord]]


@dataclass(slots=True)
class Answered:
    """The parent answered a call, or (None) did not."""

    number: int
    wanted: bool
    """The call asked for all of the rest of the region, not only for what changed."""
    answer: Answer | None


@dataclass(slots=True)
class Asked:
    """A child's call."""

    request: Request
    future: Future[Answer]


@dataclass(slots=True)
class Moved:
    """Transfers that ended."""

    reports: list[TransferReport] = field(default_factory=list[TransferReport])


@dataclass(slots=True)
class Published:
    """What runs left, registered as datasets or not."""

    reports: list[PublicationReport] = field(default_factory=list[PublicationReport])


@dataclass(slots=True)
class Confirm:
    """An operator says that a silent node does not run a job."""

    job: str
    future: Future[bool]


@dataclass(slots=True)
class Said:
    """What is declared and measured of the node's own machines; ``new``: the journal does not have it yet."""

    performance: SitePerformance
    new: bool


def wanted(item: object) -> bool:
    """Whether anybody still waits for what was asked; from now on it cannot be called off.

    A client that is gone has cancelled its future, and setting the result of such a one is an error.
    """
    asks = isinstance(item, Submit | Cancel | DryRun | Confirm | Asked)
    return not asks or item.future.set_running_or_notify_cancel()


def refuse(future: Future[list[JobRecord]]) -> Callable[[list[JobRecord] | BaseException], None]:
    """What tells a client its fault, or its jobs."""

    def answer(what: list[JobRecord] | BaseException) -> None:
        if isinstance(what, BaseException):
            future.set_exception(what)
        else:
            future.set_result(what)

    return answer


def fail(future: Future[list[JobRecord]] | Future[bool] | Future[list[Explanation]], fault: BaseException) -> None:
    """The turn failed: who waits hears of it."""
    if not future.done():
        future.set_exception(fault)
