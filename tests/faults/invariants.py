"""What must hold after every step, whatever happened: checked as batches become durable and as runs begin and end.

:class:`Checks` hears of every committed batch, every acknowledged submission, every real start and every real end. It
keeps its own books and never asks a node what it believes, but in :meth:`Checks.view`, which compares what a node
has in memory with what it would find in its store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sanjin.flow import audit
from sanjin.flow.restore import restore
from sanjin.flow.settle import settle
from sanjin.flow.supply import Supply
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import Effects
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.ports import Batch, EndReason, PeerMark, RunOrder, Share, Store
from sanjin.tree.node import Node

_WATCHED = frozenset({"job.assigned", "job.placed", "job.replaced", "job.started", "job.settled"})


class Violation(AssertionError):
    """An invariant does not hold. ``name`` is its short name, the same for every failure of its kind."""

    def __init__(self, name: str, what: str) -> None:
        self.name, self.what = name, what
        super().__init__(f"{name}: {what}")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run takes of a pool, by the record with which its start was written."""

    job: str
    pool: int
    need: tuple[int, int, int, int]
    record: JobRecord


class Checks:
    """The books of one simulated region. The first violation stays in ``found``."""

    def __init__(self, region: Region, supply: Supply, tell: Callable[[str], None]) -> None:
        self.region, self.supply, self._tell = region, supply, tell
        self.found: Violation | None = None
        self.acknowledged: dict[tuple[str, str, str], str] = {}
        self.records: dict[str, dict[str, JobRecord]] = {n: {} for n in region.nodes}
        self.starts: defaultdict[str, list[str]] = defaultdict(list)
        self._here: defaultdict[str, set[str]] = defaultdict(set)
        self._epochs: dict[str, int] = {}
        self._marks: dict[str, dict[str, PeerMark]] = {n: {} for n in region.nodes}
        self._tips: dict[str, tuple[int, bytes]] = {n: (0, b"") for n in region.nodes}
        self._runs: dict[str, Taken] = {}
        self._replaced: Counter[str] = Counter()
        self._live: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._ends: dict[str, EndReason | None] = {}
        self._after_cancel: set[str] = set()
        self._in_use = np.zeros((len(supply.pools), 4), np.int64)
        self._cores: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._fen: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._shares: dict[str, dict[tuple[str, str], Share]] = {n: {} for n in region.nodes}

    def fail(self, name: str, what: str) -> None:
        """Note a violation, the first one."""
        if self.found is None:
            self.found = Violation(name, what)
            self._tell(f"VIOLATION {name}: {what}")

    # -- what clients were told

    def acknowledge(self, node: str, tenant: str, key: str, record: JobRecord) -> None:
        """A client was told that its job is accepted."""
        before = self.acknowledged.setdefault((node, tenant, key), record.id)
        if before != record.id:
            self.fail("one key, one job", f"{node}: key {key} was {before} and is {record.id} now")
        if record.id not in self.records[node]:
            self.fail("acknowledged jobs are durable", f"{node}: {record.id} is not in the store")

    # -- what nodes write

    def committed(self, node: str, batch: Batch) -> None:
        """A batch is durable."""
        self._journal(node, batch)
        self._mail(node, batch)
        known = self.records[node]
        for entry in batch.journal:
            if entry.kind in _WATCHED:
                event = ev.decode(entry.kind, entry.body)
                if isinstance(event, ev.Settled):
                    self._ledger(node, batch, entry.seq, event)
                else:
                    self._decided(node, event, batch.jobs[event.job], known.get(event.job))
        for job, record in batch.jobs.items():
            old = known.get(job)
            if old is not None and record.epoch < old.epoch:
                self.fail("epochs only grow", f"{node}: {job} went from epoch {old.epoch} to {record.epoch}")
            if old is not None and old.state.ended and record.owned and record.state is not old.state:
                self.fail("an end is an end", f"{node}: {job} was {old.state} and is {record.state}")
            known[job] = record
            self._holder(node, record)
            self._account(node, old, record)
        self._shares[node].update(batch.shares)
        for tenant, peer in batch.shares:
            self._reserved(node, tenant, peer)
        for tenant in {r.spec.tenant for r in batch.jobs.values() if r.owned} | {t for t, _ in batch.shares}:
            self._envelope(node, tenant)

    def _journal(self, node: str, batch: Batch) -> None:
        seq, digest = self._tips[node]
        for e in batch.journal:
            if e.seq != seq + 1:
                self.fail("the journal only grows", f"{node}: entry {e.seq} follows {seq}")
            if audit.chain(digest, e.seq, e.at_s, e.kind, e.job, e.body) != e.hash:
                self.fail("the journal is a chain", f"{node}: the hash of entry {e.seq} does not follow")
            seq, digest = e.seq, e.hash
        self._tips[node] = seq, digest

    def _mail(self, node: str, batch: Batch) -> None:
        marks = self._marks[node]
        for peer, mark in batch.marks.items():
            before = marks.get(peer, PeerMark(peer=peer))
            if mark.sent < before.sent or mark.received < before.received:
                self.fail("mail marks only grow", f"{node} with {peer}: {before} became {mark}")
            marks[peer] = mark
            theirs = self._marks[peer].get(node, PeerMark(peer=node))
            if mark.received > theirs.sent:
                what = f"{node} has mail {mark.received} of {peer}, whose last durable mail is {theirs.sent}"
                self.fail("mail is durable before it is sent", what)
        for mail in batch.outbox:
            if mail.seq > marks[mail.peer].sent:
                self.fail("mail is numbered", f"{node}: mail {mail.seq} to {mail.peer} is beyond its mark")
        for peer, upto in batch.acked.items():
            if upto > self._marks[peer].get(node, PeerMark(peer=node)).received:
                self.fail("only what was received is acknowledged", f"{node}: {peer} acknowledges {upto}")

    def _ledger(self, node: str, batch: Batch, seq: int, event: ev.Settled) -> None:
        lines = [(line.account, line.fen) for line in batch.ledger if line.entry == seq]
        if lines != [(p.account, p.fen) for p in event.postings] or sum(fen for _, fen in lines):
            self.fail("the ledger balances", f"{node}: entry {seq} of {event.job}: {lines}")

    def _decided(self, node: str, event: ev.Event, record: JobRecord, old: JobRecord | None) -> None:
        if isinstance(event, ev.Assigned) and not self._has_copies(event.job):
            before = self._epochs.get(event.job, 0)
            if event.epoch <= before:
                self.fail("epochs only grow", f"{node}: {event.job} is given epoch {event.epoch} after {before}")
            self._epochs[event.job] = max(event.epoch, before)
        if isinstance(event, ev.Replaced):
            self._replaced[event.job] += 1
            if record.spec.effects is Effects.ONCE:
                self.fail("once is once", f"{node}: {event.job} is placed again while {event.peer} is silent")
        if old is not None and old.cancel_asked and record.cancel_asked:
            self.fail("a cancelled job goes no further", f"{node}: {event.kind} of {event.job}")
        if isinstance(event, ev.Started) and record.placement:
            pool = self.supply.pool_of(record.placement)
            self._runs[f"{node}/{event.run}"] = Taken(event.job, pool, self.supply.need(record.spec, pool), record)

    def _has_copies(self, job: str) -> bool:
        """Whether the job, or the array that it is of, was placed again: each copy has leases of its own."""
        array = job.partition(".")[0]
        return any(each.partition(".")[0] == array for each in self._replaced)

    def _holder(self, node: str, record: JobRecord) -> None:
        nodes = self._here[record.id]
        if record.state.live and not record.sent_to:
            nodes.add(node)
        else:
            nodes.discard(node)
        if len(nodes) > 1 + self._replaced[record.id]:  # a copy that was given up may be there still
            self.fail("a job has one holder", f"{record.id} is at {sorted(nodes)}")

    def _account(self, node: str, old: JobRecord | None, record: JobRecord) -> None:
        """The tenant's use of its envelope: cores of admitted live jobs; what ended cost, and live may cost."""
        if not record.owned:
            return
        key = (node, record.spec.tenant)
        for each, sign in ((old, -1), (record, 1)):
            if each is not None:
                admitted = each.state.live and each.reserved_fen > 0
                self._cores[key] += sign * each.spec.quota_cores() * admitted
                self._fen[key] += sign * (max(each.reserved_fen, each.fen) if each.state.live else each.fen)
        if old is not None and old.reserved_fen and not record.state.live and record.fen > old.reserved_fen:
            what = f"{node}: {record.id} cost {record.fen} fen in {record.runs} runs, {old.reserved_fen} were set aside"
            self.fail("a job costs no more than was set aside", what)

    def _part(self, node: str, tenant: str, peer: str) -> tuple[int, int]:
        share = self._shares[node].get((tenant, peer))
        return (share.cores, share.fen) if share else (0, 0)

    def _reserved(self, node: str, tenant: str, peer: str) -> None:
        """What a child may use is reserved at its parent, whatever was lost or is late."""
        child, parent = (node, peer) if peer == self.region.nodes[node].parent else (peer, node)
        has, kept = self._part(child, tenant, parent), self._part(parent, tenant, child)
        if has[0] > kept[0] or has[1] > kept[1] or min(*has, *kept) < 0:
            what = f"{child} has {has} (cores, fen) of {tenant}, {kept} are reserved for it at {parent}"
            self.fail("what is lent is reserved", what)

    def _envelope(self, node: str, tenant: str) -> None:
        """A node uses no more than was stated for it and borrowed by it, less what it lent; nor do all together."""
        whose, up = self.region.tenants[tenant], self.region.nodes[node].parent
        parts = [(peer, self._part(node, tenant, peer)) for of, peer in self._shares[node] if of == tenant]
        cores, fen = (sum(part[i] * (1 if peer == up else -1) for peer, part in parts) for i in (0, 1))
        cores, fen = cores + whose.envelope(node).cores, fen + round(whose.envelope(node).yuan * 100)
        if self._cores[node, tenant] > cores:
            self.fail("quota holds", f"{node}: {tenant} uses {self._cores[node, tenant]} of {cores} cores")
        if self._fen[node, tenant] > fen:
            self.fail("budget holds", f"{node}: {tenant} uses {self._fen[node, tenant]} of {fen} fen")
        for name, used, of in (
            ("quota holds", self._cores, sum(whose.envelope(n).cores for n in self.region.nodes)),
            ("budget holds", self._fen, sum(round(whose.envelope(n).yuan * 100) for n in self.region.nodes)),
        ):
            if (total := sum(used[n, tenant] for n in self.region.nodes)) > of:
                self.fail(name, f"{tenant} uses {total} of {of} in the whole region")

    # -- what engines do

    def began(self, node: str, order: RunOrder) -> None:
        """A run really begins."""
        taken = self._runs.get(f"{node}/{order.key}")
        if taken is None:
            self.fail("intent before start", f"{node}: {order.key} starts and no such start is durable")
            return
        job = taken.job
        if taken.record.waits_for:
            self.fail("after what it comes after", f"{node}: {order.key} starts before {taken.record.waits_for}")
        live = self._live[job]
        if node in live or len(live) > self._replaced[job]:
            self.fail("one run at a time", f"{node}: {order.key} starts while {live} run")
        once = taken.record.spec.effects is Effects.ONCE
        if once and self.starts[job] and self._ends.get(job) is not EndReason.STOPPED:
            self.fail("once is once", f"{node}: {order.key} starts after {self.starts[job]} ({self._ends.get(job)})")
        live[node] = f"{node}/{order.key}"
        self.starts[job].append(order.key)
        if self.records[node][job].cancel_asked:
            self._after_cancel.add(order.key)
        self._in_use[taken.pool] += taken.need
        self._room(node, taken, order.key)

    def _room(self, node: str, taken: Taken, key: str) -> None:
        row, supply = self.supply.pool[taken.pool], self.supply
        cores, mib, cards, _ = self._in_use[taken.pool].tolist()
        site = supply.site_index[node]
        power = int(self._in_use[supply.pools_at[site], 3].sum())
        if cores > row[3] or mib > row[4] or cards > row[5]:
            others = [k for live in self._live.values() for k in live.values() if self._runs[k].pool == taken.pool]
            what = f"{supply.pools[taken.pool]}: {cores} of {row[3]} cores, {mib} of {row[4]} MiB with {key}: {others}"
            self.fail("capacity holds", what)
        if power > supply.it_cap_mw[site]:
            self.fail("power holds", f"{node}: {power} of {supply.it_cap_mw[site]} mW with {key}")

    def ended(self, node: str, key: str, reason: EndReason | None) -> None:
        """A run is really over; ``reason`` is None where it was interrupted."""
        taken = self._runs[f"{node}/{key}"]
        self._in_use[taken.pool] -= taken.need
        self._live[taken.job].pop(node, None)
        self._ends[taken.job] = reason
        if key in self._after_cancel and reason is EndReason.EXIT:
            self.fail("a cancelled job goes no further", f"{node}: {key} began after its cancel and ran to its end")

    # -- whole nodes

    def view(self, node: Node, whole: bool) -> None:
        """Compare what a node knows with what it would find after a crash now; with ``whole``, audit its journal."""
        store, view = node.parts.store, node.view
        stored = store.load()
        again = fresh(node)
        restore(again, stored, node.loop.now_s)
        name = node.name
        for tenant in view.envelopes.use.keys() | again.envelopes.use.keys():
            a, b = view.tenant(tenant), again.tenant(tenant)
            if (a.cores, a.reserved_fen, a.spent_fen) != (b.cores, b.reserved_fen, b.spent_fen):
                self.fail("memory is what the store says", f"{name}: use of {tenant}: {a} in memory, {b} stored")
        for what, a, b in (
            ("jobs", {j: r.state for j, r in view.jobs.items()}, {j: r.state for j, r in again.jobs.items()}),
            ("runs", view.running, again.running),
            ("queue", set(view.queue) | set(view.parked), set(again.queue) | set(again.parked)),
            ("refused", view.refused, again.refused),
            ("held", set(view.held), set(again.held)),
            ("marks", view.marks, again.marks),
            ("shares", view.envelopes.shares, again.envelopes.shares),
            ("lent", view.envelopes.lent, again.envelopes.lent),
            ("tip", (view.tip_seq, view.tip_hash), (again.tip_seq, again.tip_hash)),
            ("outbox", _numbers(m for box in node.loop.outbox.values() for m in box), _numbers(stored.outbox)),
        ):
            if a != b:
                self.fail("memory is what the store says", f"{name}: {what}: {a!r} in memory, {b!r} stored")
        if whole:
            self._audit(name, store)

    def _audit(self, node: str, store: Store) -> None:
        entries = store.journal(limit=10**6)
        tenants = {e.job: ev.decode(e.kind, e.body).tenant for e in entries if e.kind == "job.settled"}
        grid = self.region.nodes[node].site.grid
        result = audit.verify(
            node, entries, store.tip(), store.ledger(), lambda m: settle(m, tenants[m.job], grid)
        )
        if result.problems:
            self.fail("the audit passes", f"{node}: {result.problems[0].text()}")

    def unfinished(self) -> list[JobRecord]:
        """Acknowledged jobs that have not ended, as their owners know them."""
        own = (self.records[node].get(job) for (node, _, _), job in self.acknowledged.items())
        return [r for r in own if r is not None and not r.state.ended]

    def holder_of(self, job: str) -> JobRecord | None:
        """The record at the node that has the job, following whom it was sent to."""
        node = job.rpartition("-")[0]
        for _ in range(len(self.records) + 1):
            record = self.records[node].get(job)
            if record is None or not record.sent_to:
                return record
            node = record.sent_to
        return None

    def at_rest(self, nodes: Mapping[str, Node]) -> None:
        """All was healed and left alone for long: everything has ended and everybody agrees."""
        for (owner, _, key), job in self.acknowledged.items():
            record = self.records[owner].get(job)
            if record is None:
                self.fail("no acknowledged job is lost", f"{owner}: {job} ({key}) is gone")
            elif not record.state.ended:
                holder = self.holder_of(job)
                self.fail("every job ends", f"{job} is {_short(record)}; its holder: {_short(holder)}")
            else:
                self._agree(record)
        if any(self._live.values()):
            self.fail("every run ends", f"{[live for live in self._live.values() if live]}")
        for name, node in nodes.items():
            self._empty(name, node)
            for tenant, peer in self._shares[name]:
                if self._part(name, tenant, peer) != self._part(peer, tenant, name):
                    what = f"{name}: {self._part(name, tenant, peer)}, {peer}: {self._part(peer, tenant, name)}"
                    self.fail("lender and borrower agree at rest", f"of {tenant}: {what}")
        self._converged(nodes)

    def _agree(self, record: JobRecord) -> None:
        holder = self.holder_of(record.id)
        if holder is None:
            self.fail("owner and holder agree", f"{record.id}: nobody holds what {_short(record)}")
            return
        mine, theirs = ((r.state, r.reason, r.fen, r.facility_mwh, r.carbon_mg, r.site) for r in (record, holder))
        if mine != theirs:
            self.fail("owner and holder agree", f"{record.id}: {mine} at its owner, {theirs} at its holder")

    def _empty(self, name: str, node: Node) -> None:
        stored, view = node.parts.store.load(), node.view
        if stored.outbox or any(node.loop.outbox.values()):
            self.fail("outboxes are empty at rest", f"{name}: {stored.outbox[:3]}")
        if view.jobs or stored.live:
            left = [(r.id, r.state.value, r.sent_to) for r in (*view.jobs.values(), *stored.live)]
            self.fail("nothing is left at rest", f"{name}: {left[:5]}")
        for tenant, use in view.envelopes.use.items():
            spent = sum(r.fen for r in self.records[name].values() if r.owned and r.spec.tenant == tenant)
            if (use.cores, use.reserved_fen, use.spent_fen) != (0, 0, spent):
                self.fail("accounts are closed at rest", f"{name}: {tenant}: {use}, spent {spent} by its jobs")
            if any(use.placed):
                self.fail("accounts are closed at rest", f"{name}: {tenant}: {use.placed} placed")

    def _converged(self, nodes: Mapping[str, Node]) -> None:
        """Every site is empty, and every node believes so of every site."""
        for name, node in nodes.items():
            supply = node.view.supply
            if not supply.heard.all():
                unknown = [s for s, heard in zip(supply.sites, supply.heard, strict=True) if not heard]
                self.fail("views converge", f"{name} has not heard of {unknown}")
            for what, free, full in (
                ("cores", supply.free_cores, supply.pool[:, 3:4]),
                ("memory", supply.free_mem, supply.pool[:, 4:5]),
                ("power", supply.free_mw, supply.it_cap_mw[:, None]),
            ):
                # the last slot may be one that others have not rolled on to
                wrong = np.argwhere((free != full)[:, :-2])
                if len(wrong):
                    row, slot = wrong[0].tolist()
                    of = supply.pools[row] if what != "power" else supply.sites[row]
                    own = "its own" if of.partition("/")[0] == name else "others'"
                    self.fail(
                        "free capacity is what the jobs say",
                        f"{name}: {what} of {own} {of} in slot {slot}: {free[row, slot]} of {full[row, 0]}",
                    )


def fresh(node: Node) -> View:
    """An empty view like the node's own."""
    parts, old = node.parts, node.view
    supply = Supply(parts.region, node.name, parts.book, parts.slots, None, parts.policy)
    supply.roll(node.loop.now_s)
    return View(node.name, node.parent, parts.region, parts.network, supply, old.sites)


def _numbers(mail: Sequence[object]) -> list[tuple[str, int]]:
    return sorted((m.peer, m.seq) for m in mail)


def _short(record: JobRecord | None) -> str:
    if record is None:
        return "nobody"
    return f"{record.state.value}/{record.reason} sent_to={record.sent_to} epoch={record.epoch} barred={record.barred}"
