"""Place: among the feasible (site, pool, start) take the least total in yuan.

The terms of the sum are the explanation. A site below this node gets the job; a site outside its
subtree that is better means that the parent decides; where nothing fits, the parent is asked, and
at the root the job waits for supply to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.options import options_of, place_of
from sanjin.flow.pieces import divided
from sanjin.flow.supply import Asked, Supply, job_rows, run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.kernels.pieces import left_after
from sanjin.kernels.tables import SITE, job_of, need_code
from sanjin.model import event as ev
from sanjin.model.data import Artifact
from sanjin.model.job import JobSpec
from sanjin.model.network import Network
from sanjin.model.placement import Placement, Terms
from sanjin.model.reason import KERNEL_REASONS, Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade, NodeTier, Region
from sanjin.model.units import GB, HOUR_S, SLOT_S

MOVES_MAX = 8
"""Times that stopped work may go on at another site."""

_CODE = {reason: code for code, reason in enumerate(KERNEL_REASONS) if reason}
Ints = NDArray[np.int64]


def place(view: View, jobs: Sequence[str], now_s: int) -> list[ev.Event]:
    """Decide on queued jobs, in order. Reserves in the view's supply what it chooses."""
    records = [view.jobs[j] for j in jobs]
    given = asked(view, records, now_s)
    rows, choice = run_kernel(view.supply, now_s, given)
    taken = {site for site in choice.tolist() if site >= 0 and view.supply.own[site]}
    view.supply.changed(own=bool(taken), freed=False, sites=taken)
    return [
        decide(view, record, options_of(rows[i], site), site, given, i)
        for i, (record, site) in enumerate(zip(records, choice.tolist(), strict=True))
    ]


def asked(view: View, records: Sequence[JobRecord], now_s: int) -> Asked:
    """What the kernel asks of these jobs."""
    supply = view.supply
    masks: dict[tuple[object, ...], Ints] = {}
    moves: dict[tuple[object, ...], tuple[Ints, Ints]] = {}
    barred = np.empty((len(records), len(supply.sites)), np.int64)
    ready = np.empty_like(barred)
    transport = np.empty_like(barred)
    latency = np.zeros_like(barred)
    for i, record in enumerate(records):
        spec = record.spec
        origin = spec.latency_origin or origin_of(record)
        key = (
            spec.grade, spec.latency_class_ms, origin, spec.site, spec.inputs, record.artifacts, record.barred,
            record.bound, _size(spec) if supply.policy.rule.at_home else None, bool(spec.image),
        )  # fmt: skip
        mask = masks.get(key)
        if mask is None:
            mask = masks[key] = barred_sites(view, record)
        barred[i] = mask
        brings = record.moving()
        move = moves.get((spec.inputs, brings))
        if move is None:
            move = moves[spec.inputs, brings] = moving(view, spec.inputs, brings, now_s)
        ready[i], transport[i] = move
        if spec.inputs or brings:
            full = (barred[i] == 0) & (ready[i] >= (supply.first_slot + supply.slots) * SLOT_S)
            barred[i] = np.where(full, _CODE[Reason.LINK_CAPACITY], barred[i])
        if spec.latency_class_ms:
            latency[i] = latency_rate(view, origin)
    specs = [(_left(r), max(r.submitted_s, r.end_s)) for r in records]
    return Asked(job_rows(supply, specs), barred, ready, transport, latency)


def left_s(record: JobRecord) -> int:
    """Work that is left, seconds at speed 1, with what going on after a stop costs."""
    return int(left_after(record.spec.duration_s, record.done_s, record.spec.stop_cost_s))


def _left(record: JobRecord) -> JobSpec:
    """The job with the work that is left of it."""
    return replace(record.spec, duration_s=left_s(record)) if record.done_s else record.spec


def latency_rate(view: View, origin: str) -> Ints:
    """int64[S]: pico-yuan for each second that a job from ``origin`` runs there, as the policy prices its distance."""
    supply = view.supply
    per_ms = supply.policy.latency_yuan_ms_hour * supply.weights.latency * 1e12 / HOUR_S
    distance = view.network.latency_ms[supply.site_index[origin]]
    return np.where(np.isfinite(distance), np.rint(np.nan_to_num(distance, posinf=0.0) * per_ms), 0).astype(np.int64)


def origin_of(record: JobRecord) -> str:
    """The node where the job was submitted: the first part of its id."""
    return record.id.rpartition("-")[0]


def barred_sites(view: View, record: JobRecord) -> Ints:
    """int64[S]: 0, or the code of the first rule that keeps the job from a site."""
    spec, supply = record.spec, view.supply
    origin = origin_of(record)
    allowed = residency(view.region, view.holders, spec, origin, record.artifacts)
    home = home_of(supply, view.network, spec, origin) if supply.policy.rule.at_home and not spec.site else ""
    mask, index = np.zeros(len(supply.sites), np.int64), supply.site_index
    # in the reverse order: the first rule is the one that is told
    for reason, peers in ((Reason.DECLINED, record.barred), (Reason.SILENT, view.silent)):
        if peers:
            mask[[view.child_of(site) in peers for site in supply.sites]] = _CODE[reason]
    mask[~supply.heard] = _CODE[Reason.NO_OFFER]
    if record.bound or not view.parent_reachable:
        mask[supply.own == 0] = _CODE[Reason.OUTSIDE_SUBTREE]
    if record.done_s and not may_move(record):
        site = record.checkpoint.site if record.checkpoint else record.site
        mask[np.arange(len(mask)) != index.get(site, -1)] = _CODE[Reason.CHECKPOINT_ELSEWHERE]
    if spec.latency_class_ms:
        distance = view.network.latency_ms[index[spec.latency_origin or origin]]
        mask[distance > spec.latency_class_ms] = _CODE[Reason.LATENCY_CLASS]
    if spec.image:
        mask[[not view.region.nodes[site].site.images for site in supply.sites]] = _CODE[Reason.IMAGES]
    if allowed is not None:
        mask[[site not in allowed for site in supply.sites]] = _CODE[Reason.RESIDENCY]
    for reason, only in ((Reason.KEPT_AT_HOME, home), (Reason.SITE_PINNED, spec.site)):
        if only:
            mask[np.arange(len(mask)) != index[only]] = _CODE[reason]
    return mask


def may_move(record: JobRecord) -> bool:
    """Whether work that was stopped may go on at another site than before."""
    return record.checkpoint is not None and len(record.ran_at) <= MOVES_MAX


def home_of(supply: Supply, network: Network, spec: JobSpec, origin: str) -> str:
    """The site nearest to the node of submission (itself if it can) that could hold the job when empty."""
    row = job_rows(supply, [(spec, 0)])[0]
    job = job_of(row.reshape(1, -1), 0)
    able = {int(supply.pool[p, SITE]) for p in range(len(supply.pools)) if need_code(supply.pool, p, job) == 0}
    distance = network.latency_ms[supply.site_index[origin]]
    return supply.sites[min(able, key=lambda s: (distance[s], s))] if able else origin


def fits_here(view: View, spec: JobSpec) -> bool:
    """Whether any pool of this node's subtree could hold the job when it is empty."""
    job = job_of(job_rows(view.supply, [(spec, 0)])[0].reshape(1, -1), 0)
    own = np.flatnonzero(view.supply.own[view.supply.pool[:, SITE]]).tolist()
    return any(need_code(view.supply.pool, p, job) == 0 for p in own)


def _size(spec: JobSpec) -> tuple[object, ...]:
    """What decides which pools could hold the job."""
    return spec.cores, spec.memory_bytes, spec.accelerators, spec.accelerator_kind, spec.pool_kind, spec.nodes


def residency(
    region: Region, holders: dict[str, set[str]], spec: JobSpec, origin: str, artifacts: Sequence[Artifact] = ()
) -> set[str] | None:
    """Sites where data of the job's grade may be (None: anywhere); see :class:`DataGrade`."""
    if spec.grade is DataGrade.GENERAL:
        return None
    if spec.grade is DataGrade.IMPORTANT:
        node = origin
        while region.nodes[node].tier is not NodeTier.CORE and region.nodes[node].parent:
            node = region.nodes[node].parent
        return set(region.subtree(node))
    allowed = {origin}
    if spec.inputs or artifacts:
        allowed = set(region.nodes)
        for dataset in spec.inputs:
            allowed &= holders.get(dataset, set[str]())
        for artifact in artifacts:
            allowed &= {artifact.site}
    return allowed


def moving(
    view: View, inputs: tuple[str, ...], artifacts: tuple[Artifact, ...], now_s: int
) -> tuple[Ints, Ints]:
    """When inputs and artifacts can be at each site (int64[S], seconds) and what moving them costs (micro)."""
    sites = view.supply.sites
    ready = np.full(len(sites), now_s, np.int64)
    cost = np.zeros(len(sites), np.int64)
    wanted = needed(inputs, artifacts)
    if not wanted:
        return ready, cost
    free, index = view.links.free(), view.supply.site_index
    never = (view.supply.first_slot + view.supply.slots) * SLOT_S
    for i, site in enumerate(sites):
        for dataset, artifact in wanted:
            source = source_of(view, dataset, artifact, site)
            if site == view.node and dataset in view.moving:
                ready[i] = max(int(ready[i]), view.moving[dataset])  # on its way already, for another job
            elif source and source != site:
                size = bytes_of(view.region, dataset, artifact)
                way = view.links.plan(free, index[source], i, size, int(ready[i]))
                ready[i] = way.done_s if way else never
                cost[i] += view.network.transfer_micro(index[source], i, size)
    return ready, cost


def needed(inputs: Sequence[str], artifacts: Sequence[Artifact]) -> list[tuple[str, Artifact | None]]:
    """Each dataset once that inputs and artifacts are, with the artifact where it is one."""
    found: dict[str, Artifact | None] = dict.fromkeys(inputs)
    return list((found | {a.dataset: a for a in artifacts}).items())


def bytes_of(region: Region, dataset: str, artifact: Artifact | None) -> int:
    """Size of an artifact, or the declared one of a dataset of the region; bytes."""
    return artifact.bytes if artifact else dataset_bytes(region, dataset)


def dataset_bytes(region: Region, dataset: str) -> int:
    """Declared size of a dataset, bytes."""
    return round(region.datasets[dataset].size.value * GB)


def source_of(view: View, dataset: str, artifact: Artifact | None, site: str) -> str:
    """From where a dataset comes to ``site``: the site itself where it has it."""
    if artifact is None:
        return nearest(view, dataset, site)
    return site if site == view.node and dataset in view.here else artifact.site


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


def decide(view: View, record: JobRecord, options: tuple[ev.Row, ...], choice: int, given: Asked, j: int) -> ev.Event:
    """Turn the kernel's choice into what happens: here, to a child, to the parent, or wait.

    ``given`` is what the kernel was asked; this is its job ``j``.
    """
    supply = view.supply
    if choice < 0:
        return nowhere(view, record, options)
    site = supply.sites[choice]
    at = place_of(options, choice)
    row = options[at]
    if not supply.own[choice]:  # that is the parent's to give: until it has, nothing is taken there
        pool = row[tables.POOL]
        supply.shift(pool, row[tables.START], row[tables.UNTIL], supply.need(record.spec, pool), -1)
        if record.came_from and record.came_from == view.parent:  # it was stopped here, and goes back with what it did
            return ev.Declined(job=record.id, epoch=record.epoch, reason=Reason.BETTER_PLACE)
        return ev.Raised(job=record.id, parent=view.parent, full=False, options=options)
    placement = placement_of(supply, row)
    if site in view.sites and record.spec.stoppable:
        found = divided(supply, given.part(j), record, row[: tables.ROW])
        if found:
            placement, changed = found
            options = (*options[:at], (*changed, *row[tables.ROW :]), *options[at + 1 :])
    return given_to(view, record, placement, options)


def given_to(view: View, record: JobRecord, placement: Placement, options: tuple[ev.Row, ...]) -> ev.Event:
    """The event that gives a place in the own subtree: here, or to the child that has the site."""
    if placement.site in view.sites:
        return ev.Placed(job=record.id, placement=placement, options=options)
    child = view.child_of(placement.site)
    return ev.Assigned(job=record.id, child=child, epoch=record.epoch + 1, placement=placement, options=options)


def placement_of(supply: Supply, row: Sequence[int], members: int = 1) -> Placement:
    """What a kernel's row says, for one job or so many members of an array alike."""
    site, pool = supply.pools[row[tables.POOL]].split("/")
    return Placement(
        site=site,
        pool=pool,
        start_s=int(row[tables.START]),
        finish_s=int(row[tables.FINISH]),
        until_s=int(row[tables.UNTIL]),
        terms=Terms(*(int(value) * members for value in row[tables.ENERGY : tables.WAITING + 1])),
    )


def too_late(record: JobRecord, now_s: int) -> Reason | None:
    """Why work that waits for a place can get none any more, where that is so."""
    spec = record.spec
    if spec.deadline_firm and spec.deadline_s and now_s >= spec.deadline_s:
        return Reason.DEADLINE
    if spec.reserves and now_s > max(spec.earliest_start_s, record.submitted_s):
        return Reason.NO_PLACE
    return None


def nowhere(view: View, record: JobRecord, options: tuple[ev.Row, ...]) -> ev.Event:
    """No site that this node may choose can take the job within the horizon."""
    # its checkpoint is here, or it wants this site: no one else can help
    if record.spec.reserves or (record.done_s and not may_move(record)):
        return ev.Waiting(job=record.id, reason=Reason.NO_PLACE, options=options)
    if record.came_from and record.came_from == view.parent:
        return ev.Declined(job=record.id, epoch=record.epoch, reason=Reason.NO_PLACE)
    if view.parent and view.parent_reachable:
        return ev.Raised(job=record.id, parent=view.parent, full=True, options=options)
    # who declined had offered room: asking again at the next offer could go on for as long as the two disagree
    declined = bool(record.barred)
    return ev.Waiting(job=record.id, reason=Reason.DECLINED if declined else Reason.NO_PLACE, options=options)
