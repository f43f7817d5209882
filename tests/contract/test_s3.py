"""What a real S3 server may do to a site's store: refuse keys, die in the midst of a transfer, and come again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.output_keeper import OutputKeeper
from sanjin.adapters.movers import objects as object_store
from sanjin.adapters.movers.folder import DataFolder
from sanjin.adapters.movers.manifest import PART_BYTES
from sanjin.adapters.movers.objects import DataObjects, ObjectStoreAway
from sanjin.adapters.movers.site import SiteMover
from sanjin.cli.store_choice import store_choice
from sanjin.model.data import DataFile
from sanjin.model.engines import EngineSettings, StoreKind, StoreSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import DataStore, RunOrder, Transfer
from tests.s3_server import BUCKET, KEY, SECRET, S3Server
from tests.support import free_ports, until


def settings(s3: S3Server, credentials: Path | str, prefix: str = "") -> dict[str, EngineSettings]:
    store = StoreSettings(
        kind=StoreKind.S3, endpoint=s3.url, bucket=BUCKET, prefix=prefix or s3.prefix(), credentials=str(credentials)
    )
    return {"datong": EngineSettings(store=store)}


def keys(folder: Path, key: str = KEY, secret: str = SECRET, mode: int = 0o600) -> Path:
    made = folder / "keys"
    made.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    made.chmod(mode)
    return made


def test_keys_come_from_a_private_file_or_the_environment(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    folder = DataFolder(tmp_path / "in", "datong")
    folder.put("coal", {"a": b"one"})
    own = store_choice(settings(s3, keys(tmp_path)), ["datong"])("datong")
    assert own is not None and own.receive("coal", folder) == 3
    obstore.put(own._objects, "data/a b/index.json", b"{}")  # no name of a dataset: others may write here too
    obstore.put(own._objects, "data/iron/index.json", b"{}")
    assert own.held() == ["coal", "iron"]
    assert own.verify("iron", look_only=True) == "the index of iron at datong cannot be read: 'manifest'"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    own = store_choice(settings(s3, ""), ["datong"])("datong")
    assert own is not None and own.receive("coal", folder) == 3
    assert store_choice({}, ["datong"])("datong") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_keys_that_others_may_read_are_refused(s3: S3Server, tmp_path: Path, mode: int) -> None:
    with pytest.raises(ProblemsFound, match="chmod 600"):
        store_choice(settings(s3, keys(tmp_path, mode=mode)), ["datong"])
    elsewhere = store_choice(settings(s3, keys(tmp_path, mode=mode)), [])
    with pytest.raises(ObjectStoreAway, match="chmod 600"):
        elsewhere("datong")


def test_keys_that_are_not_there_are_said(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    (tmp_path / "empty").write_text("")
    (tmp_path / "empty").chmod(0o600)
    for where in ("", tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(ProblemsFound, match="no keys of an object store"):
            store_choice(settings(s3, where), ["datong"])


@pytest.mark.parametrize(
    ("key", "secret", "code"), [(KEY, "wrong", "SignatureDoesNotMatch"), ("other", SECRET, "InvalidAccessKeyId")]
)
def test_wrong_keys_are_refused_and_said_in_no_log(
    s3: S3Server, tmp_path: Path, key: str, secret: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = DataObjects("datong", s3.store("refusing"))
    SiteMover(tmp_path, "datong", lambda _: good).put("coal", {"a": b"one"})
    objects = store_choice(settings(s3, keys(tmp_path, key, secret), "refusing"), ["datong"])
    assert SiteMover(tmp_path, "datong", objects).stored() == []
    assert f"the store of datong refuses these keys: {code}" in caplog.text
    here = SiteMover(tmp_path, "taiyuan", objects, ("datong",))
    (tmp_path / "datong/data/coal/a").unlink()
    (report,) = here.fetch([Transfer(dataset="coal", source="datong", done_at_s=0)])
    assert report.fault == f"the store of datong refuses these keys: {code}"
    assert not here.held()
    with pytest.raises(ObjectStoreAway, match="refuses these keys"):
        objects("datong").receive("coal", good)  # type: ignore[union-attr]
    assert good.held() == ["coal"]
    assert secret not in caplog.text and SECRET not in caplog.text


def test_a_store_that_is_not_there_holds_nothing_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sanjin.cli.store_choice.QUICK_S", 1)
    monkeypatch.setattr("sanjin.cli.store_choice.PATIENCE_S", 1)
    store = StoreSettings(
        kind=StoreKind.S3, endpoint=f"http://127.0.0.1:{free_ports(1)[0]}", bucket="b", credentials=str(keys(tmp_path))
    )
    mover = SiteMover(tmp_path, "datong", store_choice({"datong": EngineSettings(store=store)}, ["datong"]))
    assert mover.stored() == []
    assert "the store of datong fails: " in caplog.text
    (report,) = mover.fetch([Transfer(dataset="coal", source="taiyuan", done_at_s=0)])
    assert report.fault.startswith("the store of datong fails: ")
    with pytest.raises(ObjectStoreAway):
        mover.verify("coal")


class Watched(DataStore):
    """A source that says when it has been read so far."""

    def __init__(self, inner: DataStore, parts: int) -> None:
        self._inner, self._left, self.site = inner, parts, inner.site
        self.reached, self.may_go_on = threading.Event(), threading.Event()
        self.read = 0
        self.manifest, self.part_sums = inner.manifest, inner.part_sums  # type: ignore[method-assign]

    def part(self, dataset: str, file: DataFile, number: int) -> bytes:
        if self.read == self._left:
            self.reached.set()
            assert self.may_go_on.wait(60)
        self.read += 1
        return self._inner.part(dataset, file, number)


@pytest.fixture
def big(tmp_path: Path) -> Iterator[tuple[DataFolder, bytes]]:
    """A dataset of four parts."""
    content = b"".join(bytes([n]) * PART_BYTES for n in range(3)) + b"end"
    folder = DataFolder(tmp_path, "source")
    folder.put("big", {"a": content})
    yield folder, content


@pytest.mark.parametrize("to_store", [True, False], ids=["to S3", "from S3"])
def test_a_server_that_dies_in_a_transfer_and_comes_again_loses_nothing(
    s3: S3Server, tmp_path: Path, big: tuple[DataFolder, bytes], to_store: bool
) -> None:
    folder, content = big
    store = DataObjects("datong", s3.store(s3.prefix()))
    if not to_store:
        store.receive("big", folder)
    source: Watched = Watched(folder if to_store else store, 2)
    target: DataStore = store if to_store else DataFolder(tmp_path, "target")
    fault: list[BaseException] = []

    def transfer() -> None:
        try:
            target.receive("big", source)
        except BaseException as error:
            fault.append(error)

    thread = threading.Thread(target=transfer)
    thread.start()
    assert source.reached.wait(60)
    s3.stop()  # kill -9
    source.may_go_on.set()
    s3.start()
    thread.join(120)
    assert not thread.is_alive() and fault == []
    assert source.read == 4  # it went on: nothing was read twice
    assert target.verify("big") == ""
    back = DataFolder(tmp_path, "back")
    back.receive("big", target)
    assert (back.path / "big/a").read_bytes() == content


def test_a_transfer_given_up_while_the_server_was_away_goes_on_later(
    s3: S3Server, tmp_path: Path, big: tuple[DataFolder, bytes]
) -> None:
    folder, _ = big
    place = s3.prefix()
    impatient = DataObjects("datong", s3.store(place, patience_s=1))
    source = Watched(folder, 3)
    fault: list[BaseException] = []

    def transfer() -> None:
        try:
            impatient.receive("big", source)
        except BaseException as error:
            fault.append(error)

    thread = threading.Thread(target=transfer)
    thread.start()
    assert source.reached.wait(60)
    sent = DataObjects("datong", s3.store(place))
    until(lambda: len(sent._listed("big")) == 3, "three parts in the store")
    s3.stop()
    source.may_go_on.set()
    thread.join(60)
    assert [type(each) for each in fault] == [ObjectStoreAway]
    s3.start()
    assert sent.held() == []
    puts: list[str] = []
    inner = sent._put
    sent._put = lambda key, data: (puts.append(key), inner(key, data))[1]  # type: ignore[method-assign]
    sent.receive("big", folder)
    assert len([key for key in puts if "/parts/" in key]) == 1  # the last alone
    assert sent.verify("big") == ""


def test_a_store_that_lost_its_volumes_is_mended_from_another_site(s3: S3Server, tmp_path: Path) -> None:
    """The server answers, lists what was there, and gives none of it."""
    places = {"datong": s3.store(s3.prefix(), patience_s=1)}
    objects = {site: DataObjects(site, store) for site, store in places.items()}
    here = SiteMover(tmp_path, "datong", objects.get, ("datong", "taiyuan"))
    there = SiteMover(tmp_path, "taiyuan", objects.get, ("datong", "taiyuan"))
    checksum = there.put("coal", {"a": b"one", "b": bytes(PART_BYTES + 5)})
    fetch = [Transfer(dataset="coal", source="taiyuan", done_at_s=0)]
    here.fetch(fetch)
    s3.lose_volumes()
    names = {each["path"] for each in obstore.list(places["datong"]).collect()}
    assert objects["datong"].held() == ["coal"]
    found = here.verify("coal")
    assert found["folder"] == "" and "cannot be read: the store of datong fails: InternalError" in found["store"]
    assert {each["path"] for each in obstore.list(places["datong"]).collect()} == names  # it might come again
    (there.folder.path / "coal/a").unlink()  # nobody else has it now, but for the copy for runs
    report = here.repair("coal")
    assert (report.fault, report.sha256, report.copied_bytes) == ("", checksum, PART_BYTES + 8)
    assert here.verify("coal") == {"folder": "", "store": ""}
    s3.lose_volumes()
    (here.folder.path / "coal/MANIFEST.json").unlink()
    (report,) = here.fetch(fetch)
    assert report.away and "cannot be read" in report.fault  # a job waits
    there.put("coal", {"a": b"one", "b": bytes(PART_BYTES + 5)})
    (report,) = here.fetch(fetch)
    assert (report.fault, report.sha256) == ("", checksum)
    assert here.verify("coal") == {"folder": "", "store": ""}


def test_a_source_that_is_away_is_passed_over_where_another_site_has_the_data(tmp_path: Path) -> None:
    gone = S3Store("b", endpoint=f"http://127.0.0.1:{free_ports(1)[0]}", access_key_id="k", secret_access_key="s",
                   client_options={"allow_http": True}, retry_config={"max_retries": 0})  # fmt: skip
    objects = {"taiyuan": DataObjects("taiyuan", gone)}
    order = ("datong", "taiyuan", "luliang")
    here = SiteMover(tmp_path, "datong", objects.get, order)
    fetch = [Transfer(dataset="coal", source="taiyuan", done_at_s=0)]
    (report,) = here.fetch(fetch)
    assert report.away and report.fault.startswith("the store of taiyuan fails: ")
    SiteMover(tmp_path, "luliang").put("coal", {"a": b"one"})
    (report,) = here.fetch(fetch)
    assert not report.fault and report.copied_bytes == 3


def test_what_runs_left_is_put_into_the_store_also_after_the_server_was_away(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sanjin.adapters.engines.output_keeper.RETRY_S", 0.1)
    monkeypatch.setattr(object_store, "OUTPUT_PART_BYTES", 5 << 20)
    store = s3.store(s3.prefix(), patience_s=1)
    site = tmp_path / "site"
    engine = LocalEngine(site, sandbox="none", keeper=OutputKeeper(site, DataObjects("datong", store)))
    code = "cd $SANJIN_OUTPUTS; printf alpha > 'a %2e#零'; mkdir d; head -c 12000000 /dev/zero > d/big; ln -s a l"

    def ends(key: str, command: str) -> None:
        engine.start([RunOrder(key=key, command=("sh", "-c", command))])
        until(lambda: any(r.key == key for r in engine.watch()), "end")
        engine.forget([key])

    def index(key: str) -> dict[str, int]:
        found = json.loads(bytes(obstore.get(store, f"outputs/{key}.json").bytes()))
        return {f["name"]: f["bytes"] for f in found["files"]}

    def kept(key: str) -> bool:
        return (site / "runs" / key / "kept").exists()

    ends("one", code)
    ends("none", "true")
    engine.forget(["never"])
    until(lambda: kept("one") and kept("none"), "kept outputs")
    assert index("one") == {"a %2e#零": 5, "d/big": 12_000_000}
    assert bytes(obstore.get(store, "outputs/one/a %2e#零").bytes()) == b"alpha"
    assert bytes(obstore.get(store, "outputs/one/d/big").bytes()) == bytes(12_000_000)
    s3.stop()
    ends("two", "echo 2 > $SANJIN_OUTPUTS/x")
    ends("three", "echo 3 > $SANJIN_OUTPUTS/x")
    until(lambda: (site / "runs/three/outputs.json").exists(), "list")
    (site / "runs/three/outputs/x").write_text("?\n")  # damaged before it could be put
    engine.close()
    assert not kept("two")
    s3.start()
    again = LocalEngine(site, sandbox="none", keeper=OutputKeeper(site, DataObjects("datong", store)))
    until(lambda: kept("two") and kept("three"), "kept outputs")
    assert (index("two"), index("three")) == ({"x": 2}, {})
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "outputs/three/x")
    again.close()
