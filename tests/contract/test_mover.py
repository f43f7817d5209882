"""What every mover must do: sites with folders alone, with object stores in folders, with real S3, one of each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from sanjin.adapters.movers import folder as folder_store
from sanjin.adapters.movers import manifest as manifests
from sanjin.adapters.movers import objects as object_store
from sanjin.adapters.movers.manifest import MANIFEST
from sanjin.adapters.movers.objects import DataObjects, Objects
from sanjin.adapters.movers.site import SiteMover
from sanjin.model.data import DataFile
from sanjin.ports import DataStore, Publication, Transfer, TransferReport
from tests.s3_server import S3Server

PART = 1 << 16
SITES = ("datong", "taiyuan", "luliang")


@dataclass
class Sites:
    """Three sites, each with a store of the kind that is tried; ``mixed``: one of each."""

    root: Path
    buckets: dict[str, Objects]

    def objects(self, site: str) -> DataObjects | None:
        return DataObjects(site, self.buckets[site]) if site in self.buckets else None

    def mover(self, site: str, sites: tuple[str, ...] = ()) -> SiteMover:
        return SiteMover(self.root, site, self.objects, sites)

    def folder(self, site: str) -> Path:
        return self.root / site / "data"

    def lose_folder(self, site: str, dataset: str) -> None:
        (self.folder(site) / dataset / MANIFEST).unlink()

    def damage(self, site: str, dataset: str, file: str, content: bytes) -> None:
        """Make of a file something else, in the store that is the site's own, as a disk may."""
        (self.folder(site) / dataset / file).write_bytes(content)
        if site in self.buckets:
            key = self.part_key(site, dataset, file)
            obstore.put(self.buckets[site], key, content)

    def part_key(self, site: str, dataset: str, file: str, number: int = 0) -> str:
        index = json.loads(bytes(obstore.get(self.buckets[site], f"data/{dataset}/index.json").bytes()))
        return f"data/{dataset}/parts/{index['parts'][file][number]}"

    def own(self, site: str) -> DataStore:
        return self.objects(site) or self.mover(site).folder

    def keys(self, site: str) -> list[str]:
        """What lies in the own store of a site."""
        if site in self.buckets:
            return [each["path"] for each in obstore.list(self.buckets[site]).collect()]
        return [str(path.relative_to(self.folder(site))) for path in self.folder(site).rglob("*")]


@pytest.fixture(params=["folder", "objects", "s3", "mixed"])
def sites(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sites:
    for module in (folder_store, manifests, object_store):
        monkeypatch.setattr(module, "PART_BYTES", PART)

    def bucket(kind: str, site: str) -> Objects:
        if kind == "s3":
            server: S3Server = request.getfixturevalue("s3")
            return server.store(server.prefix())
        return LocalStore(tmp_path / "objects" / site, mkdir=True)

    kinds = {"mixed": ("folder", "s3", "objects")}.get(request.param, (request.param,) * 3)
    return Sites(tmp_path, {s: bucket(k, s) for s, k in zip(SITES, kinds, strict=True) if k != "folder"})


def take(mover: SiteMover, *datasets: str, source: str = "datong") -> list[TransferReport]:
    return mover.fetch([Transfer(dataset=name, source=source, done_at_s=0) for name in datasets])


def test_a_dataset_arrives_whole_and_once(sites: Sites, tmp_path: Path) -> None:
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    (tmp_path / "big").write_bytes(bytes(range(256)) * 12_000 + b"x" * PART)
    checksum = there.put("coal", {"a.csv": b"1,2\n", "part/b.bin": tmp_path / "big", "零.txt": b"", "p": b"y" * PART})
    assert here.held() == {}
    (report,) = take(here, "coal")
    size = 4 + 256 * 12_000 + 2 * PART
    assert (report.fault, report.sha256, report.copied_bytes) == ("", checksum, size)
    assert (Path(report.path) / "part/b.bin").read_bytes() == (tmp_path / "big").read_bytes()
    assert here.held() == {"coal": report.path}
    (again,) = take(here, "coal")
    assert (again.path, again.sha256, again.copied_bytes) == (report.path, checksum, 0)
    assert set(here.verify("coal").values()) == {""}
    assert [path.name for path in (tmp_path / "taiyuan/data").iterdir()] == ["coal"]
    assert sites.mover("taiyuan").held() == {"coal": report.path}
    assert sites.own("taiyuan").held() == ["coal"]
    (third,) = take(sites.mover("luliang"), "coal", source="taiyuan")
    assert (third.sha256, third.copied_bytes) == (checksum, size)


def test_what_a_run_left_becomes_a_dataset_without_what_leads_away(sites: Sites, tmp_path: Path) -> None:
    left, secret = tmp_path / "left", tmp_path / "secret"
    (left / "deep").mkdir(parents=True)
    secret.write_text("not yours")
    (left / "model").write_bytes(b"x" * PART + b"y")
    (left / "deep" / "零").write_bytes(b"")
    (left / "MANIFEST.json").write_text("mine")
    (left / "link").symlink_to(secret)
    (left / "folder").symlink_to(tmp_path)
    os.mkfifo(left / "pipe")
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    wanted = Publication(run="datong-1.0.1", dataset="datong-1.out", folder=str(left))
    (first,), (again,) = there.publish([wanted]), there.publish([wanted])
    assert first == again and (first.fault, first.bytes) == ("", PART + 1)
    (report,) = take(here, "datong-1.out")
    found = Path(report.path)
    assert (found / "model").read_bytes() == (left / "model").read_bytes()
    assert sorted(str(p.relative_to(found)) for p in found.rglob("*")) == ["MANIFEST.json", "deep", "deep/零", "model"]
    assert set(here.verify("datong-1.out").values()) == {""}
    (gone,) = there.publish([Publication(run="r", dataset="r.out", folder=str(tmp_path / "gone"))])
    (bad,) = there.publish([Publication(run="r", dataset="../r", folder=str(left))])
    assert gone.fault == "" or "No such" in gone.fault
    assert bad.fault and not (tmp_path / "r").exists()


def test_a_corrupted_or_missing_source_leaves_nothing(sites: Sites, tmp_path: Path) -> None:
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    there.put("bad", {"a": b"one", "b": b"two"})
    there.put("short", {"a": b"z" * PART + b"z"})
    there.put("good", {"a": b"one"})
    sites.damage("datong", "bad", "b", b"tw0")
    sites.damage("datong", "short", "a", b"z" * (PART - 1))
    bad, short, gone, name, good = take(here, "bad", "short", "gone", "../bad", "good")
    assert bad.fault == "b at datong differs from its manifest"
    assert short.fault == "a at datong differs from its manifest"
    assert "No such file" in gone.fault
    assert "not the name of a dataset" in name.fault
    assert good.fault == ""
    assert [path.name for path in (tmp_path / "taiyuan/data").iterdir()] == ["good"]
    assert all("good" in key or "/" not in key for key in sites.keys("taiyuan"))
    (unknown,) = take(here, "bad", source="../datong")
    assert "not the name of a site" in unknown.fault


def test_a_lost_file_is_found(sites: Sites) -> None:
    there = sites.mover("datong")
    there.put("short", {"a": b"one"})
    if "datong" in sites.buckets:
        obstore.delete(sites.buckets["datong"], sites.part_key("datong", "short", "a"))
    (sites.folder("datong") / "short/a").unlink()
    (short,) = take(sites.mover("taiyuan"), "short")
    assert "No such file" in short.fault or short.fault == "a at datong differs from its manifest"
    assert sites.mover("datong").held() == {}


@pytest.mark.parametrize("name", ["../../../a", "/tmp/sanjin-a", MANIFEST, ""])
def test_a_hostile_manifest_writes_nothing_outside(sites: Sites, tmp_path: Path, name: str) -> None:
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    there.put("evil", {"a": b"one"})
    written = sites.folder("datong") / "evil" / MANIFEST
    forged = written.read_text().replace('"a"', json.dumps(name))
    written.write_text(forged)
    if "datong" in sites.buckets:
        key = "data/evil/index.json"
        index = json.loads(bytes(obstore.get(sites.buckets["datong"], key).bytes()))
        index |= {"manifest": forged, "parts": {name: index["parts"]["a"]}}
        obstore.put(sites.buckets["datong"], key, json.dumps(index).encode())
    (report,) = take(here, "evil")
    assert "cannot be the name" in report.fault
    assert not (tmp_path / "a").exists()
    assert sites.own("taiyuan").held() == []
    with pytest.raises(ValueError, match="cannot be the name"):
        here.put("x", {"../y": b""})


def test_damage_is_found_and_healed(sites: Sites) -> None:
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    there.put("coal", {"a": b"one", "b": b"w" * 3 * PART})
    take(here, "coal")
    sites.damage("taiyuan", "coal", "a", b"0ne")
    assert here.held() != {}  # the size is right
    assert set(here.verify("coal", look_only=True).values()) == {"a differs from its manifest"}
    assert here.held() != {}
    assert set(here.verify("coal").values()) == {"a differs from its manifest"}
    assert here.held() == {} and sites.own("taiyuan").held() == []
    (report,) = take(here, "coal")
    assert report.fault == ""
    # a store has the sound parts still, and one that is its source says which they are
    both = {"datong", "taiyuan"} <= sites.buckets.keys()
    assert report.copied_bytes == (3 if both else 3 + 3 * PART)
    assert set(here.verify("coal").values()) == {""}
    (sites.folder("taiyuan") / "coal/a").write_bytes(b"longer")
    assert sites.mover("taiyuan").held() == {}
    there.put("coal", {"a": b"new one"})
    if "taiyuan" not in sites.buckets:
        (report,) = take(sites.mover("taiyuan"), "coal")
        assert (Path(report.path) / "a").read_bytes() == b"new one"


def test_a_lost_copy_for_runs_comes_from_the_own_store(sites: Sites) -> None:
    if "taiyuan" not in sites.buckets:
        pytest.skip("the folder is all that such a site has")
    there, here = sites.mover("datong"), sites.mover("taiyuan")
    checksum = there.put("coal", {"a": b"one", "b": b"w" * 3 * PART})
    take(here, "coal")
    sites.lose_folder("taiyuan", "coal")
    assert here.held() == {} and here.stored() == ["coal"]
    (report,) = take(here, "coal", source="taiyuan")
    assert (report.fault, report.sha256, report.copied_bytes) == ("", checksum, 0)
    obstore.delete(sites.buckets["taiyuan"], "data/coal/index.json")
    assert here.stored() == []
    (report,) = take(here, "coal", source="taiyuan")  # and the store's from the folder
    assert (report.fault, report.copied_bytes, here.stored()) == ("", 0, ["coal"])


def test_a_damaged_replica_is_repaired_by_the_next_fetch_from_whoever_has_it_whole(sites: Sites) -> None:
    sites.mover("datong").put("coal", {"a": b"one", "b": b"w" * 3 * PART})
    take(sites.mover("luliang"), "coal")
    sites.damage("datong", "coal", "a", b"0ne")
    here = sites.mover("taiyuan", SITES)
    (report,) = take(here, "coal")  # datong has it damaged, luliang whole
    assert (report.fault, set(here.verify("coal").values())) == ("", {""})
    sites.damage("taiyuan", "coal", "b", b"0" * PART)
    sites.lose_folder("taiyuan", "coal")
    (report,) = take(here, "coal", source="taiyuan")
    assert report.fault == ""
    assert set(here.verify("coal").values()) == {""}


class Cut(DataStore):
    """A source whose line is cut after so many parts, once."""

    def __init__(self, inner: DataStore, parts: int) -> None:
        self._inner, self._left, self.site = inner, parts, inner.site
        self.read: list[tuple[str, int]] = []
        self.manifest, self.part_sums = inner.manifest, inner.part_sums  # type: ignore[method-assign]

    def part(self, dataset: str, file: DataFile, number: int) -> bytes:
        if not self._left:
            self._left = -1
            raise OSError("the line was cut")
        self._left -= 1
        self.read.append((file.name, number))
        return self._inner.part(dataset, file, number)


@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_a_transfer_that_was_cut_goes_on_where_it_was(sites: Sites, cut: int) -> None:
    there, target = sites.mover("datong"), sites.own("taiyuan")
    files = {"a": bytes(range(256)) * 1300, "b/c": b"v" * PART + b"w" * PART + b"x", "d": b"y" * 2 * PART}
    checksum = there.put("coal", files)
    source = Cut(sites.own("datong"), cut)
    with pytest.raises(OSError, match="was cut"):
        target.receive("coal", source)
    assert target.held() == []
    before = list(source.read)
    sites.own("taiyuan").receive("coal", source)  # as after a restart
    after = source.read[len(before) :]
    if "taiyuan" not in sites.buckets or "datong" in sites.buckets:  # a store knows its parts without reading them
        # of a file that ends within a part, that part is read again; of "d", parts that are equal
        assert len(set(before) & set(after)) <= 1
    assert sites.own("taiyuan").held() == ["coal"]
    assert sites.own("taiyuan").verify("coal") == ""
    (report,) = take(sites.mover("taiyuan"), "coal")
    assert report.sha256 == checksum
    assert {name: (Path(report.path) / name).read_bytes() for name in files} == files


def test_what_was_left_of_a_cut_transfer_is_not_trusted(sites: Sites) -> None:
    there, target = sites.mover("datong"), sites.own("taiyuan")
    there.put("coal", {"a": bytes(range(256)) * 1300})
    with pytest.raises(OSError, match="was cut"):
        target.receive("coal", Cut(sites.own("datong"), 2))
    if "taiyuan" in sites.buckets:
        for key in sites.keys("taiyuan"):
            obstore.put(sites.buckets["taiyuan"], key, b"0" * PART)
    else:
        (left,) = sites.folder("taiyuan").glob(".coming-*/a")
        left.write_bytes(bytes(len(left.read_bytes())))
    target.receive("coal", sites.own("datong"))
    assert target.verify("coal") == ""


def test_a_dataset_of_the_same_name_is_replaced_whole(sites: Sites) -> None:
    there = sites.mover("datong")
    there.put("coal", {"a": b"one", "b": b"two" * PART})
    first = sites.keys("datong")
    there.put("coal", {"a": b"one", "c": b"three"})
    assert sites.own("datong").held() == ["coal"]
    (report,) = take(sites.mover("taiyuan"), "coal")
    assert sorted(p.name for p in Path(report.path).iterdir()) == [MANIFEST, "a", "c"]
    if "datong" in sites.buckets:  # nothing of the first is left but what both have
        left = [key for key in sites.keys("datong") if key.startswith("data/coal/parts")]
        assert len(left) == 2 and len(set(left) & set(first)) == 1
