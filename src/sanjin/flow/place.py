"""Place: among the feasible (site, pool, start) take the least total in yuan.

The terms of the sum are the explanation. A site below this node gets the job; a site outside its
subtree that is better means that the parent decides; where nothing fits, the parent is asked, and
at the root the job waits for supply to change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import job_rows, run_kernel
from sanjin.flow.view import View
from sanjin.kernels import place as kernel
from sanjin.model import event as ev
from sanjin.model.job import JobSpec
from sanjin.model.placement import Placement, Terms
from sanjin.model.reason import KERNEL_REASONS, Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade, NodeTier, Region
from sanjin.model.units import GB

_CODE = {reason: code for code, reason in enumerate(KERNEL_REASONS) if reason}
Ints = NDArray[np.int64]


def place(view: View, jobs: Sequence[str], now_s: int) -> list[ev.Event]:
    """Decide on queued jobs, in order. Reserves in the view's supply what it chooses."""
    records = [view.jobs[j] for j in jobs]
    rows, choice = price(view, records, now_s)
    listed = rows.tolist()
    view.supply.changed(own=bool(np.any(view.supply.own[choice[choice >= 0]])), freed=False)
    return [
        decide(view, record, tuple(tuple(row) for row in listed[i]), int(choice[i]))
        for i, record in enumerate(records)
    ]


def price(view: View, records: Sequence[JobRecord], now_s: int) -> tuple[Ints, Ints]:
    """Run the kernel for these jobs: rows int64[J, S, ROW] and the choice of each (site or -1)."""
    return run_kernel(view.supply, now_s, *tables(view, records, now_s))


def tables(view: View, records: Sequence[JobRecord], now_s: int) -> tuple[Ints, Ints, Ints, Ints]:
    """What the kernel asks of jobs: the job table, and by site the bars, when inputs are there, what moving costs."""
    supply = view.supply
    masks: dict[tuple[object, ...], Ints] = {}
    moves: dict[tuple[str, ...], tuple[Ints, Ints]] = {}
    barred = np.empty((len(records), len(supply.sites)), np.int64)
    ready = np.empty_like(barred)
    transport = np.empty_like(barred)
    for i, record in enumerate(records):
        spec = record.spec
        origin = spec.latency_origin or origin_of(record)
        key = (spec.grade, spec.latency_class_ms, origin, spec.site, spec.inputs, record.barred, record.bound)
        mask = masks.get(key)
        if mask is None:
            mask = masks[key] = barred_sites(view, record)
        barred[i] = mask
        move = moves.get(spec.inputs)
        if move is None:
            move = moves[spec.inputs] = moving(view, spec.inputs, now_s)
        ready[i], transport[i] = move
    return job_rows(supply, [(r.spec, r.submitted_s) for r in records], now_s), barred, ready, transport


def origin_of(record: JobRecord) -> str:
    """The node where the job was submitted: the first part of its id."""
    return record.id.rpartition("-")[0]


def barred_sites(view: View, record: JobRecord) -> Ints:
    """int64[S]: 0, or the code of the first rule that keeps the job from a site."""
    spec, supply = record.spec, view.supply
    origin = origin_of(record)
    mask = np.zeros(len(supply.sites), np.int64)
    allowed = residency(view.region, view.holders, spec, origin)
    source = supply.site_index[spec.latency_origin or origin] if spec.latency_class_ms else -1
    for i, site in enumerate(supply.sites):
        if spec.site and site != spec.site:
            mask[i] = _CODE[Reason.SITE_PINNED]
        elif allowed is not None and site not in allowed:
            mask[i] = _CODE[Reason.RESIDENCY]
        elif source >= 0 and view.network.latency_ms[source, i] > spec.latency_class_ms:
            mask[i] = _CODE[Reason.LATENCY_CLASS]
        elif not supply.own[i] and (record.bound or not view.parent_reachable):
            mask[i] = _CODE[Reason.OUTSIDE_SUBTREE]
        elif not supply.heard[i]:
            mask[i] = _CODE[Reason.NO_OFFER]
        elif record.barred and view.child_of(site) in record.barred:
            mask[i] = _CODE[Reason.DECLINED]
    return mask


def residency(region: Region, holders: dict[str, set[str]], spec: JobSpec, origin: str) -> set[str] | None:
    """Sites where data of the job's grade may be (None: anywhere); see :class:`DataGrade`."""
    if spec.grade is DataGrade.GENERAL:
        return None
    if spec.grade is DataGrade.IMPORTANT:
        node = origin
        while region.nodes[node].tier is not NodeTier.CORE and region.nodes[node].parent:
            node = region.nodes[node].parent
        return set(region.subtree(node))
    allowed = {origin}
    if spec.inputs:
        allowed = set(region.nodes)
        for dataset in spec.inputs:
            allowed &= holders.get(dataset, set[str]())
    return allowed


def moving(view: View, inputs: tuple[str, ...], now_s: int) -> tuple[Ints, Ints]:
    """When the inputs can be at each site (int64[S], seconds) and what moving them costs (micro)."""
    sites = view.supply.sites
    ready = np.full(len(sites), now_s, np.int64)
    cost = np.zeros(len(sites), np.int64)
    for dataset in inputs:
        size = dataset_bytes(view.region, dataset)
        for i, site in enumerate(sites):
            source = nearest(view, dataset, site)
            if source and source != site:
                a = view.supply.site_index[source]
                ready[i] += view.network.transfer_s(a, i, size)
                cost[i] += view.network.transfer_micro(a, i, size)
    return ready, cost


def dataset_bytes(region: Region, dataset: str) -> int:
    """Declared size of a dataset, bytes."""
    return round(region.datasets[dataset].size.value * GB)


def nearest(view: View, dataset: str, site: str) -> str:
    """The holder from which the dataset comes cheapest to ``site`` (the site itself if it holds it)."""
    index, network = view.supply.site_index, view.network
    b = index[site]
    holders = view.holders.get(dataset) or set()
    return min(
        holders,
        key=lambda h: (network.price_yuan_gb[index[h], b], network.latency_ms[index[h], b], h),
        default="",
    )


def decide(view: View, record: JobRecord, options: tuple[ev.Row, ...], choice: int) -> ev.Event:
    """Turn the kernel's choice into what happens: here, to a child, to the parent, or wait."""
    supply = view.supply
    if choice < 0:
        return nowhere(view, record, options)
    site = supply.sites[choice]
    row = options[choice]
    if not supply.own[choice]:
        return ev.Raised(job=record.id, parent=view.parent, full=False, options=options)
    placement = Placement(
        site=site,
        pool=supply.pool_models[row[kernel.POOL]].id,
        start_s=row[kernel.START],
        finish_s=row[kernel.FINISH],
        terms=Terms(*row[kernel.ENERGY : kernel.WAITING + 1]),
    )
    if site == view.node:
        return ev.Placed(job=record.id, placement=placement, options=options)
    return ev.Assigned(
        job=record.id, child=view.child_of(site), epoch=record.epoch + 1, placement=placement, options=options
    )


def nowhere(view: View, record: JobRecord, options: tuple[ev.Row, ...]) -> ev.Event:
    """No site that this node may choose can take the job within the horizon."""
    if record.bound and record.came_from == view.parent and record.came_from:
        return ev.Declined(job=record.id, epoch=record.epoch, reason=Reason.NO_PLACE)
    if view.parent and view.parent_reachable:
        return ev.Raised(job=record.id, parent=view.parent, full=True, options=options)
    return ev.Waiting(job=record.id, reason=Reason.NO_PLACE, options=options)
