"""A trace through the flow of one node: the region's real loop and rooms on a virtual clock, without the tree.

The root stands for the whole region: it runs the machines of every site, and all work is submitted to it. What
decides, writes, meters and settles is the live code, each entry of the journal chained to the one before; runs are
modelled. Left out is what lies between nodes - offers, assignments, reports, leases, and that a node hears of
others late - and the client's side: HTTP, the check of what was sent, the prices of scarcity learnt on the way.
Data do not move.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from sanjin.adapters.clock import VirtualClock
from sanjin.flow.loop import Loop
from sanjin.flow.supply import PriceBook, Supply
from sanjin.flow.turn import Ask, Work
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model.job import Submission
from sanjin.model.network import network_of
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S
from sanjin.ports import Store
from sanjin.replay.outcome import Outcome
from sanjin.replay.through_node import ModelledEngine, halted_of, outcome_of, region_of, spec_of
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload
from sanjin.tree.mail import TreeRouter


def at_the_root(work: Workload) -> Workload:
    """The workload with every job submitted at the region's root."""
    root = work.supply.site_index[work.region.root().id]
    return replace(work, origin=np.full(len(work), root, np.int64))


def by_epoch(work: Workload, epoch_s: int) -> Workload:
    """The workload with each arrival at the end of its epoch: when a loop that turns so often takes it in."""
    trace = work.trace
    return replace(work, trace=replace(trace, arrive_s=_turn_of(trace.arrive_s, epoch_s)))


def replay_through_flow(
    work: Workload,
    policy: Policy,
    epoch_s: int,
    store: Store,
    progress: Callable[[int], None],
    a_job_us: int | None = 0,
) -> Outcome:
    """Take the trace through the flow, a turn at every instant at which something happens (``epoch_s`` 0) or at the
    end of every epoch in which something did.

    ``work`` as :func:`sanjin.replay.through_node.in_whole_fen` and :func:`at_the_root` give it. Under an epoch,
    work that arrives waits for its end, and runs end when they end but are heard of at its end: a decision may then
    differ from that of a loop that turns more often, by what came free in between.

    ``a_job_us`` is what a decision takes, microseconds of region time for each job that arrives or waits in a turn
    (None: what the turn took on this machine's clock): what a turn decided begins that much later, and so does the
    next turn, so that a slow scheduler shows as waits. What is left of a second is carried on.
    """
    flow = _Flow(work, policy, store, a_job_us)
    gc.disable()  # nothing made here is in a circle, and looking for circles among all jobs takes a fifth of the time
    try:
        _drive(flow, epoch_s, progress)
    finally:
        gc.enable()
    return flow.outcome()


def _drive(flow: _Flow, epoch_s: int, progress: Callable[[int], None]) -> None:
    work = flow.work
    arrive = _turn_of(work.begin_s + work.trace.arrive_s, epoch_s)
    bounds = np.flatnonzero(np.diff(arrive, prepend=arrive[0] - 1)).tolist()
    batches = deque((int(arrive[a]), a, b) for a, b in zip(bounds, [*bounds[1:], len(work)], strict=True))
    while (at := flow.next_s()) is not None or batches:
        if at is not None:
            at = _turn_of(at, epoch_s)
        if batches and (at is None or batches[0][0] <= at):
            begin, first, last = batches.popleft()
            if begin == at:
                flow.turn(begin, ())  # at one instant ends, and looks at what waits, come before arrivals
            flow.turn(begin, range(first, last))
            progress(last)
        elif at is not None:
            flow.turn(at, ())


class _Flow:
    """A loop over the whole region, and its modelled world."""

    def __init__(self, work: Workload, policy: Policy, store: Store, a_job_us: int | None) -> None:
        region, root = region_of(work), work.region.root().id
        policy = replace(policy, price_refresh_hours=0)
        # whether what is placed is looked at as every slot begins, to move it or to make room for it
        self.looks = policy.move_gain_fen >= 0 or (policy.stop_gain_fen >= 0 and bool(work.stoppable.any()))
        self.work = work
        self.clock = VirtualClock(work.begin_s)
        # prices are those of the region as its document has it, see replay_through_nodes
        supply = Supply(region, root, PriceBook(work.region, series=work.supply.book.series), policy=policy)
        supply.heard[:] = True
        self.view = View(root, "", region, network_of(region), supply, sites=frozenset(region.nodes))
        self.loop = Loop(self.view, store, self.clock, TreeRouter())
        self.engine = ModelledEngine(self.clock, self._speed)
        self.ids: list[str] = []
        self._a_job_us, self._owed_us = a_job_us, 0

    def _speed(self, run: str) -> int:
        record = self.view.jobs[self.view.running[run]]
        return int(self.view.supply.pool[self.view.supply.pool_index[f"{record.site}/{record.pool}"], tables.SPEED])

    def next_s(self) -> int | None:
        """When a run ends, one is to start, or a slot begins in which what waits is looked at again."""
        times = [t for t in (self.engine.next_end(),) if t is not None]
        if self.looks and (self.view.starts or self.view.parked):
            times.append((self.clock.now() // SLOT_S + 1) * SLOT_S)
        times += [due[0][0] for due in (self.view.starts, self.view.stops) if due]
        return min(times, default=None)

    def turn(self, at_s: int, arrive: Sequence[int]) -> None:
        """Let it be this instant: ends, arrivals, placements, starts, until nothing is left to do at it."""
        self.clock.advance(at_s)
        asks = [Ask([Submission(key=str(j), spec=spec_of(self.work, j)) for j in arrive], self._answer)]
        work = Work(asks=asks if arrive else [], runs=self.engine.watch())
        while True:
            began, jobs = time.perf_counter_ns(), sum(len(a.submissions) for a in work.asks) + len(self.view.queue)
            done = self.loop.turn(work)
            if self._a_job_us != 0:
                self._charge(jobs, time.perf_counter_ns() - began)
            self.engine.start(done.starts)
            self.engine.forget(done.forget)
            self.engine.stop(done.stops)
            self.engine.discard(done.discard)
            for ask, records in done.answers:
                ask.answer(records)
            if not self.view.queue and not self.loop.looking and not done.stops:
                return
            work = Work(runs=self.engine.watch() if done.stops else [])

    def _charge(self, jobs: int, took_ns: int) -> None:
        """Let the time pass that a decision on so many jobs took."""
        self._owed_us += took_ns // 1000 if self._a_job_us is None else jobs * self._a_job_us
        seconds, self._owed_us = divmod(self._owed_us, 1_000_000)
        self.clock.advance(self.clock.now() + seconds)

    def _answer(self, records: list[JobRecord] | BaseException) -> None:
        if isinstance(records, BaseException):
            raise records
        self.ids += [r.id for r in records]

    def outcome(self) -> Outcome:
        """What became of every job, as the store has it."""
        records = [self.loop.store.job(job) for job in self.ids]
        numbers = {job: j for j, job in enumerate(self.ids)}
        return outcome_of(self.work, records, "through the flow", halted_of(self.work, [self.loop.store], numbers))


T = TypeVar("T", int, Ints)


def _turn_of(at_s: T, epoch_s: int) -> T:
    """At which turn what happens then is taken in."""
    return -(-at_s // epoch_s) * epoch_s if epoch_s else at_s
