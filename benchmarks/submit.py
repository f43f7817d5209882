"""How many jobs a second a live node accepts over HTTP, every one durable before it is acknowledged.

Beside it, where Slurm can be started (``../shared/env/slurm.sh``, as root), the rate of ``sbatch`` on the
same machine. Slurm's controller writes its state every few seconds, not before it answers; so the
comparison is kind to Slurm. Jobs may start in three days at the earliest: nothing runs meanwhile,
but all of them are admitted, priced and placed while more come in.

    python benchmarks/submit.py [--rounds 3] [--no-slurm]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import threading
import time
import uuid
from urllib.parse import urlsplit

from common import SHARED, finish, region_up

BATCH = 1000
BATCHES = 20
CONNECTIONS = 4
CLIENTS = 16
SINGLES = 4000
SBATCHES = 200


def jobs(count: int) -> list[bytes]:
    """Submissions that start in three days."""
    earliest = int(time.time()) + 3 * 86_400
    spec = {
        "name": "benchmark",
        "tenant": "shanxi-univ",
        "command": ["true"],
        "memory_bytes": 1 << 20,
        "duration_s": 600,
        "earliest_start_s": earliest,
    }
    return [json.dumps({"key": str(uuid.uuid4()), "spec": spec}).encode() for _ in range(count)]


def send(url: str, token: str, bodies: list[bytes], kind: str, clients: int) -> float:
    """Send all bodies over this many connections; seconds until the last was acknowledged."""
    address = urlsplit(url).netloc
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    left = list(reversed(bodies))
    guard = threading.Lock()
    faults: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(address)
        while True:
            with guard:
                if not left:
                    return
                body = left.pop()
            connection.request("POST", "/v1/jobs", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 201:
                faults.append(text.decode())

    threads = [threading.Thread(target=work) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if faults:
        raise SystemExit(f"{len(faults)} calls failed: {faults[0][:500]}")
    return took


def placed(url: str, token: str, count: int) -> float:
    """Seconds until none of the jobs waits for a place any more."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    began = time.perf_counter()
    while time.perf_counter() - began < 120:
        connection.request("GET", "/v1/sites", headers={"Authorization": f"Bearer {token}"})
        states: dict[str, int] = {}
        for site in json.loads(connection.getresponse().read()):
            for state, number in site["jobs"].items():
                states[state] = states.get(state, 0) + number
        if sum(states.values()) != count:
            raise SystemExit(f"{count} jobs were acknowledged, {sum(states.values())} are there")
        if not states.get("queued"):
            return time.perf_counter() - began
        time.sleep(0.1)
    raise SystemExit(f"not placed within 120 s: {states}")


def batches(rounds: int) -> tuple[list[float], list[float]]:
    """(acknowledged a second, placed a second) of each round, each on a fresh region."""
    rates, settled = [], []
    for _ in range(rounds):
        lines = jobs(BATCH * BATCHES)
        bodies = [b"\n".join(lines[at : at + BATCH]) for at in range(0, len(lines), BATCH)]
        with region_up() as (url, token, _):
            took = send(url, token, bodies, "application/x-ndjson", CONNECTIONS)
            rates.append(len(lines) / took)
            settled.append(len(lines) / (took + placed(url, token, len(lines))))
    return rates, settled


def singles(rounds: int) -> list[float]:
    """Jobs a second sent one by one by 16 clients."""
    rates = []
    for _ in range(rounds):
        bodies = jobs(SINGLES)
        with region_up() as (url, token, _):
            rates.append(SINGLES / send(url, token, bodies, "application/json", CLIENTS))
    return rates


def slurm() -> float | None:
    """``sbatch`` calls a second by 16 clients on this machine, or None where there is no Slurm."""
    script = SHARED / "env" / "slurm.sh"
    if os.geteuid() != 0 or not script.exists():
        return None
    if subprocess.run(["bash", "-c", "command -v sbatch slurmctld"], capture_output=True).returncode:
        return None
    lab = os.environ.get("SLURM_LAB", "/tmp/lab/slurm")
    environment = {**os.environ, "SLURM_CONF": f"{lab}/etc/slurm.conf"}
    subprocess.run(["bash", str(script), "start"], check=True, capture_output=True, timeout=180)
    try:
        count = SBATCHES
        guard = threading.Lock()

        def work() -> None:
            nonlocal count
            while True:
                with guard:
                    if count <= 0:
                        return
                    count -= 1
                command = ["sbatch", "--begin=now+3days", "--mem=1", "--output=/dev/null", "--wrap=true"]
                subprocess.run(command, env=environment, check=True, capture_output=True)

        threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return SBATCHES / (time.perf_counter() - began)
    finally:
        subprocess.run(["bash", str(script), "stop"], capture_output=True, timeout=60)


def main() -> None:
    """Measure, print a table, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-slurm", action="store_true")
    given = options.parse_args()
    acknowledged, through = batches(given.rounds)
    single = singles(given.rounds)
    sbatch = None if given.no_slurm else slurm()
    rate, one = statistics.median(acknowledged), statistics.median(single)
    print(f"{'what':58} {'jobs/s':>8}  rounds")
    rows = (
        (f"batches of {BATCH:,} over {CONNECTIONS} connections, acknowledged", acknowledged),
        ("the same until all are admitted, priced and placed", through),
        (f"one by one, {CLIENTS} clients (goal 800)", single),
    )
    for name, values in rows:
        print(f"{name:58} {statistics.median(values):8,.0f}  {', '.join(f'{v:,.0f}' for v in values)}")
    if sbatch is None:
        print("Slurm: not here (needs root, Debian's Slurm packages and ../shared/env/slurm.sh)")
    else:
        print(f"{f'Slurm, sbatch by {CLIENTS} clients':58} {sbatch:8,.0f}")
        print(f"ratio: {rate / sbatch:.0f} x in batches, {one / sbatch:.0f} x one by one")
    peers = {} if sbatch is None else {"slurm sbatch": round(sbatch, 1)}
    finish("submit", round(rate), "jobs/s", 5000, peers, single=round(one), placed=round(statistics.median(through)))


if __name__ == "__main__":
    main()
