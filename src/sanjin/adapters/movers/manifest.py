"""What a dataset is: files, and ``MANIFEST.json``, which lists name, bytes and sha256 of each.

The checksum of a dataset is the sha256 of its manifest, so equal data has an equal checksum at every site and in every
kind of store.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from sanjin.model.data import DataFile

MANIFEST = "MANIFEST.json"
PART_BYTES = 16 << 20
"""Files move, and go on where they were cut, in parts of this size; an object store keeps them in such parts."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Unsound(ValueError):
    """What is wrong with a dataset or its copy."""


class Unreadable(Unsound):
    """What a store has and cannot give, though it answers: it may be lost, or come again, so nothing is removed."""


class ObjectStoreAway(OSError):
    """The store of ``site`` does not answer, or refuses; it may be tried again."""

    def __init__(self, site: str, why: str) -> None:
        super().__init__(why)
        self.site = site


def valid(name: str) -> bool:
    """Whether this may name a site or a dataset."""
    return _NAME.fullmatch(name) is not None


def check_site(site: str) -> None:
    """Raises Unsound for what cannot name a site."""
    if not valid(site):
        raise Unsound(f"{site!r} is not the name of a site")


def check_dataset(dataset: str) -> None:
    """Raises Unsound for what cannot name a dataset."""
    if not valid(dataset):
        raise Unsound(f"{dataset!r} is not the name of a dataset: 1 to 100 of A-Z a-z 0-9 . _ -")


def check_file(name: str) -> None:
    """Raises Unsound for what cannot name a file in a dataset."""
    path = PurePosixPath(name)
    sound = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == name
    if not sound or name == MANIFEST or "\0" in name:
        raise Unsound(f"{name!r} cannot be the name of a file in a dataset")


def manifest_text(dataset: str, files: Sequence[DataFile]) -> bytes:
    """The manifest of a dataset."""
    listed = [{"name": file.name, "bytes": file.bytes, "sha256": file.sha256} for file in files]
    return json.dumps({"dataset": dataset, "files": listed}, indent=1, ensure_ascii=False).encode()


def parse_manifest(text: bytes) -> list[DataFile]:
    """The files of a manifest. Raises Unsound."""
    try:
        read: Any = json.loads(text)
        files = [DataFile(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in read["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unsound(f"the manifest cannot be read: {error}") from None
    for file in files:
        check_file(file.name)
    return files


def sum_of(data: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def part_count(file: DataFile) -> int:
    """How many parts a file has; none where it is empty."""
    return -(-file.bytes // PART_BYTES)


def part_size(file: DataFile, number: int) -> int:
    """How many bytes a part of a file has."""
    return min(PART_BYTES, file.bytes - number * PART_BYTES)


def text_of(error: Exception) -> str:
    """An error in a line."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)
