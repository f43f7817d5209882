"""What a node stands on and what outlives its crashes: its clock, its engine's runs, its data, its store.

Each is a model but for the store, which is a real one behind a door where the world can make a commit fail or the
node die before or after it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sanjin.model.data import RunOutputs
from sanjin.model.errors import StoreFailed
from sanjin.ports import (
    Batch,
    EndReason,
    EngineInfo,
    Publication,
    PublicationReport,
    RunOrder,
    RunReport,
    RunState,
    Store,
    Transfer,
    TransferReport,
    Usage,
)
from tests.faults.network import Timeline
from tests.faults.plan import START_S, Jump, Plan


class Crash(BaseException):
    """The process is gone. Not an Exception: nothing in a node may catch it and go on."""


class SimClock:
    """A machine's clock: it drifts from true time, and jumps while a :class:`Jump` lasts."""

    rate = 1.0

    def __init__(self, plan: Plan, node: str, timeline: Timeline) -> None:
        self._time, self._length = timeline, plan.length_s
        self._error, self._change = plan.drift[node]
        self._jumps = [e for e in plan.events if isinstance(e, Jump) and e.node == node]

    def epoch(self) -> float:
        """What the machine believes the time to be, seconds UTC."""
        now = self._time.now
        error = self._error + self._change * min(now / self._length, 1.0)
        until = min(now, self._length)
        error += sum(j.by_s for j in self._jumps if j.at_s <= until < j.until_s and now < self._length)
        return START_S + now + error

    def now(self) -> int:
        """The same in whole seconds."""
        return math.floor(self.epoch())

    def wall(self) -> float:
        """Seconds that pass evenly, whatever the clock says."""
        return self._time.now

    def region_at(self, wall_s: float) -> int:
        """The same instant."""
        return int(wall_s)


@dataclass(slots=True)
class Run:
    """A run of an engine: the machine's time when it began, true time when it ends, and how."""

    order: RunOrder
    began_at: float
    began: float
    ends: float
    reason: EndReason
    status: int = 0
    work_s: float = 0.0
    over: bool = False
    interrupted: bool = False
    forgotten: bool = False


@dataclass
class SimEngine:
    """Runs that outlive the node. A key is started once. What each run does is drawn from the seed and its key."""

    node: str
    seed: int
    time: Timeline
    clock: SimClock
    point: Callable[[str, str], None]
    began: Callable[[str, RunOrder], None]
    ended: Callable[[str, str, EndReason | None], None]
    kept: dict[str, float]
    """Seconds of work kept in datasets of checkpoints, at all sites."""
    runs: dict[str, Run] = field(default_factory=dict)
    saved: dict[str, float] = field(default_factory=dict)
    """Seconds of work kept under the name of a checkpoint."""

    def info(self) -> EngineInfo:
        """A model."""
        return EngineInfo(name="simulated", sandbox="none")

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Begin these runs, or some of them where the node dies meanwhile."""
        self.point(self.node, "before_start")
        failed: list[RunReport] = []
        for order in orders:
            if order.key in self.runs:
                continue
            rng = random.Random(f"{self.seed}/{order.key}")
            if rng.random() < 0.01:
                failed.append(RunReport(key=order.key, state=RunState.ENDED, reason=EndReason.NOT_STARTED))
                continue
            self._begin(order, rng)
            self.point(self.node, "after_start")
        return failed

    def _begin(self, order: RunOrder, rng: random.Random) -> None:
        now = self.time.now
        whole = float(order.environment["RUN_S"])
        if order.checkpoint_from:
            self.saved[order.checkpoint] = self.kept[order.checkpoint_from.removeprefix("/")]
        if order.checkpoint:
            whole = max(whole - self.saved.get(order.checkpoint, 0.0), 1.0)
        lasts, reason = whole, EndReason.EXIT
        if order.time_limit_s and lasts > order.time_limit_s:
            lasts, reason = order.time_limit_s, EndReason.TIME_LIMIT
        status = 1 if rng.random() < 0.05 else 0
        run = self.runs[order.key] = Run(order, self.clock.epoch(), now, now + lasts, reason, status)
        self.began(self.node, order)
        if rng.random() < 0.03:
            self.time.after(lasts * rng.random(), lambda: self._interrupt(order.key))
        self.time.at(run.ends, lambda: self._end(order.key, run.ends))

    def _end(self, key: str, when: float) -> None:
        run = self.runs[key]
        if not run.over and run.ends == when:
            run.over = True
            if run.order.checkpoint:
                saved = self.saved.get(run.order.checkpoint, 0.0)
                self.saved[run.order.checkpoint] = saved + run.ends - run.began
            self.ended(self.node, key, run.reason)

    def _interrupt(self, key: str) -> None:
        run = self.runs[key]
        if not run.over:
            run.over, run.interrupted = True, True
            self.ended(self.node, key, None)

    def power_cut(self) -> None:
        """Every run is gone without a result."""
        for key in list(self.runs):
            self._interrupt(key)

    def _report(self, key: str) -> RunReport:
        run = self.runs[key]
        if not run.over:
            return RunReport(key=key, state=RunState.RUNNING)
        if run.interrupted:
            return RunReport(key=key, state=RunState.INTERRUPTED, detail="power cut")
        took, order = run.ends - run.began, run.order
        own = run.reason is EndReason.EXIT
        bad = min(order.members, 2) if run.status and own else 0
        return RunReport(
            key=key, state=RunState.ENDED, reason=run.reason, exit_status=run.status if own else 0,
            started_at=run.began_at, ended_at=run.began_at + took, sandbox="none",
            usage=Usage(wall_s=took, cpu_s=took * order.cores, memory_peak_bytes=2**27,
                        busy_s=took * max(order.members, order.nodes, 1)),
            members_done=(order.members - bad) if own else 0, members_failed=bad, outputs=f"/{key}",
            checkpoint=str(self.saved.get(order.checkpoint, 0.0)) if run.reason is EndReason.STOPPED else "",
        )  # fmt: skip

    def others(self) -> None:
        """Nobody else works here."""

    def watch(self) -> list[RunReport]:
        """Runs that are over and were not forgotten."""
        return [self._report(k) for k, r in self.runs.items() if r.over and not r.forgotten]

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys."""
        absent = RunState.ABSENT
        return [self._report(k) if k in self.runs else RunReport(key=k, state=absent) for k in keys]

    def cancel(self, keys: Sequence[str]) -> None:
        """Ask for the end of these runs, which takes up to two seconds."""
        self._ask(keys, EndReason.CANCELLED, 2.0)

    def stop(self, keys: Sequence[str]) -> None:
        """Ask these runs to stop, which takes up to ten seconds."""
        self._ask(keys, EndReason.STOPPED, 10.0)

    def _ask(self, keys: Sequence[str], reason: EndReason, most_s: float) -> None:
        for key in keys:
            run = self.runs.get(key)
            if run is None or run.over or run.reason is EndReason.CANCELLED:
                continue
            end = self.time.now + most_s * random.Random(f"{self.seed}/{key}/{reason}").random()
            if end < run.ends:
                run.ends, run.reason = end, reason
                self.time.at(end, lambda key=key, end=end: self._end(key, end))

    def discard(self, checkpoints: Sequence[str]) -> None:
        """Remove what these names keep."""
        for name in checkpoints:
            self.saved.pop(name, None)

    def forget(self, keys: Sequence[str]) -> None:
        """Do not report these ends again."""
        for key in keys:
            if key in self.runs:
                self.runs[key].forgotten = True

    def logs(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        """Runs print nothing."""
        return b""

    def outputs(self, key: str) -> RunOutputs:
        """Runs leave nothing."""
        return RunOutputs(registered=True)

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """Runs leave nothing."""
        return b""

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class SimMover:
    """Transfers that succeed, but for one dataset and node in thirty; of the others one in four not at first."""

    node: str
    seed: int
    has: set[str]
    kept: dict[str, float]
    tried: set[str] = field(default_factory=set[str])

    def held(self) -> dict[str, str]:
        """Datasets that are here, in a stated order."""
        return {d: f"/{d}" for d in sorted(self.has)}

    def stored(self) -> list[str]:
        """There is no object store."""
        return []

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """Copy these here."""
        found: list[TransferReport] = []
        for t in transfers:
            if t.dataset not in self.has and random.Random(f"{self.seed}/{self.node}/{t.dataset}").random() < 1 / 30:
                found.append(TransferReport(dataset=t.dataset, fault="checksum"))
                continue
            first = t.dataset not in self.tried
            self.tried.add(t.dataset)
            if first and random.Random(f"{self.seed}/{t.dataset}/{self.node}").random() < 1 / 4:
                found.append(TransferReport(dataset=t.dataset, fault="no answer", away=True))
                continue
            self.has.add(t.dataset)
            found.append(TransferReport(dataset=t.dataset, path=f"/{t.dataset}", sha256="0" * 64))
        return found

    def publish(self, publications: Sequence[Publication]) -> list[PublicationReport]:
        """Register these, but for one run in thirty; each is of another size."""
        found: list[PublicationReport] = []
        for p in publications:
            chance = random.Random(f"{self.seed}/{p.run}")
            if chance.random() < 1 / 30:
                found.append(PublicationReport(run=p.run, dataset=p.dataset, fault="no space left"))
                continue
            self.has.add(p.dataset)
            if p.dataset.endswith(".ckpt"):
                self.kept[p.dataset] = float(p.folder)
            size = chance.randrange(1, 3 * 10**9)
            found.append(PublicationReport(run=p.run, dataset=p.dataset, path=f"/{p.dataset}", bytes=size))
        return found


class Door:
    """A node's way into its real store. All but commits passes through."""

    def __init__(
        self,
        node: str,
        store: Store,
        point: Callable[[str, str], None],
        full: Callable[[str], bool],
        committed: Callable[[str, Batch], None],
    ) -> None:
        self._node, self.inner = node, store
        self._point, self._full, self._committed = point, full, committed

    def commit(self, batch: Batch) -> None:
        """Write the batch, unless the disk is full or the node dies first."""
        if self._full(self._node):
            raise StoreFailed("no space left on device")
        self._point(self._node, "before_commit")
        self.inner.commit(batch)
        self._committed(self._node, batch)
        self._point(self._node, "after_commit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
