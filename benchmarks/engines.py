"""What a job costs more when it comes to a site's cluster through a node: Slurm and Ray, each a real one on this
machine (root).

- overhead: milliseconds from the call that submits to the first line that the job writes, one job at a time, by turns
  through a node (HTTP, journal, placement, the cluster's own submission, supervisor, sandbox) and by the cluster's own
  way alone, ``sbatch`` or Ray's ``JobSubmissionClient``; medians. Each is submitted at a random moment: Slurm's
  controller looks at what is new once a second.
- throughput: jobs a second from the first submission until all have ended: a batch through a node, and one submission
  after the other of as many by the cluster's own way. Ray gets a tenth of the jobs and a quarter of the rounds: each
  takes it a second or more.

    python benchmarks/engines.py [--rounds 40] [--jobs 300]
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from common import SANJIN, finish

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sanjin.client import Client
from sanjin.model.job import JobSpec
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
    time.sleep(random.random())
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
    time.sleep(random.random())
    began = time.time()
    peer.submit(out)
    wait(lambda: out.exists() and out.read_text().endswith("\n"))
    return (float(out.read_text()) - began) * 1000


def many_by_node(client: Client, jobs: int) -> float:
    """Jobs a second, through the node."""
    began = time.perf_counter()
    names = client.submit([spec(f"j{n}") for n in range(jobs)], node=SITE)
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
def node_on(peer: Peer, folder: Path) -> Iterator[Client]:
    """A region in which the site has this cluster."""
    state, document = folder / "state", folder / "engines.yaml"
    document.write_text(f"engines:\n  {SITE}: {{folder: {folder}/shared, {peer.settings}}}\n")
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
            with node_on(peer, folder) as client:
                by_node(client), by_peer(peer, folder)  # the first of each is not like the others
                ours, plain = list[float](), list[float]()
                for _ in range(rounds):
                    ours.append(by_node(client))
                    wait(peer.idle)
                    plain.append(by_peer(peer, folder))
                    wait(peer.idle)
                through, alone = many_by_node(client, jobs), many_by_peer(peer, jobs)
        finally:
            peer.lab.stop()
    print(f"{f'{peer.name}: to the first line, ms':40} {'median':>8} {'p95':>8}")
    for name, values in (("through a node", ours), (peer.way, plain)):
        print(f"{name:40} {statistics.median(values):8.0f} {statistics.quantiles(values, n=20)[-1]:8.0f}")
    print(f"{jobs} jobs until all have ended: {through:.2f}/s through a node, {alone:.2f}/s by {peer.way}")
    return {
        "through_node_ms": round(statistics.median(ours)), "alone_ms": round(statistics.median(plain)),
        "jobs_s": round(through, 2), "jobs_s_alone": round(alone, 2),
    }  # fmt: skip


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--jobs", type=int, default=300)
    given = options.parse_args()
    slurm = measure(SlurmPeer, given.rounds, given.jobs)
    ray = measure(RayPeer, max(given.rounds // 4, 2), max(given.jobs // 10, 2))
    finish(
        "engines", slurm["through_node_ms"] - slurm["alone_ms"],
        "ms more than sbatch, median, from submission to the first line", GOAL_MS,
        {"sbatch": slurm["alone_ms"], "ray": ray["alone_ms"]}, slurm=slurm, ray=ray,
    )  # fmt: skip


if __name__ == "__main__":
    main()
