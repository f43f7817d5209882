"""Datasets in a folder: files that runs can be shown.

A site's folder is ``<root>/<node>/data/<dataset>/``: the files of the dataset and its manifest.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sanjin.adapters.files import sync_folder
from sanjin.adapters.movers.manifest import (
    MANIFEST,
    PART_BYTES,
    Unsound,
    check_dataset,
    check_file,
    check_site,
    manifest_text,
    parse_manifest,
    part_count,
    part_size,
    sum_of,
    text_of,
    valid,
)
from sanjin.model.data import DataFile
from sanjin.ports import DataStore

_PART = 1 << 20
_COMING = ".coming-"
_LEFT_S = 86400


class DataFolder:
    """The datasets in the folder of the site ``node`` below ``root``. Raises ``ValueError`` for a bad ``node``.

    A dataset appears in one step, after every file has been verified against the manifest and is safely on disk. What
    was interrupted lies in a folder that could not be taken for a dataset; it is gone on with, or cleared away a day
    later.
    """

    def __init__(self, root: Path, node: str) -> None:
        check_site(node)
        self.site = node
        self.path = root / node / "data"
        self._known: dict[str, tuple[int, int]] = {}  # dataset: its manifest's size and time of change

    def paths(self) -> dict[str, str]:
        """Datasets here, by name: their folders.

        A dataset counts when each file of its manifest is there in its size; checksums were verified
        when it arrived, and :meth:`verify` does it again. Looked at once, then only when the manifest
        changes.
        """
        found: dict[str, str] = {}
        for name in sorted(os.listdir(self.path)) if self.path.exists() else ():
            folder = self.path / name
            try:
                known = (folder / MANIFEST).stat()
                stamp = (known.st_size, known.st_mtime_ns)
                if not valid(name):
                    continue
                if self._known.get(name) != stamp:
                    _check_sizes(folder)
                    self._known[name] = stamp
            except (Unsound, OSError):
                self._known.pop(name, None)
                continue
            found[name] = str(folder)
        return found

    def names(self) -> list[str]:
        """What lies here under the name of a dataset, whole or not."""
        return [name for name in os.listdir(self.path) if valid(name)] if self.path.exists() else []

    def held(self) -> list[str]:
        """Datasets that are here by the looks of it."""
        return list(self.paths())

    def manifest(self, dataset: str) -> bytes:
        """The manifest of a dataset here. Raises Unsound, OSError."""
        check_dataset(dataset)
        return (self.path / dataset / MANIFEST).read_bytes()

    def part(self, dataset: str, file: DataFile, number: int) -> bytes:
        """A part of a file; shorter than it should be where the file is. Raises OSError."""
        with open(self.path / dataset / file.name, "rb") as read:
            return os.pread(read.fileno(), PART_BYTES, number * PART_BYTES)

    def part_sums(self, dataset: str, file: DataFile) -> list[str]:
        """Nothing is known of parts without reading them."""
        return []

    def receive(self, dataset: str, source: DataStore) -> int:
        """Bring a dataset here; what is here of it already is not read again. How many bytes were read from there.

        Raises Unsound where it is not what its manifest says (nothing of it is kept then), OSError where it cannot be
        read or written now: called again, this goes on.
        """
        check_dataset(dataset)
        with self._alone():
            manifest = source.manifest(dataset)
            coming = self.path / f"{_COMING}{dataset}-{sum_of(manifest)[:16]}"
            coming.mkdir(exist_ok=True, mode=0o700)
            try:
                copied = sum(_bring(dataset, file, source, coming) for file in parse_manifest(manifest))
                _write(coming / MANIFEST, manifest)
                self._install(coming, dataset)
            except (Unsound, FileNotFoundError):  # what is wrong there will not be right the next time
                shutil.rmtree(coming, ignore_errors=True)
                raise
            return copied

    def verify(self, dataset: str, *, look_only: bool = False) -> str:
        """Read every file of a dataset here against its manifest. What is wrong, or an empty text.

        A dataset with a fault is no longer held until it has been brought anew, unless this is to look only.
        """
        try:
            check_dataset(dataset)
            folder = self.path / dataset
            for file in parse_manifest((folder / MANIFEST).read_bytes()):
                if _checksum(folder / file.name) != (file.bytes, file.sha256):
                    raise Unsound(f"{file.name} differs from its manifest")
        except (Unsound, OSError) as error:
            if not look_only:
                self._set_aside(dataset)
            return text_of(error)
        return ""

    def put(self, dataset: str, files: Mapping[str, bytes | Path]) -> str:
        """Register a dataset here: names to contents or files to copy. Its sha256.

        Raises ``ValueError`` for a bad name, ``OSError`` when it cannot be written. A dataset of the
        same name is replaced.
        """
        for name in files:
            check_file(name)
        return sum_of(self._make(dataset, ((name, _opened(content)) for name, content in sorted(files.items()))))

    def take(self, dataset: str, folder: Path) -> int:
        """Register what a run left in a folder as a dataset here. The bytes of its files.

        Links are not followed, and they, devices and what cannot name a file of a dataset are left out, whoever wrote
        them. Raises as :meth:`put`.
        """
        return sum(file.bytes for file in parse_manifest(self._make(dataset, _files_in(folder))))

    def _make(self, dataset: str, files: Iterable[tuple[str, BinaryIO]]) -> bytes:
        """Make a dataset of files by name; each is closed once it was read. Its manifest."""
        check_dataset(dataset)
        with self._alone():
            temporary = self._temporary()
            try:
                listed: list[DataFile] = []
                for name, content in files:
                    target = temporary / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content:
                        listed.append(DataFile(name, *_copy(content, target)))
                manifest = manifest_text(dataset, listed)
                _write(temporary / MANIFEST, manifest)
                self._install(temporary, dataset)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            return manifest

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Be the only process and thread that writes here, and clear away what others left long ago."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.path.glob(f"{_COMING}*"):
                if left.stat().st_mtime < time.time() - _LEFT_S:
                    shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(lock)

    def _temporary(self) -> Path:
        # A name that starts with a dot can never be a dataset's.
        return Path(tempfile.mkdtemp(prefix=_COMING, dir=self.path))

    def _install(self, temporary: Path, dataset: str) -> None:
        for folder, _, _ in os.walk(temporary):
            sync_folder(Path(folder))
        temporary.chmod(0o755)
        self._set_aside(dataset)
        os.rename(temporary, self.path / dataset)
        sync_folder(self.path)

    def _set_aside(self, dataset: str) -> None:
        """Take a dataset of this name out of the folder, in one step."""
        self._known.pop(dataset, None)
        folder = self.path / dataset
        if valid(dataset) and folder.exists():
            away = self._temporary()
            os.rename(folder, away / dataset)
            shutil.rmtree(away, ignore_errors=True)


def _bring(dataset: str, file: DataFile, source: DataStore, coming: Path) -> int:
    """Bring a file, or what is missing of it, and verify it. How many bytes were read from the source."""
    target = coming / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    checksum, copied = hashlib.sha256(), 0
    with open(target, "a+b") as write:
        here = write.tell()
        whole = here // PART_BYTES if here != file.bytes else part_count(file)
        write.truncate(min(here, whole * PART_BYTES))
        write.seek(0)
        while part := write.read(_PART):
            checksum.update(part)
        for number in range(whole, part_count(file)):
            part = source.part(dataset, file, number)
            checksum.update(part)
            write.write(part)
            copied += len(part)
            if len(part) != part_size(file, number):
                break  # it is shorter than its manifest says
        write.flush()
        os.fsync(write.fileno())
        size = write.seek(0, os.SEEK_END)
    if (size, checksum.hexdigest()) == (file.bytes, file.sha256):
        return copied
    if not here:
        raise Unsound(f"{file.name} at {source.site} differs from its manifest")
    target.unlink()  # what was left of it may not be what was written, after a power cut
    return copied + _bring(dataset, file, source, coming)


def _check_sizes(folder: Path) -> None:
    for file in parse_manifest((folder / MANIFEST).read_bytes()):
        if (folder / file.name).stat().st_size != file.bytes:
            raise Unsound(f"{file.name} has another size than its manifest says")


def _checksum(path: Path) -> tuple[int, str]:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), checksum


def _opened(content: bytes | Path) -> BinaryIO:
    return open(content, "rb") if isinstance(content, Path) else io.BytesIO(content)


def _files_in(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """The regular files below a folder, by name, in order; opened below it part by part, so that no link leads away."""
    for at, folders, names, fd in os.fwalk(folder, follow_symlinks=False):
        folders.sort()
        for name in sorted(names):
            whole = os.path.relpath(os.path.join(at, name), folder)
            try:
                check_file(whole)
                file = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            except Unsound:
                continue
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOENT):  # a link, a pipe or socket, or gone
                    continue
                raise
            if stat.S_ISREG(os.fstat(file).st_mode):
                yield whole, os.fdopen(file, "rb")
            else:
                os.close(file)


def _copy(read: BinaryIO, target: Path) -> tuple[int, str]:
    """Copy a file safely to disk. Bytes copied and their checksum."""
    checksum, size = hashlib.sha256(), 0
    with open(target, "xb") as write:
        while part := read.read(_PART):
            checksum.update(part)
            size += len(part)
            write.write(part)
        write.flush()
        os.fsync(write.fileno())
    return size, checksum.hexdigest()


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
