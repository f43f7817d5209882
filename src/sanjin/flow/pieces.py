"""Pieces: stoppable work that costs less in several windows than in one runs in several.

Only the site that runs the work divides it: who sent it there reckoned with one window, and is told of the
start. Every stop costs the job's ``stop_cost_s`` of run time.
"""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from sanjin.flow.supply import Asked, Supply, row_at
from sanjin.kernels import pieces as kernel
from sanjin.kernels import tables
from sanjin.kernels.board import SLOT, Need
from sanjin.model import event as ev
from sanjin.model.money import PICO_PER_MICRO
from sanjin.model.placement import Placement, Terms
from sanjin.model.policy import Weights
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S

MOST = 6
"""Pieces at most."""


def divided(supply: Supply, asked: Asked, record: JobRecord, row: ev.Row) -> tuple[Placement, ev.Row] | None:
    """The placement in pieces, with its row, where that costs at least a fen less than ``row``; else None.

    ``asked`` is of this one job. The window of ``row`` is reserved when this is called; what is returned is
    reserved instead.
    """
    spec, pool = record.spec, row[tables.POOL]
    if not spec.stoppable or spec.duration_spread_s or spec.members or row[tables.FINISH] - row[tables.START] <= SLOT:
        return None
    if spec.budget_fen and supply.weights != Weights():
        return None  # the terms of pieces are weighed, and a budget bounds what is billed
    need, site = supply.need(spec, pool), int(supply.pool[pool, tables.SITE])
    first_s, job = supply.first_slot * SLOT_S, asked.jobs[0]
    supply.shift(pool, row[tables.START], row[tables.UNTIL], need, -1)
    used = np.zeros(supply.slots, np.bool_)
    seconds = row[tables.FINISH] - row[tables.START]
    stop_cost = -(-spec.stop_cost_s * 1000 // int(supply.pool[pool, tables.SPEED]))
    begin_s = max(int(job[tables.J_EARLIEST]), row[tables.READY], first_s)
    last = supply.slots - 1
    if job[tables.J_DEADLINE]:
        last = min(last, (int(job[tables.J_DEADLINE]) - first_s) // SLOT - 1)
    board, delay = supply.board, int(job[tables.J_DELAY])
    supply.settle()
    count = kernel.best_pieces(
        board.cells, board.rows, pool, site, Need(*need), -(-(begin_s - first_s) // SLOT), last,
        seconds, stop_cost, MOST, delay, used,
    )  # fmt: skip
    found = _windows(used, first_s, seconds, stop_cost) if count else ()
    if len(found) > 1:
        placement = _priced(supply, job, row, found, Need(*need), site)
        total = sum(row[tables.ENERGY :])
        billed = placement.terms.payable if job[tables.J_BUDGET] else 0
        if placement.terms.total + 10_000 <= total and billed <= int(job[tables.J_BUDGET]):
            for begin, end in found:
                supply.shift(pool, begin, end, need, 1)
            changed = list(row)
            changed[tables.START], changed[tables.FINISH] = placement.start_s, placement.finish_s
            changed[tables.UNTIL] = placement.finish_s
            changed[tables.ENERGY :] = astuple(placement.terms)
            return placement, tuple(changed)
    supply.shift(pool, row[tables.START], row[tables.UNTIL], need, 1)
    return None


def total_now(supply: Supply, asked: Asked, pool: int, placement: Placement, need: Need) -> int:
    """What a placement in ``pool`` that has not begun costs at the prices of now, in all its windows; micro-yuan.

    ``asked`` and ``need`` are of this one job.
    """
    row = row_at(supply, asked, pool, placement.start_s)
    if not placement.pieces:
        return int(row[tables.ENERGY :].sum())
    site, listed = int(supply.pool[pool, tables.SITE]), tuple(int(v) for v in row)
    return _priced(supply, asked.jobs[0], listed, placement.pieces, need, site).terms.total


def _windows(used: np.ndarray, first_s: int, seconds: int, stop_cost: int) -> tuple[tuple[int, int], ...]:
    """Runs of used slots as (start, end) seconds; the last ends when the work is done."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], used.astype(np.int8), [0]))))
    spans = [(first_s + int(a) * SLOT, first_s + int(b) * SLOT) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    left = seconds + (len(spans) - 1) * stop_cost - sum(end - begin for begin, end in spans[:-1])
    return (*spans[:-1], (spans[-1][0], spans[-1][0] + left))


def _priced(
    supply: Supply, job: np.ndarray, row: ev.Row, windows: tuple[tuple[int, int], ...], need: Need, site: int
) -> Placement:
    """The terms of these windows. Machines and latency are those of one window, for as long as these are."""
    board, pool = supply.board, row[tables.POOL]
    begins, ends = np.array([w[0] for w in windows]), np.array([w[1] for w in windows])
    energy, carbon, scarcity = kernel.price_pieces(
        board.cells, board.rows, pool, site, supply.first_slot * SLOT_S, need, begins, ends
    )
    took, length = int((ends - begins).sum()), row[tables.FINISH] - row[tables.START]
    waited = int(ends[-1]) - length - row[tables.START]  # with the pauses, and what the stops cost
    waiting = row[tables.WAITING] + int(job[tables.J_DELAY]) * waited // PICO_PER_MICRO
    node, name = supply.pools[pool].split("/")
    return Placement(
        site=node,
        pool=name,
        start_s=int(begins[0]),
        finish_s=int(ends[-1]),
        until_s=int(ends[-1]),
        pieces=windows,
        terms=Terms(
            energy=int(energy) // PICO_PER_MICRO,
            carbon=int(carbon) // PICO_PER_MICRO,
            transport=row[tables.TRANSPORT],
            latency=row[tables.LATENCY] * took // length,
            use=row[tables.USE] * took // length,
            scarcity=int(scarcity) // PICO_PER_MICRO,
            waiting=waiting,
        ),
    )
