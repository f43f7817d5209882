"""A whole region in one thread on virtual time: real nodes, and everything that a plan does to them."""

from __future__ import annotations

import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.supply import PriceBook, Supply
from sanjin.model.errors import KeyReused, ProblemsFound, StoreFailed
from sanjin.model.job import JobState, Submission
from sanjin.model.network import network_of
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.ports import Mover, Publication, Store, Transfer
from sanjin.tree import node as node_module
from sanjin.tree.inbox import Moved, Published
from sanjin.tree.node import Node, Parts
from tests.faults.invariants import Checks, Violation
from tests.faults.machines import Crash as Dies
from tests.faults.machines import Door, SimClock, SimEngine, SimMover
from tests.faults.network import HOLD_S, Ends, Timeline, Wires
from tests.faults.plan import Cancel, Crash, Full, Plan, PowerCut, Submit, region_of

SLOTS = 48
"""Slots that nodes look ahead here: half a day, so that waiting work ends before long and offers stay small."""

VIEW_CHECK_S = 600.0
REST_S = 40 * HOUR_S
"""How long after its healing the region may take to come to rest, at most."""

PUBLISH_S = 20
"""How long registering what a run left takes."""

GIVE_UP_S = 6 * HOUR_S
"""When clients give up what has found no place or no budget by then, counted from the healing."""

TRACE_LINES = 4000


class SimCarrier:
    """Data arrive, and are registered, on virtual time."""

    def __init__(self, node: SimNode, world: World, tell: Callable[[object], None]) -> None:
        self._node, self._world, self._tell = node, world, tell
        self._life = world.lives[node.name]

    def fetch(self, transfers: Sequence[Transfer]) -> None:
        for t in transfers:
            wait = max(t.done_at_s - self._node.parts.clock.now(), 0)
            self._world.time.after(wait, lambda t=t: self._told(lambda: Moved(self._mover.fetch([t]))))

    def publish(self, publications: Sequence[Publication]) -> None:
        for p in publications:
            self._world.time.after(PUBLISH_S, lambda p=p: self._told(lambda: Published(self._mover.publish([p]))))

    @property
    def _mover(self) -> Mover:
        return self._node.parts.mover

    def _told(self, what: Callable[[], object]) -> None:
        name = self._node.name
        if self._world.lives[name] == self._life and self._world.nodes.get(name) is self._node:
            self._tell(what())
            self._world.wake(name)

    def close(self) -> None:
        pass


class SimNode(Node):
    """The real node, but for one thing: data arrive on virtual time, not on a thread's."""

    def __init__(self, world: World, name: str, parts: Parts, *rest: object) -> None:
        self._world = world
        super().__init__(name, parts, *rest)

    def _carrier(self) -> SimCarrier:
        return SimCarrier(self, self._world, self._inbox.put)


@lru_cache(maxsize=8)
def _places(parents: tuple[tuple[str, str], ...], cores: tuple[tuple[str, tuple[int, ...]], ...]):
    region = region_of(_bare(parents, cores))
    return region, network_of(region), PriceBook(region, SLOTS)


def _bare(parents: tuple[tuple[str, str], ...], cores: tuple[tuple[str, tuple[int, ...]], ...]) -> Plan:
    return Plan(seed=0, hours=1, parents=dict(parents), cores=dict(cores), drift={}, sqlite=False, events=())


class World:
    """One life of a plan. ``run`` raises :class:`Violation` at the first invariant that does not hold.

    ``traced`` keeps what happens in ``trace``. ``compare`` also compares nodes' memory with their stores.
    """

    def __init__(self, plan: Plan, traced: bool = False, compare: bool = True) -> None:
        self.plan, self.traced, self._compare = plan, traced, compare
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.time = Timeline()
        self.region, self._network, self._book = _places(tuple(plan.parents.items()), tuple(plan.cores.items()))
        supply = Supply(self.region, self.region.root().id, self._book, SLOTS)
        self.checks = Checks(self.region, supply, self.tell)
        self.lives: dict[str, int] = dict.fromkeys(plan.parents, 0)
        """A number for each life of a node that is up; less than 1 while it is down."""
        self.nodes: dict[str, Node] = {}
        self._born: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._failed: set[str] = set()
        self._armed: dict[str, list[list[object]]] = {n: [] for n in plan.parents}
        self._viewed: dict[str, float] = {}
        self._down_s: dict[str, float] = {}
        self._folder: Path | None = None
        self._jobs_of_key: dict[str, tuple[str, list[str]]] = {}
        self._healed = False
        ends = Ends(
            life=lambda n: self.lives[n], answer=lambda n, r: self.nodes[n].answer(r), wake=self.wake,
            arrived=self._arrived, leaving=lambda n: self._point(n, "before_send"), tell=self.tell,
        )  # fmt: skip
        self.wires = Wires(plan, self.time, ends, self.counts)
        clocks = {n: SimClock(plan, n, self.time) for n in plan.parents}
        self.clocks = clocks
        kept: dict[str, float] = {}
        self.engines = {
            n: SimEngine(n, plan.seed, self.time, clocks[n], self._point, self._began, self._over, kept)
            for n in plan.parents
        }
        self.movers = {
            n: SimMover(n, plan.seed, {d.id for d in self.region.datasets.values() if n in d.replicas}, kept)
            for n in plan.parents
        }
        self._memory: dict[str, MemoryStore] = {n: MemoryStore() for n in plan.parents}

    def tell(self, what: str) -> None:
        """Write a line of the trace."""
        if self.traced:
            self.trace.append(f"{self.time.now:10.3f}  {what}")
            del self.trace[:-TRACE_LINES]

    # -- the life of a node

    def _store(self, name: str) -> Store:
        if not self.plan.sqlite:
            return self._memory[name]
        assert self._folder is not None
        return SqliteStore(self._folder / name / "state.db")

    def boot(self, name: str) -> None:
        """Start a node from what is durable."""
        if self.lives[name] > 0:
            return
        self._born[name] += 1
        self.lives[name] = self._born[name]
        parts = Parts(
            region=self.region, network=self._network, book=self._book, clock=self.clocks[name], slots=SLOTS,
            store=Door(name, self._store(name), self._point, self._is_full, self._committed),
            engine=self.engines[name], mover=self.movers[name], policy=Policy(price_refresh_hours=0),
        )  # fmt: skip
        parent = self.plan.parents[name]
        self.tell(f"{name}: starts, life {self._born[name]}")

        def begin() -> None:
            node = SimNode(self, name, parts, self.wires.uplink(name, parent) if parent else None, self._heard)
            self.nodes[name] = node
            node.open("simulated")
            self._look_up(name)

        self._guarded(name, begin)

    def _guarded(self, name: str, action: Callable[[], object]) -> None:
        """Let a node act; it may die of it, or find its disk full."""
        try:
            action()
        except Dies:
            self.die(name)
        except StoreFailed as fault:
            self._store_failed(name, fault)
        except Violation as found:
            self.checks.fail(found.name, found.what)
        except Exception:
            self.checks.fail("a turn does not fail", f"{name}: {traceback.format_exc(limit=-6)}")

    def _store_failed(self, name: str, fault: StoreFailed) -> None:
        self.counts["store failures"] += 1
        self.tell(f"{name}: {fault}")
        if not self._is_full(name):
            self.checks.fail("a commit fails only where the disk is full", f"{name}: {fault}")
        if name not in self.nodes:  # it could not even begin: the process ends, and is started again
            self.lives[name] = 0
            self.time.after(5.0, lambda: self.boot(name))
            return
        self._failed.add(name)
        life = self.lives[name]
        self.time.after(node_module.RETRY_WALL_S, lambda: self._rebuild(name, life))

    def _rebuild(self, name: str, life: int) -> None:
        """What the node's thread does a while after a commit failed."""
        if self.lives[name] == life:
            self._failed.discard(name)
            self._guarded(name, self.nodes[name]._rebuild)
            self.wake(name)

    def die(self, name: str, down_s: float | None = None) -> None:
        """The node's process is gone; its engine's runs and its store are not."""
        self.counts["crashes"] += 1
        self.lives[name] = 0
        self._failed.discard(name)
        node = self.nodes.pop(name, None)
        if node is not None:
            node._stop = True
            if self.plan.sqlite:
                node.parts.store.close()
        wait = self._down_s.pop(name, 1.0) if down_s is None else down_s
        self.tell(f"{name}: dies, back in {wait:.1f} s")
        self.time.after(wait, lambda: self.boot(name))

    def _point(self, name: str, where: str) -> None:
        """A place where a node may die. Raises Dies where the plan says so."""
        for armed in self._armed[name]:
            crash: Crash = armed[0]
            if crash.where == where:
                if armed[1] > 0:
                    armed[1] -= 1
                    continue
                self._armed[name].remove(armed)
                self._down_s[name] = crash.down_s
                self.counts[f"crash {where}"] += 1
                self.tell(f"{name}: dies {where}")
                raise Dies

    def _arrived(self, name: str) -> None:
        try:
            self._point(name, "answer_arrived")
        except Dies:
            self.die(name)

    def _is_full(self, name: str) -> bool:
        now = self.time.now
        full = (e for e in self.plan.events if isinstance(e, Full) and e.node == name)
        return not self._healed and any(e.at_s <= now < e.until_s for e in full)

    # -- turns

    def wake(self, name: str, wait: float = 0.001) -> None:
        """Let the node take a turn before long."""
        when = self.time.now + wait
        if self.lives[name] > 0 and when < self._due.get(name, float("inf")):
            self._due[name] = when
            self.time.at(when, lambda: self._turn(name, when))

    def _turn(self, name: str, when: float) -> None:
        if self._due.get(name) != when:
            return
        del self._due[name]
        if self.lives[name] < 1 or name in self._failed or name not in self.nodes:
            return
        self.counts["steps"] += 1
        self._guarded(name, lambda: self.nodes[name].step(0.0))
        if self.lives[name] > 0 and name not in self._failed:
            self._guarded(name, lambda: self._look_up(name))

    def _look_up(self, name: str) -> None:
        """Plan the node's next turn as its thread would wait for it, but that nothing is asked in vain; and compare
        its memory with its store now and then."""
        node, now = self.nodes[name], self.time.now
        if self._compare and now - self._viewed.get(name, 0.0) > VIEW_CHECK_S:
            self._viewed[name] = now
            self.checks.view(node, whole=False)
        view, clock = node.view, node.parts.clock
        if view.queue or node._found or not node._inbox.empty():
            self.wake(name, 0.01)
            return
        region_now = clock.epoch()
        wait = SLOT_S - region_now % SLOT_S
        for due in (view.starts, view.stops):
            if due:
                ahead = due[0][0] - region_now
                wait = min(wait, ahead if ahead > 0 else 5.0)
        if node._uplink and not node._calling:
            wait = min(wait, max(node._retry_at - now, 0.0))
        if node._uplink and node._sent_version != view.supply.own_version:
            wait = min(wait, max(node._offered_at + node_module.OFFER_WALL_S - now, node._retry_at - now, 0.0))
        for line in node._children.values():
            if line.held:
                wait = min(wait, max(line.held.since + HOLD_S - now, 0.0))
                if line.told_version != view.supply.version:
                    soon = line.told_at + node_module.REFRESH_WALL_S - now
                    wait = min(wait, soon if soon > 0 else HOLD_S)
        self.wake(name, max(wait, 0.0) + 0.002)

    # -- what nodes and engines did

    def _committed(self, name: str, batch: object) -> None:
        self.counts["commits"] += 1
        self.checks.committed(name, batch)

    def _heard(self, name: str, events: object) -> None:
        if self.traced:
            for entry, event in events:
                extra = {k: getattr(event, k) for k in ("child", "peer", "epoch", "run", "state", "reason", "parent")
                         if hasattr(event, k)}  # fmt: skip
                self.tell(f"{name}: {entry.seq} {entry.kind} {entry.job} {extra or ''}")

    def _began(self, name: str, order: object) -> None:
        self.counts["starts"] += 1
        self.tell(f"{name}: engine begins {order.key}")
        self.checks.began(name, order)

    def _over(self, name: str, key: str, reason: object) -> None:
        self.tell(f"{name}: engine ends {key}: {reason}")
        self.checks.ended(name, key, reason)
        self.wake(name)

    # -- what clients do

    def _submit(self, event: Submit, attempt: int = 0, heard: int = 0) -> None:
        """Send a call, and again until it is answered; ``heard`` is how often the node was up to hear it."""
        name = event.node
        rng = random.Random(f"{self.plan.seed}/{event.key}/{attempt}")
        again = self.time.now + rng.choice((1, 10, 90)) * rng.uniform(0.5, 1)

        def retry() -> None:
            self.time.at(max(again, self.time.now + 0.5), lambda: self._submit(event, attempt + 1, heard))

        if heard > 200:
            self.checks.fail("clients are answered", f"{name}: {event.key} was sent {heard} times")
        if self.lives[name] < 1 or name not in self.nodes:
            retry()
            return
        heard += 1
        asked = [Submission(key=f"{event.key}.{i}", spec=s) for i, s in enumerate(event.specs)]
        try:
            future = self.nodes[name].submit(asked)
        except ProblemsFound as found:
            self.counts["refused"] += 1
            self.tell(f"client: {event.key} is refused: {found}")
            return
        state = {"open": True}

        def answered(done: Future[list[JobRecord]]) -> None:
            fault = done.exception()
            if fault is None:
                for s, record in zip(asked, done.result(), strict=True):
                    self.checks.acknowledge(name, s.spec.tenant, s.key, record)
                self._jobs_of_key[event.key] = (name, [r.id for r in done.result()])
                self.tell(f"client: {event.key} is {[r.id for r in done.result()]}")
                if event.twice and state["open"] and attempt < 100:
                    self.counts["repeated submissions"] += 1
                    self.time.after(rng.uniform(1, 2000), lambda: self._submit(event, 100))
            elif isinstance(fault, KeyReused):
                self.checks.fail("one key, one job", f"{name}: {event.key}: {fault}")
            elif state["open"]:
                self.tell(f"client: {event.key} failed: {type(fault).__name__}")
                retry()
            state["open"] = False

        def timeout() -> None:
            if state["open"]:
                state["open"] = False
                self._submit(event, attempt + 1, heard)

        future.add_done_callback(answered)
        self.time.after(90.0, timeout)
        self.wake(name)

    def _cancel(self, job: str, heard: int = 0) -> None:
        name = job.rpartition("-")[0]
        if heard > 200:
            self.checks.fail("clients are answered", f"{name}: the cancel of {job} was sent {heard} times")
        elif self.lives[name] < 1 or name not in self.nodes:
            self.time.after(20.0, lambda: self._cancel(job, heard))
        else:
            self.counts["cancels"] += 1
            self.tell(f"client: cancels {job}")
            life = self.lives[name]
            future = self.nodes[name].cancel(job)
            self.time.after(60.0, lambda: None if _is_answered(future) else self._cancel(job, heard + 1))
            if self.lives[name] == life:
                self.wake(name)

    # -- the plan

    def _arm(self, crash: Crash) -> None:
        if crash.where == "now":
            if self.lives[crash.node] > 0:
                self.counts["crash now"] += 1
                self.die(crash.node, crash.down_s)
        else:
            self._armed[crash.node].append([crash, crash.skip])

    def _schedule(self) -> None:
        for event in self.plan.events:
            if isinstance(event, Submit):
                self.counts["jobs"] += len(event.specs)
                self.time.at(event.at_s, lambda e=event: self._submit(e))
            elif isinstance(event, Cancel):
                self.time.at(event.at_s, lambda e=event: self._cancel_key(e.key))
            elif isinstance(event, Crash):
                self.time.at(event.at_s, lambda e=event: self._arm(e))
            elif isinstance(event, PowerCut):
                self.counts["power cuts"] += 1
                self.time.at(event.at_s, lambda e=event: self.engines[e.node].power_cut())
            else:
                self.counts[{"Cut": "cuts", "Full": "full disks", "Jump": "jumps", "Noise": "noise"}[
                    type(event).__name__]] += 1  # fmt: skip

    def _cancel_key(self, key: str) -> None:
        _, jobs = self._jobs_of_key.get(key, ("", []))
        if jobs:
            self._cancel(jobs[0])

    @contextmanager
    def _set_up(self) -> Iterator[None]:
        held, refresh = node_module.HOLD_WALL_S, node_module.REFRESH_WALL_S
        node_module.HOLD_WALL_S, node_module.REFRESH_WALL_S = HOLD_S, 2.0
        if self.plan.sqlite:
            shm = Path("/dev/shm")
            self._folder = Path(tempfile.mkdtemp(prefix="sanjin-sim-", dir=shm if shm.is_dir() else None))
        try:
            yield
        finally:
            node_module.HOLD_WALL_S, node_module.REFRESH_WALL_S = held, refresh
            if self._folder is not None:
                for node in self.nodes.values():
                    node.parts.store.close()
                shutil.rmtree(self._folder, ignore_errors=True)

    def run(self) -> None:
        """Live the plan, heal, wait until all is at rest, and check that. Raises Violation."""
        with self._set_up():
            self._schedule()
            for i, name in enumerate(self.plan.parents):
                self.time.at(0.1 * i, lambda n=name: self.boot(n))
            self._until(self.plan.length_s)
            self._heal()
            self._settle()
            for node in self.nodes.values() if self._compare else ():
                self.checks.view(node, whole=True)
            self.checks.at_rest(self.nodes)
            self._raise()

    def _raise(self) -> None:
        if self.checks.found is not None:
            raise self.checks.found

    def _until(self, when: float) -> None:
        while self.time.next_s() <= when:
            self.time.step()
            if self.checks.found is not None:
                raise self.checks.found
        self.time.now = max(self.time.now, when)

    def _heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.tell("the world heals")
        self._healed = True
        for armed in self._armed.values():
            armed.clear()
        for name in self.plan.parents:
            self.boot(name)

    def _settle(self) -> None:
        """Wait until nothing is left to do; clients give up what nobody can take."""
        end, given_up = self.plan.length_s + REST_S, False
        while self.time.now < end:
            self._until(self.time.now + SLOT_S)
            if not given_up and self.time.now > self.plan.length_s + GIVE_UP_S:
                given_up = True
                for record in self.checks.unfinished():
                    holder = self.checks.holder_of(record.id)
                    waits = holder is not None and holder.state in (JobState.HELD, JobState.QUEUED, JobState.DIVIDED)
                    if waits:
                        self._cancel(record.id)
            if not self.checks.unfinished() and not any(n.view.jobs for n in self.nodes.values()):
                break
        self._until(self.time.now + SLOT_S + 300)


def _is_answered(future: Future[bool]) -> bool:
    return future.done() and future.exception() is None
