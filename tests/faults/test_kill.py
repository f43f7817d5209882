"""Kill -9 at any moment: every acknowledged job ends exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.audit import verify
from sanjin.model.job import JobState

ROUNDS = int(os.environ.get("SANJIN_KILL_ROUNDS", "6"))
JOBS_A_ROUND = 8


def life(folder: Path, turn: int, seconds: float, count: int) -> list[str]:
    """One life of the region: killed after ``seconds``, or when it is idle. The ids it acknowledged."""
    program = [sys.executable, str(Path(__file__).parent / "region_process.py"), str(folder), str(turn), str(count)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds, process.send_signal, (signal.SIGKILL,))
    timer.start()
    acknowledged: list[str] = []
    assert process.stdout
    for line in process.stdout:
        word, _, job = line.strip().partition(" ")
        if word == "ack":
            acknowledged.append(job)
        elif word == "idle":
            acknowledged.append("idle")
            process.send_signal(signal.SIGKILL)
    timer.cancel()
    process.wait()
    return acknowledged


def test_every_acknowledged_job_ends_exactly_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("SANJIN_SEED", time.time_ns() % 10**6))
    print("seed", seed)
    rng = random.Random(seed)
    acknowledged, began = list[str](), time.monotonic()
    assert life(tmp_path, ROUNDS + 1, 120.0, 0) == ["idle"]
    up_s = time.monotonic() - began  # on a slow machine lives have to be longer, or none comes as far as to work
    for turn in range(ROUNDS):
        acknowledged += life(tmp_path, turn, up_s * (0.75 + rng.random() * 1.25), JOBS_A_ROUND)
    last = life(tmp_path, ROUNDS, 120.0, 0)
    assert last == ["idle"], f"seed {seed}: the region did not come to rest"
    jobs = [j for j in acknowledged if j != "idle"]
    assert jobs
    for job in jobs:
        node = job.rpartition("-")[0]
        store = SqliteStore(tmp_path / node / "state.db")
        record = store.job(job)
        store.close()
        assert record is not None, f"seed {seed}: {job} was lost"
        assert record.state is JobState.SUCCEEDED, f"seed {seed}: {job} is {record.state} {record.reason}"
        marks = list(tmp_path.glob(f"*/engine/runs/{job}.*/outputs/mark"))
        assert [m.read_text() for m in marks] == ["once\n"], f"seed {seed}: {job} ran {len(marks)} times"
    for node in sorted(p.parent.name for p in tmp_path.glob("*/state.db")):
        store = SqliteStore(tmp_path / node / "state.db")
        assert verify(node, store.journal(limit=10**6), store.tip(), store.ledger()).problems == ()
        store.close()
