"""Copies of several stores are of one instant, while threads write them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sanjin.adapters.store.sql import HEAD
from sanjin.adapters.store.sqlite import SqliteStore, revision, snapshots, tip_of
from sanjin.flow.audit import chain
from sanjin.model.errors import StoreFailed
from sanjin.ports import Batch, Entry


def entry(seq: int, before: bytes) -> Entry:
    return Entry(seq=seq, at_s=5, kind="k", job="j", body=b"{}", hash=chain(before, seq, 5, "k", "j", b"{}"))


def test_no_copy_is_ahead_of_one_that_was_always_written_before_it(tmp_path: Path) -> None:
    first, second = SqliteStore(tmp_path / "a" / "state.db"), SqliteStore(tmp_path / "b" / "state.db")
    stop = threading.Event()

    def write() -> None:
        hashes = {first: b"", second: b""}
        seq = 0
        while not stop.is_set():
            seq += 1
            for store in (first, second):  # as a message goes: written here, then there
                line = entry(seq, hashes[store])
                store.commit(Batch(journal=[line]))
                hashes[store] = line.hash

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = []
        for i in range(20):
            to = tmp_path / str(i)
            # in the order that would show it: the second is opened last
            snapshots({tmp_path / n / "state.db": to / n for n in ("a", "b")})
            one, two = tip_of(to / "a")[0], tip_of(to / "b")[0]
            assert two <= one <= two + 1
            seen.append(one)
        assert seen == sorted(seen) and seen[-1] > seen[0]  # and work went on
    finally:
        stop.set()
        writer.join()
        first.close()
        second.close()
    assert revision(tmp_path / "0" / "a") == HEAD


def test_what_is_no_store_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("this is no database, whatever its name says" * 100)
    for path in (tmp_path / "none", tmp_path / "x"):
        with pytest.raises(StoreFailed, match=path.name):
            snapshots({path: tmp_path / "to"})
        with pytest.raises(StoreFailed, match=path.name):
            revision(path)
