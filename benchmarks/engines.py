"""What a job costs more when it comes to a Slurm cluster through a node, on one real cluster on this machine (root).

- overhead: milliseconds from the call that submits to the first line that the job writes, one job at a time, by turns
  through a node (HTTP, journal, placement, ``sbatch``, supervisor, sandbox) and by a plain ``sbatch``; medians. Each is
  submitted at a random moment: Slurm's controller looks at what is new once a second.
- throughput: jobs a second from the first submission until all have ended: a batch through a node, and one ``sbatch``
  after the other of as many.

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
from collections.abc import Callable
from pathlib import Path

from common import SANJIN, finish

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sanjin.client import Client
from sanjin.model.job import JobSpec
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


def by_sbatch(lab: SlurmLab, folder: Path) -> float:
    """Milliseconds to the job's first line, by ``sbatch``."""
    out = folder / f"out-{time.monotonic_ns()}"
    time.sleep(random.random())
    began = time.time()
    lab.say("sbatch", "--parsable", "--mem=64", f"--output={out}", f"--wrap={NOW}")
    wait(lambda: out.exists() and out.read_text().endswith("\n"))
    return (float(out.read_text()) - began) * 1000


def many_by_node(client: Client, jobs: int) -> float:
    """Jobs a second, through the node."""
    began = time.perf_counter()
    names = client.submit([spec(f"j{n}") for n in range(jobs)], node=SITE)
    wait(lambda: client.job(names[-1]).state.ended and all(client.job(j).state.ended for j in names))
    return jobs / (time.perf_counter() - began)


def many_by_sbatch(lab: SlurmLab, jobs: int) -> float:
    """Jobs a second, one ``sbatch`` after the other."""
    began = time.perf_counter()
    for _ in range(jobs):
        lab.say("sbatch", "--parsable", "--mem=64", "--output=/dev/null", f"--wrap={NOW}")
    wait(lambda: not lab.say("squeue", "--noheader").strip())
    return jobs / (time.perf_counter() - began)


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--jobs", type=int, default=300)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="sanjin-bench-") as made:
        folder = Path(made)
        lab = SlurmLab(folder / "lab")
        state, document = folder / "state", folder / "engines.yaml"
        document.write_text(
            f"engines:\n  {SITE}: {{engine: slurm, folder: {folder}/shared, conf: {lab.settings.conf}}}\n"
        )
        node: subprocess.Popen[str] | None = None
        try:
            lab.start()
            command = [SANJIN, "engines", "set", str(document), "--state", str(state)]
            subprocess.run(command, check=True, capture_output=True)
            command = [SANJIN, "up", "--state", str(state), "--output", "json"]
            node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert node.stdout is not None
            node.stdout.readline()
            with Client.here(state) as client:
                by_node(client), by_sbatch(lab, folder)  # the first of each is not like the others
                ours, plain = list[float](), list[float]()
                for _ in range(given.rounds):
                    ours.append(by_node(client))
                    plain.append(by_sbatch(lab, folder))
                through, alone = many_by_node(client, given.jobs), many_by_sbatch(lab, given.jobs)
        finally:
            if node is not None:
                node.send_signal(signal.SIGINT)
                node.wait(30)
            lab.stop()
    print(f"{'from submission to the first line, ms':40} {'median':>8} {'p95':>8}")
    for name, values in (("through a node", ours), ("sbatch", plain)):
        print(f"{name:40} {statistics.median(values):8.0f} {statistics.quantiles(values, n=20)[-1]:8.0f}")
    print(f"{given.jobs} jobs until all have ended: {through:.1f}/s through a node, {alone:.1f}/s by sbatch")
    more = statistics.median(ours) - statistics.median(plain)
    finish(
        "engines", round(more), "ms more than sbatch, median, from submission to the first line", GOAL_MS,
        {"sbatch": round(statistics.median(plain))}, through_node_ms=round(statistics.median(ours)),
        jobs_s=round(through, 1), jobs_s_sbatch=round(alone, 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
