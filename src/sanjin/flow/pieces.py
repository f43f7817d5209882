"""Pieces: stoppable work that costs less in several windows than in one runs in several.

Only the site that runs the work divides it: who sent it there reckoned with one window, and is told of the
start. Every stop costs the job's ``stop_cost_s`` of run time. What is best is for the kernel to say
(:func:`sanjin.kernels.pieces.divide`), which replays share.
"""

from __future__ import annotations

import numpy as np

from sanjin.flow.supply import Asked, Supply, row_at
from sanjin.kernels import pieces as kernel
from sanjin.kernels import tables
from sanjin.kernels.board import Need
from sanjin.model import event as ev
from sanjin.model.placement import Placement, Terms
from sanjin.model.policy import Weights
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S


def divided(supply: Supply, asked: Asked, record: JobRecord, row: ev.Row) -> tuple[Placement, ev.Row] | None:
    """The placement in pieces, with its row, where that costs at least a fen less than ``row``; else None.

    ``asked`` is of this one job. The window of ``row`` is reserved when this is called; what is returned is
    reserved instead.
    """
    spec, pool = record.spec, row[tables.POOL]
    if not spec.stoppable or spec.duration_spread_s or spec.members:
        return None
    if spec.budget_fen and supply.weights != Weights():
        return None  # the terms of pieces are weighed, and a budget bounds what is billed
    need, board = supply.need(spec, pool), supply.board
    supply.shift(pool, row[tables.START], row[tables.UNTIL], need, -1)
    supply.settle()
    windows, changed = np.zeros((kernel.PIECES, 2), np.int64), np.zeros(tables.ROW, np.int64)
    count = kernel.divide(
        board.cells, board.rows, supply.pool, supply.first_slot * SLOT_S, Need(*need), tables.job_of(asked.jobs, 0),
        spec.stop_cost_s, np.array(row, np.int64), windows, changed, np.zeros(supply.slots, np.bool_),
    )  # fmt: skip
    if not count:
        supply.shift(pool, row[tables.START], row[tables.UNTIL], need, 1)
        return None
    found = tuple((int(begin), int(end)) for begin, end in windows[:count])
    for begin, end in found:
        supply.shift(pool, begin, end, need, 1)
    node, name = supply.pools[pool].split("/")
    placement = Placement(
        site=node, pool=name, start_s=found[0][0], finish_s=found[-1][1], until_s=found[-1][1], pieces=found,
        terms=Terms(*(int(v) for v in changed[tables.ENERGY :])),
    )  # fmt: skip
    return placement, tuple(int(v) for v in changed)


def total_now(supply: Supply, asked: Asked, pool: int, placement: Placement, need: Need) -> int:
    """What a placement in ``pool`` that has not begun costs at the prices of now, in all its windows; micro-yuan.

    ``asked`` and ``need`` are of this one job.
    """
    row = row_at(supply, asked, pool, placement.start_s)
    if placement.pieces:
        board, changed = supply.board, np.zeros(tables.ROW, np.int64)
        windows = np.array(placement.pieces, np.int64)
        kernel.in_pieces(
            board.cells, board.rows, supply.pool, supply.first_slot * SLOT_S, need, int(asked.jobs[0, tables.J_DELAY]),
            row, windows, len(windows), changed,
        )  # fmt: skip
        row = changed
    return int(row[tables.ENERGY :].sum())
