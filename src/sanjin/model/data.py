"""Files that a site keeps for its users: those of datasets, and those that runs leave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file: its name below its folder (``/`` between the parts of a path), size in bytes, and checksum in hex."""

    name: str
    bytes: int
    sha256: str


class LeftOutWhy(StrEnum):
    """Why something in a run's outputs is no output."""

    LINK = "link"
    """A symbolic link: it is not followed."""
    NO_FILE = "no_file"
    """A device, a pipe or a socket."""
    NAME = "name"
    """Its name is too long, too deep, or holds what cannot be shown."""
    UNREADABLE = "unreadable"
    MANY = "many"
    """There are too many files."""
    LATE = "late"
    """Reading all of them took too long."""
    GONE = "gone"
    """The run has no folder: it never began, or was in an engine that the site had before."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a run's outputs that is no output. ``name`` is written with escapes where it cannot be shown."""

    name: str
    why: LeftOutWhy


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Files that a run left for a later one, as a dataset: the outputs of a job for the jobs that come after it, or the
    checkpoint of stopped work. ``site`` registered it when the run ended; ``bytes`` are those of its files.

    ``name`` is what the later run finds it under in ``$SANJIN_INPUTS``; empty for a checkpoint.
    """

    dataset: str
    site: str
    bytes: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutputs:
    """What a run left. ``registered``: the run has ended, and its files were listed and summed; else nothing is told.

    ``left_out_count`` counts what was met that is no output; ``left_out`` names the first hundred. ``removed_at_s``:
    all of it was removed then, wall seconds UTC, for the site keeps it no longer; 0 where it was not.
    """

    registered: bool
    files: tuple[DataFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_count: int = 0
    removed_at_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutputs:
    """What the runs of a job left, as the site knows it that ran them.

    ``complete``: the job has ended and all of its runs' outputs are registered, so nothing more will come. Files have
    the names that the run gave them, after ``<run>/`` (from 1) where the job was ever paused, and after ``<part>/``
    where it is an array that was divided. ``removed_at_s``: when the last of what was removed was, wall seconds UTC; 0
    where all is there.
    """

    job: str
    complete: bool
    files: tuple[DataFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_count: int = 0
    removed_at_s: int = 0
