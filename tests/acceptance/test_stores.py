"""A region whose sites have object stores: data from one to another, inputs for runs, outputs, damage and repair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from tests.live import Region
from tests.s3_server import BUCKET, KEY, SECRET, S3Server
from tests.support import until

OWN, AWAY, PLAIN = "jincheng", "taiyuan", "linfen"
DATA = "parcels-2026"
"""A dataset of the examples that lies at one site."""


@pytest.fixture(scope="module")
def region(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    folder = tmp_path_factory.mktemp("stores")
    keys = folder / "keys"
    keys.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    keys.chmod(0o600)
    store = f"{{kind: s3, endpoint: '{s3.url}', bucket: {BUCKET}, credentials: {keys}}}"
    document = folder / "engines.yaml"
    document.write_text(
        "engines:\n"
        + "".join(f"  {site}: {{engine: local, store: {store}}}\n" for site in (OWN, AWAY))
        + f"  {PLAIN}: {{engine: local, store: {{kind: folder, folder: {folder}/objects}}}}\n"
    )
    made = Region(folder / "state")
    done = made.run("engines", "set", str(document))
    assert done.returncode == 0, done.stderr
    assert SECRET not in (made.state / "engines.yaml").read_text() + done.stdout
    assert f"store.bucket={BUCKET}" in made.run("engines", "show").stdout
    made.up("--sample-data", "--rate", "30")
    yield made
    assert made.down() == 0


def replicas(region: Region, *words: str) -> dict[tuple[str, str], str]:
    found = region.json("data", *words)
    assert isinstance(found, list)
    return {(r["site"], r["place"]): r["state"] for r in found}


def test_data_come_from_a_store_to_a_run_and_what_it_leaves_goes_to_a_store(region: Region, s3: S3Server) -> None:
    before = replicas(region, "list", "--dataset", DATA)
    homes = {site for site, _ in before}
    target = next(site for site in (OWN, AWAY, PLAIN) if site not in homes)
    code = f"ls $SANJIN_INPUTS/{DATA}; cat $SANJIN_INPUTS/{DATA}/* | sha256sum > $SANJIN_OUTPUTS/sum"
    done = region.run(
        "submit", "--input", DATA, "--site", target, "--wait", "--output", "json", "--", "sh", "-c", code,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)[0]
    assert record["site"] == target
    after = replicas(region, "list", "--dataset", DATA)
    assert {(target, "folder"), (target, "store")} <= after.keys() and before.keys() <= after.keys()
    left = region.json("outputs", record["id"])
    assert isinstance(left, dict) and [f["name"] for f in left["files"]] == ["sum"]
    (run,) = (region.state / target / "engine" / "runs").glob(f"{record['id']}.*")
    until((run / "kept").exists, "outputs in the store")
    if target != PLAIN:
        kept = obstore.get(s3.store(target), f"outputs/{run.name}/sum").bytes()
        assert bytes(kept) == (run / "outputs/sum").read_bytes()


def test_damage_is_found_and_repaired_from_another_site(region: Region, s3: S3Server) -> None:
    for site in (OWN, PLAIN):
        done = region.run("submit", "--input", DATA, "--site", site, "--wait", "--", "true")
        assert done.returncode == 0, done.stdout + done.stderr
    assert set(replicas(region, "verify", "--dataset", DATA).values()) == {"whole"}
    place = s3.store(OWN)
    index = json.loads(bytes(obstore.get(place, f"data/{DATA}/index.json").bytes()))
    name = next(iter(index["parts"]))
    obstore.put(place, f"data/{DATA}/parts/{index['parts'][name][0]}", b"damaged")
    copy = region.state / OWN / "data" / DATA / name
    copy.write_bytes(b"?" * copy.stat().st_size)
    found = region.run("data", "verify", "--dataset", DATA)
    assert found.returncode == 10 and "2 replicas are damaged or lost" in found.stderr
    assert found.stdout.count(f"{name} differs from its manifest") == 2
    dry = region.run("data", "repair", "--dataset", DATA, "--dry-run")
    assert dry.returncode == 10 and copy.read_bytes().startswith(b"?")
    mended = region.run("data", "repair", "--dataset", DATA)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "repaired" in mended.stdout
    assert set(replicas(region, "verify", "--dataset", DATA).values()) == {"whole"}
    done = region.run("submit", "--input", DATA, "--site", OWN, "--wait", "--", "true")
    assert done.returncode == 0
    assert region.run("data", "verify", "--site", "nowhere").returncode == 4


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("{kind: s3, endpoint: 'http://s3.example', bucket: b}", "cannot be the address of an object store"),
        ("{kind: s3, endpoint: 'https://key:secret@s3.example', bucket: b}", "cannot be the address"),
        ("{kind: s3, bucket: b}", "endpoint"),
        ("{kind: s3, endpoint: 'https://s3.example', bucket: a/b}", "cannot be the name of something in an object"),
        ("{kind: folder, folder: objects}", "is not a whole path"),
        ("{kind: folder, folder: /objects, secret: x}", "secret"),
        ("{kind: tape}", "kind"),
    ],
)
def test_a_bad_store_is_refused_with_its_line(tmp_path: Path, store: str, said: str) -> None:
    made = Region(tmp_path / "state")
    (tmp_path / "engines.yaml").write_text(f"engines:\n  {OWN}:\n    engine: local\n    store: {store}\n")
    done = made.run("engines", "set", str(tmp_path / "engines.yaml"))
    assert done.returncode == 3
    assert said in done.stderr and "engines.yaml:4:" in done.stderr
    assert "key:secret" not in done.stderr
