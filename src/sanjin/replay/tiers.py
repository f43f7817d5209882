"""The tree of a region as the placement kernel asks it, and which node decided a job."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import Board
from sanjin.kernels import tables
from sanjin.kernels.board import BLOCK, Rows, bounds, spans_of
from sanjin.kernels.carry import Lines
from sanjin.kernels.tiers import CARDS, LEVELS, Offers
from sanjin.model.region import Region
from sanjin.model.units import SLOT_S
from sanjin.replay.trace import Ints

Ints32 = NDArray[np.int32]

MANY_POOLS = 256
"""From so many pools on, asking down the tree is quicker than looking at every pool."""

STEPS = 16
"""By how many steps of price the pools of a kind are told apart in offers."""

FEW = 3
"""A node makes an offer of so many pools and offers, or more."""

REMEMBERED = 2
"""Pools that won last and are tried first."""

_LEAST = [tables.MW_CORE, tables.MW_CARD, tables.MW_GIB, tables.USE_CORE, tables.USE_CARD]
_MOST = [tables.SPEED, tables.CORES, tables.MEM, tables.CARDS]


def ancestors(region: Region) -> Ints:
    """int64[S, S]: 1 where the second node is the first or above it."""
    index = {name: i for i, name in enumerate(region.nodes)}
    found = np.zeros((len(index), len(index)), np.int64)
    for name, i in index.items():
        while name:
            found[i, index[name]] = 1
            name = region.nodes[name].parent
    return found


def nearness(region: Region) -> Ints:
    """int64[S, S]: how near a site is to an origin in the tree: how many of the origin's ancestors (itself
    among them) have it in their subtree. Of equal places a node takes its own subtree's; else its parent decides."""
    above = ancestors(region)
    return above @ above.T


def deciders(region: Region, origin: Ints, site: Ints) -> Ints:
    """int64[J]: the node that decided: the lowest that has both the origin and the chosen site in its subtree."""
    above = ancestors(region)
    depth = above.sum(axis=1) - 1
    at = np.full((len(depth), int(depth.max()) + 1), -1, np.int64)  # of each node, the ancestor at each depth
    for node, upper in np.argwhere(above):
        at[node, depth[upper]] = upper
    return at[origin, nearness(region)[origin, site] - 1]


def may_ask(board: Board) -> bool:
    """Whether the tree can be asked: no price is below nothing."""
    return bool((board.low[board.rows.watt :] >= 0).all())


def offers_of(region: Region, pool: Ints, board: Board, lines: Lines, weights: tables.Weights) -> Offers:
    """Offers by node, kind and price of pools, of what is free on this board.

    A node that has little of a kind makes no offer of it: its pools stand in that of its parent.
    """
    index = {name: i for i, name in enumerate(region.nodes)}
    children = [[index[c] for c in region.children(name)] for name in region.nodes]
    watt = np.diff(board.cells[board.rows.watt : board.rows.power], axis=1) // SLOT_S
    made: list[tuple[int, list[int], list[int]]] = []  # node, pools and offers below, all pools of them

    def entries(node: int, at: dict[int, list[int]], root: bool) -> list[int]:
        """What a node's parent lists: its offer, made after those below it, or what it would speak for."""
        below = [c for child in children[node] for c in entries(child, at, False)] + at.get(node, [])
        if len(below) < (1 if root else FEW):
            return below
        made.append((node, below, [p for c in below for p in ([c] if c < len(pool) else made[c - len(pool)][2])]))
        return [len(pool) + len(made) - 1]

    roots: list[int] = []
    for mine in _alike(region, pool, watt):
        at: dict[int, list[int]] = {}
        for p in mine.tolist():
            at.setdefault(int(pool[p, tables.SITE]), []).append(p)
        roots += entries(index[region.root().id], at, True)
    ends = np.cumsum([len(below) for _, below, _ in made])
    up = np.full(len(pool) + len(made), -1, np.int64)
    for g, (_, below, _) in enumerate(made):
        up[below] = g
    free, most = _free(pool, board, made)
    price = np.array([watt[np.unique(pool[pools, tables.SITE])].min(axis=0) for _, _, pools in made])
    least = np.zeros((len(made), board.low.shape[1]), np.int64)
    bounds(price, least, least.copy())
    cumulated = np.zeros((len(made), price.shape[1] + 1), np.int64)
    np.cumsum(price * SLOT_S, axis=1, out=cumulated[:, 1:])
    best, spans = np.array([_best(pool[pools], node) for node, _, pools in made]), spans_of(least, Rows(*[0] * 11))
    top = np.array(roots, np.int64) - len(pool)
    return Offers(
        free=free,
        most=most,
        price=cumulated,
        spans=spans,
        floors=least.min(axis=1),
        best=best,
        first=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        last=ends.astype(np.int64),
        below=np.array([c for _, below, _ in made for c in below], np.int64),
        up=up,
        roots=top,
        rates=_rates(best[top], spans[:, top], weights),
        slowest=int(best[top, tables.SPEED].min()),
        fare=_least_fares(ancestors(region), lines),
        asked=np.zeros(len(index), np.int64),
        recent=np.full(REMEMBERED, -1, np.int64),
    )


def _rates(best: Ints, spans: Ints, weights: tables.Weights) -> NDArray[np.float64]:
    """What a core costs for a second of work at speed 1, pico-yuan: float64[REACH + 1, B, R]."""
    spans = np.concatenate([spans, np.broadcast_to(spans[:1].min(axis=2, keepdims=True), spans[:1].shape)])
    cost = spans * (best[:, [tables.MW_CORE]] / 1000) + best[:, [tables.USE_CORE]] * (weights.use / 1000)
    return np.ascontiguousarray(np.moveaxis(cost * 1000 / best[:, [tables.SPEED]], 2, 1))


def _best(pools: Ints, node: int) -> Ints:
    """A row of the pool table that asks no more and has no less than any of these."""
    found = pools[0].copy()
    found[_LEAST] = pools[:, _LEAST].min(axis=0)
    found[_MOST] = pools[:, _MOST].max(axis=0)
    found[tables.SITE], found[tables.MACHINE_CORES] = node, 0
    return found


def _free(pool: Ints, board: Board, made: list[tuple[int, list[int], list[int]]]) -> tuple[Ints32, Ints32]:
    """What is free from each slot on at each pool and under each offer, and the most of each block."""
    count, slots = len(pool) + len(made), int(board.cores.shape[1])
    free = np.zeros((LEVELS + 1, count, slots), np.int32)
    free[0, : len(pool)] = np.clip(board.cores, -1, 2**31 - 1)
    free[CARDS, : len(pool)] = np.clip(board.cards, -1, 2**31 - 1)
    for level in range(1, LEVELS):
        half = 1 << (level - 1)
        ahead = np.minimum(np.arange(slots) + half, slots - 1)
        free[level, : len(pool)] = np.minimum(free[level - 1, : len(pool)], free[level - 1, : len(pool), ahead].T)
    for g, (_, below, _) in enumerate(made):
        free[:, len(pool) + g] = free[:, below].max(axis=1)
    padded = np.full((LEVELS + 1, count, board.low.shape[1] * BLOCK), -1, np.int32)
    padded[:, :, :slots] = free
    return free, padded.reshape(LEVELS + 1, count, -1, BLOCK).max(axis=3)


def _alike(region: Region, pool: Ints, watt: Ints) -> Iterator[Ints]:
    """Pools that one offer can speak for: of one kind and tariff, and near each other in what a core-second costs."""
    site, mw = pool[:, tables.SITE], pool[:, tables.MW_CORE]
    cost = (watt.mean(axis=1)[site] * mw / 1000 + pool[:, tables.USE_CORE]) * 1000 / pool[:, tables.SPEED]
    _, tariff = np.unique([n.site.tariff for n in region.nodes.values()], return_inverse=True)
    kinds = np.column_stack([pool[:, [tables.KIND, tables.CARD_KIND]], tariff[site]])
    _, alike = np.unique(kinds, axis=0, return_inverse=True)
    for kind in range(int(alike.max()) + 1):
        mine = np.flatnonzero(alike.reshape(-1) == kind)
        by_cost = mine[np.argsort(cost[mine], kind="stable")]
        yield from (np.sort(part) for part in np.array_split(by_cost, min(STEPS, len(mine))))


def _least_fares(above: Ints, lines: Lines) -> Ints:
    """The least fare from each site to any of each node's subtree, in each state."""
    found = np.empty_like(lines.fare)
    for node in range(len(above)):
        found[:, :, node] = lines.fare[:, :, above[:, node] > 0].min(axis=2)
    return found
