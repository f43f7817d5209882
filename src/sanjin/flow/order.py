"""Order: whose turn it is. Queues and jobs of higher priority first; within them, tenants by dominant share.

The tenant whose largest share of any one resource is least goes next (dominant resource fairness: Ghodsi
et al., 2011), counting what it has placed already; its own jobs keep their order of arrival.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model.record import JobRecord

AHEAD = 5000
"""Queued jobs that are put in order at a time: work that arrived after so many others waits, whoever sent it."""


def in_turn(view: View, jobs: Sequence[str]) -> list[str]:
    """These queued jobs in the order in which they are to be placed."""
    policy, levels = view.supply.policy, dict[tuple[int, int], list[JobRecord]]()
    for job in jobs:
        record = view.jobs[job]
        level = (-policy.priority(record.spec.queue), -record.spec.priority)
        levels.setdefault(level, []).append(record)
    if len(levels) == 1 and len({view.jobs[j].spec.tenant for j in jobs}) == 1:
        return list(jobs)  # the usual case, and the quick one
    found: list[str] = []
    taken: dict[str, list[int]] = {}
    for level in sorted(levels):
        found.extend(_fairly(view, levels[level], taken))
    return found


def _fairly(view: View, records: list[JobRecord], taken: dict[str, list[int]]) -> list[str]:
    """Progressive filling: the next job is the first of the tenant with the least dominant share.

    ``taken`` is what each tenant has with what goes before, and is carried on.
    """
    lines: dict[str, list[JobRecord]] = {}
    for record in reversed(records):
        lines.setdefault(record.spec.tenant, []).append(record)
    totals = [max(int(view.supply.pool[:, c].sum()), 1) for c in (tables.CORES, tables.MEM, tables.CARDS)]

    def share(tenant: str) -> float:
        use = taken.setdefault(tenant, list(view.tenant(tenant).placed))
        return max(u / t for u, t in zip(use, totals, strict=True))

    first = {r.id: i for i, r in enumerate(records)}
    heap = [(share(t), first[line[-1].id], t) for t, line in lines.items()]
    heapq.heapify(heap)
    found: list[str] = []
    while heap:
        _, _, tenant = heapq.heappop(heap)
        record = lines[tenant].pop()
        found.append(record.id)
        for i, amount in enumerate(record.spec.amounts()):
            taken[tenant][i] += amount
        if lines[tenant]:
            heapq.heappush(heap, (share(tenant), first[lines[tenant][-1].id], tenant))
    return found
