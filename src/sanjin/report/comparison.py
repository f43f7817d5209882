"""What the same runs would have cost "at once, in its own city": the demo's baseline.

Each measured run is metered and settled again by the same rooms of the flow, at the node where it
was submitted and from the second at which it was submitted. There is assumed to be room there; a
job whose city has no pool that could hold it, or whose data may not go there, is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sanjin.flow.meter import meter
from sanjin.flow.place import dataset_bytes, residency
from sanjin.flow.settle import settle
from sanjin.flow.supply import PriceBook
from sanjin.model import event as ev
from sanjin.model.network import Network
from sanjin.model.record import JobRecord
from sanjin.model.region import Pool, Region

ACCOUNTS = ("energy", "carbon", "site", "network")
"""The parts of a bill, as the first part of the account that was credited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A job that ran: its record, what was measured, and how it was settled."""

    record: JobRecord
    ended: ev.Ended
    settled: ev.Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs beside what they would have been at home. ``home`` is None where home cannot run them."""

    runs: tuple[Run, ...]
    home: tuple[ev.Settled | None, ...]

    def pairs(self) -> list[tuple[Run, ev.Settled]]:
        """Runs that can be compared."""
        return [(r, h) for r, h in zip(self.runs, self.home, strict=True) if h is not None]


def compare(region: Region, network: Network, runs: Sequence[Run]) -> Comparison:
    """Settle every run again as if it had run at once where it was submitted."""
    book = PriceBook(region)
    here = {(d.id, node) for d in region.datasets.values() for node in d.replicas}
    home = [_at_home(region, network, book, run, here) for run in sorted(runs, key=lambda r: r.record.submitted_s)]
    return Comparison(runs=tuple(sorted(runs, key=lambda r: r.record.submitted_s)), home=tuple(home))


def _at_home(
    region: Region, network: Network, book: PriceBook, run: Run, here: set[tuple[str, str]]
) -> ev.Settled | None:
    record, spec = run.record, run.record.spec
    node = record.id.rpartition("-")[0]
    site = region.nodes[node].site
    holders = {d.id: set(d.replicas) for d in region.datasets.values()}
    allowed = residency(region, holders, spec, node)
    pools = [p for p in site.pools if _holds(p, record)]
    if not pools or (allowed is not None and node not in allowed):
        return None
    ended = replace(
        run.ended,
        start_s=record.submitted_s,
        end_s=record.submitted_s + run.ended.end_s - run.ended.start_s,
    )
    moved = 0
    for dataset in spec.inputs:
        if (dataset, node) not in here:  # as in the region itself: fetched once, then it is there
            here.add((dataset, node))
            index = network.nodes.index
            size = dataset_bytes(region, dataset)
            moved += min(network.transfer_micro(index(r), index(node), size) for r in region.datasets[dataset].replicas)
    options = [
        settle(meter(book, record, ended, node, pool, moved), spec.tenant, site.grid, region.carbon_price.value)
        for pool in pools
    ]
    return min(options, key=lambda s: s.fen)


def _holds(pool: Pool, record: JobRecord) -> bool:
    spec = record.spec
    return (
        spec.pool_kind in (None, pool.kind)
        and pool.cores >= spec.cores
        and pool.memory_bytes >= spec.memory_bytes
        and pool.accelerators >= spec.accelerators
        and (not spec.accelerator_kind or spec.accelerator_kind == pool.accelerator_kind)
    )


def parts(settled: ev.Settled) -> dict[str, int]:
    """Fen of a settlement by :data:`ACCOUNTS`."""
    found: dict[str, int] = dict.fromkeys(ACCOUNTS, 0)
    for posting in settled.postings:
        name = posting.account.partition(":")[0]
        if name in found:
            found[name] -= posting.fen
    return found
