"""Datasets between sites that are folders of one machine.

A site's store is ``<root>/<node>/data/<dataset>/``: the files of the dataset and ``MANIFEST.json``,
which lists name, bytes and sha256 of each. The checksum of a dataset is the sha256 of its manifest,
so equal data has an equal checksum at every site.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sanjin.adapters.files import sync_folder
from sanjin.ports import Transfer, TransferReport

MANIFEST = "MANIFEST.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PART = 1 << 20
_COMING = ".coming-"
_LEFT_S = 86400


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a dataset: its name below the dataset's folder, size in bytes, and checksum."""

    name: str
    bytes: int
    sha256: str


class _Fault(ValueError):
    """What is wrong with a dataset or its copy."""


class FolderMover:
    """Brings datasets from other sites' folders to the site ``node`` below ``root``.

    A dataset appears at a site in one step, after every file has been verified against the manifest
    and is safely on disk; what was interrupted leaves nothing that could be taken for a dataset, and is
    cleared away a day later. Raises ``ValueError`` for a bad ``node``.
    """

    def __init__(self, root: Path, node: str) -> None:
        self._root = root
        self._data = _store(root, node)
        self._data.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, tuple[int, int]] = {}  # dataset: its manifest's size and time of change
        for left in self._data.glob(f"{_COMING}*"):
            if left.stat().st_mtime < time.time() - _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)

    def held(self) -> dict[str, str]:
        """Datasets here, by name: their folders.

        A dataset counts when each file of its manifest is there in its size; checksums were verified
        when it arrived, and :meth:`verify` does it again. Looked at once, then only when the manifest
        changes.
        """
        found: dict[str, str] = {}
        for name in sorted(os.listdir(self._data)):
            folder = self._data / name
            try:
                stat = (folder / MANIFEST).stat()
                stamp = (stat.st_size, stat.st_mtime_ns)
                if _NAME.fullmatch(name) is None:
                    continue
                if self._known.get(name) != stamp:
                    _check_sizes(folder)
                    self._known[name] = stamp
            except (_Fault, OSError):
                self._known.pop(name, None)
                continue
            found[name] = str(folder)
        return found

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """Copy these datasets here. A report for each, with ``fault`` where the copy is not sound.

        A dataset that is here already is not copied again (``copied_bytes`` is 0).
        """
        return [self._fetch(transfer) for transfer in transfers]

    def verify(self, dataset: str) -> str:
        """Read every file of a dataset here against its manifest. What is wrong, or an empty text.

        A dataset with a fault is no longer held until it has been fetched anew.
        """
        try:
            _check_name(dataset)
            folder = self._data / dataset
            for file in _read_manifest(folder):
                if _checksum(folder / file.name) != (file.bytes, file.sha256):
                    raise _Fault(f"{file.name} differs from its manifest")
        except (_Fault, OSError) as error:
            self._set_aside(dataset)
            return _text(error)
        return ""

    def put(self, dataset: str, files: Mapping[str, bytes | Path]) -> str:
        """Register a dataset at this site: names to contents or files to copy. Its sha256.

        Raises ``ValueError`` for a bad name, ``OSError`` when it cannot be written. A dataset of the
        same name is replaced.
        """
        _check_name(dataset)
        for name in files:
            _check_file_name(name)
        temporary = self._temporary()
        try:
            listed: list[DataFile] = []
            for name, content in sorted(files.items()):
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, Path):
                    size, checksum = _copy(content, target)
                else:
                    size, checksum = len(content), hashlib.sha256(content).hexdigest()
                    _write(target, content)
                listed.append(DataFile(name, size, checksum))
            manifest = _manifest_text(dataset, listed)
            _write(temporary / MANIFEST, manifest)
            self._install(temporary, dataset)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return hashlib.sha256(manifest).hexdigest()

    def _fetch(self, transfer: Transfer) -> TransferReport:
        dataset, temporary = transfer.dataset, None
        try:
            _check_name(dataset)
            if dataset in self.held():
                return self._arrived(dataset, 0)
            source = _store(self._root, transfer.source) / dataset
            manifest = (source / MANIFEST).read_bytes()
            temporary = self._temporary()
            copied = 0
            for file in _parse_manifest(manifest):
                target = temporary / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                size, checksum = _copy(source / file.name, target)
                if (size, checksum) != (file.bytes, file.sha256):
                    raise _Fault(f"{file.name} at {transfer.source} differs from its manifest")
                copied += size
            _write(temporary / MANIFEST, manifest)
            self._install(temporary, dataset)
            return self._arrived(dataset, copied)
        except (_Fault, OSError) as error:
            return TransferReport(dataset=dataset, fault=_text(error))
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)

    def _arrived(self, dataset: str, copied: int) -> TransferReport:
        folder = self._data / dataset
        checksum = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        return TransferReport(dataset=dataset, path=str(folder), sha256=checksum, copied_bytes=copied)

    def _temporary(self) -> Path:
        # A name that starts with a dot can never be a dataset's.
        return Path(tempfile.mkdtemp(prefix=_COMING, dir=self._data))

    def _install(self, temporary: Path, dataset: str) -> None:
        for folder, _, _ in os.walk(temporary):
            sync_folder(Path(folder))
        temporary.chmod(0o755)
        self._set_aside(dataset)
        os.rename(temporary, self._data / dataset)
        sync_folder(self._data)

    def _set_aside(self, dataset: str) -> None:
        """Take a dataset of this name out of the store, in one step."""
        self._known.pop(dataset, None)
        folder = self._data / dataset
        if _NAME.fullmatch(dataset) and folder.exists():
            away = self._temporary()
            os.rename(folder, away / dataset)
            shutil.rmtree(away, ignore_errors=True)


def _store(root: Path, node: str) -> Path:
    if _NAME.fullmatch(node) is None:
        raise _Fault(f"{node!r} is not the name of a site")
    return root / node / "data"


def _check_name(dataset: str) -> None:
    if _NAME.fullmatch(dataset) is None:
        raise _Fault(f"{dataset!r} is not the name of a dataset: 1 to 100 of A-Z a-z 0-9 . _ -")


def _check_file_name(name: str) -> None:
    path = PurePosixPath(name)
    sound = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == name
    if not sound or name == MANIFEST or "\0" in name:
        raise _Fault(f"{name!r} cannot be the name of a file in a dataset")


def _manifest_text(dataset: str, files: Sequence[DataFile]) -> bytes:
    listed = [{"name": file.name, "bytes": file.bytes, "sha256": file.sha256} for file in files]
    return json.dumps({"dataset": dataset, "files": listed}, indent=1, ensure_ascii=False).encode()


def _parse_manifest(text: bytes) -> list[DataFile]:
    try:
        read: Any = json.loads(text)
        files = [DataFile(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in read["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise _Fault(f"the manifest cannot be read: {error}") from None
    for file in files:
        _check_file_name(file.name)
    return files


def _read_manifest(folder: Path) -> list[DataFile]:
    return _parse_manifest((folder / MANIFEST).read_bytes())


def _check_sizes(folder: Path) -> None:
    for file in _read_manifest(folder):
        if (folder / file.name).stat().st_size != file.bytes:
            raise _Fault(f"{file.name} has another size than its manifest says")


def _checksum(path: Path) -> tuple[int, str]:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), checksum


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file safely to disk. Bytes copied and their checksum."""
    checksum, size = hashlib.sha256(), 0
    with open(source, "rb") as read, open(target, "xb") as write:
        while part := read.read(_PART):
            checksum.update(part)
            size += len(part)
            write.write(part)
        write.flush()
        os.fsync(write.fileno())
    return size, checksum.hexdigest()


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)
