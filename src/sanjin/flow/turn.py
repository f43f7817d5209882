"""What comes into a turn of the loop, and what is to be done after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import Submission
from sanjin.model.record import JobRecord
from sanjin.ports import (
    Entry,
    Mail,
    Publication,
    PublicationReport,
    RunOrder,
    RunReport,
    Transfer,
    TransferReport,
)


class Word(Protocol):
    """A message, as far as the loop looks at it. ``brings``: it hands its job over to the node that hears it."""

    brings: ClassVar[bool]

    @property
    def job(self) -> str: ...


class Router(Protocol):
    """Messages between nodes, as the loop needs them; implemented by :mod:`sanjin.tree.mail`."""

    def follows(self, view: View, event: ev.Event, record: JobRecord | None) -> list[tuple[str, str, bytes]]:
        """(peer, kind, body) of the messages that follow from an event."""
        ...

    def report(self, view: View, record: JobRecord) -> tuple[str, str, bytes] | None:
        """The message that tells the node a job came from how it stands, where that changed."""
        ...

    def read(self, mail: Mail) -> Word:
        """The message in a mail."""
        ...

    def receive(self, view: View, peer: str, word: Any, known: JobRecord | None, now_s: int) -> list[ev.Event]:
        """What a message from a peer means here; ``known`` is its job as last known, also where it is over."""
        ...


@dataclass(slots=True)
class Ask:
    """Submissions of one client call; ``answer`` gets their records, or the fault."""

    submissions: Sequence[Submission]
    answer: Callable[[list[JobRecord] | BaseException], None]


@dataclass(slots=True)
class Work:
    """What came in since the last turn."""

    asks: list[Ask] = field(default_factory=list[Ask])
    cancels: list[str] = field(default_factory=list[str])
    confirmed: list[str] = field(default_factory=list[str])
    """Jobs of which an operator says that the silent node does not run them."""
    mail: list[Mail] = field(default_factory=list[Mail])
    acked: dict[str, int] = field(default_factory=dict[str, int])
    runs: list[RunReport] = field(default_factory=list[RunReport])
    transfers: list[TransferReport] = field(default_factory=list[TransferReport])
    published: list[PublicationReport] = field(default_factory=list[PublicationReport])


@dataclass(slots=True)
class Done:
    """What is to be done after the commit."""

    starts: list[RunOrder] = field(default_factory=list[RunOrder])
    cancels: list[str] = field(default_factory=list[str])
    stops: list[str] = field(default_factory=list[str])
    forget: list[str] = field(default_factory=list[str])
    discard: list[str] = field(default_factory=list[str])
    fetch: list[Transfer] = field(default_factory=list[Transfer])
    publish: list[Publication] = field(default_factory=list[Publication])
    answers: list[tuple[Ask, list[JobRecord]]] = field(default_factory=list[tuple[Ask, list[JobRecord]]])
    events: list[tuple[Entry, ev.Event]] = field(default_factory=list[tuple[Entry, ev.Event]])
    worked: bool = False
