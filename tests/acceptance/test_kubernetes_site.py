"""A region of which one site has a Kubernetes cluster (a stand-in's): set by a document, and work runs there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sanjin.client import Client
from sanjin.model.job import Effects, JobSpec, Submission
from tests.kube_lab import NAMESPACE, KubeLab
from tests.live import Region
from tests.support import until

SITE = "datong"


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    found = Region(tmp_path / "state")
    yield found
    if found.process is not None and found.process.poll() is None:
        found.down()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[KubeLab]:
    cluster = KubeLab(tmp_path)
    cluster.start()
    yield cluster
    cluster.stop()


def document(folder: Path, lab: KubeLab) -> str:
    file = folder / "engines.yaml"
    file.write_text(
        f"engines:\n  {SITE}: {{engine: kubernetes, folder: {folder}/shared, kubeconfig: {lab.kubeconfig}, "
        f"namespace: {NAMESPACE}, image: played.example/python, python: {sys.executable}}}\n"
    )
    return str(file)


def job(name: str, code: str, **more: Any) -> Submission:
    spec = JobSpec(name=name, command=("sh", "-c", code), site=SITE, duration_s=60, memory_bytes=64 << 20, **more)
    return Submission(key=name, spec=spec)


def test_work_for_a_site_with_kubernetes_runs_in_its_cluster(region: Region, lab: KubeLab, tmp_path: Path) -> None:
    done = region.run("engines", "set", document(tmp_path, lab))
    assert done.returncode == 0, done.stderr
    assert f"namespace={NAMESPACE}" in done.stdout and "no real kubelet" in done.stderr
    assert "kubelet" in region.run("engines", "show", lang="zh").stderr
    told = region.run("doctor").stdout
    assert "1.20.2" in told and "Kueue" in told
    assert lab.standin is not None
    region.up("--sample-data")
    assert {s["site"]: s["engine"] for s in region.ask("sites")}[SITE] == "kubernetes"
    count = "echo x >> $SANJIN_OUTPUTS/count"
    jobs = [job("hello", count), job("fails", "exit 3"), job("array", "echo $SANJIN_INDEX", members=6)]
    with Client.here(region.state) as client:
        names = client.submit([*jobs, job("once", count, effects=Effects.ONCE)], node="linfen")

    def over() -> bool:
        return all(region.ask(f"jobs/{name}")["state"] in ("succeeded", "failed") for name in names)

    until(over, "end of all jobs", 120)
    hello, fails, array, once = (region.ask(f"jobs/{name}") for name in names)
    assert [r["state"] for r in (hello, array, once)] == ["succeeded"] * 3
    assert (fails["state"], fails["exit_status"], array["members_done"]) == ("failed", 3, 6)
    assert once["site"] == SITE
    runs = tmp_path / "shared" / SITE / "runs"
    assert [p.read_text() for p in runs.glob("*/outputs/count")] == ["x\n"] * 2
    assert region.run("audit", "verify").returncode == 0
    kept = "".join(p.read_text(errors="replace") for p in (region.state, tmp_path / "shared") for p in p.rglob("*.log"))
    assert lab.standin.token not in kept


def test_everything_wrong_with_a_document_for_kubernetes_is_said_at_once(region: Region, tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text(
        "engines:\n"
        "  a: {engine: kubernetes, folder: /x, partition: batch}\n"
        "  b: {engine: kubernetes, folder: /x, python: /p, image: 'i x', kubeconfig: here, data: there}\n"
        "  c: {engine: kubernetes, folder: /x, python: /p, image: i, namespace: Big, claim: a_b, card: gpu}\n"
        "  d: {engine: kubernetes, folder: /x, python: /p, image: 'r.example:5000/a/b@sha256:0a', card: n.com/gpu}\n"
    )
    done = region.run("engines", "set", str(file))
    assert done.returncode == 3
    for words in ("a.image", "a.python", "partition", "i x", "here", "there", "Big", "a_b", "gpu cannot"):
        assert words in done.stderr, words
    assert "engines.yaml:5" not in done.stderr
    assert "不能作为 Kubernetes" in region.run("engines", "set", str(file), lang="zh").stderr
