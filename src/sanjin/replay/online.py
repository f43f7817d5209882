"""The region's own rule over a trace: each job in order of arrival takes its best place, by the placement kernel."""

from __future__ import annotations

import numpy as np

from sanjin.flow.supply import HURRY_FEN_PER_HOUR, Board, weigh
from sanjin.kernels import tables
from sanjin.kernels.replay import Jobs, Rule, replay_jobs
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.policy import Policy
from sanjin.model.units import HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.replay.outages import lines_of, shut, turns_of
from sanjin.replay.outcome import LawBroken, Lost, Outcome
from sanjin.replay.tiers import MANY_POOLS, may_ask, nearness, offers_of
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload

LOOK_AHEAD_S = HORIZON_SLOTS * SLOT_S
"""As far as a live node looks ahead: a week."""


def replay_online(work: Workload, policy: Policy, name: str = "", many_pools: int = MANY_POOLS) -> Outcome:
    """Where and when each job runs under this policy, all of the region's capacity known at every moment.

    From ``many_pools`` on, nodes ask down the tree, which decides alike; see :mod:`sanjin.kernels.tiers`.
    """
    trace, count = work.trace, len(work)
    board, weights = board_of(work, policy), policy.in_force()
    place, start, end = np.full(count, -1, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    turns, states = turns_of(work.region, work.outages, work.begin_s)
    lines = lines_of(work.region, work.network, states, work.supply.slots)
    jobs = Jobs(
        work.begin_s + trace.arrive_s, trace.run_s, trace.asked_s, trace.cores, trace.cards, delays(work, policy),
        work.origin, work.data_bytes,
    )  # fmt: skip
    rule = Rule(policy.rule.at_home, policy.rule.hurries, LOOK_AHEAD_S, policy.move_gain_fen * MICRO_PER_FEN)
    offers = None
    if len(work.pool) >= many_pools and may_ask(board):
        offers = offers_of(work.region, work.pool, board, lines)
    lost, moves = replay_jobs(
        board.cells, board.low, board.high, board.rows, work.begin_s,
        tables.Weights(round(weights.transport * 1000), round(weights.use * 1000)), work.pool,
        nearness(work.region), jobs, lines, turns, rule, place, start, end, offers,
    )  # fmt: skip
    name = name or policy.rule.value
    if (lines.load > lines.sizes[:, None]).any():
        raise LawBroken(f"{name}: a link carries more than it can")
    return Outcome(
        rule=name, place=place, start_s=start, end_s=end, lost=Lost(*lost), moves=int(moves), within_power=True,
        asked=None if offers is None else offers.asked,
    )


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
