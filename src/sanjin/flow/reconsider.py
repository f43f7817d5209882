"""Reconsider: placed work that has not started gets another place where that has become better by enough.

Prices move with every hour that passes, and capacity comes free where work ends early. What is placed at
this site is priced again as it stands, and as it would be placed now.
"""

from __future__ import annotations

from collections.abc import Iterator

from sanjin.flow.arrays import together
from sanjin.flow.pieces import total_now
from sanjin.flow.place import asked
from sanjin.flow.stage import inputs_here
from sanjin.flow.supply import run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.kernels.board import Need
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord


def movable(view: View, now_s: int) -> Iterator[JobRecord]:
    """Work placed at this site that could still go elsewhere."""
    return (record for record in view.jobs.values() if is_movable(view, record, now_s))


def is_movable(view: View, record: JobRecord, now_s: int) -> bool:
    """Whether the job is placed here, not yet due, its inputs not on their way, and bound to no reservation."""
    placed = record.state is JobState.PLACED and not record.sent_to and not record.cancel_asked
    if not placed or record.placement is None or record.spec.reserves or record.spec.reservation:
        return False
    return record.placement.start_s > now_s and inputs_here(view, record)


def reconsider(view: View, records: list[JobRecord], now_s: int) -> Iterator[ev.Unplaced]:
    """Those of ``records`` for which another place is better by the policy's ``move_gain_fen``.

    The caller applies each event, which frees the window, before it asks for the next.
    """
    least = view.supply.policy.move_gain_fen * MICRO_PER_FEN
    if least < 0:
        return
    for record in records:
        gain, lost = gain_micro(view, record, now_s)
        if lost or (gain > 0 and gain >= least):
            reason = Reason.CAPACITY if lost else Reason.BETTER_PLACE
            yield ev.Unplaced(job=record.id, reason=reason, gain_micro=gain)


def gain_micro(view: View, record: JobRecord, now_s: int) -> tuple[int, bool]:
    """What the best place of now saves against the one that the job has, both at the prices of now, micro-yuan; and
    whether there is one, while others in the site's cluster have taken the one that it has.

    The members of a part of an array move together or not at all; the best place is one window.
    """
    placement, supply, gang = record.placement, view.supply, together(record)
    if placement is None:
        return 0, False
    pool = supply.pool_of(placement)
    need = supply.need(gang.spec, pool)
    held = asked(view, [gang], now_s)
    with supply.trial():
        for begin, end in placement.windows():
            supply.shift(pool, begin, end, need, -1)
        lost = any(not supply.has_beside_others(pool, begin, end, need) for begin, end in placement.windows())
        rows, choice = run_kernel(supply, now_s, held)
    if choice[0] < 0:
        return 0, False
    best = int(rows[0, choice[0], tables.ENERGY :].sum())
    return total_now(supply, held, pool, placement, Need(*need)) - best, lost
