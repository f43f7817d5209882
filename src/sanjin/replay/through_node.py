"""A trace through live nodes: the region's real loop, stores and messages, on a virtual clock with modelled runs.

Nothing is simplified but the world outside: engines let each run last as long as the trace says, and no data move.
It is slow, since every decision is written to a store as it would be; it shows that the compiled replay
decides as the region does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sanjin.adapters.clock import VirtualClock
from sanjin.flow.supply import PriceBook
from sanjin.kernels import tables
from sanjin.kernels.pieces import done_after, left_after
from sanjin.model import event as ev
from sanjin.model.data import RunOutputs
from sanjin.model.job import JobSpec, Submission
from sanjin.model.money import PICO_PER_MICRO
from sanjin.model.network import network_of
from sanjin.model.policy import Policy
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import Pool, Region, Tenant
from sanjin.model.units import HOUR_S, MIB
from sanjin.ports import (
    Clock,
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
from sanjin.replay.outcome import Halted, Outcome
from sanjin.replay.workload import Workload
from sanjin.tree.exchange import Switchboard
from sanjin.tree.node import Node, Parts

PICO_A_FEN = 10_000 * PICO_PER_MICRO
RUN_S = "RUN_S"
"""In a job's environment: how long the trace says that it ran, at speed 1."""

STOP_COST_S = "STOP_COST_S"
"""In the environment of stoppable work: what a stop costs it, seconds of work."""

TENANT = "replay"

HELLO_S = 3
"""Seconds before the first job in which every node hears of every other."""


def used(start_s: int, end_s: int, order: RunOrder) -> Usage:
    """Every core busy all the time."""
    took = float(end_s - start_s)
    return Usage(wall_s=took, cpu_s=took * order.cores, busy_s=took * max(order.members, order.nodes, 1))


class ModelledEngine:
    """Runs that last what the trace says, at the speed of the pool that ``speed_of`` gives for a run; what one that
    stops has done is kept, and going on costs the :data:`STOP_COST_S` of its environment."""

    def __init__(self, clock: Clock, speed_of: Callable[[str], int]) -> None:
        self._clock = clock
        self._speed_of = speed_of
        self.started: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        self._over: dict[str, RunReport] = {}
        self._orders: dict[str, RunOrder] = {}
        self._done: dict[str, int] = {}
        """Work that is kept, seconds at speed 1, by checkpoint."""

    def info(self) -> EngineInfo:
        """A model."""
        return EngineInfo(name="modelled", sandbox="none")

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Begin these runs now."""
        now = self._clock.now()
        for order in orders:
            if order.key not in self.started:
                self.started[order.key], self._orders[order.key] = now, order
                run_s = int(order.environment[RUN_S])
                if order.checkpoint:
                    done_s = self._done.get(order.checkpoint, 0)
                    run_s = int(left_after(run_s, done_s, int(order.environment[STOP_COST_S])))
                seconds = -(-run_s * 1000 // self._speed_of(order.key))
                heapq.heappush(self._ends, (now + seconds, order.key))
        return []

    def next_end(self) -> int | None:
        """When the next run ends."""
        return self._ends[0][0] if self._ends else None

    def has_ended(self) -> bool:
        """Whether a run has ended that nobody was told of."""
        return bool(self._ends) and self._ends[0][0] <= self._clock.now()

    def has_news(self) -> bool:
        """Whether something is to be reported, or reported again."""
        return bool(self._over) or self.has_ended()

    def others(self) -> None:
        """Nobody else works here."""

    def watch(self) -> list[RunReport]:
        """Runs that have ended and are not forgotten."""
        while self._ends and self._ends[0][0] <= self._clock.now():
            end, key = heapq.heappop(self._ends)
            self._report(key, EndReason.EXIT, end)
        return list(self._over.values())

    def _report(self, key: str, reason: EndReason, end_s: int) -> None:
        start_s = self.started[key]
        self._over[key] = RunReport(
            key=key,
            state=RunState.ENDED,
            reason=reason,
            started_at=start_s,
            ended_at=end_s,
            usage=used(start_s, end_s, self._orders.pop(key)),
            sandbox="none",
        )

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys."""
        return [RunReport(key=k, state=RunState.RUNNING if k in self.started else RunState.ABSENT) for k in keys]

    def forget(self, keys: Sequence[str]) -> None:
        """Do not report these again."""
        for key in keys:
            self._over.pop(key, None)

    def cancel(self, keys: Sequence[str]) -> None:
        """A replay cancels nothing."""

    def stop(self, keys: Sequence[str]) -> None:
        """These stop now, and keep what they have done."""
        if not keys:
            return
        now = self._clock.now()
        for key in keys:
            order = self._orders[key]
            asked_s, cost_s = int(order.environment[RUN_S]) + 1, int(order.environment[STOP_COST_S])
            done_s, ran_s = self._done.get(order.checkpoint, 0), now - self.started[key]
            self._done[order.checkpoint] = int(done_after(done_s, ran_s, self._speed_of(key), cost_s, asked_s))
            self._report(key, EndReason.STOPPED, now)
        self._ends = [(end, key) for end, key in self._ends if key not in keys]
        heapq.heapify(self._ends)

    def discard(self, checkpoints: Sequence[str]) -> None:
        """What these kept is no more needed."""
        for name in checkpoints:
            self._done.pop(name, None)

    def logs(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        """Modelled runs print nothing."""
        return b""

    def outputs(self, key: str) -> RunOutputs:
        """Modelled runs leave nothing."""
        return RunOutputs(registered=True)

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """Modelled runs leave nothing."""
        return b""

    def close(self) -> None:
        """Nothing to let go of."""


class NoMover:
    """A replay through nodes moves no data."""

    def held(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def stored(self) -> list[str]:
        """Nothing."""
        return []

    def fetch(self, transfers: Sequence[Transfer]) -> list[TransferReport]:
        """Nothing comes."""
        return [TransferReport(dataset=t.dataset, fault="a replay moves no data") for t in transfers]

    def publish(self, publications: Sequence[Publication]) -> list[PublicationReport]:
        """Modelled runs leave nothing."""
        return [PublicationReport(run=p.run, dataset=p.dataset, fault="a replay moves no data") for p in publications]


def in_whole_fen(work: Workload) -> Workload:
    """The workload as live nodes can take it: prices of delay in whole fen an hour, no data."""
    fen = np.rint(work.delay_pico * HOUR_S / PICO_A_FEN).astype(np.int64)
    return replace(work, delay_pico=fen * (10**10 // HOUR_S), data_bytes=np.zeros(len(work), np.int64))


def replay_through_nodes(
    work: Workload, policy: Policy, folder: Path, store: Callable[[Path], Store], progress: Callable[[int], None]
) -> Outcome:
    """Submit every job at its origin when it arrives, and let the region run to the end.

    ``work`` as :func:`in_whole_fen` gives it; ``store`` makes a node's store at a path. Placed work keeps its
    place, as in the compiled replay without moves, and no run makes room for other work.
    """
    region, trace = region_of(work), work.trace
    policy = replace(policy, move_gain_fen=-1, stop_gain_fen=-1, price_refresh_hours=0)
    clock, board, nodes = VirtualClock(work.begin_s - HELLO_S), Switchboard(), dict[str, Node]()
    # prices are those of the region as its document has it: a smaller power cap would change the share of solar power
    book = PriceBook(work.region, series=work.supply.book.series)
    network, engines = network_of(region), dict[str, ModelledEngine]()

    def speed_of(site: str) -> Callable[[str], int]:
        def speed(run: str) -> int:
            view = nodes[site].view
            pool = view.supply.pool_index[f"{site}/{view.jobs[view.running[run]].pool}"]
            return int(view.supply.pool[pool, tables.SPEED])

        return speed

    for name in region.nodes:
        engines[name] = ModelledEngine(clock, speed_of(name))
        parts = Parts(
            region=region, network=network, book=book, store=store(folder / name / "state.db"), clock=clock,
            engine=engines[name], mover=NoMover(), policy=policy,
        )  # fmt: skip
        parent = region.nodes[name].parent
        nodes[name] = Node(name, parts, board.uplink(name, parent) if parent else None)
        board.join(name, nodes[name].answer)
        nodes[name].open("replay")
    for second in range(HELLO_S):
        _settle(nodes, engines)
        clock.advance(work.begin_s - HELLO_S + second + 1)
    ids: list[str] = []
    sites = tuple(region.nodes)
    while len(ids) < len(work) or any(e.next_end() is not None for e in engines.values()) or _waits(nodes):
        times = [t for e in engines.values() if (t := e.next_end()) is not None]
        times += [n.view.starts[0][0] for n in nodes.values() if n.view.starts]
        times += [n.view.stops[0][0] for n in nodes.values() if n.view.stops]
        arrives = work.begin_s + int(trace.arrive_s[len(ids)]) if len(ids) < len(work) else None
        times += [arrives] if arrives is not None else []
        if not times:
            break
        clock.advance(min(times))
        if arrives is None or clock.now() < arrives:
            _settle(nodes, engines)
            continue
        _settle(nodes, engines)  # at one instant ends come before arrivals
        while len(ids) < len(work) and work.begin_s + int(trace.arrive_s[len(ids)]) <= clock.now():
            origin = nodes[sites[int(work.origin[len(ids)])]]
            future = origin.submit([Submission(key=str(len(ids)), spec=spec_of(work, len(ids)))])
            origin.step(0.0)
            ids.append(future.result(0)[0].id)
            _settle(nodes, engines)
        progress(len(ids))
    records = [nodes[job.rpartition("-")[0]].parts.store.job(job) for job in ids]
    stores, numbers = [node.parts.store for node in nodes.values()], {job: j for j, job in enumerate(ids)}
    halted = halted_of(work, stores, numbers)
    for node in nodes.values():
        node.stop()
    return outcome_of(work, records, "through nodes", halted)


def region_of(work: Workload) -> Region:
    """The region with the workload's pools and power, and a tenant who may use them all."""
    region, nodes, p = work.region, dict(work.region.nodes), 0
    for s, (name, node) in enumerate(region.nodes.items()):
        pools: list[Pool] = []
        for pool in node.site.pools:
            cores = int(work.pool[p, tables.CORES])
            cards = int(work.pool[p, tables.CARDS])
            pools.append(replace(pool, cores=cores, memory_bytes=cores << 40, accelerators=cards, machine_cores=0))
            p += 1
        power = replace(node.site.power, it_cap=replace(node.site.power.it_cap, value=int(work.cap_mw[s]) / 1e6))
        nodes[name] = replace(node, site=replace(node.site, pools=tuple(pools), power=power))
    return replace(region, nodes=nodes, tenants={TENANT: payer_in(region)})


def payer_in(region: Region) -> Tenant:
    """A tenant for a trace's jobs, like one of the region's but with envelopes that bound nothing."""
    tenant = next(iter(region.tenants.values()))
    envelope = replace(next(iter(tenant.envelopes.values())), cores=10**9, yuan=1e12)
    return replace(tenant, id=TENANT, envelopes={"*": envelope})


def spec_of(work: Workload, j: int) -> JobSpec:
    """What job ``j`` of the workload asks for."""
    trace = work.trace
    return JobSpec(
        name="replay",
        command=("true",),
        environment={RUN_S: str(int(trace.run_s[j])), STOP_COST_S: str(int(work.stop_cost_s[j]))},
        tenant=TENANT,
        cores=int(trace.cores[j]),
        accelerators=int(trace.cards[j]),
        memory_bytes=MIB,
        duration_s=int(trace.asked_s[j]),
        delay_price_fen_per_hour=int(work.delay_pico[j]) // (10**10 // HOUR_S),
        stoppable=bool(work.stoppable[j]),
        stop_cost_s=int(work.stop_cost_s[j]),
    )


def _settle(nodes: dict[str, Node], engines: dict[str, ModelledEngine]) -> None:
    """Let nodes take turns at this instant until none has anything more to do."""
    busy = True
    while busy:
        busy = False
        for name, node in nodes.items():
            if engines[name].has_news() or node.has_something_to_do():
                node.step(0.0)
                busy = True


def _waits(nodes: dict[str, Node]) -> bool:
    return any(node.view.starts or node.view.queue for node in nodes.values())


def halted_of(work: Workload, stores: Sequence[Store], numbers: Mapping[str, int]) -> Halted:
    """Runs that stopped, from the journals of the nodes; ``numbers`` are the jobs' in the trace."""
    if not work.stoppable.any():
        return Halted()
    found: list[tuple[int, ...]] = []
    for store in stores:
        place, runs = dict[str, int](), dict[str, int]()
        for entry in store.journal(limit=store.tip()[0] + 1):
            if entry.kind not in (ev.Placed.kind, ev.Paused.kind):
                continue
            event = ev.decode(entry.kind, entry.body)
            if isinstance(event, ev.Placed):
                place[event.job] = work.supply.pool_index[f"{event.placement.site}/{event.placement.pool}"]
            elif isinstance(event, ev.Paused):
                job, room = event.job, event.reason is Reason.MADE_ROOM
                runs[job] = runs.get(job, 0) + 1
                found.append((numbers[job], place[job], event.start_s, event.end_s, 1, runs[job] > 1, room))
    return Halted(*np.array(found, np.int64).reshape(-1, 7).T)


def outcome_of(
    work: Workload, records: Sequence[JobRecord | None], name: str, halted: Halted | None = None
) -> Outcome:
    """What became of every job, by its record in the order of the trace."""
    count, index = len(work), work.supply.pool_index
    place, start, end = np.full(count, -1, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for j, record in enumerate(records):
        if record is not None and record.site and record.start_s:
            place[j], start[j], end[j] = index[f"{record.site}/{record.pool}"], record.start_s, record.end_s
    return Outcome(rule=name, place=place, start_s=start, end_s=end, halted=halted or Halted())
