"""The log of decisions about access: one JSON object a line, in files of bounded size in the state folder.

``decisions.jsonl`` is the newest, ``decisions.jsonl.1`` the one before. No token, no command and no environment is
ever given to it.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

import msgspec

NAME = "decisions.jsonl"
FILE_BYTES = 8 << 20
FILES_BEFORE = 7
"""Files kept beside the newest: 64 MiB in all, about 300,000 decisions."""

REFUSALS_A_SECOND = 10
"""Callers without a valid token that get a line of their own: a flood of them must not push decisions out."""


class _Private(RotatingFileHandler):
    """Files that only their owner may read."""

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding="utf-8", opener=opener)


_writers: dict[Path, _Private] = {}


def _writer(folder: Path, rotates: bool) -> logging.Handler:
    """The process's one writer of a folder's log, since two would turn the files over under each other."""
    if not rotates:
        return _Private(folder / NAME, encoding="utf-8", delay=True)
    name = (folder / NAME).absolute()
    if name not in _writers:
        _writers[name] = _Private(name, maxBytes=FILE_BYTES, backupCount=FILES_BEFORE, encoding="utf-8", delay=True)
    return _writers[name]


class DecisionLog:
    """Writes to ``decisions.jsonl`` in ``folder`` (None: nowhere). From any thread.

    Without ``rotates`` the file only grows: for a few lines beside a process that turns the files over.
    """

    def __init__(self, folder: Path | None, rotates: bool = True) -> None:
        # not in the tree of loggers: what is written here goes to this file and nowhere else
        self._logger = logging.Logger("sanjin.decisions", logging.INFO)
        self._handler = _writer(folder, rotates) if folder else logging.NullHandler()
        self._logger.addHandler(self._handler)
        self._second, self._refused, self._skipped = 0, 0, 0

    def write(self, **what: object) -> None:
        """One decision: who, what, about which resource, allowed or not, by which policy."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._logger.info("%s", msgspec.json.encode({"at": at, **what}).decode())

    def refused(self, user: str, why: str) -> None:
        """Somebody came without a valid token; ``user`` is the id that the token names (it may be made up)."""
        now = int(time.monotonic())
        if now != self._second:
            skipped, self._second, self._refused, self._skipped = self._skipped, now, 0, 0
            if skipped:
                self.write(user="", action="authenticate", allow=False, why="and more of them", count=skipped)
        self._refused += 1
        if self._refused > REFUSALS_A_SECOND:
            self._skipped += 1
        else:
            self.write(user=user, action="authenticate", allow=False, why=why)

    def close(self) -> None:
        """Let go of the file."""
        self._handler.close()
