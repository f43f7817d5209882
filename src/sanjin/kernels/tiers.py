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

from sanjin.kernels.board import BLOCK, OK, REACH, SLOT, Need, Rows, over, span, times_power
from sanjin.kernels.carry import Lines, reach
from sanjin.kernels.starts import FAR
from sanjin.kernels.tables import PICO, SITE, Job, Plan, Weights, need_code, need_of, plan_of

BOUND, LEAST, QUEUE, HOPEFUL = range(4)
"""Rows of the scratch of a choice, a column a pool or offer: a bound of those that are to be tried, their number
(offers after the pools); the least that a window costs there, and the first block that may have room (of an offer:
whether its promise is known)."""

NOT_WEIGHED, WEIGHED = range(2)


LEVELS = 5
"""Windows of 1, 2, 4, 8 and 16 slots whose free cores are known."""

CARDS = LEVELS


class Offers(NamedTuple):
    """The offers of a tree, G of them, numbered after the P pools.

    ``free`` int32[LEVELS + 1, P + G, T]: cores that are free from a slot on for 1, 2, 4, ... slots, at a pool or the
    most at any pool that an offer speaks for; last (:data:`CARDS`) cards that are free in a slot. ``most`` int32[LEVELS
    + 1, P + G, B] the most of each block. ``price`` int64[G, T+1] the least price of any of the sites, cumulated;
    ``spans`` int64[REACH, G, B] and ``floors`` int64[G] its least.
    ``best`` int64[G, POOL_COLUMNS] the best machine, as a pool's row (``SITE`` is the node). ``below[first:last]`` of
    an offer are the pools and offers that it speaks for; ``up`` int64[P + G] the offer that a pool or offer is part of
    (-1: none). ``roots`` are part of none; ``rates`` float64[REACH + 1, B, R] is what a core costs there for a second
    of work, at least, in the blocks that a window meets (last: ever), and ``slowest`` their least speed. ``fare``
    int64[E, S, S] is the least micro-yuan a GB from a site to any of a node's subtree. ``asked`` int64[S] counts how
    often each node was asked; ``recent`` the pools that won last (-1: none). Power is not in it: it seldom binds, and
    then a pool says so itself.
    """

    free: Any
    most: Any
    price: Any
    spans: Any
    floors: Any
    best: Any
    first: Any
    last: Any
    below: Any
    up: Any
    roots: Any
    rates: Any
    slowest: int
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
    spans: Any
    floors: Any
    first_s: int
    end_s: int
    now: int
    weights: Weights
    pool: Any
    barred: Any
    ready: Any
    transport: Any
    pools: Any


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def renew(offers: Offers, cells: Any, rows: Rows, p: int, k0: int, k1: int) -> None:
    """Bring the offers in line after the free capacity of pool ``p`` changed in these slots."""
    for k in range(k0, k1 + 1):
        _tell(offers, 0, p, k, _small(cells[rows.cores + p, k]))
        _tell(offers, CARDS, p, k, _small(cells[rows.cards + p, k]))
    last = offers.free.shape[2] - 1
    for level in range(1, LEVELS):
        half = 1 << (level - 1)
        for k in range(max(k0 - 2 * half + 1, 0), k1 + 1):
            rest = offers.free[level - 1, p, min(k + half, last)]
            _tell(offers, level, p, k, min(offers.free[level - 1, p, k], rest))


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _small(amount: int) -> Any:
    """An amount in 32 bits; less than nothing is nothing that could be asked for."""
    return np.int32(max(min(amount, 2**31 - 1), -1))


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _tell(offers: Offers, level: int, p: int, k: int, now_free: Any) -> None:
    """Note what is free at a pool in a slot, and pass it up as far as it changes what is offered."""
    c, b = p, k // BLOCK
    while True:
        was = offers.free[level, c, k]
        if was == now_free:
            return
        offers.free[level, c, k] = now_free
        if now_free > offers.most[level, c, b]:
            offers.most[level, c, b] = now_free
        elif was == offers.most[level, c, b]:
            most = now_free
            for i in range(b * BLOCK, min((b + 1) * BLOCK, offers.free.shape[2])):
                most = max(most, offers.free[level, c, i])
            offers.most[level, c, b] = most
        g = offers.up[c]
        if g < 0:
            return
        n = offers.up.shape[0] - offers.first.shape[0] + g
        most_below = offers.free[level, n, k]
        if now_free > most_below:
            most_below = now_free
        elif was == most_below:
            most_below = now_free
            for i in range(offers.first[g], offers.last[g]):
                most_below = max(most_below, offers.free[level, offers.below[i], k])
        c, now_free = n, most_below


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _level(hold: int) -> int:
    """The longest window of known free cores within ``hold`` seconds from a slot's begin."""
    level, slots = 0, (hold + SLOT - 1) // SLOT
    while level + 1 < LEVELS and (2 << level) <= slots:
        level += 1
    return level


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def least_of(floors: Any, p: int, need: Need, plan: Plan) -> int:
    """Less than any window in pool ``p`` can cost, pico-yuan."""
    whole = (plan.dur + SLOT - 1) // SLOT * SLOT
    least = times_power(floors[p, 0] * plan.dur + floors[p, 1] * whole, need.mw)
    return least + (floors[p, 2] * need.cores + floors[p, 3] * need.cards) * whole


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def push(pools: Any, left: int, bound: int, n: int) -> int:
    """Put a pool or offer into the queue, a heap by bound; how many are in it."""
    i = left
    while i > 0 and pools[BOUND, (i - 1) // 2] > bound:
        pools[BOUND, i], pools[QUEUE, i] = pools[BOUND, (i - 1) // 2], pools[QUEUE, (i - 1) // 2]
        i = (i - 1) // 2
    pools[BOUND, i], pools[QUEUE, i] = bound, n
    return left + 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def pop(pools: Any, left: int) -> int:
    """Take the first out of the queue; how many are left."""
    last = left - 1
    bound, n, i = pools[BOUND, last], pools[QUEUE, last], 0
    while 2 * i + 1 < last:
        down = 2 * i + 1
        if down + 1 < last and pools[BOUND, down + 1] < pools[BOUND, down]:
            down += 1
        if bound <= pools[BOUND, down]:
            break
        pools[BOUND, i], pools[QUEUE, i] = pools[BOUND, down], pools[QUEUE, down]
        i = down
    pools[BOUND, i], pools[QUEUE, i] = bound, n
    return last


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _plan(offers: Offers, g: int, x: Search) -> Plan:
    """The job on an offer's best machine, as near as any of its subtree is."""
    transport, sender = 0, x.sender
    if sender.data > 0:
        transport = sender.data // PICO * offers.fare[sender.state, sender.origin, offers.best[g, SITE]] // 1000
    return plan_of(offers.best, g, x.ask, x.end_s, x.now, x.now, transport, 0, x.weights)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _has_room(offers: Offers, n: int, k: int, last: int, level: int, need: Need) -> bool:
    """Whether slots ``k`` to ``last`` may have room at pool or offer ``n``: two windows cover them."""
    return (
        offers.free[level, n, k] >= need.cores
        and offers.free[level, n, max(last - (1 << level) + 1, k)] >= need.cores
        and offers.free[CARDS, n, k] >= need.cards
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _first_room(
    offers: Offers, n: int, k: int, level: int, need: Need, plan: Plan, first_s: int, least: int, limit: int
) -> int:
    """A slot before which the job cannot start at pool or offer ``n``; the count of slots where it cannot at all, or
    only so late that waiting makes it cost ``limit``."""
    slots = offers.free.shape[2]
    while k < slots:
        if k % BLOCK == 0 and plan.delay * (first_s + k * SLOT - plan.since) + least + plan.fixed >= limit:
            return slots
        if k % BLOCK == 0 and (
            offers.most[level, n, k // BLOCK] < need.cores or offers.most[CARDS, n, k // BLOCK] < need.cards
        ):
            k += BLOCK
            continue
        last = (max(plan.begin, first_s + k * SLOT) + plan.hold - 1 - first_s) // SLOT
        if last >= slots:
            return slots
        if _has_room(offers, n, k, last, level, need):
            return k
        k += 1
    return slots


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _quick(spans: Any, n: int, need: Need, plan: Plan, k: int, first_s: int, least: int) -> int:
    """A bound of the price that is quick to find: that of a start in the block of slot ``k``, not before it, or at
    ``least`` from the next block on. :data:`FAR` where that is too late."""
    start = max(plan.begin, first_s + k * SLOT)
    if start > plan.latest:
        return FAR
    b, reach_blocks = k // BLOCK, ((plan.hold - 1) // SLOT + BLOCK) // BLOCK
    soon = times_power(span(spans, n, b, reach_blocks) * plan.dur, need.mw) + plan.delay * (start - plan.since)
    return min(soon, least + plan.delay * (first_s + (b + 1) * BLOCK * SLOT - plan.since)) + plan.fixed


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _enqueue(offers: Offers, g: int, x: Search, limit: int, left: int) -> int:
    """Put an offer into the queue, with a bound that is quick to find; how many are there."""
    if need_code(offers.best, g, x.ask) != OK:
        return left
    plan, need, n = _plan(offers, g, x), need_of(offers.best, g, x.ask), x.pool.shape[0] + g
    least = times_power(offers.floors[g] * plan.dur, need.mw)
    if least + plan.fixed + plan.delay * (plan.begin - plan.since) >= limit:
        return left
    k = _first_room(offers, n, (plan.begin - x.first_s) // SLOT, _level(plan.hold), need, plan, x.first_s, least, limit)
    bound = _quick(offers.spans, g, need, plan, k, x.first_s, least)
    if bound >= limit:
        return left
    x.pools[LEAST, n], x.pools[HOPEFUL, n] = least, NOT_WEIGHED
    return push(x.pools, left, bound, n)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _promise(offers: Offers, g: int, x: Search, limit: int, least: int) -> int:
    """Not more than any place under an offer costs, pico-yuan, or :data:`FAR` where that is not below ``limit``."""
    plan, need = _plan(offers, g, x), need_of(offers.best, g, x.ask)
    n, slots = x.pool.shape[0] + g, offers.free.shape[2]
    level, best, k = _level(plan.hold), limit - plan.fixed if limit < FAR else FAR, (plan.begin - x.first_s) // SLOT
    reach_blocks, found = ((plan.hold - 1) // SLOT + BLOCK) // BLOCK, False
    while True:
        b, start = k // BLOCK, max(plan.begin, x.first_s + k * SLOT)
        wait = plan.delay * (start - plan.since)
        if start > plan.latest or wait + least >= best:
            break
        if (
            offers.most[level, n, b] < need.cores
            or offers.most[CARDS, n, b] < need.cards
            or wait + times_power(span(offers.spans, g, b, reach_blocks) * plan.dur, need.mw) >= best
        ):
            k = (b + 1) * BLOCK
            continue
        while k < (b + 1) * BLOCK:
            start = max(plan.begin, x.first_s + k * SLOT)
            last = (start + plan.hold - 1 - x.first_s) // SLOT
            if start > plan.latest or last >= slots:
                break
            if _has_room(offers, n, k, last, level, need):
                price = over(offers.price, g, x.first_s, start, start + plan.dur)
                cost = times_power(price, need.mw) + plan.delay * (start - plan.since)
                if cost < best:
                    best, found = cost, True
            k += 1
        k = (b + 1) * BLOCK
    return best + plan.fixed if found else FAR


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def _enqueue_pool(offers: Offers, p: int, x: Search, limit: int, left: int) -> int:
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
    least = least_of(x.floors, p, need, plan)
    if least + plan.fixed + plan.delay * (plan.begin - plan.since) >= limit:
        return left
    k = _first_room(offers, p, (plan.begin - x.first_s) // SLOT, _level(plan.hold), need, plan, x.first_s, least, limit)
    bound = _quick(x.spans, s, need, plan, k, x.first_s, least)
    if bound >= limit:
        return left
    x.pools[LEAST, p], x.pools[HOPEFUL, p] = least, k // BLOCK
    return push(x.pools, left, bound, p)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def begin_asking(offers: Offers, x: Search) -> int:
    """Put the pools that won last, or those of the origin alone, into the queue; how many.

    What won last is likely to be near the best: what costs more is passed over without a look."""
    left = 0
    if x.sender.at_home:
        for p in range(x.pool.shape[0]):
            if x.pool[p, SITE] == x.sender.origin:
                left = _enqueue_pool(offers, p, x, FAR, left)
        return left
    for i in range(offers.recent.shape[0]):
        if offers.recent[i] >= 0:
            left = _enqueue_pool(offers, offers.recent[i], x, FAR, left)
    for i in range(left):
        x.pools[BOUND, i] = -1
    return left


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, forceinline=True)
def ask_roots(offers: Offers, x: Search, limit: int, left: int) -> int:
    """Put the offers of the whole tree that may be below ``limit`` into the queue; how many are there.

    Power of memory and cards, charges for cards, transport and latency are left out of the bound, and none is below
    nothing."""
    ask, begin = x.ask, max(x.now, x.ask.earliest)
    work, since = float(ask.cores * ask.seconds), min(ask.since, begin)
    b = min((begin - x.first_s) // SLOT // BLOCK, offers.rates.shape[1] - 1)
    hold = (ask.seconds + ask.spread) * 1000 // offers.slowest + 1
    reach_blocks, ever = min(((hold - 1) // SLOT + BLOCK) // BLOCK, REACH), REACH
    later = float(ask.delay) * (x.first_s + (b + 1) * BLOCK * SLOT - since)  # it begins in a block after this one
    most = (float(limit) + PICO) * (1 + 1e-9)
    for i in range(offers.roots.shape[0]):
        if min(offers.rates[reach_blocks, b, i] * work, offers.rates[ever, b, i] * work + later) < most:
            left = _enqueue(offers, offers.roots[i], x, limit, left)
    return left


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def remember(offers: Offers, p: int) -> None:
    """Note the pool that won, in place of the one that was noted first."""
    last = offers.recent.shape[0] - 1
    for i in range(last + 1):
        if offers.recent[i] == p:
            return
    for i in range(last):
        offers.recent[i] = offers.recent[i + 1]
    offers.recent[last] = p


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def ask_down(offers: Offers, x: Search, limit: int, left: int) -> int:
    """Ask nodes until a pool is the first in the queue, or nothing is below ``limit``; how many are in the queue.

    An offer whose turn comes is put into the queue again with what it promises, and when its turn comes again its node
    is asked: what lies below it takes its place."""
    pools, count = x.pools, x.pool.shape[0]
    while True:
        if left == 0 or pools[BOUND, 0] >= limit or pools[QUEUE, 0] < count:
            return left
        n = pools[QUEUE, 0]
        left = pop(pools, left)
        g = n - count
        if pools[HOPEFUL, n] == NOT_WEIGHED:
            bound = _promise(offers, g, x, limit, pools[LEAST, n])
            if bound < FAR:
                pools[HOPEFUL, n] = WEIGHED
                left = push(pools, left, bound, n)
            continue
        offers.asked[offers.best[g, SITE]] += 1
        for i in range(offers.first[g], offers.last[g]):
            c = offers.below[i]
            if c < count:
                left = _enqueue_pool(offers, c, x, limit, left)
            else:
                left = _enqueue(offers, c - count, x, limit, left)
