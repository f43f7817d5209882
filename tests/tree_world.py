"""A whole region on a virtual clock, stepped by hand: real loops and stores, modelled engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sanjin.adapters.clock import VirtualClock
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.supply import PriceBook
from sanjin.model.data import RunOutputs
from sanjin.model.network import network_of
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import SLOT_S
from sanjin.ports import (
    ClusterUse,
    EndReason,
    EngineInfo,
    Publication,
    PublicationReport,
    RunOrder,
    RunReport,
    RunState,
    Transfer,
    TransferReport,
    Usage,
)
from sanjin.regions.load import bundled, load_region
from sanjin.tree.exchange import Switchboard
from sanjin.tree.inbox import Moved, Published
from sanjin.tree.node import Node, Parts
from sanjin.tree.set_back import Restored

START_S = 1_784_071_800  # 2026-07-15 07:30 in Shanxi


@dataclass
class ModelEngine:
    """Runs that last ``run_s`` on the clock, or as long as ``$RUN_S`` says; remembers every start.

    What a stopped run has done is kept under the name of its checkpoint. Members of an array run all at
    once; those that ``$FAIL`` names ("3,5") fail.
    """

    clock: VirtualClock
    kept: dict[str, int] = field(default_factory=dict)
    """What datasets of checkpoints hold, at all sites: seconds that are done."""
    run_s: int = 600
    started: dict[str, int] = field(default_factory=dict)
    lasts: dict[str, int] = field(default_factory=dict)
    orders: dict[str, RunOrder] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    use: ClusterUse | None = None

    def others(self) -> ClusterUse | None:
        return self.use

    def info(self) -> EngineInfo:
        return EngineInfo(name="model", sandbox="none")

    def start(self, orders: list[RunOrder]) -> list[RunReport]:
        for order in orders:
            self.started.setdefault(order.key, self.clock.now())
            if order.key not in self.orders:
                if order.checkpoint_from:
                    self.done[order.checkpoint] = self.kept[order.checkpoint_from.removeprefix("/")]
                whole = int(order.environment.get("RUN_S", self.run_s))
                self.lasts[order.key] = max(whole - self.done.get(order.checkpoint, 0), 1)
            self.orders[order.key] = order
        return []

    def _report(self, key: str) -> RunReport | None:
        begin, run_s = self.started[key], self.lasts[key]
        asked = key in self.cancelled or key in self.stopped
        if not asked and self.clock.now() < begin + run_s:
            return None
        reason = EndReason.STOPPED if asked else EndReason.EXIT
        reason = EndReason.CANCELLED if key in self.cancelled else reason
        order, over = self.orders[key], 0 if asked else 1
        indexes = range(order.first_member, order.first_member + order.members)
        bad = [i for i in map(int, filter(None, order.environment.get("FAIL", "").split(","))) if i in indexes]
        return RunReport(
            key=key,
            state=RunState.ENDED,
            reason=reason,
            started_at=begin,
            ended_at=min(begin + run_s, self.clock.now()),
            usage=Usage(
                wall_s=min(run_s, self.clock.now() - begin),
                cpu_s=run_s * 0.9,
                memory_peak_bytes=2**28,
                busy_s=min(run_s, self.clock.now() - begin) * max(order.members, order.nodes),
            ),
            sandbox="none",
            exit_status=1 if (bad or "EXIT" in order.environment) and over else 0,
            outputs=f"/{key}",
            checkpoint=str(self.done.get(order.checkpoint, 0)) if key in self.stopped else "",
            members_done=(order.members - len(bad)) * over,
            members_failed=len(bad) * over,
        )

    def watch(self) -> list[RunReport]:
        found = [self._report(k) for k in self.started if k not in self.over]
        return [r for r in found if r]

    def find(self, keys: list[str]) -> list[RunReport]:
        return [RunReport(key=k, state=RunState.RUNNING if k in self.started else RunState.ABSENT) for k in keys]

    def cancel(self, keys: list[str]) -> None:
        self.cancelled.update(keys)

    def stop(self, keys: list[str]) -> None:
        for key in keys:
            if key not in self.stopped and self.clock.now() < self.started[key] + self.lasts[key]:
                name = self.orders[key].checkpoint
                self.done[name] = self.done.get(name, 0) + self.clock.now() - self.started[key]
                self.stopped.add(key)

    def discard(self, checkpoints: list[str]) -> None:
        for name in checkpoints:
            self.done.pop(name, None)

    def forget(self, keys: list[str]) -> None:
        self.over.update(keys)

    def logs(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        return b""

    def outputs(self, key: str) -> RunOutputs:
        return RunOutputs(registered=True)

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


@dataclass
class ModelMover:
    """Every transfer succeeds, and every publication, but for those of the jobs in ``full``."""

    has: set[str]
    kept: dict[str, int] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)

    def held(self) -> dict[str, str]:
        return {d: f"/{d}" for d in self.has}

    def stored(self) -> list[str]:
        return []

    def fetch(self, transfers: list[Transfer]) -> list[TransferReport]:
        return [TransferReport(dataset=t.dataset, path=f"/{t.dataset}", sha256="0" * 64) for t in transfers]

    def publish(self, publications: list[Publication]) -> list[PublicationReport]:
        found = []
        for p in publications:
            fault = "no space left" if p.dataset.rpartition(".")[0] in self.full else ""
            found.append(
                PublicationReport(run=p.run, dataset=p.dataset, path=f"/{p.dataset}", bytes=10**9, fault=fault)
            )
            if not fault:
                self.has.add(p.dataset)
            if p.dataset.endswith(".ckpt"):
                self.kept[p.dataset] = int(p.folder)
        return found


class WorldCarrier:
    """Data arrive, and are registered, when the world takes a turn at the time that the model of the links says."""

    def __init__(self, node: Node, tell: Callable[[object], None]) -> None:
        self._parts, self._tell = node.parts, tell
        self._coming: list[Transfer] = []

    def fetch(self, transfers: Sequence[Transfer]) -> None:
        self._coming += transfers

    def publish(self, publications: Sequence[Publication]) -> None:
        if publications:
            self._tell(Published(self._parts.mover.publish(publications)))

    def take_in(self) -> None:
        now = self._parts.clock.now()
        come = [t for t in self._coming if t.done_at_s <= now]
        self._coming = [t for t in self._coming if t.done_at_s > now]
        if come:
            self._tell(Moved(self._parts.mover.fetch(come)))

    def close(self) -> None:
        pass


class WorldNode(Node):
    carrier: WorldCarrier

    def _carrier(self) -> WorldCarrier:
        return WorldCarrier(self, self._inbox.put)


def shrunk(region: Region, node: str, cores: int) -> Region:
    """The region with one pool of this many cores at ``node``."""
    model = region.nodes[node]
    first = model.site.pools[0]
    pool = replace(first, cores=cores, memory_bytes=cores << 33, speed=replace(first.speed, value=1.0))
    nodes = {**region.nodes, node: replace(model, site=replace(model.site, pools=(pool,)))}
    return replace(region, nodes=nodes)


class World:
    """Shanxi in one folder; ``turn`` lets every node take a turn."""

    def __init__(
        self,
        folder: Path,
        region: Region | None = None,
        scarcity: Scarcity | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.scarcity = scarcity
        self.policy = policy or Policy()
        self.region = region or load_region(bundled("shanxi"))
        self.folder = folder
        self.clock = VirtualClock(START_S)
        self.board = Switchboard()
        self.book = PriceBook(self.region)
        self.network = network_of(self.region)
        kept: dict[str, int] = {}
        self.engines = {n: ModelEngine(self.clock, kept) for n in self.region.nodes}
        self.movers = {
            n: ModelMover({d.id for d in self.region.datasets.values() if n in d.replicas}, kept)
            for n in self.region.nodes
        }
        self.nodes: dict[str, WorldNode] = {}
        for name in self.region.nodes:
            self.open(name)

    def open(self, name: str, restored: Restored | None = None) -> WorldNode:
        """Start a node (again) from its folder."""
        region = self.region
        parts = Parts(
            region=region,
            network=self.network,
            book=self.book,
            store=SqliteStore(self.folder / name / "state.db"),
            clock=self.clock,
            engine=self.engines[name],
            mover=self.movers[name],
            scarcity=self.scarcity,
            policy=self.policy,
        )
        parent = region.nodes[name].parent
        node = WorldNode(name, parts, self.board.uplink(name, parent) if parent else None)
        self.board.join(name, node.answer)
        self.nodes[name] = node
        node.open("test", restored)
        return node

    def turn(self, times: int = 1) -> None:
        """Every node takes ``times`` turns at this instant."""
        for _ in range(times):
            for node in self.nodes.values():
                node.carrier.take_in()
                node.step(0.0)

    def run(self, seconds: int, by: int = 60) -> None:
        """Let time pass."""
        for _ in range(seconds // by):
            self.clock.advance(self.clock.now() + by)
            self.turn(2)

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop()


HOME = "yangquan"
"""The site that tests of scarce capacity make small."""


@contextmanager
def worlds(folder: Path) -> Iterator[Callable[..., World]]:
    """Makes regions, all at a slot's begin and every node heard of: for fixtures. ``cores`` shrinks :data:`HOME`."""
    made: list[World] = []

    def build(cores: int = 0, policy: Policy | None = None) -> World:
        region = load_region(bundled("shanxi"))
        world = World(folder / str(len(made)), shrunk(region, HOME, cores) if cores else region, policy=policy)
        world.clock.advance(START_S // SLOT_S * SLOT_S + SLOT_S)
        world.turn(6)
        made.append(world)
        return world

    yield build
    for world in made:
        world.close()
