"""What became of a trace under one rule: where and when each job ran, and what that adds up to.

Every sum is checked against another way to reach it; a replay that breaks one of these laws raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels import tables
from sanjin.kernels.account import add_runs, add_work, most_at_once
from sanjin.model.units import SLOT_S
from sanjin.replay.outages import spans
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload

Floats = NDArray[np.float64]

MW_S_PER_KWH = 3_600_000_000
"""Milliwatt-seconds a kWh."""

BOUNDED_S = 10
"""Bounded slowdown counts no run as shorter than this (Feitelson et al., 1997)."""


class LawBroken(Exception):
    """A sum of a replay differs from what it must equal: a fault of the program, never of the input."""


_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Lost:
    """R runs that a failing site cut short, their work lost: ``job``, pool ``place``, from ``start_s`` to ``end_s``;
    ``resumed`` 1 where a run went on with what was done before, its data there already (empty: none did)."""

    job: Ints = field(default_factory=_NONE.copy)
    place: Ints = field(default_factory=_NONE.copy)
    start_s: Ints = field(default_factory=_NONE.copy)
    end_s: Ints = field(default_factory=_NONE.copy)
    resumed: Ints = field(default_factory=_NONE.copy)

    def __len__(self) -> int:
        return len(self.job)


@dataclass(frozen=True, slots=True)
class Halted:
    """R runs that stopped so that their job goes on later, int64[R] as in :class:`Lost`: ``kept`` 1 where what they did
    was kept to the end, 0 where the site failed afterwards and it was lost; ``for_room`` 1 where they made room."""

    job: Ints = field(default_factory=_NONE.copy)
    place: Ints = field(default_factory=_NONE.copy)
    start_s: Ints = field(default_factory=_NONE.copy)
    end_s: Ints = field(default_factory=_NONE.copy)
    kept: Ints = field(default_factory=_NONE.copy)
    resumed: Ints = field(default_factory=_NONE.copy)
    for_room: Ints = field(default_factory=_NONE.copy)

    def __len__(self) -> int:
        return len(self.job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One rule's choices for J jobs: ``place`` int64[J] is a pool (-1: no place), ``start_s`` and ``end_s`` seconds
    UTC of the run that was finished, the last where work was stopped (``halted``). ``rule`` names it. ``lost`` are runs
    before those; ``moves`` how often work that
    had not started got a better place; ``within_power`` whether the rule looks at sites' power caps."""

    rule: str
    place: Ints
    start_s: Ints
    end_s: Ints
    lost: Lost = Lost()
    halted: Halted = Halted()
    moves: int = 0
    within_power: bool = False
    asked: Ints | None = None
    """int64[S]: how often each node was asked for a place; None where every pool was looked at."""

    def digest(self) -> str:
        """The same decisions give the same digest."""
        parts = [self.place, self.start_s]
        if len(self.halted):
            of = self.halted
            order = np.lexsort((of.start_s, of.job))
            parts += [a[order] for a in (of.job, of.place, of.start_s, of.end_s, of.for_room)]
        body = b"".join(np.ascontiguousarray(a, "<i8").tobytes() for a in parts)
        return hashlib.sha256(body).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Sums of an outcome. Money in yuan, energy in kWh, carbon in kg CO2e, times in seconds.

    ``core_s`` int64[P, T] and ``energy_mws`` int64[S, T] (IT load, milliwatt-seconds) by slot; ``by_site`` has the
    yuan of each site by term; ``wait_s`` and ``slowdown`` are of each job that ran; pauses, and what stops cost, are
    waited for. All but those hold what was lost, too; ``lost_core_s`` core-seconds of it.
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
    lost_core_s: int
    kwh_by_site: Floats
    """Facility energy of each site."""
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
    supply, pool = work.supply, work.pool
    (runs, resumed), ran = _runs(found), found.place >= 0
    core_s, energy, lost_core_s = _sums(work, found)
    _check_bounds(work, found, runs)
    job, p, seconds = runs.job, runs.place, runs.end_s - runs.start_s
    s, cores, cards = pool[p, tables.SITE], work.trace.cores[job], work.trace.cards[job]
    at_slot = energy[:, : supply.slots].astype(float)
    block = supply.book.at(supply.first_slot)
    part = slice(supply.first_slot - block.first_slot, supply.first_slot - block.first_slot + supply.slots)
    prices, carbon_price = (table[:, part].astype(float) / 1e15 for table in (block.energy, block.carbon))
    facility = at_slot * block.pue[:, part] / MW_S_PER_KWH
    use = cores * pool[p, tables.USE_CORE] + cards * pool[p, tables.USE_CARD]
    moved = work.data_bytes[job] * (s != work.origin[job]) * ~resumed
    far = moved > 0
    fare = np.zeros(len(job))
    fare[far] = _fares(work, runs)[far] * moved[far] / 1e9
    at = pool[found.place[ran], tables.SITE]
    took = _took(work, found)
    waited, took = (found.end_s - took - work.begin_s - work.trace.arrive_s)[ran], took[ran]
    sites = len(supply.sites)
    by_site: dict[str, Floats] = {
        "energy": (at_slot * prices).sum(axis=1),
        "carbon": (at_slot * carbon_price).sum(axis=1),
        "transport": np.bincount(s, fare, sites).astype(float),
        "use": np.bincount(s, use * seconds / 1e12, sites).astype(float),
        "waiting": np.bincount(at, work.delay_pico[ran] * waited.astype(float) / 1e12, sites).astype(float),
    }
    span = work.trace.span_s()
    return Account(
        jobs=len(work),
        ran=int(ran.sum()),
        terms={name: float(values.sum()) for name, values in by_site.items()},
        by_site=by_site,
        it_kwh=float(at_slot.sum()) / MW_S_PER_KWH,
        facility_kwh=float(facility.sum()),
        kwh_by_site=facility.sum(axis=1),
        carbon_kg=float((facility * block.carbon_mg[:, part] / 1e6).sum()),
        moved_gb=float(moved.sum()) / 1e9,
        wait_s=waited,
        slowdown=np.maximum((waited + took) / np.maximum(took, BOUNDED_S), 1.0),
        lost_core_s=lost_core_s,
        core_s=core_s,
        energy_mws=energy,
        use_share=core_s[:, : span // SLOT_S + 1].sum(axis=1) / np.maximum(pool[:, tables.CORES] * span, 1),
    )


def _took(work: Workload, found: Outcome) -> Ints:
    """How long each job ran, without what going on after stops cost it; int64[J], seconds."""
    took, of, speed = found.end_s - found.start_s, found.halted, work.pool[:, tables.SPEED]
    kept = of.kept > 0
    np.add.at(took, of.job[kept], (of.end_s - of.start_s)[kept])
    on = np.unique(of.job[kept])
    on = on[found.place[on] >= 0]
    again = kept & (of.resumed > 0)
    for job, place, start, end in (
        (on, found.place[on], found.start_s[on], found.end_s[on]),
        (of.job[again], of.place[again], of.start_s[again], of.end_s[again]),
    ):
        np.subtract.at(took, job, np.minimum(-(-work.stop_cost_s[job] * 1000 // speed[place]), end - start))
    return took


def _runs(found: Outcome) -> tuple[Lost, NDArray[np.bool_]]:
    """All runs, those that were finished, those lost and those that stopped, in one table; and which of them went on
    with what was done before."""
    ran, lost, of = found.place >= 0, found.lost, found.halted
    done = (np.flatnonzero(ran), found.place[ran], found.start_s[ran], found.end_s[ran])
    others = ((each.job, each.place, each.start_s, each.end_s) for each in (lost, of))
    on = np.isin(done[0], of.job[of.kept > 0])
    before = lost.resumed if len(lost.resumed) else np.zeros(len(lost), np.int64)
    runs = Lost(*(np.concatenate(part) for part in zip(done, *others, strict=True)))
    return runs, np.concatenate([on, before > 0, of.resumed > 0])


def _sums(work: Workload, found: Outcome) -> tuple[Ints, Ints, int]:
    """Core-seconds by pool and slot, energy by site and slot, core-seconds lost; checked against the jobs."""
    pool, supply, trace = work.pool, work.supply, work.trace
    core_s = np.zeros((len(pool), supply.slots + 1), np.int64)
    energy = np.zeros((len(supply.sites), supply.slots + 1), np.int64)
    cores, cards = trace.cores, trace.cards
    add_runs(pool, cores, cards, found.place, found.start_s, found.end_s, work.begin_s, core_s, energy)
    seconds = np.where(found.place >= 0, found.end_s - found.start_s, 0)
    mws = int((_power_of(work, np.arange(len(work)), found.place) * seconds).sum())
    done = int((cores * seconds).sum())

    def add(runs: Lost) -> tuple[int, int]:
        """Core-seconds and milliwatt-seconds of runs, added to those by slot."""
        if not len(runs):
            return 0, 0
        job, took = runs.job, runs.end_s - runs.start_s
        add_runs(pool, cores[job], cards[job], runs.place, runs.start_s, runs.end_s, work.begin_s, core_s, energy)
        return int((cores[job] * took).sum()), int((_power_of(work, job, runs.place) * took).sum())

    kept, gone = (_some(found.halted, found.halted.kept == value) for value in (1, 0))
    kept_core_s, kept_mws = add(kept)
    taken = int(core_s.sum())
    if done + kept_core_s != taken:
        raise LawBroken(f"{found.rule}: core-seconds by slot differ from those of the jobs")
    (of_lost, lost_mws), (of_gone, gone_mws) = add(found.lost), add(gone)
    lost_core_s = int(core_s.sum()) - taken
    if lost_core_s != of_lost + of_gone:
        raise LawBroken(f"{found.rule}: core-seconds lost differ from those of the runs that were lost")
    if int(energy.sum()) != mws + kept_mws + lost_mws + gone_mws:
        raise LawBroken(f"{found.rule}: energy by site and slot differs from that of the jobs")
    _check_work(work, found, kept)
    return core_s, energy, lost_core_s


def _some(halted: Halted, which: NDArray[np.bool_]) -> Lost:
    return Lost(*(a[which] for a in (halted.job, halted.place, halted.start_s, halted.end_s)))


def _check_work(work: Workload, found: Outcome, kept: Lost) -> None:
    """What each stopped job did in all its runs, less what its stops cost, is its work: its last run is as long as
    what was left then."""
    order = np.lexsort((kept.start_s, kept.job))
    done = np.zeros(len(work), np.int64)
    speed, trace, cost = work.pool[:, tables.SPEED], work.trace, work.stop_cost_s
    add_work(kept.job[order], kept.place[order], (kept.end_s - kept.start_s)[order], speed, cost, trace.asked_s, done)
    j = np.unique(kept.job)
    j = j[found.place[j] >= 0]
    left = np.maximum(trace.run_s[j] - done[j], 1) + cost[j]
    if ((found.end_s - found.start_s)[j] != -(-left * 1000 // speed[found.place[j]])).any():
        raise LawBroken(f"{found.rule}: a job that was stopped did more or less than its work")


def _power_of(work: Workload, job: Ints, place: Ints) -> Ints:
    """IT power of these jobs in these pools, mW."""
    pool, trace = work.pool, work.trace
    return trace.cores[job] * pool[place, tables.MW_CORE] + trace.cards[job] * pool[place, tables.MW_CARD]


def _check_bounds(work: Workload, found: Outcome, runs: Lost) -> None:
    """Nothing starts before it came or runs where the site is down; no pool has more in use at any instant than it
    has, and no site more power where the rule looks at that."""
    if (runs.start_s < work.begin_s + work.trace.arrive_s[runs.job]).any():
        raise LawBroken(f"{found.rule}: a job starts before it arrived")
    site = work.pool[runs.place, tables.SITE]
    for i, name in enumerate(work.supply.sites):
        for begin, until, _ in spans(work.outages, name):
            within = (runs.start_s < work.begin_s + until) & (runs.end_s > work.begin_s + begin)
            if (within & (site == i)).any():
                raise LawBroken(f"{found.rule}: a job runs at {name} while that is down")
    checks = [
        (f"a pool has more {what} in use than it has", runs.place, amounts[runs.job], column)
        for what, amounts, column in (
            ("cores", work.trace.cores, tables.CORES), ("cards", work.trace.cards, tables.CARDS)
        )
    ]  # fmt: skip
    for what, where, amounts, column in checks:
        _check_most(work, runs, where, amounts, lambda w, c=column: w.pool[:, c], f"{found.rule}: {what}")
    if found.within_power:
        power = _power_of(work, runs.job, runs.place)
        _check_most(work, runs, site, power, lambda w: w.cap_mw, f"{found.rule}: a site draws more power than its cap")


def _check_most(
    work: Workload, runs: Lost, where: Ints, amounts: Ints, bound: Callable[[Workload], Ints], broken: str
) -> None:
    """At no instant is more in use anywhere than there is. After a fork, what ran before goes on even where there is
    less now; nothing is added to it then. Raises LawBroken."""
    allowed = bound(work)
    if not work.fork:
        most = _most(runs.start_s, runs.end_s, where, amounts, len(allowed))
    else:
        at_s = work.begin_s + work.fork.checkpoint.at_s
        old, on = runs.start_s < at_s, runs.end_s > at_s
        before = bound(work.fork.before)
        if (_most(runs.start_s[old], runs.end_s[old], where[old], amounts[old], len(before)) > before).any():
            raise LawBroken(broken)
        start_s = np.maximum(runs.start_s, at_s)
        left, most = (
            _most(start_s[part], runs.end_s[part], where[part], amounts[part], len(allowed)) for part in (old & on, on)
        )
        allowed = np.maximum(allowed, left)
    if (most > allowed).any():
        raise LawBroken(broken)


def _most(start_s: Ints, end_s: Ints, where: Ints, amounts: Ints, places: int) -> Ints:
    """The most of ``amounts`` in use at once at each of the places."""
    order = np.lexsort((np.repeat([1, 0], len(start_s)), np.concatenate([start_s, end_s])))
    most = np.zeros(places, np.int64)
    most_at_once(where, start_s, end_s, amounts, order, places, most)
    return most


def _fares(work: Workload, runs: Lost) -> Floats:
    """Yuan a GB from each run's origin to its site, when the place was chosen."""
    origin, site = work.origin[runs.job], work.pool[runs.place, tables.SITE]
    fares = work.network.price_yuan_gb[origin, site]
    if work.fork:
        held = work.fork.checkpoint
        kept = (held.place[runs.job] == runs.place) & (held.start_s[runs.job] == runs.start_s)
        fares = np.where(kept, work.fork.before.network.price_yuan_gb[origin, site], fares)
    return fares


def quantiles(values: Ints | Floats) -> dict[str, float]:
    """Mean and percentiles; 0 where there is nothing."""
    if not len(values):
        return dict.fromkeys(("mean", "p50", "p95", "p99"), 0.0)
    p50, p95, p99 = (float(np.percentile(values, p)) for p in (50, 95, 99))
    return {"mean": float(values.sum()) / len(values), "p50": p50, "p95": p95, "p99": p99}

