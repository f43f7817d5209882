"""A cluster that loses, repeats and forgets: whatever it does, a run begins at most once and every end is told rightly.

The cluster is played; the script of a batch, the supervisors and the runs are real processes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sanjin.adapters.engines import slurm
from sanjin.adapters.engines.slurm import SlurmEngine
from sanjin.adapters.engines.slurm_commands import (
    Machine,
    Seen,
    Shape,
    SlurmAway,
    SlurmCommands,
    SlurmRefused,
    Tasks,
)
from sanjin.model.engines import EngineSettings
from sanjin.ports import EndReason, RunOrder, RunState
from tests.support import until

RUNS = 6


class Adversary(SlurmCommands):
    """Takes batches and says it did not, says it did and forgets them, runs a task twice, kills, cancels, is away."""

    def __init__(self, seed: int) -> None:
        super().__init__(EngineSettings())
        self.chance = random.Random(seed)
        self.calm = False
        """From when on it does what it is asked, so that all can end."""
        self.known: dict[tuple[str, int], str] = {}
        self.threads: list[threading.Thread] = []
        self.refusals = 1

    def happens(self, share: float) -> bool:
        return not self.calm and self.chance.random() < share

    def submit(self, name: str, count: int, shape: Shape, script: Sequence[str | Path], folder: Path) -> None:
        if self.happens(0.2):
            raise SlurmAway("away before it took them")
        if self.refusals and self.happens(0.1):
            self.refusals -= 1
            raise SlurmRefused("not now")
        if not self.happens(0.15):  # else they are lost for good
            for index in range(count):
                self.known[name, index] = "PENDING"
                for _ in range(2 if self.happens(0.2) else 1):
                    delay, kill = self.chance.random() * 0.6, self.chance.random() * 0.3 if self.happens(0.2) else 0.0
                    given = (name, index, [str(word) for word in script], delay, kill)
                    thread = threading.Thread(target=self.run, args=given, daemon=True)
                    self.threads.append(thread)
                    thread.start()
        if self.happens(0.3):
            raise SlurmAway("the answer was lost")

    def run(self, name: str, index: int, script: list[str], delay: float, kill: float) -> None:
        time.sleep(delay)
        if self.known.get((name, index)) == "CANCELLED":
            return
        self.known[name, index] = "RUNNING"
        environment = {"SLURM_JOB_NAME": name, "SLURM_ARRAY_TASK_ID": str(index)}
        task = subprocess.Popen(["sh", *script], env=environment, start_new_session=True)
        if kill:
            time.sleep(kill)
            os.killpg(task.pid, signal.SIGKILL)
        status = task.wait()
        self.known[name, index] = "NODE_FAIL" if kill else "FAILED" if status else "COMPLETED"

    def tasks(self, prefix: str) -> Tasks:
        if self.happens(0.2):
            raise SlurmAway("away")
        found = Tasks()
        for (name, index), state in list(self.known.items()):
            if state == "PENDING" and self.happens(0.03):
                self.known[name, index] = state = "CANCELLED"
            if not (state == "COMPLETED" and self.happens(0.3)):
                found.add(name, index, Seen(job=f"{name}_{index}", state=state, reason=""))
        return found

    def cancel_waiting(self, jobs: Sequence[str]) -> None:
        if self.happens(0.2):
            raise SlurmAway("away")
        for (name, index), state in list(self.known.items()):
            if state == "PENDING" and f"{name}_{index}" in jobs:
                self.known[name, index] = "CANCELLED"

    def largest(self) -> Machine:
        return Machine(cores=8, memory_mib=8000, cards=0)


def order(key: str) -> RunOrder:
    code = "echo x >> $SANJIN_OUTPUTS/count; sleep 0.1"
    return RunOrder(key=key, command=("sh", "-c", code), time_limit_s=30.0)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_cluster_does_a_run_begins_at_most_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("POLL_S", 0.05), ("RETRY_S", 0.02), ("SETTLE_S", 0.3)):
        monkeypatch.setattr(slurm, name, value)
    cluster, keys = Adversary(seed), [f"r{n}" for n in range(RUNS)]
    chance = random.Random(-seed - 1)
    engine = SlurmEngine(tmp_path, cluster, sandbox="none")
    asked: set[str] = set()
    engine.start([order(key) for key in keys])
    for _ in range(4):
        time.sleep(chance.random() * 0.4)
        if chance.random() < 0.5:  # the node is killed, and comes back
            engine.close()
            engine = SlurmEngine(tmp_path, cluster, sandbox="none")
            found = engine.find(keys)
            engine.start([order(r.key) for r in found if r.state is RunState.ABSENT])
        if chance.random() < 0.5:
            some = chance.sample(keys, 2)
            asked.update(some)
            chance.choice((engine.cancel, engine.stop))(some)
    cluster.calm = True
    until(lambda: {r.key for r in engine.watch()} == set(keys), "all ends", 60)
    told = {r.key: r for r in engine.watch()}
    for thread in cluster.threads:
        thread.join()
    engine.close()
    for key, report in told.items():
        count = tmp_path / "runs" / key / "outputs" / "count"
        times = count.read_text().count("x") if count.exists() else 0
        assert times <= 1, (seed, report)
        if report.reason is EndReason.EXIT:
            assert (report.exit_status, times) == (0, 1), (seed, report)
        elif report.reason is EndReason.NOT_STARTED or "before it began" in report.detail:
            assert times == 0, (seed, report)
        elif report.reason in (EndReason.CANCELLED, EndReason.STOPPED):
            assert key in asked or "CANCELLED" in cluster.known.values(), (seed, report)
        else:
            assert report.state is RunState.INTERRUPTED, (seed, report)
