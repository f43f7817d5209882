"""A backup: one ``.tar.gz`` with a manifest, which its owner alone may read.

The manifest is the first file in it. It names every other file with size and SHA-256, and of each node the tip of its
journal, so that a copy can be checked by itself.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from sanjin.adapters.files import sync_folder
from sanjin.model.errors import AuditBroken, NotAllowed, NotFound, SanjinError, StoreFailed

MANIFEST = "MANIFEST.json"
FORMAT = 1
MANIFEST_MAX = 64 << 20
_PART = 1 << 20
_LEVEL = 3  # of gzip: journals shrink to a fifth either way, and higher levels take thrice the time


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCopy:
    """A file in a backup: bytes, SHA-256 (hexadecimal), and permissions."""

    bytes: int
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCopy:
    """A node in a backup: number and hash (hexadecimal) of its last journal entry, and the revision of its schema.

    ``database`` is where its state is instead, where that is not in the backup (then there is no tip)."""

    seq: int = 0
    hash: str = ""
    revision: str = ""
    database: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds. ``made_at`` is UTC; ``secrets`` says whether tokens and private keys are in it."""

    format: int
    version: str
    made_at: str
    region: str
    secrets: bool
    nodes: dict[str, NodeCopy]
    files: dict[str, FileCopy]


def copy_of(path: Path) -> FileCopy:
    """What a manifest says of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            digest.update(part)
        found = os.fstat(file.fileno())
    return FileCopy(bytes=found.st_size, sha256=digest.hexdigest(), mode=found.st_mode & 0o777)


def write(to: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write a backup of ``files`` (names in it to where they lie), whole or not at all.

    Raises NotAllowed where ``to`` is there already, StoreFailed where it cannot be written.
    """
    if to.exists():
        raise NotAllowed(f"{to}: there is such a file; give another name")
    made = to.with_name(f".{to.name}.{secrets.token_hex(4)}.new")
    try:
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with gzip.GzipFile("", "wb", _LEVEL, out) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
                _add(tar, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
                for name in manifest.files:
                    tar.add(files[name], name, recursive=False, filter=_nobody)
            out.flush()
            os.fsync(out.fileno())
        os.link(made, to)  # and not over what another made meanwhile
        sync_folder(to.parent)
    except OSError as fault:
        raise StoreFailed(f"{to}: cannot write: {fault.strerror}. Free space or repair, then retry") from fault
    finally:
        made.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(body), 0o600
    tar.addfile(info, io.BytesIO(body))


def _nobody(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def read(path: Path, into: Path) -> Manifest:
    """Unpack a backup into the folder ``into`` and check every file. Raises NotFound, AuditBroken.

    Nothing but plain files that the manifest names is ever written, all of them below ``into``.
    """
    try:
        with _opened(path) as tar:
            members = iter(tar)
            manifest = _manifest(path, tar, members)
            left = dict(manifest.files)
            for member in members:
                expected = left.pop(member.name, None)
                if expected is None or not member.isreg():
                    raise AuditBroken(f"{path}: {member.name} is not in the manifest, or there twice")
                _unpack(path, tar, member, into / member.name, expected)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as fault:
        if isinstance(fault, OSError) and not isinstance(fault, gzip.BadGzipFile):
            raise StoreFailed(f"{path}: cannot unpack: {fault.strerror or fault}") from fault
        raise AuditBroken(f"{path}: not a whole backup: {fault}") from fault
    if left:
        raise AuditBroken(f"{path}: {next(iter(left))} is missing")
    return manifest


@contextmanager
def _opened(path: Path) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r|gz") as tar:
            yield tar
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: there is no such file") from fault


def _manifest(path: Path, tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo]) -> Manifest:
    first = next(members, None)
    file = tar.extractfile(first) if first and first.name == MANIFEST and first.size <= MANIFEST_MAX else None
    if file is None:
        raise AuditBroken(f"{path}: not a backup: it does not begin with {MANIFEST}")
    body = file.read()
    try:
        if msgspec.json.decode(body, type=dict[str, object]).get("format") != FORMAT:
            raise SanjinError(f"{path}: written by another version, in a format that this one does not know")
        found = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as fault:
        raise AuditBroken(f"{path}: {MANIFEST}: {fault}") from fault
    for name in found.files:
        if not name or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise AuditBroken(f"{path}: {name!r} is no name of a file in a state folder")
    return found


def _unpack(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, to: Path, expected: FileCopy) -> None:
    source = tar.extractfile(member)
    assert source is not None
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, expected.mode & 0o700), "wb") as file:
        shutil.copyfileobj(source, file, _PART)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(to, expected.mode & 0o755)
    found = copy_of(to)
    if (found.bytes, found.sha256) != (expected.bytes, expected.sha256):
        raise AuditBroken(f"{path}: {member.name} is not what the manifest says: changed or cut")


def put_in_place(made: Path, folder: Path) -> None:
    """Let a folder that is ready take the place of one that is empty or not there. Raises StoreFailed."""
    try:
        os.replace(made, folder)
        sync_folder(folder.parent)
    except OSError as fault:
        raise StoreFailed(f"{folder}: cannot be put in place: {fault.strerror}") from fault


def is_empty(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
