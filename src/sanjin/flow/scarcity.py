"""Shadow prices: what a core, a card or a watt of each pool, site and slot is worth to other work.

The linear program that places all expected work at the least total has one dual price for each
capacity. Those prices are found by dual ascent: every job takes its least-priced place as if
capacity had no bound, the same kernel deciding as for real work; where more is taken than there is
the price rises, elsewhere it falls. At any prices the sum of the jobs' totals less what the capacity
is worth bounds the least total from below (Lagrangian duality; the inner problem has integral
solutions, so the best bound is that of the linear program: Geoffrion, 1974), so the method also says
how far from the best a placement can be.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import Board
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.kernels.scarcity import add_load
from sanjin.model.units import SLOT_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PLENTY = np.int64(2**55)
PLAIN = tables.Weights(1000, 1000)
_PICO = 1_000_000
PACE = 0.05
"""First step of a price, as a share of what a unit usually costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Work to price for: the arrays that the kernel takes, see :func:`kernel.choose_batch`."""

    pool: Ints
    own: Ints
    job: Ints
    barred: Ints
    ready: Ints
    transport: Ints
    latency: Ints

    def part(self, jobs: slice | NDArray[np.bool_]) -> Demand:
        """Some of the jobs."""
        return Demand(
            pool=self.pool,
            own=self.own,
            job=self.job[jobs],
            barred=self.barred[jobs],
            ready=self.ready[jobs],
            transport=self.transport[jobs],
            latency=self.latency[jobs],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What there is: cores and cards int64[P, T], mW int64[S, T]; and prices of energy and carbon, pico-yuan
    per watt-second int64[S, T], from ``first_s``."""

    first_s: int
    cores: Ints
    cards: Ints
    mw: Ints
    energy: Ints
    carbon: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPrices:
    """Prices in pico-yuan per second: per core and card int64[P, T], per watt int64[S, T].

    ``bound_micro`` is the best lower bound on the total of the demand that was found, micro-yuan;
    ``bounds`` the bound of each round.
    """

    core: Ints
    card: Ints
    power: Ints
    bound_micro: float
    bounds: tuple[float, ...]


def priced_board(capacity: Capacity, core: Ints, card: Ints, power: Ints, *, plenty: bool) -> Board:
    """A board with these prices; with ``plenty`` capacity that never runs out."""
    pools, slots = capacity.cores.shape
    board = Board(pools, capacity.mw.shape[0], slots)
    board.mem[:] = PLENTY
    board.cores[:] = PLENTY if plenty else capacity.cores
    board.cards[:] = PLENTY if plenty else capacity.cards
    board.mw[:] = PLENTY if plenty else capacity.mw
    board.price(capacity.energy, capacity.carbon, power, core, card)
    board.settle()
    return board


def choose(board: Board, demand: Demand, first_s: int, now_s: int) -> tuple[Ints, Ints]:
    """The winning rows int64[J, ROW] and sites int64[J] of all jobs in order, reserving on the board."""
    count = demand.job.shape[0]
    won, choice = np.zeros((count, tables.ROW), np.int64), np.full(count, -1, np.int64)
    kernel.choose_batch(
        board.cells,
        board.low,
        board.high,
        board.rows,
        first_s,
        now_s,
        PLAIN,
        demand.pool,
        demand.own,
        demand.job,
        demand.barred,
        demand.ready,
        demand.transport,
        demand.latency,
        won,
        choice,
    )
    return won, choice


def shadow_prices(
    demand: Demand,
    capacity: Capacity,
    *,
    rounds: int = 60,
    threads: int = 1,
    progress: Callable[[int, float], None] | None = None,
) -> ShadowPrices:
    """Prices for this demand by dual ascent.

    A price moves with the overload of its slot over the root of the sum of its squares so far (AdaGrad:
    Duchi, Hazan and Singer, 2011), so that pools and resources of any size move alike. The work of a
    round is divided among ``threads``. Raises ValueError where a job has no place even with plenty
    of capacity.
    """
    # watts, not milliwatts: the unit of their price
    limits = [capacity.cores.astype(np.float64), capacity.cards.astype(np.float64), capacity.mw / 1000]
    pace = [PACE * p for p in _usual_prices(demand, capacity)]
    prices: list[Floats] = [np.zeros(limit.shape) for limit in limits]
    squares: list[Floats] = [np.full(limit.shape, 1e-12) for limit in limits]
    best, best_prices = -np.inf, prices
    bounds: list[float] = []
    with ThreadPoolExecutor(threads) as workers:
        for number in range(rounds):
            whole = [p.round() for p in prices]
            total, load = _respond(demand, capacity, whole, threads, workers)
            worth = sum(float((p * limit).sum()) for p, limit in zip(whole, limits, strict=True)) * SLOT_S
            bounds.append(total - worth / _PICO)
            if bounds[-1] > best:
                best, best_prices = bounds[-1], whole
            if progress:
                progress(number, best)
            for i, limit in enumerate(limits):
                over = (load[i] - limit) / np.maximum(limit, 1.0)
                over[(over < 0) & (prices[i] <= 0)] = 0.0
                squares[i] += over * over
                prices[i] = np.maximum(prices[i] + pace[i] * over / np.sqrt(squares[i]), 0.0)
    found = [np.rint(p).astype(np.int64) for p in best_prices]
    return ShadowPrices(core=found[0], card=found[1], power=found[2], bound_micro=best, bounds=tuple(bounds))


def _usual_prices(demand: Demand, capacity: Capacity) -> tuple[float, float, float]:
    """What a core-, card- and watt-second cost here without scarcity: the measure of a step."""
    core = float(demand.pool[:, tables.USE_CORE].mean())
    with_cards = demand.pool[:, tables.CARDS] > 0
    card = float(demand.pool[with_cards, tables.USE_CARD].mean()) if with_cards.any() else core
    return core, card, float((capacity.energy + capacity.carbon).mean())


def _respond(
    demand: Demand, capacity: Capacity, prices: list[Floats], threads: int, workers: ThreadPoolExecutor
) -> tuple[float, list[Floats]]:
    """What the jobs take at these prices: the sum of their totals (micro-yuan) and the load of each slot in
    cores, cards and watts."""
    core, card, power = (p.astype(np.int64) for p in prices)
    count = demand.job.shape[0]
    edges = [count * i // threads for i in range(threads + 1)]

    def work(part: slice) -> tuple[float, list[Floats]]:
        some = demand.part(part)
        board = priced_board(capacity, core, card, power, plenty=True)
        won, choice = choose(board, some, capacity.first_s, capacity.first_s)
        if (choice < 0).any():
            raise ValueError(f"{int((choice < 0).sum())} jobs have no place even with plenty of capacity")
        cores, cards = np.zeros_like(capacity.cores), np.zeros_like(capacity.cores)
        mw = np.zeros_like(capacity.mw)
        add_load(won, choice, some.pool, some.job, capacity.first_s, cores, cards, mw)
        return float(won[:, tables.ENERGY :].sum()), [cores.astype(np.float64), cards.astype(np.float64), mw / 1000]

    parts = list(workers.map(work, [slice(a, b) for a, b in pairwise(edges)]))
    loads = [np.sum([p[1][i] for p in parts], axis=0) for i in range(3)]
    return sum(p[0] for p in parts), loads
