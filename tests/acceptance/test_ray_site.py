"""A region of which one site has a real Ray cluster: set by a document, work runs there, is metered and billed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sanjin.client import Client
from sanjin.model.job import Effects, JobSpec, Submission
from tests.live import Region
from tests.ray_lab import RayLab
from tests.support import until

SITE = "datong"


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    found = Region(tmp_path / "state")
    yield found
    if found.process is not None and found.process.poll() is None:
        found.down()


def document(folder: Path, lab: RayLab) -> str:
    file = folder / "engines.yaml"
    file.write_text(
        f"engines:\n  {SITE}: {{engine: ray, folder: {folder}/shared, address: '{lab.address}', "
        f"token_file: {lab.token_file}}}\n"
    )
    return str(file)


def job(name: str, code: str, **more: Any) -> Submission:
    spec = JobSpec(name=name, command=("sh", "-c", code), site=SITE, duration_s=60, memory_bytes=64 << 20, **more)
    return Submission(key=name, spec=spec)


def test_work_for_a_site_with_ray_runs_in_its_cluster(region: Region, ray_lab: RayLab, tmp_path: Path) -> None:
    done = region.run("engines", "set", document(tmp_path, ray_lab))
    assert done.returncode == 0, done.stderr
    assert f"address={ray_lab.address}" in done.stdout and "sandbox: none" in done.stderr
    token = ray_lab.token_file.read_text()
    assert token not in done.stdout + done.stderr + (region.state / "engines.yaml").read_text()
    region.up("--sample-data")
    assert {s["site"]: s["engine"] for s in region.ask("sites")}[SITE] == "ray"
    count = "echo x >> $SANJIN_OUTPUTS/count"
    jobs = [
        job("hello", count),
        job("fails", "exit 3"),
        job("gang", "echo $SANJIN_RANK of $SANJIN_NODES", nodes=2),
        job("array", "echo $SANJIN_INDEX", members=6),
        job("long", f"{count}; sleep 5; {count}", effects=Effects.ONCE),
    ]
    with Client.here(region.state) as client:
        names = client.submit(jobs, node="linfen")
    folder = tmp_path / "shared" / SITE / "runs"
    until(lambda: any(p.read_text() == "x\n" for p in folder.glob("*/outputs/count")), "its first word", 300)
    assert region.down(signal.SIGKILL) == -signal.SIGKILL
    region.up()

    def over() -> bool:
        return all(region.ask(f"jobs/{name}")["state"] in ("succeeded", "failed") for name in names)

    until(over, "end of all jobs", 300)
    hello, fails, gang, array, long = (region.ask(f"jobs/{name}") for name in names)
    assert [r["state"] for r in (hello, gang, array, long)] == ["succeeded"] * 4
    assert (fails["state"], fails["exit_status"], array["members_done"]) == ("failed", 3, 6)
    assert all(r["site"] == SITE for r in (hello, gang, long))
    assert long["facility_mwh"] > 0
    counts = sorted(len(p.read_text().split()) for p in folder.glob("*/outputs/count"))
    assert counts == [1, 2]  # each begun once, though the node was killed
    assert region.run("audit", "verify").returncode == 0
    log = "".join(p.read_text(errors="replace") for p in region.state.rglob("*.log"))
    assert token not in log


def test_everything_wrong_with_a_document_for_ray_is_said_at_once(region: Region, tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text(
        "engines:\n"
        "  a: {engine: ray, partition: batch}\n"
        "  b: {engine: ray, folder: here, address: 'ray://head:10001'}\n"
        "  c: {engine: ray, folder: /x, address: 'http://root:secret@head:8265'}\n"
        "  d: {engine: ray, folder: /x, address: 'http://head:8265', token_file: /t}\n"
        "  e: {engine: ray, folder: /x, address: 'http://head:99999'}\n"
        "  f: {engine: ray, folder: /x, address: 'http://[::1]:8265', token_file: /t}\n"
        "  g: {engine: ray, folder: /x, address: 'https://head', token_file: t}\n"
    )
    done = region.run("engines", "set", str(file))
    assert done.returncode == 3
    said = done.stderr.splitlines()
    for line, words in ((2, "folder"), (2, "address"), (2, "partition"), (3, "here"), (3, "ray://"), (4, "head:8265"),
                        (5, "ssh -L"), (6, "99999"), (8, "whole path")):  # fmt: skip
        assert any(f"engines.yaml:{line}" in one and words in one for one in said) or words in done.stderr, words
    assert "secret" not in done.stderr
    assert "engines.yaml:7" not in done.stderr
    assert "令牌将以明文" in region.run("engines", "set", str(file), lang="zh").stderr


def test_a_token_that_others_may_read_keeps_the_region_from_starting(region: Region, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    file = tmp_path / "engines.yaml"
    address = "http://127.0.0.1:1"
    file.write_text(
        f"engines:\n  {SITE}: {{engine: ray, folder: {tmp_path}/shared, address: '{address}', token_file: {token}}}\n"
    )
    assert region.run("engines", "set", str(file)).returncode == 0
    done = region.run("up")
    assert done.returncode == 3
    assert f"chmod 600 {token}" in done.stderr
