"""Nodes as processes cosign each other's logs over mutual TLS, and refuse a log that was rewritten or cut."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sanjin.adapters.identity.device import Device
from sanjin.flow import notes, transparency
from sanjin.flow.notes import Checkpoint, SigningKey
from tests.nodes import NodeProcess

ADD = "/v1/witness/add-checkpoint"
OFTEN = ("--cosign-every", "1s")


def until(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess, NodeProcess]]:
    root = tmp_path_factory.mktemp("cosigning")
    core, *hubs = (NodeProcess(root, site) for site in ("taiyuan", "datong", "yangquan"))
    core.up("--region", "shanxi", *OFTEN)
    for hub in hubs:
        hub.join(core, *OFTEN)
    yield (core, hubs[0], hubs[1])
    for node in (*hubs, core):
        node.end()


def cosigned(node: NodeProcess) -> dict[str, int]:
    """Who has cosigned a node's log, and up to which entry, as its API tells."""
    token = (node.state / "token").read_text()
    answer = httpx.get(
        f"{node.told['url']}/v1/log/{node.site}/cosigned", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    return {c["name"].split("/")[2]: c["size"] for c in answer.json()}


def checked(node: NodeProcess, to: Path, *options: str) -> str:
    node.json("audit", "export", "--to", str(to))
    done = node.run("audit", "check", "--key", str(to / "key"), "--folder", str(to), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_parent_children_and_siblings_cosign_over_the_wire(
    tree: tuple[NodeProcess, NodeProcess, NodeProcess], tmp_path: Path
) -> None:
    core, hub, other = tree
    wanted = {core: {"datong", "yangquan"}, hub: {"taiyuan", "yangquan"}, other: {"taiyuan", "datong"}}
    for node, names in wanted.items():
        until(lambda node=node, names=names: {n for n, size in cosigned(node).items() if size} == names)
    before = cosigned(hub)
    hub.json("submit", "--duration", "60s", "--", "true")
    until(lambda: all(size > before[n] for n, size in cosigned(hub).items()))
    # a stranger is told who signed; whom he requires he names by keys that he had safely
    said = checked(hub, tmp_path / "hub")
    assert "cosigned by sanjin/shanxi/taiyuan/witness, 20" in said
    assert "cosigned by sanjin/shanxi/yangquan/witness, 20" in said and "not cosigned" not in said
    keys = hub.json("audit", "key")
    assert [k.split("/")[2] for k in keys["witnesses"]] == ["taiyuan", "yangquan"]
    shown = {core.json("audit", "key")["log"].split("+")[0]: core, keys["log"].split("+")[0]: hub}
    assert list(shown) == ["sanjin/shanxi/taiyuan", "sanjin/shanxi/datong"]
    checked(hub, tmp_path / "hub", "--witness", keys["witnesses"][0], "--witness", keys["witnesses"][1])
    checked(core, tmp_path / "core", "--witness", core.json("audit", "key")["witnesses"][0])


def test_a_missing_witness_is_told_of_and_the_node_goes_on(
    tree: tuple[NodeProcess, NodeProcess, NodeProcess], tmp_path: Path
) -> None:
    _, hub, other = tree
    other.end()
    before = cosigned(hub)
    job = hub.json("submit", "--duration", "60s", "--", "true")["jobs"][0]
    until(lambda: cosigned(hub)["taiyuan"] > before["taiyuan"])
    assert cosigned(hub)["yangquan"] <= before["taiyuan"]
    assert "first" in checked(hub, tmp_path / "hub")  # what it signed last is still told
    assert job in [j["id"] for j in hub.json("jobs")["jobs"]]
    other.up()
    until(lambda: cosigned(hub)["yangquan"] > before["yangquan"])


def test_a_log_that_was_rewritten_or_cut_is_refused_as_tlog_witness_says(
    tree: tuple[NodeProcess, NodeProcess, NodeProcess],
) -> None:
    core, hub, _ = tree
    until(lambda: cosigned(hub).get("taiyuan", 0) > 0)
    hub.end()  # from here on its keys are in the hands of a forger
    device = Device(hub.state / "identity", "shanxi", "datong")
    key = notes.parse_signing((hub.state / "datong" / "log.key").read_text().strip())
    url = f"https://{core.listen}"
    with httpx.Client(base_url=url, verify=device.context(), timeout=10) as http:

        def add(old: int, size: int, root: bytes, proof: list[bytes], by: SigningKey = key) -> httpx.Response:
            text = Checkpoint(key.name, size, root).text()
            return http.post(ADD, content=notes.witness_request(old, proof, f"{text}\n{by.sign(text)}".encode()))

        some = transparency.leaf_hash(b"forged")
        stale = add(0, 1, some, [])
        assert stale.status_code == 409 and stale.headers["content-type"] == "text/x.tlog.size"
        size = int(stale.text)
        assert stale.text == f"{size}\n" and size > 1  # cut: it has signed more
        assert add(size, size, some, []).status_code == 409  # another root of the same size
        assert add(size, size + 1, some, [some]).status_code == 422  # no beginning of what it goes on to
        assert add(size, size + 1, some, []).status_code == 422
        assert add(size, 1, some, []).status_code == 400  # the old size is above the new one
        assert http.post(ADD, content=b"old x\n\n").status_code == 400
        thief = SigningKey(key.name, key.kind, b"t" * 32)
        assert add(size, size, some, [], by=thief).status_code == 403
        strange = Checkpoint("sanjin/shanxi/beijing", 0, transparency.EMPTY).text()
        note = f"{strange}\n{key.sign(strange)}".encode()
        assert http.post(ADD, content=notes.witness_request(0, [], note)).status_code == 404
        assert http.post("/v1/witness/word", content=b"x").status_code == 400
        assert base64.b64encode(some).decode() not in (core.state / "taiyuan" / "cosigner" / "seen.json").read_text()
    trusting = device.context(with_certificate=False)
    assert httpx.post(f"{url}{ADD}", content=b"x", verify=trusting).status_code == 403  # no certificate
    assert httpx.post(f"{core.told['url']}{ADD}", content=b"x").status_code in (401, 403, 404)
