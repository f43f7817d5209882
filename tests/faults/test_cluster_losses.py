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

from sanjin.adapters.engines import cluster_engine
from sanjin.adapters.engines.cluster import (
    ClusterAway,
    ClusterRefused,
    Machine,
    Seen,
    Shape,
    Tasks,
    TaskState,
)
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.ports import EndReason, RunOrder, RunState
from tests.support import until

RUNS = 6


class Adversary:
    """Takes batches and says it did not, says it did and forgets them, runs a task twice, kills, cancels, is away."""

    name = "played"
    accounts = None
    batch_max = 1000

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.calm = False
        """From when on it does what it is asked, so that all can end."""
        self.known: dict[tuple[str, int], TaskState] = {}
        self.threads: list[threading.Thread] = []
        self.refusals = 1

    def happens(self, share: float) -> bool:
        return not self.calm and self.chance.random() < share

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        if self.happens(0.2):
            raise ClusterAway("away before it took them")
        if self.refusals and self.happens(0.1):
            self.refusals -= 1
            raise ClusterRefused("not now")
        if not self.happens(0.15):  # else they are lost for good
            for index in range(count):
                self.known[batch, index] = TaskState.WAITS
                for _ in range(2 if self.happens(0.2) else 1):
                    delay, kill = self.chance.random() * 0.6, self.chance.random() * 0.3 if self.happens(0.2) else 0.0
                    given = (batch, index, script, delay, kill)
                    thread = threading.Thread(target=self.run, args=given, daemon=True)
                    self.threads.append(thread)
                    thread.start()
        if self.happens(0.3):
            raise ClusterAway("the answer was lost")

    def run(self, name: str, index: int, script: Sequence[str], delay: float, kill: float) -> None:
        time.sleep(delay)
        if self.known.get((name, index)) is TaskState.CANCELLED:
            return
        self.known[name, index] = TaskState.LIVES
        task = subprocess.Popen(["sh", *script, str(index)], env={}, start_new_session=True)
        if kill:
            time.sleep(kill)
            os.killpg(task.pid, signal.SIGKILL)
        status = task.wait()
        self.known[name, index] = TaskState.FAILED if status and not kill else TaskState.OVER

    def tasks(self, prefix: str) -> Tasks:
        if self.happens(0.2):
            raise ClusterAway("away")
        found = Tasks()
        for (name, index), state in list(self.known.items()):
            if state is TaskState.WAITS and self.happens(0.03):
                self.known[name, index] = state = TaskState.CANCELLED
            if not (state is TaskState.OVER and self.happens(0.3)):
                found.add(name, index, Seen(task=f"{name}_{index}", state=state, said=state))
        return found

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        if self.happens(0.2):
            raise ClusterAway("away")
        for (name, index), state in list(self.known.items()):
            if state is TaskState.WAITS and f"{name}_{index}" in tasks:
                self.known[name, index] = TaskState.CANCELLED

    def largest(self) -> Machine:
        return Machine(cores=8, memory_mib=8000, cards=0)

    def passes(self, sandbox: str) -> dict[str, str]:
        return {}


def order(key: str) -> RunOrder:
    code = "echo x >> $SANJIN_OUTPUTS/count; sleep 0.1"
    return RunOrder(key=key, command=("sh", "-c", code), time_limit_s=30.0)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_cluster_does_a_run_begins_at_most_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("POLL_S", 0.05), ("RETRY_S", 0.02), ("SETTLE_S", 0.3)):
        monkeypatch.setattr(cluster_engine, name, value)
    cluster, keys = Adversary(seed), [f"r{n}" for n in range(RUNS)]
    chance = random.Random(-seed - 1)
    engine = ClusterEngine(tmp_path, cluster, sandbox="none")
    asked: set[str] = set()
    engine.start([order(key) for key in keys])
    for _ in range(4):
        time.sleep(chance.random() * 0.4)
        if chance.random() < 0.5:  # the node is killed, and comes back
            engine.close()
            engine = ClusterEngine(tmp_path, cluster, sandbox="none")
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
            assert key in asked or TaskState.CANCELLED in cluster.known.values(), (seed, report)
        else:
            assert report.state is RunState.INTERRUPTED, (seed, report)
