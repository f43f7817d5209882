"""What the same runs would have cost "at once, in its own city": the demo's baseline.

Each measured run is metered and settled again by the same rooms of the flow, at the node where it
was submitted and from the second at which it was submitted. There is assumed to be room there; a
job whose city has no pool that could hold it, or whose data may not go there, is left out on both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sanjin.flow.meter import meter
from sanjin.flow.place import dataset_bytes, residency
from sanjin.flow.settle import settle
from sanjin.flow.supply import PriceBook
from sanjin.model import event as ev
from sanjin.model.network import Network
from sanjin.model.record import JobRecord
from sanjin.model.region import Pool, Region
from sanjin.model.struct import changed
from sanjin.model.units import HOUR_S

ACCOUNTS = ("energy", "carbon", "site", "network")
"""The parts of a bill, as the first part of the account that was credited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A job that ran: its record, the start that its site planned, what was measured, how it was settled."""

    record: JobRecord
    planned_s: int
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
    ended = changed(
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
        settle(meter(book, record, ended, node, pool, moved), spec.tenant, site.grid) for pool in pools
    ]
    return min(options, key=lambda s: s.fen)


def _holds(pool: Pool, record: JobRecord) -> bool:
    spec = record.spec
    return (
        spec.pool_kind in (None, pool.kind)
        and pool.cores >= spec.all_cores()
        and pool.memory_bytes >= spec.all_memory_bytes()
        and pool.accelerators >= spec.all_accelerators()
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


@dataclass(frozen=True, slots=True)
class KindSum:
    """The runs of one kind of job and what they came to; each with its settlement at home, or None."""

    kind: str
    runs: tuple[Run, ...]
    home: tuple[ev.Settled | None, ...]

    def sites(self) -> Counter[str]:
        """Number of runs by site."""
        return Counter(r.record.site for r in self.runs)

    @property
    def yuan(self) -> float:
        """What all runs cost."""
        return sum(r.settled.fen for r in self.runs) / 100

    @property
    def kwh(self) -> float:
        """Energy at the facilities' meters."""
        return sum(r.settled.facility_mwh for r in self.runs) / 1e6

    @property
    def kg(self) -> float:
        """CO2e."""
        return sum(r.settled.carbon_mg for r in self.runs) / 1e6

    @property
    def wait_h(self) -> float:
        """Mean time from submission to start, hours."""
        return sum(r.ended.start_s - r.record.submitted_s for r in self.runs) / len(self.runs) / HOUR_S

    @property
    def against_home(self) -> float | None:
        """Change of cost against home, of those that could run there; None where none could, or for nothing."""
        pairs = [(r.settled.fen, h.fen) for r, h in zip(self.runs, self.home, strict=True) if h is not None]
        home = sum(h for _, h in pairs)
        return sum(fen for fen, _ in pairs) / home - 1 if home else None


def by_kind(found: Comparison) -> list[KindSum]:
    """The runs by kind of job."""
    grouped: dict[str, list[tuple[Run, ev.Settled | None]]] = {}
    for run, home in zip(found.runs, found.home, strict=True):
        grouped.setdefault(run.record.spec.kind, []).append((run, home))
    return [
        KindSum(kind, tuple(run for run, _ in listed), tuple(home for _, home in listed))
        for kind, listed in sorted(grouped.items())
    ]


def totals(found: Comparison) -> tuple[dict[str, float], dict[str, float]]:
    """(as it was, at once at home) over the runs that can be compared: yuan, kWh, kg, mean wait in hours."""
    pairs = found.pairs()
    count = max(len(pairs), 1)
    ours = {
        "yuan": sum(r.settled.fen for r, _ in pairs) / 100,
        "kwh": sum(r.settled.facility_mwh for r, _ in pairs) / 1e6,
        "kg": sum(r.settled.carbon_mg for r, _ in pairs) / 1e6,
        "wait_h": sum(r.ended.start_s - r.record.submitted_s for r, _ in pairs) / count / HOUR_S,
    }
    home = {
        "yuan": sum(h.fen for _, h in pairs) / 100,
        "kwh": sum(h.facility_mwh for _, h in pairs) / 1e6,
        "kg": sum(h.carbon_mg for _, h in pairs) / 1e6,
        "wait_h": 0.0,
    }
    return ours, home
