"""Files in a folder, put in place whole; and secrets, which their owner alone may read."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from sanjin.model.errors import NotAllowed, StoreFailed

SEED_BYTES = 32


class FolderFiles:
    """Files below ``path``, which is made when something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = threading.RLock()
        self._depth = 0

    def read(self, name: str) -> bytes | None:
        """What a file holds, or None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).is_file()

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Put a file in place, whole or not at all. Raises StoreFailed."""
        target = self.path / name
        # of its own for every writer, so that two that write the same never meet
        made = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with made.open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            made.replace(target)
            if durable:
                sync_folder(target.parent)
        except OSError as fault:
            with suppress(OSError):
                made.unlink(missing_ok=True)
            raise StoreFailed(f"{target}: cannot write: {fault}. Free space or repair, then retry") from fault

    def remove_folder(self, name: str) -> None:
        """Remove a folder of files; unknown names are ignored."""
        shutil.rmtree(self.path / name, ignore_errors=True)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold these files for one thread of one process; may be entered again by the same thread."""
        with self._mine:
            if self._depth:
                yield
                return
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1


def write_secret(path: Path, body: bytes) -> None:
    """Put a file in place that its owner alone may read, whole or not at all, and durably."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make what was put into a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def secret(path: Path, make: Callable[[bytes], str]) -> str:
    """The secret in a file; made at first use by ``make`` from 32 bytes of chance, readable by its owner alone.

    Raises NotAllowed where others could read it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(make(secrets.token_bytes(SEED_BYTES)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)  # fails where another was first; then its secret counts
        except FileExistsError:
            pass
        made.unlink()
        sync_folder(path.parent)
    if path.stat().st_mode & 0o077:
        raise NotAllowed(f"{path}: others can read this secret; run: chmod 600 {path}")
    return path.read_text(encoding="utf-8").strip()


def private_text(path: str, encoding: str) -> str | None:
    """The text of a file that its owner alone may read; None where others may. Raises OSError, UnicodeDecodeError."""
    with open(path, encoding=encoding) as file:
        return None if os.fstat(file.fileno()).st_mode & 0o077 else file.read()
