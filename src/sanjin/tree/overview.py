"""What can be asked of a whole region: sites, lists of jobs, a job's history, bills, audits, logs.

Everything here only reads. It may be called from any thread while the nodes work.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sanjin.flow import audit
from sanjin.flow.audit import happening
from sanjin.flow.envelopes import Amount
from sanjin.flow.settle import settle
from sanjin.model import event as ev
from sanjin.model import runtimes
from sanjin.model.access import EVERYTHING, Reach
from sanjin.model.data import DataFile, JobOutputs, LeftOut
from sanjin.model.energy import period_at
from sanjin.model.errors import NotFound
from sanjin.model.job import JobState
from sanjin.model.listing import JobQuery
from sanjin.model.performance import compare
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.runtimes import RunTimes
from sanjin.model.status import (
    AuditResult,
    Bill,
    EnvelopeStatus,
    Happening,
    JobBill,
    JobPage,
    PoolStatus,
    SiteFigures,
    SiteStatus,
)
from sanjin.model.units import MIB, SLOT_S
from sanjin.ports import Entry, Store
from sanjin.tree import job_list

if TYPE_CHECKING:  # with them come the kernels, which take half a second; `sanjin audit verify` needs none
    from sanjin.tree.node import Node
    from sanjin.tree.region import LiveRegion

JOURNAL_A_READ = 5000

Seeing = Callable[[str, Entry], Entry | None]


def site_status(node: Node, also: Collection[str] = ()) -> SiteStatus:
    """A node and its site now; ``also`` are the nodes that speak for themselves."""
    view, info = node.view, node.parts.engine.info()
    return replace(
        site_known(node, node.name),
        parent_reachable=view.parent_reachable or not view.parent,
        fault=fault_of(node),
        engine=info.name,
        sandbox=info.sandbox,
        running=len(view.running),
        queued=len(view.queue) + len(view.parked) + len(view.held),
        jobs=node.parts.store.counts(),
        performance=tuple(site_figures(node, also)),
        cluster=node.others.status(),
    )


def site_known(node: Node, site: str) -> SiteStatus:
    """A site as a node above it knows it, from its last offer and from the work that went there."""
    model, supply, now = node.region.nodes[site], node.view.supply, node.parts.clock.now()
    block = supply.book.at(now // SLOT_S)
    index, slot = supply.site_index[site], now // SLOT_S - block.first_slot
    ahead = min(max(now // SLOT_S - supply.first_slot, 0), supply.slots - 1)
    there = [r.state for r in tuple(node.view.jobs.values()) if r.site == site and site != node.name]
    running = there.count(JobState.RUNNING)
    return SiteStatus(
        site=site,
        parent=model.parent,
        tier=model.tier,
        name_en=model.name_en,
        name_zh=model.name_zh,
        parent_reachable=True,
        fault="",
        engine="",
        sandbox="",
        running=running,
        queued=len(there) - running,
        jobs={},
        pools=tuple(_pool_status(node, f"{site}/{p.id}", ahead) for p in model.site.pools),
        period=period_at(node.region.tariffs[model.site.tariff], now, node.region.utc_offset_h),
        energy_yuan_kwh=int(block.facility_micro[index, slot]) / 1e6,
        carbon_kg_kwh=int(block.carbon_mg[index, slot]) / 1e6,
        pue=float(block.pue[index, slot]),
        it_cap_kw=model.site.power.it_cap.value,
        it_reserved_kw=(int(supply.it_cap_mw[index]) - int(supply.free_mw[index, ahead])) / 1e6,
        lat=model.lat,
        lon=model.lon,
    )


def fault_of(node: Node) -> str:
    """The last failure of a node or its engine; empty while they work."""
    return node.fault or node.lines.fault() or node.parts.engine.info().fault


def site_figures(node: Node, also: Collection[str] = ()) -> Iterator[SiteFigures]:
    """Declared and measured of a node's site and of those below it, but for ``also``, where there is anything."""
    for site in (s for s in node.region.nodes if s in node.subtree and (s == node.name or s not in also)):
        if found := node.performances.complete(site):
            lines = compare(found.declared, found.measured)
            below = any(line.below for line in lines)
            yield SiteFigures(site=site, below=below, figures=lines, measured=found.measured)


def _pool_status(node: Node, pool: str, ahead: int) -> PoolStatus:
    supply = node.view.supply
    row = supply.pool_index[pool]
    model = supply.pool_models[row]
    return PoolStatus(
        pool=model.id,
        kind=model.kind,
        cores=model.cores,
        free_cores=int(supply.free_cores[row, ahead]),
        memory_bytes=model.memory_bytes,
        free_memory_bytes=int(supply.free_mem[row, ahead]) * MIB,
        accelerators=model.accelerators,
        free_accelerators=int(supply.free_acc[row, ahead]),
        accelerator_kind=model.accelerator_kind,
    )


def owner(live: LiveRegion, job: str) -> Node:
    """The node where a job was submitted. Raises NotFound."""
    name = job.rpartition("-")[0]
    node = live.nodes.get(name)
    if node is None:
        other = f"; {name} is another process's node: ask there" if name in live.region.nodes else ""
        raise NotFound(f"there is no job {job}{other}")
    return node


def job(live: LiveRegion, name: str) -> JobRecord:
    """A job as its owner knows it, or the node here that has it where the owner is another process's. Raises
    NotFound."""
    record = live.job(name)
    if record is None:
        owner(live, name)  # says where to ask, where that is known
        raise NotFound(f"there is no job {name}")
    return record


def at_site(node: Node, name: str) -> bool:
    """Whether a job runs or ran at this node's site, as the node itself knows."""
    record = node.parts.store.job(name)
    return record is not None and record.site == node.name


def happenings(live: LiveRegion, name: str, seen: Seeing | None = None) -> list[Happening]:
    """Everything that any node wrote about a job, in order of time. Raises NotFound.

    ``seen`` makes of each entry what is to be shown of it, or None.

    Of the same second, the owner's entries come first, and a report after what it reports.
    """
    job(live, name)
    owned_by = name.rpartition("-")[0]
    nodes = sorted(live.nodes.values(), key=lambda n: n.name != owned_by)
    show = seen or _whole
    lists = [
        [happening(n.name, e) for each in n.parts.store.journal(job=name) if (e := show(n.name, each))] for n in nodes
    ]
    return list(heapq.merge(*lists, key=lambda h: (h.at_s, h.kind == ev.Reported.kind)))


def _whole(_: str, entry: Entry) -> Entry | None:
    return entry


def job_bill(live: LiveRegion, name: str) -> JobBill:
    """How a job's runs were billed, all together. Raises NotFound where there is no job or no settled run."""
    job(live, name)
    events = [e for part in parts(live, name) for _, e in _told(live, part)]
    metered = [e for e in events if isinstance(e, ev.Metered)]
    settled = [e for e in events if isinstance(e, ev.Settled)]
    if not settled:
        here(live, name)
        raise NotFound(f"job {name} has no settled run")
    accounts: dict[str, int] = {}
    for posting in (p for e in settled for p in e.postings):
        accounts[posting.account] = accounts.get(posting.account, 0) + posting.fen
    return JobBill(
        job=name,
        site=metered[-1].site,
        pool=metered[-1].pool,
        core_seconds=sum(m.core_seconds for m in metered),
        card_seconds=sum(m.card_seconds for m in metered),
        fen=sum(e.fen for e in settled),
        it_mwh=sum(e.it_mwh for e in settled),
        facility_mwh=sum(e.facility_mwh for e in settled),
        carbon_mg=sum(e.carbon_mg for e in settled),
        segments=tuple(s for m in metered for s in m.segments),
        postings=tuple(ev.Posting(account=account, fen=fen) for account, fen in accounts.items()),
    )


def parts(live: LiveRegion, name: str) -> list[str]:
    """The job itself, or what an array is divided into, down to the parts that run."""
    divided = [e for node in live.nodes.values() for e in _entries_of(node, name) if isinstance(e, ev.Split)]
    return [deep for e in divided for part in e.parts for deep in parts(live, part.job)] or [name]


def _told(live: LiveRegion, name: str) -> list[tuple[Node, ev.Event]]:
    """What the nodes that ran a job wrote of it, in order of time: several where it went on at another site."""
    lists = [
        [(e.at_s, node, e) for e in node.parts.store.journal(job=name)]
        for site in sites_of(live, name)
        if (node := live.nodes.get(site))
    ]
    merged = heapq.merge(*lists, key=lambda told: told[0])
    return [(node, ev.decode(e.kind, e.body)) for _, node, e in merged]


def sites_of(live: LiveRegion, name: str) -> list[str]:
    """Sites that ran a job, as far as is known here."""
    record = live.job(name)
    if record is None or not record.site:
        return []
    node = live.nodes.get(record.site)
    own = node.parts.store.job(name) if node else None
    return list(dict.fromkeys((*(own.ran_at if own else ()), record.site)))


def _entries_of(node: Node, name: str) -> list[ev.Event]:
    return [ev.decode(e.kind, e.body) for e in node.parts.store.journal(job=name)]


def run_times(live: LiveRegion, tenant: str, jobs_max: int, reach: Reach = EVERYTHING) -> list[RunTimes]:
    """Expected and found run times of the last jobs within ``reach`` that succeeded."""
    found: list[JobRecord] = []
    page, query = JobPage(jobs=(), next=""), JobQuery(state=JobState.SUCCEEDED, tenant=tenant, limit=1000)
    while len(found) < jobs_max:
        page = job_list.jobs(live, query, "", page.next, reach)
        found += page.jobs
        if not page.next:
            break
    return runtimes.run_times(live.region, found[:jobs_max])


def bills(live: LiveRegion) -> list[Bill]:
    """What each tenant's settled jobs came to."""
    sums: dict[str, list[int]] = {}
    accounts: dict[str, dict[str, int]] = {}
    for node in live.nodes.values():
        for tenant, t in node.parts.store.totals().items():
            row = sums.setdefault(tenant, [0, 0, 0, 0])
            for i, value in enumerate((t.jobs, t.fen, t.facility_mwh, t.carbon_mg)):
                row[i] += value
        for (tenant, account), fen in node.parts.store.accounts().items():
            mine = accounts.setdefault(tenant, {})
            mine[account] = mine.get(account, 0) + fen
    found: list[Bill] = []
    for tenant in sorted(sums.keys() | accounts.keys()):
        n, fen, mwh, mg = sums.get(tenant, (0, 0, 0, 0))
        balances = accounts.get(tenant, {})
        posted = balances.get(f"tenant:{tenant}", 0)
        paid = {account: -fen for account, fen in balances.items() if account != f"tenant:{tenant}"}
        found.append(
            Bill(tenant=tenant, jobs=n, fen=fen, posted_fen=posted, facility_mwh=mwh, carbon_mg=mg, accounts=paid)
        )
    return found


def envelopes(live: LiveRegion) -> list[EnvelopeStatus]:
    """The tenants' envelopes at the nodes that run here, where there is anything to use or lent."""
    found: list[EnvelopeStatus] = []
    for name, node in live.nodes.items():
        at = node.view.envelopes
        for tenant in node.region.tenants:
            stated, used, got = at.stated(tenant), at.used(tenant), at.share(tenant, node.view.parent)
            lent, free = at.lent.get(tenant, Amount()), at.free(tenant)
            if not (stated.cores or stated.fen or got.cores or got.fen or lent.cores or lent.fen):
                continue
            found.append(
                EnvelopeStatus(
                    tenant=tenant, node=name, cores_stated=stated.cores, cores_borrowed=got.cores,
                    cores_lent=lent.cores, cores_used=used.cores, cores_free=free.cores, fen_stated=stated.fen,
                    fen_borrowed=got.fen, fen_lent=lent.fen, fen_used=used.fen, fen_free=free.fen,
                    until_s=got.until_s if got.cores or got.fen else 0,
                )
            )  # fmt: skip
    return found


def entries(store: Store) -> Iterator[Entry]:
    """The whole journal, read in parts."""
    after = 0
    while part := store.journal(after=after, limit=JOURNAL_A_READ):
        yield from part
        after = part[-1].seq


def audit_node(region: Region, node: str, store: Store) -> AuditResult:
    """Verify a node's journal, ledger and bills. Work may go on meanwhile: the tip is read first."""
    seq, tip = store.tip()
    listed = (e for e in entries(store) if e.seq <= seq)
    ledger = [line for line in store.ledger() if line.entry <= seq]
    grid = region.nodes[node].site.grid

    def resettle(metered: ev.Metered) -> ev.Settled:
        record = store.job(metered.job)
        tenant = record.spec.tenant if record else ""
        return settle(metered, tenant, grid)

    return audit.verify(node, listed, (seq, tip), ledger, resettle)


def runs_of(live: LiveRegion, name: str) -> list[tuple[Node, str]]:
    """The runs of a job in order, each with the node that ran it: of work that was stopped and went on, all.

    A run that was lost and done again is not among them. Raises NotFound where none began.
    """
    found = _runs_in(_told(live, name))
    if not found:
        here(live, name)
        raise NotFound(f"job {name} has not started yet")
    return found


def _runs_in(events: list[tuple[Node, ev.Event]]) -> list[tuple[Node, str]]:
    found: list[tuple[Node, str]] = []
    lost = False
    for node, event in events:
        if isinstance(event, ev.Started):
            found = [*(found[:-1] if lost else found), (node, event.run)]
            lost = False
        lost = lost or isinstance(event, ev.Requeued)
    return found


def outputs(live: LiveRegion, name: str) -> JobOutputs:
    """What the runs of a job left, so far. Raises NotFound, also where another process's node has some of it."""
    complete, files, left_out, count = job(live, name).state.ended, list[DataFile](), list[LeftOut](), 0
    removed_s = 0
    for before, node, run in _labelled(live, name):
        found = node.parts.engine.outputs(run)
        complete = complete and found.registered
        files += (replace(file, name=before + file.name) for file in found.files)
        left_out += (replace(each, name=before + each.name) for each in found.left_out)
        count += found.left_out_count
        removed_s = max(removed_s, found.removed_at_s)
    return JobOutputs(
        job=name, complete=complete, files=tuple(files), left_out=tuple(left_out), left_out_count=count,
        removed_at_s=removed_s,
    )  # fmt: skip


def output(live: LiveRegion, name: str, file: str) -> tuple[Node, str, DataFile]:
    """The node that has an output of a job, the run that left it, and its name there. Raises NotFound."""
    for before, node, run in _labelled(live, name):
        if file.startswith(before):
            for each in node.parts.engine.outputs(run).files:
                if before + each.name == file:
                    return node, run, each
    raise NotFound(f"job {name} has no output {file}; list them with: sanjin outputs {name}")


def _labelled(live: LiveRegion, name: str) -> Iterator[tuple[str, Node, str]]:
    """The runs of a job, with what their files' names are put after; see :class:`JobOutputs`."""
    for part in parts(live, name):
        here(live, part)
        events = _told(live, part)
        before = f"{part.removeprefix(name + '.')}/" if part != name else ""
        paused = any(isinstance(e, ev.Paused) for _, e in events)
        for number, (node, run) in enumerate(_runs_in(events), 1):
            yield f"{before}{number}/" if paused else before, node, run


def here(live: LiveRegion, name: str) -> None:
    """Raises NotFound where what a site that ran a job wrote of it is at another process."""
    job(live, name)
    away = [site for site in sites_of(live, name) if site not in live.nodes]
    if away:
        raise NotFound(f"job {name} is at {', '.join(away)}, and the node there has the rest: ask there")
