"""A Slurm cluster through its commands: ``sbatch``, ``squeue``, ``scancel`` and ``sinfo`` (22.05 and later)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sanjin.model.engines import EngineSettings

BATCH_MAX = 1000
"""Tasks of one batch: Slurm's ``MaxArraySize`` is 1001 where nobody set it."""

_BETWEEN = "\x1f"
_CARDS = re.compile(r"\bgpu(?::[^:,(]+)?:(\d+)")
_ANSWER_S = 60.0
"""Seconds that a command may take: Slurm's own tell after some ten that the controller is away."""
_AWAY = re.compile(
    r"Unable to contact slurm controller|Connection refused|Connection timed out|Socket timed out|Zero Bytes"
    r"|backup controller|configuration source"
    r"|Unable to establish|Protocol authentication error|slurm_receive_msg|Resource temporarily",
    re.IGNORECASE,
)


class SlurmAway(Exception):
    """The cluster did not answer; whether it did what was asked is not known."""


class SlurmRefused(Exception):
    """The cluster refused what was asked; the text says why."""


class Shape(NamedTuple):
    """What a task asks for of one machine. ``minutes`` 0 is for no limit."""

    cores: int
    memory_mib: int
    cards: int
    minutes: int

    def told(self) -> str:
        """As one word; :meth:`of` reads it."""
        return ",".join(map(str, self))

    @staticmethod
    def of(words: Sequence[str]) -> Shape | None:
        """The shape that was told in the one word; nothing where it is none."""
        parts = [part for word in words for part in word.split(",")]
        return Shape(*map(int, parts)) if len(parts) == len(Shape._fields) and all(map(str.isdecimal, parts)) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A task as the cluster has it: ``job`` is Slurm's name of it, ``state`` as in ``squeue``'s ``%T``."""

    job: str
    state: str
    reason: str


class Tasks:
    """Tasks by batch and index."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int | None], Seen] = {}

    def add(self, batch: str, index: int | None, seen: Seen) -> None:
        """Note a task. Without an index it is what Slurm says of all of a batch that it never split off: the rest of a
        batch that was cancelled is one line to it."""
        self._seen[batch, index] = seen

    def batches(self) -> set[str]:
        """The batches that the cluster remembers."""
        return {batch for batch, _ in self._seen}

    def get(self, batch: str, index: int) -> Seen | None:
        """What the cluster says of a task; nothing where it does not know it."""
        return self._seen.get((batch, index)) or self._seen.get((batch, None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The largest machine that the cluster has."""

    cores: int
    memory_mib: int
    cards: int


class SlurmCommands:
    """The commands of Slurm, which must be in ``PATH``. Every call is one process, however many tasks it is about."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        keep = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        self._environment = {"LANG": "C.UTF-8", **keep}
        if settings.conf:
            self._environment["SLURM_CONF"] = settings.conf

    def submit(self, name: str, count: int, shape: Shape, script: Sequence[str | Path], folder: Path) -> None:
        """Submit a batch of ``count`` tasks that run ``script`` (a file, and its arguments) in ``folder``.

        Raises :class:`SlurmAway` or :class:`SlurmRefused`.
        """
        s = self._settings
        # our few variables are passed on, and end at the supervisor: to export none costs Slurm 22.05 most of its speed
        words = ["sbatch", "--parsable", "--quiet", f"--job-name={name}", f"--array=0-{count - 1}"]
        words += ["--output=/dev/null", "--error=/dev/null", "--no-requeue", f"--chdir={folder}"]
        words += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={shape.cores}", f"--mem={shape.memory_mib}"]
        words += [f"--time={shape.minutes}"] if shape.minutes else []
        words += [f"--gres=gpu:{shape.cards}"] if shape.cards else []
        for option, value in (("partition", s.partition), ("account", s.account), ("qos", s.qos)):
            words += [f"--{option}={value}"] if value else []
        self._say([*words, *map(str, script)])

    def tasks(self, prefix: str) -> Tasks:
        """All tasks of ours that the cluster remembers: those whose batch begins with ``prefix``.

        Raises :class:`SlurmAway`.
        """
        form = _BETWEEN.join(("%j", "%K", "%i", "%T", "%r"))
        found = Tasks()
        for line in self._say(["squeue", "--me", "--noheader", "--array", "--states=all", f"--format={form}"]):
            parts = line.split(_BETWEEN)
            if len(parts) == 5 and parts[0].startswith(prefix):  # the user may have work of other names, of any form
                batch, index, job, state, reason = parts
                found.add(batch, int(index) if index.isdecimal() else None, Seen(job=job, state=state, reason=reason))
        return found

    def cancel_waiting(self, jobs: Sequence[str]) -> None:
        """End these where they have not begun. Raises :class:`SlurmAway`."""
        for first in range(0, len(jobs), BATCH_MAX):
            self._say(["scancel", "--quiet", "--state=PENDING", *jobs[first : first + BATCH_MAX]])

    def largest(self) -> Machine:
        """The largest machine, by cores. Raises :class:`SlurmAway` or :class:`SlurmRefused`."""
        words = ["sinfo", "--noheader", "--noconvert", "--Node", "--format=%P %c %m %G"]
        words += [f"--partition={self._settings.partition}"] if self._settings.partition else []
        found: list[Machine] = []
        for partition, cores, memory, cards in (line.split(None, 3) for line in self._say(words)):
            if self._settings.partition or partition.endswith("*"):  # the default one
                count = sum(int(n) for n in _CARDS.findall(cards))
                found.append(Machine(cores=int(cores.rstrip("+")), memory_mib=int(memory.rstrip("+")), cards=count))
        if not found:
            raise SlurmRefused(f"partition {self._settings.partition or '(default)'} has no machine")
        return max(found, key=lambda m: (m.cores, m.memory_mib))

    def _say(self, words: list[str]) -> list[str]:
        """The lines that a command answers."""
        try:
            done = subprocess.run(
                words, check=False, capture_output=True, encoding="utf-8", errors="replace", timeout=_ANSWER_S,
                env=self._environment, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise SlurmAway(f"{words[0]} did not answer within {_ANSWER_S:.0f} s") from None
        except OSError as error:
            raise SlurmAway(f"{words[0]}: {error.strerror}") from error
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise (SlurmAway if _AWAY.search(said) else SlurmRefused)(f"{words[0]}: {said}")
        return [line for line in done.stdout.split("\n") if line]
