"""The routes of a node's log, as a verifier that has the key alone sees them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from sanjin.adapters.clock import RealClock
from sanjin.api.app import make_app
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble
from sanjin.flow import notes, transparency
from sanjin.model.log import Cosigned, GrowthProof, InclusionProof, LogEntry
from sanjin.model.status import AuditResult, Happening
from sanjin.regions.load import bundled, load_region
from sanjin.tree.log_check import Checker


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    hub = EventHub()
    folder: Path = tmp_path_factory.mktemp("region")
    live = assemble(load_region(bundled("shanxi")), folder, RealClock(), "test", hub.listen)
    server = Server(make_app(live, hub, "token", "test"), 0)
    live.start()
    server.start()
    with httpx.Client(base_url=f"{server.url}/v1", headers={"Authorization": "Bearer token"}, timeout=20) as client:
        yield client
    server.stop()
    live.stop()


def test_a_log_can_be_followed_over_http(http: httpx.Client) -> None:
    key, *witnesses = [notes.parse_verifier(k) for k in http.get("/log/datong/key").text.splitlines()]
    assert key.name == "sanjin/shanxi/datong"
    assert [w.name for w in witnesses] == ["sanjin/shanxi/taiyuan/witness"]
    old = http.get("/log/datong/checkpoint")
    assert old.headers["content-type"] == "text/plain; charset=utf-8"
    before, note = notes.open_checkpoint(old.content, key)
    assert set(note.times(witnesses)) == {w.text() for w in witnesses}
    for i in range(3):
        spec = {"name": "x", "command": ["true"]}
        assert http.post("/jobs", params={"node": "datong"}, json={"key": f"k{i}", "spec": spec}).status_code == 201
    now = http.get("/log/datong/checkpoint").content
    state, _ = notes.open_checkpoint(now, key)
    assert state.size > before.size > 0

    # tiles and bundles of that size
    tile = http.get(f"/log/datong/tile/0/000.p/{state.size}")
    assert tile.headers["content-type"] == "application/octet-stream"
    assert "immutable" in tile.headers["cache-control"]
    hashes = transparency.split_hashes(tile.content)
    assert transparency.root_of(hashes) == state.root
    leaves = transparency.unbundle(http.get(f"/log/datong/tile/entries/000.p/{state.size}").content)
    assert list(map(transparency.leaf_hash, leaves)) == hashes

    # the leaves follow from what the journal shows
    shown = msgspec.json.decode(http.get("/journal", params={"node": "datong"}).content, type=list[Happening])
    assert [transparency.leaf_shown(e) for e in shown[: state.size]] == leaves
    entries = msgspec.json.decode(http.get("/log/datong/entries?after=1&limit=2").content, type=list[LogEntry])
    assert [e.leaf.encode() for e in entries] == leaves[1:3]
    assert [base64.b64decode(e.leaf_hash) for e in entries] == hashes[1:3]

    # proofs
    proof = msgspec.json.decode(http.get("/log/datong/proof?entry=2").content, type=InclusionProof)
    assert Checker(key, None, witnesses).shown(proof).entry == 2
    since = {"since": before.size}
    growth = msgspec.json.decode(http.get("/log/datong/proof", params=since).content, type=GrowthProof)
    assert Checker(key, old.content).growth(growth).grown_from == before.size


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("atlantis/checkpoint", 404),
        ("atlantis/key", 404),
        ("datong/tile/0/999", 404),
        ("datong/tile/0/000.p/256", 404),
        ("datong/tile/x", 404),
        ("datong/tile/../../../token", 404),
        ("datong/tile/%2e%2e/%2e%2e/log.key", 404),
        ("datong/proof", 422),
        ("datong/proof?entry=1&since=0", 422),
        ("datong/proof?entry=999999", 404),
        ("datong/proof?since=999999", 404),
        ("datong/entries?limit=0", 422),
    ],
)
def test_what_there_is_not_is_said(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(f"/log/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_root_is_cosigned_by_its_children_and_all_is_whole(http: httpx.Client) -> None:
    key, *witnesses = [notes.parse_verifier(k) for k in http.get("/log/taiyuan/key").text.splitlines()]
    _, note = notes.open_checkpoint(http.get("/log/taiyuan/checkpoint").content, key)
    assert len(witnesses) == 3
    assert len(note.times(witnesses)) == 3
    told = msgspec.json.decode(http.get("/log/taiyuan/cosigned").content, type=list[Cosigned])
    assert [c.key for c in told] == [w.text() for w in witnesses]
    assert all(c.size and c.at_s in note.times(witnesses).values() for c in told)
    found = msgspec.json.decode(http.get("/audit").content, type=list[AuditResult])
    assert [r.problems for r in found] == [()] * 11
