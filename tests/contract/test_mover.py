"""What every mover must do; run against each adapter that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanjin.adapters.movers.folder import FolderMover
from sanjin.ports import Transfer, TransferReport


@pytest.fixture
def sites(tmp_path: Path) -> tuple[FolderMover, FolderMover]:
    return FolderMover(tmp_path, "datong"), FolderMover(tmp_path, "taiyuan")


def take(mover: FolderMover, *datasets: str, source: str = "datong") -> list[TransferReport]:
    return mover.fetch([Transfer(dataset=name, source=source, done_at_s=0) for name in datasets])


def test_a_dataset_arrives_whole_and_once(sites: tuple[FolderMover, FolderMover], tmp_path: Path) -> None:
    there, here = sites
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    checksum = there.put("coal", {"a.csv": b"1,2\n", "part/b.bin": tmp_path / "big", "零.txt": b""})
    assert here.held() == {}
    (report,) = take(here, "coal")
    assert (report.fault, report.sha256, report.copied_bytes) == ("", checksum, 3_000_004)
    assert (Path(report.path) / "part/b.bin").stat().st_size == 3_000_000
    assert here.held() == {"coal": report.path}
    (again,) = take(here, "coal")
    assert (again.path, again.sha256, again.copied_bytes) == (report.path, checksum, 0)
    assert here.verify("coal") == ""
    assert [path.name for path in (tmp_path / "taiyuan/data").iterdir()] == ["coal"]
    assert FolderMover(tmp_path, "taiyuan").held() == {"coal": report.path}


def test_a_corrupted_or_missing_source_leaves_nothing(
    sites: tuple[FolderMover, FolderMover], tmp_path: Path
) -> None:
    there, here = sites
    there.put("bad", {"a": b"one", "b": b"two"})
    there.put("short", {"a": b"one"})
    there.put("good", {"a": b"one"})
    (tmp_path / "datong/data/bad/b").write_bytes(b"tw0")
    (tmp_path / "datong/data/short/a").unlink()
    bad, short, gone, name, good = take(here, "bad", "short", "gone", "../bad", "good")
    assert bad.fault == "b at datong differs from its manifest"
    assert "No such file" in short.fault
    assert "No such file" in gone.fault
    assert "not the name of a dataset" in name.fault
    assert good.fault == ""
    assert [path.name for path in (tmp_path / "taiyuan/data").iterdir()] == ["good"]
    (unknown,) = take(here, "bad", source="../datong")
    assert "not the name of a site" in unknown.fault


def test_a_hostile_manifest_writes_nothing_outside(
    sites: tuple[FolderMover, FolderMover], tmp_path: Path
) -> None:
    there, here = sites
    there.put("evil", {"a": b"one"})
    manifest = tmp_path / "datong/data/evil/MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"a"', '"../../../a"'))
    (report,) = take(here, "evil")
    assert "cannot be the name" in report.fault
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="cannot be the name"):
        here.put("x", {"../y": b""})


def test_damage_is_found_and_healed(sites: tuple[FolderMover, FolderMover], tmp_path: Path) -> None:
    there, here = sites
    there.put("coal", {"a": b"one"})
    take(here, "coal")
    (tmp_path / "taiyuan/data/coal/a").write_bytes(b"0ne")
    assert here.held() != {}  # the size is right
    assert here.verify("coal") == "a differs from its manifest"
    assert here.held() == {}
    (report,) = take(here, "coal")
    assert report.copied_bytes == 3
    (tmp_path / "taiyuan/data/coal/a").write_bytes(b"longer")
    assert FolderMover(tmp_path, "taiyuan").held() == {}
    there.put("coal", {"a": b"new one"})
    (report,) = take(FolderMover(tmp_path, "taiyuan"), "coal")
    assert (Path(report.path) / "a").read_bytes() == b"new one"
