"""Restore: the view of a node anew from its store, as after a crash."""

from __future__ import annotations

from sanjin.flow.view import HAS_A_PLACE, View
from sanjin.model.job import JobState
from sanjin.ports import Stored


def restore(view: View, stored: Stored, now_s: int) -> None:
    """Fill an empty view from the store: jobs, accounts, capacity, marks."""
    view.next_number = stored.next_number
    view.tip_seq, view.tip_hash = stored.tip_seq, stored.tip_hash
    view.marks = dict(stored.marks)
    for tenant, fen in stored.spent_fen.items():
        view.tenant(tenant).spent_fen = fen
    for share in stored.shares:
        view.envelopes.put(share)
    for record in stored.live:
        view.put(record)
        if record.owned and record.reserved_fen:
            use = view.tenant(record.spec.tenant)
            use.cores += record.spec.quota_cores()
            use.reserved_fen += record.reserved_fen
        view.tenant(record.spec.tenant).spent_fen += record.billed_fen  # of runs here that stopped and are settled
        here = record.placement and not record.sent_to and record.placement.site in view.sites
        if here and record.placement and record.state in HAS_A_PLACE:
            pool = view.supply.pool_of(record.placement)
            windows = () if record.spec.reservation else record.placement.windows()[record.window :]
            for begin, end in windows:
                finish = end if record.room_for else max(end, now_s + 1)
                view.supply.take(pool, begin, finish, view.supply.need(record.spec, pool), 1)
        if here and record.state is JobState.RUNNING:
            view.occupy(record, 1)
        if here and record.state is JobState.RUNNING and not record.spec.reserves:
            view.running[record.run] = record.id
            if record.spec.stoppable:
                view.stoppable.add(record.run)
            if record.room_for:
                view.making_room.setdefault(record.room_for, set()).add(record.id)
