"""The region's own rule over a trace: each job in order of arrival takes its best place, by the placement kernel."""

from __future__ import annotations

import numpy as np

from sanjin.flow.supply import HURRY_FEN_PER_HOUR, Board, weigh
from sanjin.kernels import tables
from sanjin.kernels.carry import NEVER
from sanjin.kernels.replay import Stopped, replay_jobs
from sanjin.kernels.stops import Stops, stops_of
from sanjin.kernels.windows import FROM_THE_FIRST, Begin, Jobs, Rule
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.policy import Policy
from sanjin.model.units import HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.replay.outages import lines_of, shut, turns_of
from sanjin.replay.outcome import Halted, LawBroken, Lost, Outcome
from sanjin.replay.tiers import MANY_POOLS, may_ask, nearness, offers_of
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Checkpoint, Workload

LOOK_AHEAD_S = HORIZON_SLOTS * SLOT_S
"""As far as a live node looks ahead: a week."""


def replay_online(work: Workload, policy: Policy, name: str = "", many_pools: int = MANY_POOLS) -> Outcome:
    """Where and when each job runs under this policy, all of the region's capacity known at every moment.

    A workload that is a fork goes on from its checkpoint. From ``many_pools`` on, nodes ask down the tree, which
    decides alike; see :mod:`sanjin.kernels.tiers`. Where work can stop and go on, every pool is looked at, and the
    workload may be no fork (ValueError).
    """
    run = _Run(work, policy, many_pools)
    stopped = run.until(int(NEVER))
    name = name or policy.rule.value
    if (run.lines.load > run.lines.sizes[:, None]).any():
        raise LawBroken(f"{name}: a link carries more than it can")
    before = work.fork.checkpoint.moves if work.fork else 0
    return Outcome(
        rule=name, place=run.place, start_s=run.start, end_s=run.end, lost=Lost(*stopped.lost),
        halted=Halted(*stopped.halted), moves=before + int(stopped.moves), within_power=True,
        asked=None if run.offers is None else run.offers.asked,
    )  # fmt: skip


def checkpoint(work: Workload, policy: Policy, at_s: int, many_pools: int = MANY_POOLS) -> Checkpoint:
    """How the replay stands before what happens ``at_s`` seconds from the trace's begin (a slot's begin), of a
    workload without outages."""
    run = _Run(work, policy, many_pools)
    stopped = run.until(work.begin_s + at_s)
    return Checkpoint(
        at_s=at_s, arrived=int(stopped.arrived), place=run.place, start_s=run.start, end_s=run.end,
        given=stopped.given, later=stopped.later, parked=stopped.parked, load=run.lines.load,
        moves=int(stopped.moves),
    )  # fmt: skip


class _Run:
    """The compiled loop over a workload, and the arrays that it fills."""

    def __init__(self, work: Workload, policy: Policy, many_pools: int) -> None:
        count, held = len(work), work.fork.checkpoint if work.fork else None
        self.work, self.policy, self.board = work, policy, board_of(work, policy)
        turns, states = turns_of(work.region, work.outages, work.begin_s, announced=held is not None)
        self.turns, self.lines = turns, lines_of(work.region, work.network, states, work.supply.slots)
        if held is None:
            self.place = np.full(count, -1, np.int64)
            self.start, self.end = np.zeros(count, np.int64), np.zeros(count, np.int64)
            self.begin = FROM_THE_FIRST
        else:
            self.place, self.start, self.end = (a.copy() for a in (held.place, held.start_s, held.end_s))
            self.lines.load[:] = held.load
            self.begin = Begin(work.begin_s + held.at_s, held.arrived, held.given, held.later, held.parked)
        self.offers, self.stops = None, self._stops()
        if self.stops is not None and held is not None:
            raise ValueError("a replay of work that can stop cannot go on from a checkpoint")
        if self.stops is None and len(work.pool) >= many_pools and may_ask(self.board):
            self.offers = offers_of(work.region, work.pool, self.board, self.lines, self._weights())

    def _weights(self) -> tables.Weights:
        weights = self.policy.in_force()
        return tables.Weights(round(weights.transport * 1000), round(weights.use * 1000))

    def _stops(self) -> Stops | None:
        work, board = self.work, self.board
        if not work.stoppable.any():
            return None
        return stops_of(
            work.stoppable, work.stop_cost_s, work.delay_pico, work.begin_s + work.trace.arrive_s, work.pool,
            work.cap_mw, self.policy.stop_gain_fen * MICRO_PER_FEN, board.low, board.rows,
            work.supply.slots,
        )  # fmt: skip

    def until(self, until_s: int) -> Stopped:
        """Run it, until before ``until_s``."""
        work, policy, board, trace = self.work, self.policy, self.board, self.work.trace
        columns = (
            work.begin_s + trace.arrive_s, trace.run_s, trace.asked_s, trace.cores, trace.cards, delays(work, policy),
            work.origin, work.data_bytes,
        )  # fmt: skip
        # Ray's are read-only: for them the whole loop would be compiled once more, which takes longer than the copy
        jobs = Jobs(*(np.require(c, requirements="W") for c in columns))
        rule = Rule(policy.rule.at_home, policy.rule.hurries, LOOK_AHEAD_S, policy.move_gain_fen * MICRO_PER_FEN)
        return replay_jobs(
            board.cells, board.low, board.high, board.rows, work.begin_s,
            self._weights(), work.pool, nearness(work.region), jobs, self.lines, self.turns, rule, self.begin,
            self.place, self.start, self.end, self.offers, until_s, self.stops,
        )  # fmt: skip


def board_of(work: Workload, policy: Policy) -> Board:
    """An empty board of the workload's capacity, at the policy's prices."""
    supply, weights = work.supply, policy.in_force()
    board = Board(len(work.pool), len(supply.sites), supply.slots)
    board.cores[:], board.cards[:] = work.pool[:, [tables.CORES]], work.pool[:, [tables.CARDS]]
    board.mem[:], board.mw[:] = work.pool[:, [tables.MEM]], work.cap_mw[:, None]
    shut(board.cores, work.pool[:, tables.SITE], work.region, work.outages)
    energy, carbon = supply.plain_prices()
    none = np.zeros((len(work.pool), supply.slots), np.int64)
    no_power = np.zeros((len(supply.sites), supply.slots), np.int64)
    weighed = weigh(energy, weights.energy), weigh(carbon, weights.carbon)
    board.price(*weighed, no_power, none, none, paid=energy + carbon)
    board.settle()
    return board


def delays(work: Workload, policy: Policy) -> Ints:
    """Pico-yuan a second of waiting of each job, as the policy weighs it."""
    weight = policy.in_force().waiting
    if policy.rule.hurries:
        return np.full(len(work), round(HURRY_FEN_PER_HOUR * 10**10 / HOUR_S * weight), np.int64)
    return work.delay_pico if weight == 1 else np.rint(work.delay_pico * weight).astype(np.int64)
