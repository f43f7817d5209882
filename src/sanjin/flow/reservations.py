"""Reservations: capacity of a site kept for a tenant from one time to another, and work placed inside.

A reservation is a job that runs nothing: it is admitted and placed like any other, at exactly the time it asks
for. Work that names it takes its capacity instead of the site's. When it ends, what still runs inside is ended.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sanjin.flow.options import options_of
from sanjin.flow.place import asked, left_s, placement_of
from sanjin.flow.run import cancel, without_run
from sanjin.flow.supply import row_at
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.job import JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S

_TAKES = (JobState.PLACED, JobState.STAGING, JobState.RUNNING, JobState.PAUSED)


def place_inside(view: View, record: JobRecord, now_s: int) -> ev.Event:
    """The best start inside the reservation that the job names; it waits where there is none."""
    supply, holder = view.supply, view.jobs.get(record.spec.reservation)
    if holder is None or holder.placement is None or holder.spec.tenant != record.spec.tenant:
        return without_run(record, JobState.FAILED, Reason.RESERVATION_OVER, now_s)
    pool = supply.pool_of(holder.placement)
    given = asked(view, [record], now_s)
    site = supply.site_index[holder.placement.site]
    best: tuple[int, int] | None = None
    row = None
    if given.barred[0, site] == 0:
        for start_s in _starts(view, holder, record, pool, max(now_s, int(given.ready[0, site]))):
            found = row_at(supply, given, pool, start_s)
            total = (int(found[tables.ENERGY :].sum()), start_s)
            if best is None or total < best:
                best, row = total, found
    if row is None:
        return ev.Waiting(job=record.id, reason=Reason.RESERVATION_FULL, options=())
    rows = np.zeros((len(supply.sites), tables.ROW), np.int64)
    rows[:, tables.POOL], rows[:, tables.CODE] = -1, 1  # it is bound to this site
    rows[site] = row
    placement = placement_of(supply, rows[site].tolist())
    return ev.Placed(job=record.id, placement=placement, options=options_of(rows, site))


def _starts(view: View, holder: JobRecord, record: JobRecord, pool: int, begin_s: int) -> Iterator[int]:
    """Starts inside the reservation at which all of it that the job needs is free throughout."""
    if holder.placement is None:
        return
    supply, spec = view.supply, record.spec
    need, have = supply.need(spec, pool), supply.need(holder.spec, pool)
    others = [
        (r.placement.start_s, r.placement.kept_s, supply.need(r.spec, pool))
        for r in view.jobs.values()
        if r.spec.reservation == holder.id and r.id != record.id and r.state in _TAKES and r.placement
    ]
    speed = int(supply.pool[pool, tables.SPEED])
    hold_s = -(-(left_s(record) + spec.duration_spread_s) * 1000 // speed)
    first_s = max(begin_s, holder.placement.start_s, spec.earliest_start_s)
    last_s = holder.placement.kept_s - hold_s
    if spec.deadline_firm and spec.deadline_s:
        last_s = min(last_s, spec.deadline_s - hold_s)
    slots = range(-(-first_s // SLOT_S) * SLOT_S, last_s + 1, SLOT_S)
    for start_s in sorted(s for s in {first_s, *(end for _, end, _ in others), *slots} if first_s <= s <= last_s):
        # what is in use can only grow where another begins
        points = [start_s, *(b for b, _, _ in others if start_s < b < start_s + hold_s)]
        if all(
            need[i] + sum(n[i] for b, e, n in others if b <= at < e) <= have[i] for at in points for i in range(4)
        ):
            yield start_s


def over(view: View, reservation: str, now_s: int) -> list[ev.Event]:
    """The ends that follow where a reservation is over: of all work inside."""
    inside = [r.id for r in view.jobs.values() if r.spec.reservation == reservation]
    return [e for job in inside for e in cancel(view, job, now_s)]
