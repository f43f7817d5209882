"""``sanjin backup``, ``restore`` and ``upgrade`` as somebody types them, on a region that is being submitted to."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sql import HEAD
from sanjin.client import Client
from sanjin.model.job import JobSpec, Submission
from sanjin.ports import JobQuery
from sanjin.tree.set_back import SKIP
from tests.live import Region
from tests.nodes import NodeProcess
from tests.support import until

BACKUPS, LAST = 3, 2
NODES = ("taiyuan", "datong", "linfen", "xinzhou")


class Load:
    """Submits batches to several nodes until it is stopped; keeps what was acknowledged, and when."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.acknowledged: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        later = int(time.time()) + 4 * 3600
        with Client.here(self.state) as client:
            number = 0
            while not self._stop.wait(0.05):  # a load, not as many as will go
                number += 1
                spec = JobSpec(name="j", command=("true",), earliest_start_s=later)
                batch = [Submission(key=f"{number}-{i}", spec=spec) for i in range(20)]
                jobs = client.submit(batch, NODES[number % len(NODES)])
                self.acknowledged += [(time.monotonic(), job) for job in jobs]

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keeping")


@pytest.fixture(scope="module")
def backed_up(folder: Path) -> Iterator[tuple[Region, list[str], list[str]]]:
    """A region that is down again, jobs acknowledged before the first and before the last of its backups."""
    region = Region(folder / "state")
    region.up()
    moments: list[float] = []
    with Load(region.state) as load:
        time.sleep(1.0)
        for n in range(BACKUPS):
            moments.append(time.monotonic())
            region.json("backup", "--to", str(folder / f"{n}.tar.gz"), *(["--secrets"] if n == LAST else []))
        assert region.json("audit", "verify")
    busy = region.run("upgrade"), region.run("restore", "--in-place")
    assert [b.returncode for b in busy] == [5, 5] and "stop that first" in busy[0].stderr
    region.down()
    before = [[job for at, job in load.acknowledged if at < m] for m in (moments[0], moments[-1])]
    assert len(before[0]) > 0 and len(load.acknowledged) > len(before[1]) > len(before[0])
    yield region, before[0], before[1]


def known(state: Path) -> set[str]:
    """Every job submitted to a node of a state folder that is not up."""
    from sanjin.adapters.store.sqlite import SqliteStore

    found: set[str] = set()
    for node in NODES:
        store = SqliteStore(state / node / "state.db")
        found |= {r.id for r in store.jobs(JobQuery(limit=100_000, owned=True))}
        store.close()
    return found


def test_a_backup_under_load_restores_to_an_audited_state_with_all_that_was_acknowledged(
    folder: Path, backed_up: tuple[Region, list[str], list[str]]
) -> None:
    _, first, last = backed_up
    for n, expected in ((0, first), (LAST, last)):
        there = Region(folder / f"restored-{n}")
        told = there.json("restore", str(folder / f"{n}.tar.gz"), "--state", str(there.state))
        assert isinstance(told, dict) and told["folder"] == str(there.state)
        audits = there.json("audit", "verify")
        assert isinstance(audits, list) and len(audits) == 11 and all(not a["problems"] for a in audits)
        assert {a["node"]: (a["entries"], a["tip"]) for a in audits} == {
            n: (h["seq"], h["hash"]) for n, h in told["nodes"].items()
        }
        assert set(expected) <= known(there.state)
    assert (folder / f"{LAST}.tar.gz").stat().st_mode & 0o777 == 0o600
    assert not (folder / "restored-0" / "token").exists() and (folder / f"restored-{LAST}" / "token").exists()
    assert (folder / f"restored-{LAST}" / "datong" / "log.key").stat().st_mode & 0o777 == 0o600


def test_backups_hold_no_mail_that_its_sender_does_not_know(
    folder: Path, backed_up: tuple[Region, list[str], list[str]]
) -> None:
    region, _, _ = backed_up
    seen = 0
    for n in range(BACKUPS):
        at = folder / f"marks-{n}"
        region.json("restore", str(folder / f"{n}.tar.gz"), "--state", str(at), "--moved")
        sent, received, waits = {}, {}, {}
        for store in at.glob("*/state.db"):
            with sqlite3.connect(store) as c:
                for peer, out, into in c.execute("select peer, sent, received from peer"):
                    sent[store.parent.name, peer], received[store.parent.name, peer] = out, into
                for peer, seq in c.execute("select peer, min(seq) from outbox group by peer"):
                    waits[store.parent.name, peer] = seq
        for (node, peer), last in sent.items():
            heard = received.get((peer, node), 0)
            assert heard <= last, (n, node, peer)
            assert heard == last or waits[node, peer] <= heard + 1, (n, node, peer)  # what was not heard waits still
            seen += last
    assert seen > 0


def test_a_restored_region_goes_on(folder: Path, backed_up: tuple[Region, list[str], list[str]]) -> None:
    there = Region(folder / "goes-on")
    told = there.json("restore", str(folder / f"{LAST}.tar.gz"), "--state", str(there.state))
    assert isinstance(told, dict)
    given_up = {j for h in told["nodes"].values() for j in h["given_up"]}
    assert given_up
    url = there.up("--log", "json")["url"]
    try:
        with Client.here(there.state) as client:  # the word of it goes from the site to the node of submission
            some = sorted(given_up)[:20]
            until(lambda: {client.job(j).state.value for j in some} == {"interrupted"}, "ends", 60)
            wanted = JobSpec(name="new", command=("true",), earliest_start_s=int(time.time()) + 4 * 3600)
            new = client.submit([Submission(key="new", spec=wanted)], "datong")[0]
        assert int(new.rpartition("-")[2]) > SKIP
        assert httpx.get(f"{url}/v1/ready").json()["ready"]
        assert not (there.state / "restored.json").exists()
        assert there.json("audit", "verify")
    finally:
        there.down()


def test_what_is_not_whole_or_not_empty_is_refused(
    folder: Path, backed_up: tuple[Region, list[str], list[str]], tmp_path: Path
) -> None:
    region, _, _ = backed_up
    good = folder / "0.tar.gz"
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(good.read_bytes()[:-40000])
    to = tmp_path / "new"
    for words, code in (
        (["restore", str(bad), "--state", str(to)], 8),
        (["restore", str(good), "--state", str(region.state)], 5),
        (["restore", str(tmp_path / "none.tar.gz"), "--state", str(to)], 4),
        (["restore", "--state", str(to)], 3),
        (["backup", "--to", str(tmp_path / "x.zip")], 3),
        (["backup", "--to", str(good)], 5),
    ):
        assert region.run(*words).returncode == code, words
        assert not to.exists()
    checked = region.run("restore", str(good), "--state", str(to), "--dry-run", lang="both")
    assert checked.returncode == 0 and "完整" in checked.stdout and not to.exists()
    assert list(tmp_path.iterdir()) == [bad]


def test_an_older_schema_is_upgraded_with_a_backup_beside_it(
    folder: Path, backed_up: tuple[Region, list[str], list[str]]
) -> None:
    there = Region(folder / "old")
    there.json("restore", str(folder / "0.tar.gz"), "--state", str(there.state))
    assert there.json("upgrade") == {
        "before": dict.fromkeys(_nodes(there), HEAD), "after": dict.fromkeys(_nodes(there), HEAD), "backup": "",
    }  # fmt: skip
    store = sqlite3.connect(there.state / "datong" / "state.db")
    gone = "".join(f"drop table {name}; " for name in ("writer", "share", "listing"))
    store.executescript(f"{gone}update alembic_version set version_num = '0001'")
    store.close()
    tried = there.json("upgrade", "--dry-run")
    assert isinstance(tried, dict) and tried["before"]["datong"] == "0001" and not tried["backup"]
    done = there.json("upgrade")
    assert isinstance(done, dict) and (done["before"]["datong"], done["after"]["datong"]) == ("0001", HEAD)
    assert Path(done["backup"]).parent == folder
    back = there.json("restore", done["backup"], "--dry-run", "--state", str(folder / "nowhere"))
    assert isinstance(back, dict) and set(back["nodes"]) == set(_nodes(there))
    assert there.json("upgrade")["backup"] == ""  # type: ignore[index]
    store = sqlite3.connect(there.state / "datong" / "state.db")
    store.executescript("update alembic_version set version_num = '9999'")
    store.close()
    assert there.run("upgrade").returncode == 7


def _nodes(region: Region) -> list[str]:
    return [p.parent.name for p in region.state.glob("*/state.db")]


def test_a_state_in_a_database_is_left_to_pg_dump(
    folder: Path, backed_up: tuple[Region, list[str], list[str]], tmp_path: Path
) -> None:
    there = Region(tmp_path / "state")
    there.json("restore", str(folder / f"{LAST}.tar.gz"), "--state", str(there.state))
    settings = {"site": "datong", "store": "postgresql://u:secret@db/sanjin?schema=dt"}
    (there.state / "node.json").write_text(json.dumps(settings))
    refused = there.run("backup", "--to", str(tmp_path / "a.tar.gz"))
    assert refused.returncode == 5 and "secret" not in refused.stderr
    assert "pg_dump --format=custom --schema='dt' --file=dt.dump 'postgresql://u@db/sanjin'" in refused.stderr
    told = there.json("backup", "--without-store", "--to", str(tmp_path / "a.tar.gz"))
    assert isinstance(told, dict) and told["nodes"]["datong"]["database"] == "postgresql"
    assert StateFolder(there.state).node_settings() is not None


@pytest.mark.parametrize("secrets", [True, False])
def test_a_hub_that_lost_its_disk_comes_back_among_its_peers(tmp_path: Path, secrets: bool) -> None:
    core, hub = NodeProcess(tmp_path, "taiyuan"), NodeProcess(tmp_path, "datong")
    file = tmp_path / "hub.tar.gz"

    def submit() -> str:
        return hub.json("submit", "--site", "taiyuan", "--earliest", "+3h", "--", "true")["jobs"][0]

    def state(job: str) -> str:
        """As the hub knows it; that it is placed, the core has told it."""
        return {j["id"]: j["state"] for j in hub.ask("jobs")["jobs"]}.get(job, "")

    try:
        core.up("--region", "shanxi")
        hub.join(core)
        until(lambda: hub.ask("sites")[0]["parent_reachable"], "line", 30)
        first = submit()
        hub.json("backup", "--to", str(file), *(["--secrets"] if secrets else []))
        gone = submit()
        until(lambda: state(gone) == "placed", "the job at the core", 30)
        hub.end(signal.SIGKILL)
        shutil.rmtree(hub.state)
        assert hub.run("restore", str(file)).returncode == 0
        hub.up(*([] if secrets else ["--token", core.json("node", "invite", "datong")["token"]]))
        until(lambda: hub.ask("sites")[0]["parent_reachable"], "line", 30)
        assert state(first) and not state(gone)
        new = submit()
        assert int(new.rpartition("-")[2]) > SKIP
        until(lambda: state(new) == "placed", "the new job at the core", 30)
        assert "the state of datong was restored" in core.log()
        assert httpx.get(f"{hub.told['url']}/v1/ready").json() == {"ready": True, "parent_reachable": True}
        assert all(not r["problems"] for node in (core, hub) for r in node.json("audit", "verify"))
    finally:
        hub.end()
        core.end()
