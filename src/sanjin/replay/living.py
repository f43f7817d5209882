"""Live nodes of a region on a virtual clock, their runs planned ahead: what replays from a state folder stand on.

All but the world outside is the region's own code. A run ends as it was planned when it began, data arrive when the
model of the links lets them, and time stops at every instant at which a node would look up: starts, ends, arrivals,
slots, and when an offer that was held back may go. A node may be down for a time, as when its machines lose power.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty

from sanjin.adapters.clock import VirtualClock
from sanjin.flow.supply import PriceBook
from sanjin.model.errors import NotReachable
from sanjin.model.network import network_of
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import SLOT_S
from sanjin.ports import (
    EndReason,
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
from sanjin.replay.through_node import HELLO_S, ModelledEngine, used
from sanjin.tree.carrier import Carrier
from sanjin.tree.exchange import Switchboard, Uplink
from sanjin.tree.inbox import Asked
from sanjin.tree.node import OFFER_WALL_S, REFRESH_WALL_S, RETRY_WALL_S, Node, Parts


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is to end: what is reported of it, heard of at ``heard_s``. ``stop_s`` is when word of a stop comes,
    where it is asked to stop (0: at once)."""

    heard_s: int
    report: RunReport
    stop_s: int = 0


@dataclass(frozen=True, slots=True)
class Down:
    """A site that is down in ``[from_s, until_s)``, seconds UTC."""

    site: str
    from_s: int
    until_s: int


def apart(downs: Iterable[Down]) -> list[Down]:
    """The same times, where those of a site that meet are one; by begin."""
    found: list[Down] = []
    for down in sorted(downs, key=lambda d: (d.site, d.from_s)):
        last = found[-1] if found else None
        if last and last.site == down.site and down.from_s <= last.until_s:
            found[-1] = replace(last, until_s=max(last.until_s, down.until_s))
        else:
            found.append(down)
    return sorted(found, key=lambda d: (d.from_s, d.site))


def ended_well(order: RunOrder, start_s: int, end_s: int) -> RunReport:
    """The report of a run that did what it should."""
    return RunReport(
        key=order.key, state=RunState.ENDED, reason=EndReason.EXIT, started_at=start_s, ended_at=end_s,
        usage=used(start_s, end_s, order), sandbox="none", members_done=order.members,
    )  # fmt: skip


class PlannedEngine(ModelledEngine):
    """Runs that end as ``plan`` says for an order and the second at which it begins. What stops goes on later."""

    def __init__(self, clock: VirtualClock, plan: Callable[[RunOrder, int], Plan]) -> None:
        super().__init__(clock, lambda _: 1000)
        self._plan = plan
        self._plans: dict[str, Plan] = {}
        self._lost: set[str] = set()

    def take_up(self, key: str, start_s: int, plan: Plan) -> None:
        """A run that is under way already."""
        self.started[key], self._plans[key] = start_s, plan
        heapq.heappush(self._ends, (plan.heard_s, key))

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Begin these runs now."""
        now = self._clock.now()
        for order in orders:
            if order.key not in self.started:
                self.take_up(order.key, now, self._plan(order, now))
        return []

    def lose(self) -> None:
        """The power is gone, and with it every run that was not over before this instant."""
        now = self._clock.now()
        over = [(at, key) for at, key in self._ends if at < now]
        self._lost |= self._plans.keys() - {key for _, key in over}
        self._plans = {key: self._plans[key] for _, key in over}
        self._ends = over
        heapq.heapify(self._ends)

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys."""
        lost = [RunReport(key=k, state=RunState.INTERRUPTED, detail="power cut") for k in keys if k in self._lost]
        return lost + super().find([k for k in keys if k not in self._lost])

    def watch(self) -> list[RunReport]:
        """Runs that have ended and are not forgotten."""
        while self.has_ended():
            _, key = heapq.heappop(self._ends)
            self._over[key] = self._plans.pop(key).report
        return list(self._over.values())

    def cancel(self, keys: Sequence[str]) -> None:
        """End these runs."""
        self._cut(keys, EndReason.CANCELLED)

    def stop(self, keys: Sequence[str]) -> None:
        """Let these stop so that they can go on later."""
        self._cut(keys, EndReason.STOPPED)

    def _cut(self, keys: Sequence[str], reason: EndReason) -> None:
        now = self._clock.now()
        for key in keys:
            plan = self._plans.get(key)
            if plan is None or plan.heard_s <= now:
                continue
            end = max(now, plan.stop_s)
            took = end - self.started[key]
            report = replace(
                plan.report, reason=reason, ended_at=end, usage=Usage(wall_s=took, cpu_s=took, busy_s=took),
                members_done=0, members_failed=0,
            )  # fmt: skip
            self._plans[key] = Plan(end, report)
            self._ends = [(at, k) for at, k in self._ends if k != key] + [(end, key)]
            heapq.heapify(self._ends)


class _SureMover:
    """Every transfer succeeds, and what came stays; ``data`` are the datasets that the node has at first."""

    def __init__(self, data: frozenset[str]) -> None:
        self._data = set(data)

    def held(self) -> dict[str, str]:
        """Datasets that are here, at paths that nobody reads."""
        return {d: f"/{d}" for d in sorted(self._data)}

    def stored(self) -> list[str]:
        """Nothing else."""
        return []

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """All come."""
        self._data.update(t.dataset for t in transfers)
        return [TransferReport(dataset=t.dataset, path=f"/{t.dataset}") for t in transfers]

    def publish(self, publications: Sequence[Publication]) -> list[PublicationReport]:
        """Modelled runs leave nothing."""
        return [PublicationReport(run=p.run, dataset=p.dataset, path=f"/{p.dataset}") for p in publications]


def _as_modelled(node: str, transfer: Transfer) -> int:
    """When the model of the links lets it be at ``node``."""
    return transfer.done_at_s


class _Carrier(Carrier):
    """Data arrive on the virtual clock, when ``arrives`` says."""

    def __init__(self, node: _Node, arrives: Callable[[str, Transfer], int], tell: Callable[[object], None]) -> None:
        super().__init__(node.name, node.parts.mover, node.parts.clock, tell)
        self._name, self._arrives = node.name, arrives
        self.coming: list[tuple[int, int, Transfer]] = []
        self._count = 0

    def fetch(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            self._count += 1
            heapq.heappush(self.coming, (self._arrives(self._name, transfer), self._count, transfer))

    def take_in(self, now_s: int) -> None:
        """Let what has arrived by now into the inbox."""
        while self.coming and self.coming[0][0] <= now_s:
            self.bring(heapq.heappop(self.coming)[2])
            self.settle()


class _Node(Node):
    """A node whose data arrive on the virtual clock, when ``arrives`` says. ``reaches`` says whether its parent is up:
    a parent that is known to be away is not called again and again."""

    carrier: _Carrier

    def __init__(
        self,
        name: str,
        parts: Parts,
        uplink: Uplink | None,
        arrives: Callable[[str, Transfer], int],
        reaches: Callable[[], bool],
    ) -> None:
        self._arrives, self._reaches = arrives, reaches
        super().__init__(name, parts, uplink)

    def _has_news(self) -> tuple[bool, bool]:
        if not self.view.parent_reachable and not self._reaches():
            return False, False
        return super()._has_news()

    def _carrier(self) -> _Carrier:
        return _Carrier(self, self._arrives, self._inbox.put)

    def die(self) -> None:
        """The process is gone: calls of children break, what came in is lost, and so is what was on its way here."""
        calls = [child.held.future for child in self._children.values() if child.held]
        try:
            while True:
                item = self._inbox.get_nowait()
                calls += [item.future] if isinstance(item, Asked) else []
        except Empty:
            pass
        for call in calls:
            call.set_exception(NotReachable(f"{self.name} is down"))
        self.carrier.close()


class World:
    """All nodes of a region, stepped by hand.

    ``stores`` are a node's by name, with what they hold; ``data`` the datasets that each node has at first;
    ``engine`` makes a node's engine; ``arrives`` says when a transfer to a node is over. ``book`` are the prices, where
    they are not simply the region's. ``down`` says which nodes are down when: they take no turn, nobody can reach
    them, and their runs are lost; afterwards they start from what is in their store. No prices of scarcity are learnt
    on the way.
    """

    def __init__(
        self,
        region: Region,
        policy: Policy,
        clock: VirtualClock,
        stores: Mapping[str, Store],
        engine: Callable[[str], PlannedEngine],
        data: Mapping[str, frozenset[str]],
        scarcity: Scarcity | None = None,
        arrives: Callable[[str, Transfer], int] = _as_modelled,
        book: PriceBook | None = None,
        down: Iterable[Down] = (),
    ) -> None:
        self.clock = clock
        self.engines = {name: engine(name) for name in region.nodes}
        self.nodes: dict[str, _Node] = {}
        self._again: list[int] = []
        self._arrives, self._board, self._down = arrives, Switchboard(), set[str]()
        self._turns = [(t, up, d.site) for d in apart(down) for t, up in ((d.from_s, False), (d.until_s, True))]
        heapq.heapify(self._turns)
        prices, network = book or PriceBook(region), network_of(region)
        for name in region.nodes:
            parts = Parts(
                region=region, network=network, book=prices, store=stores[name], clock=clock,
                engine=self.engines[name], mover=_SureMover(data.get(name, frozenset())), scarcity=scarcity,
                policy=replace(policy, price_refresh_hours=0),
            )  # fmt: skip
            self._begin(name, parts)

    def _begin(self, name: str, parts: Parts) -> None:
        """Start a node from what is in its store."""
        parent = parts.region.nodes[name].parent
        line = self._board.uplink(name, parent) if parent else None
        node = _Node(name, parts, line, self._arrives, lambda: parent not in self._down)
        self._board.join(name, node.answer)
        self.nodes[name] = node
        node.open("replay")

    def _fail_and_return(self) -> None:
        """Let nodes go down, and come back, whose time has come."""
        now = self.clock.now()
        while self._turns and self._turns[0][0] <= now:
            _, up, name = heapq.heappop(self._turns)
            node = self.nodes[name]
            if up:
                self._board.heal(name)
                self._down.discard(name)
                self._begin(name, node.parts)
                self._again.append(now + math.ceil(RETRY_WALL_S * self.clock.rate))  # its children call again
            else:
                self._board.leave(name)
                self._board.cut(name)
                self._down.add(name)
                node.die()
                self.engines[name].lose()

    def settle(self) -> None:
        """Let nodes take turns at this instant until none has anything more to do."""
        self._fail_and_return()
        busy, worked, now, rate = True, False, self.clock.now(), self.clock.rate
        while busy:
            busy = False
            for name, node in self.nodes.items():
                if name in self._down:
                    continue
                node.carrier.take_in(now)
                if self.engines[name].has_ended() or node.has_something_to_do():
                    node.step(0.0)
                    busy = worked = True
        if worked:  # an offer that was too early then may go now, and be handed on after that
            self._again += [now + math.ceil(wall * rate) for wall in (OFFER_WALL_S, REFRESH_WALL_S)]

    def next_s(self) -> int:
        """When a node looks up next."""
        now, soon = self.clock.now(), list[int]()
        self._again = [t for t in self._again if t > now]
        soon += [self._turns[0][0]] if self._turns else []
        for name, node in self.nodes.items():
            if name in self._down:
                continue
            end = self.engines[name].next_end()
            soon += [end] if end is not None else []
            soon += [due[0][0] for due in (node.view.starts, node.view.stops, node.carrier.coming) if due]
        return min([(now // SLOT_S + 1) * SLOT_S, *self._again, *(t for t in soon if t > now)])

    def until(self, at_s: int) -> None:
        """Let time pass until ``at_s``, and all that happens by itself until then and at it."""
        self.settle()
        while self.clock.now() < at_s:
            self.clock.advance(min(self.next_s(), at_s))
            self.settle()

    def meet(self) -> None:
        """Let every node hear of every other while region time stands still."""
        for _ in range(HELLO_S):
            self.settle()
            self.clock.wait(1.0)
        self.settle()

    def finish(self, most_s: int, tell: Callable[[int], None] = lambda _: None) -> None:
        """Let time pass until nothing is left to do, or until ``most_s``. ``tell`` hears what is left: jobs, each as
        often as nodes have it."""
        self.settle()
        while self.clock.now() < most_s and (left := sum(len(node.view.jobs) for node in self.nodes.values())):
            tell(left)
            self.clock.advance(min(self.next_s(), most_s))
            self.settle()

    def close(self) -> None:
        """Let go of the stores."""
        for node in self.nodes.values():
            node.stop()
