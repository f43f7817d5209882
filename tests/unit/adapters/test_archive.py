"""A backup's file: whole or refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from sanjin.adapters import archive
from sanjin.adapters.archive import FORMAT, MANIFEST, Manifest
from sanjin.model.errors import AuditBroken, NotAllowed, NotFound, SanjinError


def made(folder: Path) -> Path:
    """A backup of two files."""
    (folder / "in" / "n").mkdir(parents=True)
    files = {"region.yaml": folder / "in" / "region.yaml", "n/log.key": folder / "in" / "n" / "log.key"}
    for name, path in files.items():
        path.write_text(name * 1000)
    files["n/log.key"].chmod(0o600)
    manifest = Manifest(
        format=FORMAT, version="1", made_at="now", region="r", secrets=True, nodes={},
        files={n: archive.copy_of(p) for n, p in files.items()},
    )  # fmt: skip
    archive.write(folder / "b.tar.gz", manifest, files)
    return folder / "b.tar.gz"


def test_what_was_written_is_read_with_its_permissions_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = made(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    found = archive.read(file, tmp_path / "out")
    assert found.secrets and sorted(found.files) == ["n/log.key", "region.yaml"]
    assert (tmp_path / "out" / "n" / "log.key").read_text() == "n/log.key" * 1000
    assert (tmp_path / "out" / "n" / "log.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotAllowed):  # never over another
        archive.write(file, found, {})
    with pytest.raises(NotFound):
        archive.read(tmp_path / "none.tar.gz", tmp_path / "out2")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("cut", [0, 20, 200])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    file = made(tmp_path)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(AuditBroken):
        archive.read(file, tmp_path / "out")


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path)
    plain = gzip.decompress(file.read_bytes())
    at = plain.index(b"region.yamlregion.yaml")
    file.write_bytes(gzip.compress(plain[:at] + b"R" + plain[at + 1 :]))
    with pytest.raises(AuditBroken, match="manifest says"):
        archive.read(file, tmp_path / "out")


def test_nothing_is_written_outside_or_that_the_manifest_does_not_name(tmp_path: Path) -> None:
    for name, listed in (("../evil", True), ("/evil", True), ("evil", False)):
        body = b"x"
        files = {name: archive.FileCopy(bytes=1, sha256="0" * 64, mode=0o600)} if listed else {}
        manifest = Manifest(
            format=FORMAT, version="1", made_at="now", region="r", secrets=False, nodes={}, files=files
        )  # fmt: skip
        with tarfile.open(tmp_path / "e.tar.gz", "w:gz") as tar:
            for each, text in ((MANIFEST, archive.msgspec.json.encode(manifest)), (name, body)):
                info = tarfile.TarInfo(each)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
        with pytest.raises(AuditBroken):
            archive.read(tmp_path / "e.tar.gz", tmp_path / "out" / "deep")
    assert not (tmp_path / "out" / "evil").exists() and not Path("/evil").exists()


def test_another_format_is_said_to_be_one(tmp_path: Path) -> None:
    body = b'{"format": 99}'
    with tarfile.open(tmp_path / "f.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    with pytest.raises(SanjinError, match="another version"):
        archive.read(tmp_path / "f.tar.gz", tmp_path / "out")
