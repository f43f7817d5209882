"""The mover of a site: datasets come to its object store, where it has one, and from there to its folder, for runs.

The folder is where a site without an object store keeps its datasets; with one it is a copy that can be lost.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sanjin.adapters.movers.folder import DataFolder
from sanjin.adapters.movers.manifest import ObjectStoreAway, Unreadable, Unsound, check_dataset, sum_of, text_of
from sanjin.ports import DataStore, Publication, PublicationReport, Transfer, TransferReport

_log = logging.getLogger("sanjin.data")

ObjectsOf = Callable[[str], DataStore | None]
"""The object store of a site; None where it has none. Raises OSError where it cannot be opened."""


def no_objects(_: str) -> None:
    """No site has an object store."""


class SiteMover:
    """Brings datasets to the site ``node``. Folders of all sites lie below ``root``.

    ``sites`` are asked in this order for what is damaged or lost where it was to come from. Raises ``ValueError`` for
    a bad ``node``.
    """

    def __init__(
        self, root: Path, node: str, objects: ObjectsOf = no_objects, sites: Sequence[str] = ()
    ) -> None:
        self._root, self._node, self._objects, self._sites = root, node, objects, tuple(sites)
        self.folder = DataFolder(root, node)

    def held(self) -> dict[str, str]:
        """Datasets whose files are here, by name: their folders."""
        return self.folder.paths()

    def stored(self) -> list[str]:
        """Datasets in the site's object store; none while it does not answer."""
        try:
            own = self._objects(self._node)
            return own.held() if own else []
        except OSError as error:
            _log.warning("%s", error)
            return []

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """Bring these datasets here. A report for each, with ``fault`` where one could not be brought whole.

        A dataset that is here already is not copied again (``copied_bytes`` is 0).
        """
        return [self._fetch(transfer) for transfer in transfers]

    def names(self) -> set[str]:
        """Datasets of which there is anything here, whole or not. Raises OSError."""
        own = self._objects(self._node)
        return {*self.folder.names(), *(own.held() if own else ())}

    def elsewhere(self, dataset: str) -> bool:
        """Whether another site has the dataset, by the looks of it."""
        for site in self._sites:
            with contextlib.suppress(OSError, Unreadable):  # its store does not answer
                if site != self._node and _has(self._source(dataset, site), dataset):
                    return True
        return False

    def verify(self, dataset: str, *, look_only: bool = False) -> dict[str, str]:
        """Read a dataset against its manifest wherever this site has it: by place, what is wrong, or an empty text.

        Places are ``folder`` and ``store``. What has a fault is not held until it is brought anew, unless this is to
        look only. Raises OSError.
        """
        check_dataset(dataset)
        found: dict[str, str] = {}
        if (self.folder.path / dataset).exists():
            found["folder"] = self.folder.verify(dataset, look_only=look_only)
        own = self._objects(self._node)
        if own and dataset in own.held():
            found["store"] = own.verify(dataset, look_only=look_only)
        return found

    def put(self, dataset: str, files: Mapping[str, bytes | Path]) -> str:
        """Register a dataset at this site: names to contents or files to copy. Its sha256.

        Raises ``ValueError`` for a bad name, ``OSError`` when it cannot be written. A dataset of the same name is
        replaced.
        """
        checksum = self.folder.put(dataset, files)
        if own := self._objects(self._node):
            own.receive(dataset, self.folder)
        return checksum

    def publish(self, publications: Sequence[Publication]) -> list[PublicationReport]:
        """Register these folders as datasets of this site. A report for each, with ``fault`` where it could not be."""
        return [self._publish(publication) for publication in publications]

    def _publish(self, wanted: Publication) -> PublicationReport:
        run, dataset = wanted.run, wanted.dataset
        try:
            size = self.folder.take(dataset, Path(wanted.folder))
            if own := self._objects(self._node):
                own.receive(dataset, self.folder)
            return PublicationReport(run=run, dataset=dataset, path=str(self.folder.path / dataset), bytes=size)
        except (Unsound, OSError) as error:
            return PublicationReport(run=run, dataset=dataset, fault=text_of(error))

    def repair(self, dataset: str) -> TransferReport:
        """Verify a dataset as above, and bring anew what is damaged, lost or cannot be read, here or elsewhere.

        Raises OSError where this site's store does not answer.
        """
        faults, own, copied = self.verify(dataset), self._objects(self._node), 0
        if own and faults.get("store") and dataset in own.held():  # it cannot be read; nothing of it was removed
            try:
                source = self.folder if dataset in self.held() else None
                copied = own.receive(dataset, source) if source else self._bring(dataset, own, self._node)
            except (Unsound, OSError) as error:
                return TransferReport(dataset=dataset, fault=text_of(error), away=_may_pass(error))
        report = self._fetch(Transfer(dataset=dataset, source=self._node, done_at_s=0))
        return replace(report, copied_bytes=report.copied_bytes + copied)

    def _fetch(self, transfer: Transfer) -> TransferReport:
        dataset = transfer.dataset
        try:
            check_dataset(dataset)
            copied = 0
            if dataset not in self.held() or self._objects(self._node) is not None:
                copied = self._fetched(dataset, transfer.source)
            checksum = sum_of(self.folder.manifest(dataset))
            return TransferReport(
                dataset=dataset, path=str(self.folder.path / dataset), sha256=checksum, copied_bytes=copied
            )
        except (Unsound, OSError) as error:
            return TransferReport(dataset=dataset, fault=text_of(error), away=_may_pass(error))

    def _fetched(self, dataset: str, source: str) -> int:
        """Bring a dataset to where it is not here; bytes read from other sites. Raises Unsound, OSError."""
        own = self._objects(self._node)
        if own is None:
            return self._bring(dataset, self.folder, source)
        unread, there = None, False
        try:
            there = _has(own, dataset)
        except Unreadable as fault:
            unread = fault
        if dataset in self.held():
            if not there:
                own.receive(dataset, self.folder)
            return 0
        copied = 0 if there else self._bring(dataset, own, source, unread)
        try:
            self.folder.receive(dataset, own)
        except Unsound as fault:
            _log.warning("%s: %s: it is repaired", dataset, fault)
            own.verify(dataset)
            copied += self._bring(dataset, own, source, fault if isinstance(fault, Unreadable) else None)
            self.folder.receive(dataset, own)
        return copied

    def _bring(self, dataset: str, target: DataStore, first: str, fault: Exception | None = None) -> int:
        """Bring a dataset from the site ``first``, or from another where it is damaged, lost or out of reach there.

        Bytes read. Where none has it whole, a ``fault`` that may pass is raised before one that will not.
        """
        for site in dict.fromkeys((first, *self._sites)):
            if site == self._node and (target is self.folder or first != site):
                continue  # it is what is to be mended
            try:
                return target.receive(dataset, self._source(dataset, site))
            except (Unsound, OSError) as error:
                here = error.site == self._node if isinstance(error, ObjectStoreAway) else _may_pass(error)
                if here and not isinstance(error, Unreadable):
                    raise  # this site cannot write
                _log.warning("%s cannot be had whole from %s: %s", dataset, site, text_of(error))
                if fault is None or (_may_pass(error) and not _may_pass(fault)):
                    fault = error
        raise fault or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{dataset} at {self._node}")

    def _source(self, dataset: str, site: str) -> DataStore:
        """Where a site has the dataset: its object store, or else its folder. Raises Unreadable, OSError."""
        folder = DataFolder(self._root, site)
        objects = self._objects(site) if site != self._node else None
        try:
            return objects if objects and _has(objects, dataset) else folder
        except Unreadable:
            if _has(folder, dataset):
                return folder
            raise


def _may_pass(error: Exception) -> bool:
    """Whether it may be right the next time: not what is not there, nor what is not what its manifest says."""
    return isinstance(error, Unreadable) or not isinstance(error, Unsound | FileNotFoundError)


def _has(store: DataStore, dataset: str) -> bool:
    """Whether the dataset is there by the looks of it. Raises Unreadable where that cannot be told, OSError."""
    try:
        store.manifest(dataset)
    except Unreadable:
        raise
    except (FileNotFoundError, Unsound):
        return False
    return True
