"""What a job costs more when it comes to a site's cluster through a node: Slurm and Ray, each a real one on this
machine (root).

- overhead: milliseconds from the call that submits to the first line that the job writes, through a node (HTTP,
  journal, placement, the cluster's own submission, supervisor, sandbox) and by the cluster's own way alone, ``sbatch``
  or Ray's ``JobSubmissionClient``: one of each, submitted at the same random moment, since Slurm's controller looks at
  what is new once a second. Told is the median of the differences.
- throughput: jobs a second from the first submission until all have ended: a batch through a node, and one submission
  after the other of as many by the cluster's own way. Ray gets a tenth of the jobs and a quarter of the rounds: each
  takes it a second or more.
- eleven clusters: as many jobs to Shanxi's eleven sites, each with a Slurm cluster of its own, in one batch through one
  node; and to one of them through ``slurmrestd``, one call after the other.

    python benchmarks/engines.py [--rounds 40] [--jobs 300]
"""

from __future__ import annotations

import argparse
import os
import pwd
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import httpx
from common import SANJIN, finish

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sanjin.client import Client
from sanjin.model.job import JobSpec
from sanjin.regions.load import bundled, load_region
from tests.ray_lab import RayLab
from tests.slurm_lab import SlurmLab

SITE, GOAL_MS = "datong", 60.0
NOW = "date +%s.%N"


def spec(name: str) -> JobSpec:
    """A job that says when it began."""
    return JobSpec(
        name=name, command=("sh", "-c", NOW), site=SITE, duration_s=60, memory_bytes=64 << 20,
        delay_price_fen_per_hour=100_000,
    )  # fmt: skip


def wait(what: Callable[[], bool]) -> None:
    """Until something is so."""
    while not what():
        time.sleep(0.02)


def by_node(client: Client) -> float:
    """Milliseconds to the job's first line, through the node."""
    began = time.time()
    (job,) = client.submit([spec("one")], node=SITE)
    wait(lambda: client.job(job).state.ended)
    return (float(b"".join(client.logs(job))) - began) * 1000


class Peer(Protocol):
    """A cluster, and its own way to submit."""

    name: str
    way: str
    lab: Any
    settings: str

    def submit(self, out: Path) -> None:
        """Submit a job that says in this file when it began."""
        ...

    def idle(self) -> bool:
        """Whether all that was submitted has ended."""
        ...


class SlurmPeer:
    name, way = "slurm", "sbatch"

    def __init__(self, folder: Path) -> None:
        self.lab = SlurmLab(folder / "lab")
        self.settings = f"engine: slurm, conf: {self.lab.settings.conf}"

    def submit(self, out: Path) -> None:
        self.lab.say("sbatch", "--parsable", "--mem=64", f"--output={out}", f"--wrap={NOW}")

    def idle(self) -> bool:
        return not self.lab.say("squeue", "--noheader").strip()


class RayPeer:
    name, way = "ray", "JobSubmissionClient"

    def __init__(self, folder: Path) -> None:
        (folder / "lab").mkdir()
        self.lab = RayLab(folder / "lab")
        self.settings = f"engine: ray, address: '{self.lab.address}', token_file: {self.lab.token_file}"
        self._client: Any = None

    def submit(self, out: Path) -> None:
        if self._client is None:
            from ray.job_submission import JobSubmissionClient

            headers = {"Authorization": f"Bearer {self.lab.token_file.read_text()}"}
            self._client = JobSubmissionClient(self.lab.address, headers=headers)
        self._client.submit_job(entrypoint=f"{NOW} > {out}", entrypoint_num_cpus=1, entrypoint_memory=64 << 20)

    def idle(self) -> bool:
        return not self.lab.jobs("PENDING", "RUNNING")


def by_peer(peer: Peer, folder: Path) -> float:
    """Milliseconds to the job's first line, by the cluster's own way."""
    out = folder / f"out-{time.monotonic_ns()}"
    began = time.time()
    peer.submit(out)
    wait(lambda: out.exists() and out.read_text().endswith("\n"))
    return (float(out.read_text()) - began) * 1000


def by_both(client: Client, peer: Peer, folder: Path) -> tuple[float, float]:
    """Milliseconds through the node and by the cluster's own way, from one moment on."""
    time.sleep(random.random())
    with ThreadPoolExecutor(2) as pool:
        ours, plain = pool.submit(by_node, client), pool.submit(by_peer, peer, folder)
        return ours.result(), plain.result()


def many_by_node(client: Client, jobs: int, sites: Sequence[str] = (SITE,)) -> float:
    """Jobs a second, through the node, over these sites by turns."""
    began = time.perf_counter()
    names = client.submit([replace(spec(f"j{n}"), site=sites[n % len(sites)]) for n in range(jobs)], node=SITE)
    wait(lambda: client.job(names[-1]).state.ended and all(client.job(j).state.ended for j in names))
    return jobs / (time.perf_counter() - began)


def many_by_peer(peer: Peer, jobs: int) -> float:
    """Jobs a second, one submission after the other."""
    began = time.perf_counter()
    for _ in range(jobs):
        peer.submit(Path("/dev/null"))
    wait(peer.idle)
    return jobs / (time.perf_counter() - began)


@contextmanager
def node_on(engines: dict[str, str], folder: Path) -> Iterator[Client]:
    """A region in which these sites have clusters."""
    state, document = folder / "state", folder / "engines.yaml"
    rows = "".join(f"  {site}: {{folder: {folder}/shared, {settings}}}\n" for site, settings in engines.items())
    document.write_text(f"engines:\n{rows}")
    command = [SANJIN, "engines", "set", str(document), "--state", str(state)]
    subprocess.run(command, check=True, capture_output=True)
    command = [SANJIN, "up", "--state", str(state), "--output", "json"]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        node.stdout.readline()
        with Client.here(state) as client:
            yield client
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(30)


def measure(make: Callable[[Path], Peer], rounds: int, jobs: int) -> dict[str, Any]:
    """One cluster, started for this: prints its part of the table."""
    with tempfile.TemporaryDirectory(prefix="sanjin-bench-") as made:
        folder = Path(made)
        peer = make(folder)
        try:
            peer.lab.start()
            with node_on({SITE: peer.settings}, folder) as client:
                by_node(client), by_peer(peer, folder)  # the first of each is not like the others
                ours, plain = list[float](), list[float]()
                for _ in range(rounds):
                    both = by_both(client, peer, folder)
                    ours.append(both[0])
                    plain.append(both[1])
                    wait(peer.idle)
                through, alone = many_by_node(client, jobs), many_by_peer(peer, jobs)
        finally:
            peer.lab.stop()
    print(f"{f'{peer.name}: to the first line, ms':40} {'median':>8} {'p95':>8}")
    for name, values in (("through a node", ours), (peer.way, plain)):
        print(f"{name:40} {statistics.median(values):8.0f} {statistics.quantiles(values, n=20)[-1]:8.0f}")
    print(f"{jobs} jobs until all have ended: {through:.2f}/s through a node, {alone:.2f}/s by {peer.way}")
    more = statistics.median(a - b for a, b in zip(ours, plain, strict=True))
    print(f"{'more through a node':40} {more:8.0f}")
    return {
        "more_ms": round(more), "through_node_ms": round(statistics.median(ours)),
        "alone_ms": round(statistics.median(plain)),
        "jobs_s": round(through, 2), "jobs_s_alone": round(alone, 2),
    }  # fmt: skip


def eleven(jobs: int) -> dict[str, float]:
    """Jobs a second over eleven clusters through a node, and over one of them through ``slurmrestd``."""
    with tempfile.TemporaryDirectory(prefix="sanjin-bench-") as made:
        folder = Path(made)
        labs = {site: SlurmLab(folder / site, machines=1) for site in load_region(bundled("shanxi")).nodes}
        try:
            for lab in labs.values():
                lab.start()
            engines = {site: f"engine: slurm, conf: {lab.settings.conf}" for site, lab in labs.items()}
            with node_on(engines, folder) as client:
                many_by_node(client, len(labs), list(labs))
                through = many_by_node(client, jobs, list(labs))
            alone = many_by_rest(labs[SITE], folder, jobs)
        finally:
            for lab in labs.values():
                lab.stop()
    rest = f"{alone:.2f}/s" if alone else "not there"
    print(f"{jobs} jobs over {len(labs)} clusters through a node: {through:.2f}/s; one cluster by slurmrestd: {rest}")
    return {"clusters": len(labs), "jobs_s": round(through, 2), "slurmrestd_jobs_s": round(alone, 2)}


def many_by_rest(lab: SlurmLab, folder: Path, jobs: int) -> float:
    """Jobs a second of one cluster through ``slurmrestd`` on a unix socket; 0 where it does not start."""
    program, user = shutil.which("slurmrestd", path="/usr/sbin:/usr/bin"), pwd.getpwnam("nobody")
    if program is None:
        return 0.0
    there = folder / "rest"
    there.mkdir()
    os.chown(there, user.pw_uid, user.pw_gid)  # it refuses root
    for path in (folder, lab.folder, lab.folder / "munge"):
        path.chmod(0o755)
    server = subprocess.Popen(
        [program, "-s", "openapi/v0.0.38", "-a", "rest_auth/local", f"unix:{there}/sock"],
        user="nobody", group=user.pw_gid, extra_groups=[],
        env={"SLURM_CONF": lab.settings.conf, "PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait(lambda: (there / "sock").exists() or server.poll() is not None)
        if server.returncode is not None:
            return 0.0
        job = {"name": "j", "environment": {"PATH": "/usr/bin:/bin"}, "current_working_directory": "/tmp",
               "standard_output": "/dev/null", "standard_error": "/dev/null", "memory_per_node": 64, "tasks": 1,
               "nodes": 1}  # fmt: skip
        with httpx.Client(transport=httpx.HTTPTransport(uds=f"{there}/sock"), base_url="http://x", timeout=60) as http:
            began = time.perf_counter()
            for _ in range(jobs):
                answer = http.post("/slurm/v0.0.38/job/submit", json={"script": f"#!/bin/sh\n{NOW}\n", "job": job})
                answer.raise_for_status()
            wait(lambda: not lab.say("squeue", "--noheader").strip())
            return jobs / (time.perf_counter() - began)
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--jobs", type=int, default=300)
    given = options.parse_args()
    slurm = measure(SlurmPeer, given.rounds, given.jobs)
    ray = measure(RayPeer, max(given.rounds // 4, 2), max(given.jobs // 10, 2))
    many = eleven(given.jobs)
    finish(
        "engines", slurm["more_ms"],
        "ms more than sbatch, median, from submission to the first line", GOAL_MS,
        {"sbatch": slurm["alone_ms"], "ray": ray["alone_ms"]}, slurm=slurm, ray=ray, many=many,
    )  # fmt: skip


if __name__ == "__main__":
    main()
