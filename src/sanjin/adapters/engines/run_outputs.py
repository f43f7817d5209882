"""What a run leaves in its folder ``outputs``: listed once, with the size and checksum of each file.

The supervisor calls :func:`register` when it has told the end of its run; where it could not (a power cut, a limit of
the cluster), the engine does once somebody asks. The list is ``outputs.json`` in the run's folder and does not change
any more, so what happens to a file later is seen.

A run may be hostile, confined or not: links are not followed, nothing but regular files is opened, every name is looked
up below the run's folder part by part, and time and number are bounded. The supervisor loads this file by itself, so it
imports the standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from itertools import islice

FOLDER = "outputs"
INDEX = "outputs.json"
FILES_MAX = 100_000
"""Files of one run that are listed at most."""
NAME_BYTES_MAX = 800
DEPTH_MAX = 32
"""Parts of a name at most."""
TOLD_MAX = 100
"""How many things that are left out are named."""
REGISTER_S = 3600.0
"""Seconds that reading all files may take; what was not read by then is left out."""

_LOCK = "outputs.lock"
_PART = 1 << 20
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def register(run: str) -> bool:
    """List what the ended run in the folder ``run`` left, unless that was done. False where another is at it.

    Raises OSError where the list cannot be written.
    """
    lock = os.open(os.path.join(run, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        index = os.path.join(run, INDEX)
        if not os.path.lexists(index):
            with open(index + ".new", "w", encoding="utf-8") as file:
                json.dump(_Listing(os.path.join(run, FOLDER)).found(), file, ensure_ascii=False)
            os.rename(index + ".new", index)
        return True
    finally:
        os.close(lock)


def leaves_any(run: str) -> bool:
    """Whether there is anything in the outputs of a run."""
    try:
        with os.scandir(os.path.join(run, FOLDER)) as listed:
            return next(listed, None) is not None
    except OSError:
        return False


def open_output(run: str, name: str) -> int:
    """A descriptor of the regular file ``name`` below the outputs of a run. Raises OSError: there is none."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise FileNotFoundError(name)
    at = os.open(os.path.join(run, FOLDER), _OPEN | os.O_DIRECTORY)
    for part in parts[:-1]:
        at = _step(at, part, os.O_DIRECTORY)
    at = _step(at, parts[-1])
    if not stat.S_ISREG(os.fstat(at).st_mode):
        os.close(at)
        raise FileNotFoundError(name)
    return at


def _step(folder: int, part: str, more: int = 0) -> int:
    """Open ``part`` in a folder, which is closed."""
    try:
        return os.open(part, _OPEN | more, dir_fd=folder)
    finally:
        os.close(folder)


class _Late(Exception):
    """Reading took too long."""


class _Listing:
    """One pass over the outputs of a run."""

    def __init__(self, outputs: str) -> None:
        self.files: list[tuple[str, int, str]] = []
        self.left_out: list[tuple[str, str]] = []
        self.left_out_count = 0
        self._until = time.monotonic() + REGISTER_S
        self._buffer = memoryview(bytearray(_PART))
        try:
            self._folder(os.open(outputs, _OPEN | os.O_DIRECTORY), "", 1)
        except OSError:
            self._leave_out("", "unreadable")

    def found(self) -> dict[str, object]:
        return {"files": self.files, "left_out": self.left_out, "left_out_count": self.left_out_count}

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < TOLD_MAX:
            self.left_out.append((name if name.isprintable() else ascii(name)[1:-1], why))

    def _folder(self, folder: int, before: str, depth: int) -> None:
        """List an open folder, whose files are named after ``before``; closes it."""
        try:
            with os.scandir(folder) as listed:
                entries = list(islice(listed, FILES_MAX + 1))
            if len(entries) > FILES_MAX:  # the rest is not even looked at
                entries.pop()
                self._leave_out(before or "./", "many")
            for entry in sorted(entries, key=lambda entry: entry.name):
                self._entry(entry, folder, before + entry.name, depth)
        finally:
            os.close(folder)

    def _entry(self, entry: os.DirEntry[str], folder: int, name: str, depth: int) -> None:
        late, is_folder = time.monotonic() > self._until, entry.is_dir(follow_symlinks=False)
        if late or len(self.files) >= FILES_MAX:
            self._leave_out(name[:NAME_BYTES_MAX], "late" if late else "many")
        elif not name.isprintable() or len(name.encode()) > NAME_BYTES_MAX or (is_folder and depth == DEPTH_MAX):
            self._leave_out(name[:NAME_BYTES_MAX], "name")
        elif not is_folder and not entry.is_file(follow_symlinks=False):
            self._leave_out(name, "link" if entry.is_symlink() else "no_file")
        else:
            try:
                fd = os.open(entry.name, _OPEN | (os.O_DIRECTORY if is_folder else 0), dir_fd=folder)
                if is_folder:
                    self._folder(fd, f"{name}/", depth + 1)
                else:
                    self._file(fd, name)
            except _Late:
                self._leave_out(name, "late")
            except OSError:
                self._leave_out(name, "unreadable")

    def _file(self, fd: int, name: str) -> None:
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                self._leave_out(name, "no_file")
                return
            checksum, size = hashlib.sha256(), 0
            while read := os.readv(fd, [self._buffer]):
                checksum.update(self._buffer[:read])
                size += read
                if time.monotonic() > self._until:
                    raise _Late
            self.files.append((name, size, checksum.hexdigest()))
        finally:
            os.close(fd)
