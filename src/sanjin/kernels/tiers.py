"""Placement down a tree of nodes: each node asks the child whose offer promises most, and only that one.

An *offer* is what a node says of the pools of one kind in its subtree: the least price of every block of slots, the
most free cores and cards of any pool, the figures of the best machine. No place in the subtree costs less than the
offer promises, so a child whose offer promises more than what was found elsewhere is not asked: the choice is that of
one look at every pool, for the work of a few. Prices must not be below nothing.

Shapes: S sites (one a node), P pools, G offers, B blocks of slots, E states of the links.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import BLOCK, OK, SLOT, Need, Rows, extremes, first_hopeful, floor_of, over, times_power
from sanjin.kernels.carry import Lines, reach
from sanjin.kernels.starts import FAR, best_start
from sanjin.kernels.tables import PICO, SITE, Job, Plan, Weights, need_code, need_of, plan_of

BOUND, LEAST, QUEUE, HOPEFUL = range(4)
"""Rows of the scratch of a choice, a column a pool or offer: a bound of those that are to be tried, their number
(offers after the pools); the least that a window costs there, and the first block that may have room (of an offer:
whether its promise is known)."""

NOT_WEIGHED, WEIGHED = range(2)


class Offers(NamedTuple):
    """The offers of a tree, each a pool that nobody has: ``cells``, ``low``, ``high`` and ``rows`` are a board of them,
    with the most free capacity of any pool below in every slot, and the least price.

    ``best`` int64[G, POOL_COLUMNS] the best machine, as a pool's row (``SITE`` is the node). ``below[first:last]`` of
    an offer are the pools and offers (numbered after the pools) that it speaks for; ``up`` int64[P + G] the offer that
    a pool or offer is part of (-1: none). ``roots`` are part of none. ``spans`` as of a board; ``floors`` int64[G] the
    least price of a watt-second. ``fare`` int64[E, S, S] the least micro-yuan a GB from a site to any of a node's
    subtree. ``asked`` int64[S] counts how often each node was asked; ``recent`` the pools that won last (-1: none).
    Power is that of the largest cap, whatever is in use: it seldom binds, and then a pool says so itself.
    """

    cells: Any
    low: Any
    high: Any
    rows: Rows
    best: Any
    first: Any
    last: Any
    below: Any
    up: Any
    roots: Any
    spans: Any
    floors: Any
    fare: Any
    asked: Any
    recent: Any


class Sender(NamedTuple):
    """Where a job comes from: site, its bytes there, whether they are lost; whether it stays; the links' state.
    ``known`` int64[S] holds ``turn`` where a site's terms were worked out for this job."""

    origin: int
    data: int
    lost: bool
    at_home: bool
    lines: Lines
    state: int
    known: Any
    turn: int
    amounts: Any


class Search(NamedTuple):
    """A job that is looking for a place: the tables of :func:`sanjin.kernels.place.choose_one`, and its sender."""

    ask: Job
    sender: Sender
    high: Any
    rows: Rows
    spans: Any
    floors: Any
    scarce: bool
    first_s: int
    end_s: int
    now: int
    weights: Weights
    pool: Any
    barred: Any
    ready: Any
    transport: Any
    pools: Any
    scratch: Any


@njit(cache=True, error_model="numpy", _nrt=False)
def renew(offers: Offers, cells: Any, rows: Rows, p: int, k0: int, k1: int) -> None:
    """Bring the offers in line after the free capacity of pool ``p`` changed in these slots."""
    at, slots, count = offers.rows, cells.shape[1] - 1, rows.mem - rows.cores
    for b in range(k0 // BLOCK, k1 // BLOCK + 1):
        g = offers.up[p]
        while g >= 0:
            changed = False
            for k in range(max(b * BLOCK, k0), min((b + 1) * BLOCK - 1, k1) + 1):
                cores, cards = np.int64(0), np.int64(0)
                for i in range(offers.first[g], offers.last[g]):
                    c = offers.below[i]
                    if c < count:
                        cores, cards = max(cores, cells[rows.cores + c, k]), max(cards, cells[rows.cards + c, k])
                    else:
                        cores = max(cores, offers.cells[at.cores + c - count, k])
                        cards = max(cards, offers.cells[at.cards + c - count, k])
                changed |= offers.cells[at.cores + g, k] != cores or offers.cells[at.cards + g, k] != cards
                offers.cells[at.cores + g, k], offers.cells[at.cards + g, k] = cores, cards
            if not changed:
                break
            for row in (at.cores + g, at.cards + g):
                offers.low[row, b], offers.high[row, b] = extremes(offers.cells, row, b, slots)
            g = offers.up[count + g]


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def least_of(floors: Any, p: int, need: Need, plan: Plan) -> int:
    """Less than any window in pool ``p`` can cost, pico-yuan."""
    whole = (plan.dur + SLOT - 1) // SLOT * SLOT
    least = times_power(floors[p, 0] * plan.dur + floors[p, 1] * whole, need.mw)
    return least + (floors[p, 2] * need.cores + floors[p, 3] * need.cards) * whole


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def _plan(offers: Offers, g: int, x: Search) -> Plan:
    """The job on an offer's best machine, as near as any of its subtree is."""
    transport, sender = 0, x.sender
    if sender.data > 0:
        transport = sender.data // PICO * offers.fare[sender.state, sender.origin, offers.best[g, SITE]] // 1000
    return plan_of(offers.best, g, x.ask, x.end_s, x.now, x.now, transport, 0, x.weights)


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def _quick(
    blocks: int, rows: Rows, p: int, s: int, spans: Any, need: Need, plan: Plan, b: int, first_s: int, least: int,
    scarce: bool,
) -> int:
    """A bound of the price in a pool that is quick to find, :data:`FAR` where it has no room: that of a start in ``b``,
    the first block that may have room, or at ``least`` from the next block on."""
    if b >= blocks or plan.latest < plan.begin:
        return FAR
    reach_blocks = ((plan.hold - 1) // SLOT + BLOCK) // BLOCK
    soon = plan.delay * (max(plan.begin, first_s + b * BLOCK * SLOT) - plan.since)
    soon += floor_of(spans, rows, p, s, b, reach_blocks, need, plan.dur, scarce)
    return min(soon, least + plan.delay * (first_s + (b + 1) * BLOCK * SLOT - plan.since)) + plan.fixed


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def _enqueue(offers: Offers, g: int, x: Search, limit: int, left: int) -> int:
    """Put an offer into the queue, with a bound that is quick to find; how many are there."""
    if need_code(offers.best, g, x.ask) != OK:
        return left
    plan, need, at = _plan(offers, g, x), need_of(offers.best, g, x.ask), offers.rows
    b = first_hopeful(offers.high, at, g, g, (plan.begin - x.first_s) // SLOT // BLOCK, need)
    least = times_power(offers.floors[g] * plan.dur, need.mw)
    bound = _quick(offers.high.shape[1], at, g, g, offers.spans, need, plan, b, x.first_s, least, False)
    if bound >= limit:
        return left
    n = x.pool.shape[0] + g
    x.pools[QUEUE, left], x.pools[BOUND, left], x.pools[LEAST, n], x.pools[HOPEFUL, n] = n, bound, least, NOT_WEIGHED
    return left + 1


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def _promise(offers: Offers, g: int, x: Search, limit: int, least: int) -> int:
    """Not more than any place under an offer costs, pico-yuan, or :data:`FAR` where that is not below ``limit``."""
    plan, need, at = _plan(offers, g, x), need_of(offers.best, g, x.ask), offers.rows
    b = first_hopeful(offers.high, at, g, g, (plan.begin - x.first_s) // SLOT // BLOCK, need)
    start = best_start(
        offers.cells, offers.low, offers.high, at, g, g, x.first_s, need, plan, b, False, least,
        limit - plan.fixed if limit < FAR else FAR, offers.spans, x.scratch,
    )
    if start < 0:
        return FAR
    price = over(offers.cells, at.watt + g, x.first_s, start, start + plan.dur)
    return times_power(price, need.mw) + plan.delay * (start - plan.since) + plan.fixed


@njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def _enqueue_pool(p: int, x: Search, limit: int, left: int) -> int:
    """Put a pool into the queue with a bound of its price; how many are there."""
    s, sender = x.pool[p, SITE], x.sender
    if sender.known[s] != sender.turn:
        sender.known[s] = sender.turn
        x.barred[0, s], x.ready[0, s], x.transport[0, s] = reach(
            sender.lines, sender.state, x.first_s, x.now, sender.origin, s, sender.data, sender.lost, sender.amounts
        )
    if x.barred[0, s] != OK or need_code(x.pool, p, x.ask) != OK:
        return left
    need = need_of(x.pool, p, x.ask)
    plan = plan_of(x.pool, p, x.ask, x.end_s, x.now, x.ready[0, s], x.transport[0, s], 0, x.weights)
    b = first_hopeful(x.high, x.rows, p, s, (plan.begin - x.first_s) // SLOT // BLOCK, need)
    least = least_of(x.floors, p, need, plan)
    bound = _quick(x.high.shape[1], x.rows, p, s, x.spans, need, plan, b, x.first_s, least, x.scarce)
    if bound >= limit:
        return left
    x.pools[QUEUE, left], x.pools[BOUND, left], x.pools[LEAST, p], x.pools[HOPEFUL, p] = p, bound, least, b
    return left + 1


@njit(cache=True, error_model="numpy", _nrt=False)
def begin_asking(offers: Offers, x: Search) -> int:
    """Put the offers of the whole tree, or the pools of the origin alone, into the queue; how many.

    Before them come the pools that won last: they are likely to be near the best, and what costs more than they do
    is passed over sooner."""
    left = 0
    if x.sender.at_home:
        for p in range(x.pool.shape[0]):
            if x.pool[p, SITE] == x.sender.origin:
                left = _enqueue_pool(p, x, FAR, left)
        return left
    for i in range(offers.recent.shape[0]):
        if offers.recent[i] >= 0:
            before = left
            left = _enqueue_pool(offers.recent[i], x, FAR, left)
            if left > before:
                x.pools[BOUND, before] = -1
    for i in range(offers.roots.shape[0]):
        left = _enqueue(offers, offers.roots[i], x, FAR, left)
    return left


@njit(cache=True, error_model="numpy", _nrt=False)
def remember(offers: Offers, p: int) -> None:
    """Note the pool that won, in place of the one that was noted first."""
    last = offers.recent.shape[0] - 1
    for i in range(last + 1):
        if offers.recent[i] == p:
            return
    for i in range(last):
        offers.recent[i] = offers.recent[i + 1]
    offers.recent[last] = p


@njit(cache=True, error_model="numpy", _nrt=False)
def ask_down(offers: Offers, x: Search, limit: int, left: int) -> int:
    """Ask nodes until a pool is the first in the queue, or nothing is below ``limit``; how many are in the queue.

    An offer whose turn comes is put into the queue again with what it promises, and when its turn comes again its node
    is asked: what lies below it takes its place."""
    pools, count = x.pools, x.pool.shape[0]
    while True:
        at, lowest = -1, limit
        for i in range(left):
            if pools[BOUND, i] < lowest:
                at, lowest = i, pools[BOUND, i]
        if at < 0 or pools[QUEUE, at] < count:
            return left
        n, left = pools[QUEUE, at], left - 1
        pools[QUEUE, at], pools[BOUND, at] = pools[QUEUE, left], pools[BOUND, left]
        g = n - count
        if pools[HOPEFUL, n] == NOT_WEIGHED:
            bound = _promise(offers, g, x, limit, pools[LEAST, n])
            if bound < FAR:
                pools[QUEUE, left], pools[BOUND, left], pools[HOPEFUL, n] = n, bound, WEIGHED
                left += 1
            continue
        offers.asked[offers.best[g, SITE]] += 1
        for i in range(offers.first[g], offers.last[g]):
            c = offers.below[i]
            left = _enqueue_pool(c, x, limit, left) if c < count else _enqueue(offers, c - count, x, limit, left)
