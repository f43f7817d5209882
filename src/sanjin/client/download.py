"""Downloads: each file resumed where it was cut, verified by its checksum, and then put in its place at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from sanjin.model.data import DataFile
from sanjin.model.errors import DataDamaged, NotReachable

Read = Callable[[str, int], Iterator[bytes]]
"""Bytes of the file of a name, from an offset."""

COMING = ".sanjin-coming"
"""The folder, beside the files, of those that are not whole yet; each is named by its checksum."""
ATTEMPTS = 5
"""How often a file is gone on with after its line was cut, without a byte having come in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file that is here and is what its checksum says. ``fetched_bytes``: how many came just now."""

    name: str
    path: str
    bytes: int
    sha256: str
    fetched_bytes: int


def download(files: tuple[DataFile, ...], folder: Path, read: Read) -> list[Downloaded]:
    """Bring these files into ``folder``. What is there already, whole, is not fetched again; what was cut goes on.

    A file of the same name with other content is replaced. Raises DataDamaged for a file that is not what its checksum
    says (the others before it stay), NotReachable where the line stays cut, and OSError.
    """
    for file in files:
        _check(file)
    found: list[Downloaded] = []
    for file in files:
        target = folder / file.name
        fetched = 0 if _sum(target) == (file.bytes, file.sha256) else _fetch(file, target, folder / COMING, read)
        found.append(
            Downloaded(name=file.name, path=str(target), bytes=file.bytes, sha256=file.sha256, fetched_bytes=fetched)
        )
    with contextlib.suppress(OSError):  # not there, or another's download is in it
        (folder / COMING).rmdir()
    return found


def _check(file: DataFile) -> None:
    """Raises DataDamaged for a name that would leave the folder, whoever it comes from."""
    path = PurePosixPath(file.name)
    sound = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == file.name
    if not sound or path.parts[0] == COMING or "\0" in file.name:
        raise DataDamaged(f"{file.name!r} cannot be the name of a file in a folder; it is not written")


def _fetch(file: DataFile, target: Path, coming: Path, read: Read) -> int:
    """Bring a file to its place. How many bytes came."""
    coming.mkdir(parents=True, exist_ok=True)
    part, fetched, idle = coming / file.sha256, 0, 0
    with part.open("ab") as write:
        fcntl.flock(write, fcntl.LOCK_EX)  # another download of it into this folder comes first
        if write.tell() > file.bytes:
            write.truncate(0)
        while (offset := write.seek(0, os.SEEK_END)) < file.bytes:
            came, cut = 0, ""
            try:
                for piece in read(file.name, offset):
                    came += write.write(piece)
                    if offset + came > file.bytes:
                        break
            except httpx.TransportError as fault:
                cut = f": {fault}"
            fetched, idle = fetched + came, 0 if came else idle + 1
            if idle == ATTEMPTS:
                raise NotReachable(f"{file.name}: the line was cut{cut}; call this again to go on")
        write.flush()
        os.fsync(write.fileno())
    if _sum(part) != (file.bytes, file.sha256):
        part.unlink()
        raise DataDamaged(f"{file.name}: what came is not what its checksum says; call this again")
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    return fetched


def _sum(path: Path) -> tuple[int, str] | None:
    """Size and SHA-256 of a file; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), checksum
