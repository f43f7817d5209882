"""What became of a trace under one rule: where and when each job ran, and what that adds up to.

Every sum is checked against another way to reach it; a replay that breaks one of these laws raises.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels import tables
from sanjin.kernels.account import add_runs, most_at_once
from sanjin.model.units import SLOT_S
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload

Floats = NDArray[np.float64]

MW_S_PER_KWH = 3_600_000_000
"""Milliwatt-seconds a kWh."""

BOUNDED_S = 10
"""Bounded slowdown counts no run as shorter than this (Feitelson et al., 1997)."""


class LawBroken(Exception):
    """A sum of a replay differs from what it must equal: a fault of the program, never of the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One rule's choices for J jobs: ``place`` int64[J] is a pool (-1: no place), ``start_s`` and ``end_s`` seconds
    UTC. ``rule`` names it."""

    rule: str
    place: Ints
    start_s: Ints
    end_s: Ints

    def digest(self) -> str:
        """The same decisions give the same digest."""
        body = b"".join(np.ascontiguousarray(a, "<i8").tobytes() for a in (self.place, self.start_s))
        return hashlib.sha256(body).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Sums of an outcome. Money in yuan, energy in kWh, carbon in kg CO2e, times in seconds.

    ``core_s`` int64[P, T] and ``energy_mws`` int64[S, T] (IT load, milliwatt-seconds) by slot; ``by_site`` has the
    yuan of each site by term; ``wait_s`` and ``slowdown`` are of each job that ran.
    """

    jobs: int
    ran: int
    terms: dict[str, float]
    by_site: dict[str, Floats]
    it_kwh: float
    facility_kwh: float
    carbon_kg: float
    moved_gb: float
    wait_s: Ints
    slowdown: Floats
    core_s: Ints
    energy_mws: Ints
    use_share: Floats
    """Of each pool's core-seconds until the last arrival."""

    @property
    def total(self) -> float:
        """Sum of the terms, yuan."""
        return sum(self.terms.values())

    @property
    def billed(self) -> float:
        """What somebody pays: all but waiting."""
        return self.total - self.terms["waiting"]

    @property
    def pue(self) -> float:
        """Facility energy over IT energy."""
        return self.facility_kwh / self.it_kwh if self.it_kwh else 0.0


def account(work: Workload, found: Outcome) -> Account:
    """Add an outcome up and check the sums. Raises LawBroken."""
    trace, supply, pool = work.trace, work.supply, work.pool
    ran = found.place >= 0
    p = found.place[ran]
    s, cores = pool[p, tables.SITE], trace.cores[ran]
    core_s = np.zeros((len(pool), supply.slots + 1), np.int64)
    energy = np.zeros((len(supply.sites), supply.slots + 1), np.int64)
    add_runs(
        pool, trace.cores, trace.cards, found.place, found.start_s, found.end_s, work.begin_s, core_s, energy
    )
    _check_bounds(work, found)
    seconds = (found.end_s - found.start_s)[ran]
    if int(core_s.sum()) != int((cores * seconds).sum()):
        raise LawBroken(f"{found.rule}: core-seconds by slot differ from those of the jobs")
    mw = cores * pool[p, tables.MW_CORE] + trace.cards[ran] * pool[p, tables.MW_CARD]
    if int(energy.sum()) != int((mw * seconds).sum()):
        raise LawBroken(f"{found.rule}: energy by site and slot differs from that of the jobs")
    at_slot = energy[:, : supply.slots].astype(float)
    block = supply.book.at(supply.first_slot)
    part = slice(supply.first_slot - block.first_slot, supply.first_slot - block.first_slot + supply.slots)
    prices, carbon_price = (table[:, part].astype(float) / 1e15 for table in (block.energy, block.carbon))
    facility = at_slot * block.pue[:, part] / MW_S_PER_KWH
    use = cores * pool[p, tables.USE_CORE] + trace.cards[ran] * pool[p, tables.USE_CARD]
    moved = work.data_bytes[ran] * (s != work.origin[ran])
    fare = work.network.price_yuan_gb[work.origin[ran], s] * moved / 1e9
    waited = (found.start_s - work.begin_s - trace.arrive_s)[ran]
    sites = len(supply.sites)
    by_site: dict[str, Floats] = {
        "energy": (at_slot * prices).sum(axis=1),
        "carbon": (at_slot * carbon_price).sum(axis=1),
        "transport": np.bincount(s, fare, sites).astype(float),
        "use": np.bincount(s, use * seconds / 1e12, sites).astype(float),
        "waiting": np.bincount(s, work.delay_pico[ran] * waited.astype(float) / 1e12, sites).astype(float),
    }
    span = work.trace.span_s()
    return Account(
        jobs=len(trace),
        ran=int(ran.sum()),
        terms={name: float(values.sum()) for name, values in by_site.items()},
        by_site=by_site,
        it_kwh=float(at_slot.sum()) / MW_S_PER_KWH,
        facility_kwh=float(facility.sum()),
        carbon_kg=float((facility * block.carbon_mg[:, part] / 1e6).sum()),
        moved_gb=float(moved.sum()) / 1e9,
        wait_s=waited,
        slowdown=np.maximum((waited + seconds) / np.maximum(seconds, BOUNDED_S), 1.0),
        core_s=core_s,
        energy_mws=energy,
        use_share=core_s[:, : span // SLOT_S + 1].sum(axis=1) / np.maximum(pool[:, tables.CORES] * span, 1),
    )


def _check_bounds(work: Workload, found: Outcome) -> None:
    """No pool has more in use at any instant than it has, and nothing starts before it came."""
    ran = found.place >= 0
    if (found.start_s[ran] < work.begin_s + work.trace.arrive_s[ran]).any():
        raise LawBroken(f"{found.rule}: a job starts before it arrived")
    count = len(found.place)
    times = np.concatenate([found.start_s, found.end_s])
    kind = np.repeat([1, 0], count)
    order = np.lexsort((kind, times))
    for column, amounts in ((tables.CORES, work.trace.cores), (tables.CARDS, work.trace.cards)):
        most = np.zeros(len(work.pool), np.int64)
        most_at_once(found.place, found.start_s, found.end_s, amounts, order, len(work.pool), most)
        if (most > work.pool[:, column]).any():
            raise LawBroken(f"{found.rule}: a pool has more in use than it has")


def quantiles(values: Ints | Floats) -> dict[str, float]:
    """Mean and percentiles; 0 where there is nothing."""
    if not len(values):
        return dict.fromkeys(("mean", "p50", "p95", "p99"), 0.0)
    p50, p95, p99 = (float(np.percentile(values, p)) for p in (50, 95, 99))
    return {"mean": float(values.sum()) / len(values), "p50": p50, "p95": p95, "p99": p99}

