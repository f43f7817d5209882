"""Backfill: a site that starts its queue in order of arrival, FCFS or EASY.

Only the first that cannot start now has a reservation, at its earliest start. Under EASY a later job may go
before it where it can start now beside that reservation (Mu'alem and Feitelson, 2001); under FCFS none may.
"""

from __future__ import annotations

from collections.abc import Sequence

from sanjin.flow.options import options_of
from sanjin.flow.place import asked, decide, home_of, origin_of
from sanjin.flow.run import is_ready
from sanjin.flow.supply import run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.policy import Rule
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord


def place_in_order(view: View, jobs: Sequence[str], now_s: int) -> list[ev.Event]:
    """Decide on queued jobs, in order. Reserves in the view's supply what it chooses."""
    records = [view.jobs[j] for j in jobs]
    backfill = view.supply.policy.rule is Rule.EASY
    waits = {r.site for start_s, job in view.starts if start_s > now_s and (r := _head(view, job, start_s))}
    found: list[ev.Event] = []
    everything = asked(view, records, now_s)
    for i, record in enumerate(records):
        one = everything.part(i)
        home = home_of(view.supply, view.network, record.spec, origin_of(record))
        behind = home in waits
        if behind and backfill:
            one.jobs[0, tables.J_LATEST] = now_s
        if behind and not backfill:
            found.append(ev.Waiting(job=record.id, reason=Reason.QUEUE_ORDER, options=()))
            continue
        rows, choice = run_kernel(view.supply, now_s, one)
        site = int(choice[0])
        options = options_of(rows[0], site)
        if behind and site < 0:
            found.append(ev.Waiting(job=record.id, reason=Reason.QUEUE_ORDER, options=options))
            continue
        if home in view.sites and site >= 0 and rows[0, site, tables.START] > now_s:
            waits.add(home)
        found.append(decide(view, record, options, site, one, 0))
    own = [e for e in found if isinstance(e, ev.Placed | ev.Assigned)]
    taken = {view.supply.site_index[e.placement.site] for e in own}
    view.supply.changed(own=bool(own), freed=False, sites=taken)
    return found


def _head(view: View, job: str, start_s: int) -> JobRecord | None:
    """The job where it waits for this start, at the head of its site's queue."""
    record = view.jobs.get(job)
    return record if record is not None and is_ready(record, start_s) else None
