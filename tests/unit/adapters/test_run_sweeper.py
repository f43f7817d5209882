"""Which finished runs go first, and which stay whatever the settings say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.adapters.engines.run_sweeper import RunSweeper, size_of
from sanjin.model.engines import Keep

DAY_S, NOW_S = 86400, 1_800_000_000.0


def run(files: RunFolder, key: str, age_days: float, size: int = 0, end: str = "result.json") -> Path:
    """A run that ended so long before now."""
    folder = files.runs / key
    (folder / "outputs").mkdir(parents=True)
    (folder / "stdout").write_bytes(bytes(size))
    (folder / end).write_text("{}")
    os.utime(folder / end, (NOW_S - age_days * DAY_S,) * 2)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "engine")


def swept(files: RunFolder, stored: bool = False, **keep: int) -> list[str]:
    return RunSweeper(files, Keep(**keep), stored).sweep(NOW_S)


def test_what_is_older_than_its_days_goes(files: RunFolder) -> None:
    for key, age in (("new", 1), ("nearly", 29.9), ("old", 30.1), ("lost", 90)):
        run(files, key, age, end="forgotten" if key == "lost" else "result.json")
    (files.runs / "lives").mkdir()
    assert swept(files, keep_days=0) == []
    assert swept(files) == ["lost", "old"]
    assert sorted(os.listdir(files.runs)) == ["lives", "nearly", "new"]
    assert files.forgotten("lost") or files.result("lost") is not None  # nobody begins it again


def test_beyond_its_bytes_the_oldest_go_first(files: RunFolder) -> None:
    for n in range(5):
        run(files, f"r{n}", 5 - n, size=1 << 20)
    assert swept(files, keep_days=0, keep_bytes=(3 << 20) + (1 << 16)) == ["r0", "r1"]
    assert swept(files, keep_days=2, keep_bytes=1) == ["r2", "r3", "r4"]


def test_what_is_not_registered_not_in_the_store_or_in_use_stays(files: RunFolder) -> None:
    made = {key: run(files, key, 99) for key in ("sums", "store", "kept", "paused")}
    (made["sums"] / "outputs" / "x").write_text("x")
    (made["kept"] / "kept").touch()
    (made["paused"] / "kept").touch()
    (made["paused"] / "order.json").write_text('{"checkpoint": "job-1"}')
    (files.checkpoints / "job-1").mkdir()
    assert swept(files, stored=True) == ["kept"]
    assert swept(files) == ["store"]
    files._listing.join()  # it was begun to be listed, since nobody had
    assert swept(files) == ["sums"]
    files.discard(["job-1"])
    assert swept(files) == ["paused"]


def test_a_removal_that_was_cut_is_finished_by_the_next(files: RunFolder) -> None:
    run(files, "old", 99)
    os.rename(run(files, "half", 99), files.discarded / "1-half")
    assert swept(files) == ["old"]
    assert not os.listdir(files.discarded)


def test_size_counts_no_more_than_it_may(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / str(n)).write_bytes(bytes(5000))
    assert size_of(tmp_path) == (4, 4 * 8192)
    assert size_of(tmp_path, 3) == (3, 3 * 8192)
