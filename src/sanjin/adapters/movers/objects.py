"""Datasets in an object store: a folder, or a bucket that speaks S3, both behind ``obstore``.

A dataset is ``data/<dataset>/index.json``, which holds the manifest and the sha256 of each part of each file, and the
parts, ``data/<dataset>/parts/<sha256>``. A part is named by what it holds, so one that is there is not sent again, and
a transfer that was cut goes on; the index comes last, in one step. What a run left is ``outputs/<run>/<name>``, each
file one object, and last ``outputs/<run>.json``, which lists them with their checksums.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from sanjin.adapters.movers.manifest import (
    PART_BYTES,
    ObjectStoreAway,
    Unreadable,
    Unsound,
    check_dataset,
    parse_manifest,
    part_count,
    part_size,
    sum_of,
    text_of,
    valid,
)
from sanjin.model.data import DataFile, RunOutputs
from sanjin.ports import DataStore

Objects = LocalStore | S3Store
SENT_AT_ONCE = 4
"""Parts on their way to a store at one time."""
OUTPUT_PART_BYTES = 8 << 20

_SUM = re.compile(r"[0-9a-f]{64}")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_EFFORT = re.compile(r" in [\d.]+\w+, after \d+ retries, max_retries: \d+, retry_timeout: \w+ ")


class DataObjects:
    """The datasets of ``site`` in an object store. ``quick`` is the same store for who does not wait for it long: it is
    asked what is held."""

    def __init__(self, site: str, objects: Objects, quick: Objects | None = None) -> None:
        self.site = site
        self._objects, self._quick = objects, quick or objects
        self._index: tuple[str, bytes, dict[str, list[str]]] = ("", b"", {})  # the last dataset that was looked up

    def held(self) -> list[str]:
        """Datasets whose index is here. Raises OSError."""
        with _told(self.site):
            found: Sequence[str] = obstore.list_with_delimiter(self._quick, "data/")["common_prefixes"]  # pyright: ignore
        names = [prefix.rstrip("/").rpartition("/")[2] for prefix in found]
        return [name for name in names if valid(name) and self._has(f"data/{name}/index.json")]

    def manifest(self, dataset: str) -> bytes:
        """The manifest of a dataset here. Raises Unsound, OSError."""
        check_dataset(dataset)
        self._index = ("", b"", {})
        text = self._read(f"data/{dataset}/index.json", f"the index of {dataset}")
        try:
            read: Any = json.loads(text)
            manifest, size = str(read["manifest"]).encode(), int(read["part_bytes"])
            parts = {str(name): [_sum(each) for each in sums] for name, sums in read["parts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unsound(f"the index of {dataset} at {self.site} cannot be read: {error}") from None
        if size != PART_BYTES or any(len(parts.get(f.name, ())) != part_count(f) for f in parse_manifest(manifest)):
            raise Unsound(f"the index of {dataset} at {self.site} does not fit its manifest")
        self._index = (dataset, manifest, parts)
        return manifest

    def part_sums(self, dataset: str, file: DataFile) -> list[str]:
        """The checksums of a file's parts."""
        if self._index[0] != dataset:
            self.manifest(dataset)
        return self._index[2].get(file.name, [])

    def part(self, dataset: str, file: DataFile, number: int) -> bytes:
        """A part of a file. Raises Unsound where it is damaged or lost, Unreadable where it may be lost, OSError."""
        checksum = self.part_sums(dataset, file)[number]
        try:
            data = self._read(f"data/{dataset}/parts/{checksum}", file.name)
        except FileNotFoundError:
            data = b""
        if sum_of(data) != checksum:
            raise Unsound(f"{file.name} at {self.site} differs from its manifest")
        return data

    def receive(self, dataset: str, source: DataStore) -> int:
        """Bring a dataset here; parts that are here already are not read again. How many bytes were read from there.

        Raises Unsound where it is not what its manifest says, OSError where it cannot be read or written now: called
        again, this goes on.
        """
        check_dataset(dataset)
        manifest = source.manifest(dataset)
        keep = self._current(dataset)
        try:
            with ThreadPoolExecutor(SENT_AT_ONCE, "parts") as pool:
                sums, copied = self._bring(dataset, parse_manifest(manifest), source, pool)
        except (Unsound, FileNotFoundError):
            self._drop_parts(dataset, keep)
            raise
        index = {"manifest": manifest.decode(), "part_bytes": PART_BYTES, "parts": sums}
        self._put(f"data/{dataset}/index.json", json.dumps(index, ensure_ascii=False).encode())
        self._drop_parts(dataset, {each for listed in sums.values() for each in listed})
        return copied

    def _bring(
        self, dataset: str, files: list[DataFile], source: DataStore, pool: ThreadPoolExecutor
    ) -> tuple[dict[str, list[str]], int]:
        """Bring and verify files; the checksums of their parts, and how many bytes were read from the source."""
        here, sums, copied = self._listed(dataset), dict[str, list[str]](), 0
        sending, done = deque[Future[None]](), set[str]()
        for file in files:
            checksum, known = hashlib.sha256(), source.part_sums(dataset, file)
            listed = sums[file.name] = list[str]()
            for number in range(part_count(file)):
                data = self._part_here(dataset, known[number], here) if known and known[number] in here else None
                if data is None:
                    data, each = source.part(dataset, file, number), ""
                    copied += len(data)
                else:
                    each = known[number]
                    done.add(each)
                if len(data) != part_size(file, number):
                    break  # it is shorter than its manifest says
                checksum.update(data)
                listed.append(each or sum_of(data))
                if listed[-1] in done:
                    continue
                done.add(listed[-1])
                if listed[-1] not in here or self._part_here(dataset, listed[-1], here) is None:
                    sending.append(pool.submit(self._put, f"data/{dataset}/parts/{listed[-1]}", data))
                if len(sending) == SENT_AT_ONCE:
                    sending.popleft().result()
            if checksum.hexdigest() != file.sha256 or len(listed) != part_count(file):
                raise Unsound(f"{file.name} at {source.site} differs from its manifest")
        for each in sending:
            each.result()
        return sums, copied

    def verify(self, dataset: str, *, look_only: bool = False) -> str:
        """Read every part of a dataset here. What is wrong, or an empty text.

        A dataset with a fault is no longer held until it has been brought anew, unless this is to look only; what is
        sound of it is not sent again. Of one that cannot be read nothing is removed. Raises OSError where the store
        does not answer.
        """
        try:
            fault = ""
            for file in parse_manifest(self.manifest(dataset)):
                checksum = hashlib.sha256()
                for number, each in enumerate(self.part_sums(dataset, file)):
                    try:
                        checksum.update(self.part(dataset, file, number))
                    except Unreadable:
                        raise
                    except Unsound:
                        if not look_only:
                            self._delete(f"data/{dataset}/parts/{each}")
                if checksum.hexdigest() != file.sha256:
                    fault = fault or f"{file.name} differs from its manifest"
        except Unreadable as error:
            return text_of(error)
        except (Unsound, FileNotFoundError) as error:
            fault = text_of(error)
        if fault and valid(dataset) and not look_only:
            self._delete(f"data/{dataset}/index.json")
        return fault

    def put_outputs(self, run: str, outputs: RunOutputs, read: Callable[[str], BinaryIO]) -> list[str]:
        """Put what a run left here, and list it. Names of files that are no more what the run left: they are not put.

        Raises OSError where the store does not answer.
        """
        differ: list[str] = []
        for file in outputs.files:
            try:
                self._put_output(f"outputs/{run}/{file.name}", file, read)
            except (ValueError, FileNotFoundError):  # also a name that the library does not take
                differ.append(file.name)
        kept = [file for file in outputs.files if file.name not in differ]
        listed = [{"name": f.name, "bytes": f.bytes, "sha256": f.sha256} for f in kept]
        self._put(f"outputs/{run}.json", json.dumps({"run": run, "files": listed}, ensure_ascii=False).encode())
        return differ

    def _put_output(self, key: str, file: DataFile, read: Callable[[str], BinaryIO]) -> None:
        checksum = hashlib.sha256()

        def parts(opened: BinaryIO) -> Iterator[bytes]:
            while part := opened.read(OUTPUT_PART_BYTES):
                checksum.update(part)
                yield part

        with read(file.name) as opened, _told(self.site, key):
            if file.bytes <= OUTPUT_PART_BYTES:
                obstore.put(self._objects, key, b"".join(parts(opened)), use_multipart=False)
            else:
                obstore.put(self._objects, key, parts(opened), chunk_size=OUTPUT_PART_BYTES, max_concurrency=2)
        if checksum.hexdigest() != file.sha256:
            self._delete(key)
            raise Unsound(file.name)

    # -- objects

    def _current(self, dataset: str) -> set[str]:
        """The parts of the dataset of this name that is here now."""
        try:
            self.manifest(dataset)
        except Unreadable:
            return self._listed(dataset)  # all of it, for one cannot know
        except (Unsound, FileNotFoundError):
            return set()
        return {each for listed in self._index[2].values() for each in listed}

    def _part_here(self, dataset: str, checksum: str, here: set[str]) -> bytes | None:
        """A part that is here; None where it is damaged. Where one cannot be read, none counts as ``here`` any more:
        each would be asked for long, and most likely in vain."""
        try:
            data = self._read(f"data/{dataset}/parts/{checksum}", checksum)
        except Unreadable:
            here.clear()
            return None
        return data if sum_of(data) == checksum else None

    def _listed(self, dataset: str) -> set[str]:
        with _told(self.site):
            found: Sequence[Any] = obstore.list(self._objects, f"data/{dataset}/parts/").collect()  # pyright: ignore
        return {each["path"].rpartition("/")[2] for each in found}

    def _drop_parts(self, dataset: str, keep: set[str]) -> None:
        """Remove the parts that belong to nothing. What cannot be removed now is the next time."""
        with contextlib.suppress(OSError):
            for each in self._listed(dataset) - keep:
                self._delete(f"data/{dataset}/parts/{each}")

    def _has(self, key: str) -> bool:
        try:
            with _told(self.site, key):
                obstore.head(self._quick, key)
        except FileNotFoundError:
            return False
        return True

    def _read(self, key: str, what: str) -> bytes:
        """An object. Raises Unreadable where the store says that it has it and does not give it."""
        try:
            with _told(self.site, key):
                return bytes(obstore.get(self._objects, key).bytes())
        except ObjectStoreAway as fault:
            try:
                there = self._has(key)
            except OSError:
                raise fault from None
            if there:
                raise Unreadable(f"{what} at {self.site} cannot be read: {fault}") from None
            raise

    def _put(self, key: str, data: bytes) -> None:
        with _told(self.site, key):
            obstore.put(self._objects, key, data, use_multipart=False)

    def _delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), _told(self.site, key):
            obstore.delete(self._objects, key)


@contextmanager
def _told(site: str, key: str = "") -> Generator[None]:
    """Say in a line what went wrong: the library's own texts are long, and have every header of the request."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{key} in the store of {site}") from None
    except BaseError as error:
        code = _code(error)
        refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in _REFUSED
        said = f"the store of {site} {'refuses these keys' if refused else 'fails'}: {code}"
        raise ObjectStoreAway(site, said) from None


def _code(error: BaseError) -> str:
    """The code of S3, or the first line, without how long it was tried: the same each time."""
    text = str(error)
    found = _CODE.search(text)
    return found[1] if found else _EFFORT.sub("", text.partition("\n")[0])[:300]


def _sum(text: object) -> str:
    if not isinstance(text, str) or not _SUM.fullmatch(text):
        raise ValueError(f"{text!r} is no checksum")
    return text
