"""Live nodes of a region on a virtual clock, their runs planned ahead: what replays from a state folder stand on.

All but the world outside is the region's own code. A run ends as it was planned when it began, data arrive when the
model of the links lets them, and time stops at every instant at which a node would look up: starts, ends, arrivals,
slots, and when an offer that was held back may go.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sanjin.adapters.clock import VirtualClock
from sanjin.flow.supply import PriceBook
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
from sanjin.tree.node import OFFER_WALL_S, REFRESH_WALL_S, Node, Parts


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is to end: what is reported of it, heard of at ``heard_s``. ``stop_s`` is when word of a stop comes,
    where it is asked to stop (0: at once)."""

    heard_s: int
    report: RunReport
    stop_s: int = 0


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
    """Every transfer succeeds; ``data`` are the datasets that the node has at first."""

    def __init__(self, data: frozenset[str]) -> None:
        self._data = data

    def held(self) -> dict[str, str]:
        """Datasets that are here, at paths that nobody reads."""
        return {d: f"/{d}" for d in self._data}

    def stored(self) -> list[str]:
        """Nothing else."""
        return []

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """All come."""
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
    """A node whose data arrive on the virtual clock, when ``arrives`` says."""

    carrier: _Carrier

    def __init__(self, name: str, parts: Parts, uplink: Uplink | None, arrives: Callable[[str, Transfer], int]) -> None:
        self._arrives = arrives
        super().__init__(name, parts, uplink)

    def _carrier(self) -> _Carrier:
        return _Carrier(self, self._arrives, self._inbox.put)


class World:
    """All nodes of a region, stepped by hand.

    ``stores`` are a node's by name, with what they hold; ``data`` the datasets that each node has at first;
    ``engine`` makes a node's engine; ``arrives`` says when a transfer to a node is over. No prices of scarcity are
    learnt on the way.
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
    ) -> None:
        self.clock = clock
        self.engines = {name: engine(name) for name in region.nodes}
        self.nodes: dict[str, _Node] = {}
        self._again: list[int] = []
        board, book, network = Switchboard(), PriceBook(region), network_of(region)
        for name, model in region.nodes.items():
            parts = Parts(
                region=region, network=network, book=book, store=stores[name], clock=clock,
                engine=self.engines[name], mover=_SureMover(data.get(name, frozenset())), scarcity=scarcity,
                policy=replace(policy, price_refresh_hours=0),
            )  # fmt: skip
            node = _Node(name, parts, board.uplink(name, model.parent) if model.parent else None, arrives)
            board.join(name, node.answer)
            self.nodes[name] = node
            node.open("replay")

    def settle(self) -> None:
        """Let nodes take turns at this instant until none has anything more to do."""
        busy, worked, now, rate = True, False, self.clock.now(), self.clock.rate
        while busy:
            busy = False
            for name, node in self.nodes.items():
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
        for name, node in self.nodes.items():
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

    def finish(self, most_s: int) -> None:
        """Let time pass until nothing is left to do, or until ``most_s``."""
        self.settle()
        while self.clock.now() < most_s and any(node.view.jobs for node in self.nodes.values()):
            self.clock.advance(min(self.next_s(), most_s))
            self.settle()

    def close(self) -> None:
        """Let go of the stores."""
        for node in self.nodes.values():
            node.stop()
