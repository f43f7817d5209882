"""Reconsider: placed work that has not started gets another place where that has become better by enough.

Prices move with every hour that passes, and capacity comes free where work ends early. What is placed at
this site is priced again as it stands, and as it would be placed now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sanjin.flow.place import asked, price
from sanjin.flow.stage import inputs_here
from sanjin.flow.supply import row_at
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S

A_TURN = 200
"""Jobs looked at in one turn."""


def movable(view: View, now_s: int) -> Iterator[JobRecord]:
    """Work placed at this site that could still go elsewhere: not yet due, its inputs not on their way."""
    for record in view.jobs.values():
        placed = record.state is JobState.PLACED and not record.sent_to and not record.cancel_asked
        placed = placed and not record.spec.reserves and not record.spec.reservation
        if placed and record.placement and record.placement.start_s > now_s and inputs_here(view, record):
            yield record


def reconsider(view: View, records: list[JobRecord], now_s: int) -> Iterator[ev.Unplaced]:
    """Those of ``records`` for which another place is better by the policy's ``move_gain_fen``.

    The caller applies each event, which frees the window, before it asks for the next.
    """
    least = view.supply.policy.move_gain_fen * MICRO_PER_FEN
    if least < 0:
        return
    for record in records:
        gain = gain_micro(view, record, now_s)
        if gain > 0 and gain >= least:
            yield ev.Unplaced(job=record.id, reason=Reason.BETTER_PLACE, gain_micro=gain)


def gain_micro(view: View, record: JobRecord, now_s: int) -> int:
    """What the best place of now saves against the one that the job has, both at the prices of now; micro-yuan."""
    placement, supply = record.placement, view.supply
    if placement is None:
        return 0
    pool = supply.pool_index[f"{placement.site}/{placement.pool}"]
    need = supply.need(record.spec, pool)
    start_s = max(placement.start_s, supply.first_slot * SLOT_S)
    held = asked(view, [record], now_s)
    supply.shift(pool, start_s, placement.kept_s, need, -1)
    rows, choice = price(view, [replace(record, placement=None)], now_s)
    site = int(choice[0])
    gain = 0
    if site >= 0:
        best = rows[0, site]
        other, begin_s, until_s = (int(best[c]) for c in (tables.POOL, tables.START, tables.UNTIL))
        supply.shift(other, begin_s, until_s, supply.need(record.spec, other), -1)
        gain = int(row_at(supply, held, pool, placement.start_s)[tables.ENERGY :].sum() - best[tables.ENERGY :].sum())
    supply.shift(pool, start_s, placement.kept_s, need, 1)
    return gain
