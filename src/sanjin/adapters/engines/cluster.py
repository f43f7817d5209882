"""What the engines of clusters ask of a cluster: a queue that takes tasks in batches and tells what became of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from sanjin.ports import ClusterUse


class ClusterAway(Exception):
    """The cluster did not answer; whether it did what was asked is not known."""


class ClusterRefused(Exception):
    """The cluster refused what was asked; the text says why."""


class Shape(NamedTuple):
    """What a task asks for of each of its ``machines``, of which all but gangs that fit on none have one. ``minutes`` 0
    is for no limit."""

    cores: int
    memory_mib: int
    cards: int
    minutes: int
    machines: int = 1

    def told(self) -> str:
        """As one word; :meth:`of` reads it."""
        return ",".join(map(str, self))

    @staticmethod
    def of(words: Sequence[str]) -> Shape | None:
        """The shape that was told in the one word; nothing where it is none."""
        parts = [part for word in words for part in word.split(",")]
        whole = len(Shape._fields)
        return Shape(*map(int, parts)) if len(parts) in (whole - 1, whole) and all(map(str.isdecimal, parts)) else None


class Spread(NamedTuple):
    """How a task that has several machines begins something on each of them."""

    launch: tuple[str, ...]
    """The command, to be followed by what to run once on each machine."""
    hosts: tuple[str, ...]
    """A command that prints the names of the machines, a line each, in order."""
    number: str
    """The variable that tells what was begun which machine it is on, from 0."""


class TaskState(StrEnum):
    """What a cluster says of a task. All but the first two are ends."""

    WAITS = "waits"
    LIVES = "lives"
    """It runs, or does something that is not known here."""
    OVER = "over"
    """It is over for a reason that says nothing of the run: it came to its end, or its machine was lost. A run that
    had not begun by then may be submitted again."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It failed so that another try would too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A task as the cluster has it. ``task`` is the cluster's own name of it, ``said`` its own words."""

    task: str
    state: TaskState
    said: str


class Tasks:
    """Tasks by batch and index."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int | None], Seen] = {}

    def add(self, batch: str, index: int | None, seen: Seen) -> None:
        """Note a task. Without an index it is what is said of all of a batch that have no line of their own."""
        self._seen[batch, index] = seen

    def batches(self) -> set[str]:
        """The batches that the cluster remembers."""
        return {batch for batch, _ in self._seen}

    def get(self, batch: str, index: int) -> Seen | None:
        """What the cluster says of a task; nothing where it does not know it."""
        return self._seen.get((batch, index)) or self._seen.get((batch, None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The largest machine that a cluster has; ``count``: how many of that size."""

    cores: int
    memory_mib: int
    cards: int
    count: int = 1


class Accounts(Protocol):
    """What a cluster keeps of tasks after its queue has forgotten them. Both methods raise :class:`ClusterAway` where
    there is no answer, and :class:`ClusterRefused`."""

    def kept(self) -> bool:
        """Whether it keeps anything."""
        ...

    def ended(self, batches: Sequence[str], since: float) -> Tasks:
        """The tasks of these batches that are over, as far as it is known by now; none ended before ``since``, wall
        seconds since the epoch. One call."""
        ...


class Cluster(Protocol):
    """How a cluster is spoken to. Every method raises :class:`ClusterAway` where there is no answer."""

    name: str
    """As in :class:`sanjin.model.engines.EngineKind`."""
    batch_max: int
    """Tasks of one batch, at most."""

    @property
    def accounts(self) -> Accounts | None:
        """What it keeps of tasks that it no longer tells of; nothing where it never keeps any."""
        ...

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        """Submit ``count`` tasks that each run ``script`` (``cluster_task.sh`` and its arguments, to be followed by the
        index of the task, 0 to count - 1, where ``SANJIN_TASK`` does not hold it) in ``folder``.

        ``batch`` names them to :meth:`tasks`, and is new. Raises :class:`ClusterRefused` where it took none.
        """
        ...

    def tasks(self, prefix: str) -> Tasks:
        """All tasks that the cluster remembers of batches whose names begin with ``prefix``. One call."""
        ...

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        """End these, by their own names, where they have not begun."""
        ...

    def largest(self) -> Machine:
        """The largest machine. Raises :class:`ClusterRefused` where there is none."""
        ...

    def use(self, ours: Callable[[str], bool], held: Shape) -> ClusterUse:
        """What it has, and what others have of it. ``ours`` says whether a batch is this engine's; ``held`` is what the
        runs of this engine have that have begun. One look, of one or a few calls."""
        ...

    def spread(self, shape: Shape) -> Spread | None:
        """How a task of several machines begins something on each; nothing where no task can have several."""
        ...

    def passes(self, sandbox: str) -> dict[str, str]:
        """Variables that a run confined in this way finds besides its order's: name to value, empty for the value that
        its task has, where it has one."""
        ...


def shared_script(script: Sequence[str], folder: Path) -> list[str]:
    """The words of ``script``, with its program copied to ``folder``, which the cluster's machines share."""
    source, *arguments = script
    task = folder / Path(source).name
    text = Path(source).read_bytes()
    if not task.exists() or task.read_bytes() != text:
        made = folder / f"{task.name}.{os.getpid()}"
        made.write_bytes(text)
        made.rename(task)
    return [str(task), *arguments]
