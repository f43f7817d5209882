"""Learning what is scarce from the work that came: next week's demand is taken to be last week's.

A seasonal-naive forecast: each job of the last seven days is expected again at the same hour of every
week. Shadow prices for that demand, by the hour of the week, are what nodes add when they place.
They are taken from the middle of three weeks, since work of the week before runs on into a week, and
work of its own may wait for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sanjin.flow.demand_forecast import hourly_demand
from sanjin.flow.forecast import back_test
from sanjin.flow.place import asked
from sanjin.flow.scarcity import Capacity, Demand, Ints, choose, priced_board, shadow_prices
from sanjin.flow.supply import PriceBook, Supply
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model.money import WATT_SECONDS_PER_KWH
from sanjin.model.network import network_of
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import HOURS_A_WEEK, Scarcity, hour_of_week
from sanjin.model.struct import changed
from sanjin.model.units import DAY_S, HORIZON_SLOTS, HOUR_S, SLOT_S

WEEK_S = 7 * DAY_S
SLOTS = 3 * HORIZON_SLOTS
"""Two weeks of arrivals, and another in which the last of them may run."""

LEAST_YUAN = 1e-6
"""Prices below this (yuan per core-hour or kWh) are left out of the profile."""


def learn(
    region: Region,
    records: Sequence[JobRecord],
    now_s: int,
    *,
    rounds: int = 80,
    threads: int = 1,
    progress: Callable[[int, float], None] | None = None,
) -> Scarcity:
    """The profile that the jobs of the seven days before ``now_s`` suggest; those of the seven days before
    these only serve to state the error.

    Jobs that no site could take even when empty are left out. Each is expected at its time a week later.
    """
    begin_s = -(-now_s // SLOT_S) * SLOT_S
    view = _empty_region(region, begin_s)
    recent = [r for r in records if now_s - WEEK_S < r.submitted_s <= now_s]
    expected = [_in_week(r, begin_s + week * WEEK_S) for week in (0, 1) for r in recent]
    expected.sort(key=lambda r: (r.submitted_s, r.id))
    supply = view.supply
    capacity = _capacity(supply)
    none = np.zeros_like(capacity.cores)
    given = asked(view, expected, begin_s)
    demand = Demand(
        pool=supply.pool,
        own=np.ones(len(supply.sites), np.int64),
        job=given.jobs,
        barred=given.barred,
        ready=given.ready,
        transport=given.transport,
        latency=given.latency,
    )
    board = priced_board(capacity, none, none, np.zeros_like(capacity.mw), plenty=True)
    _, choice = choose(board, demand, begin_s, begin_s)
    demand = demand.part(choice >= 0)
    if not len(demand.job):
        return Scarcity(core={}, card={}, power={}, jobs=0, until_s=now_s, bound_yuan=0.0)
    found = shadow_prices(demand, capacity, rounds=rounds, threads=threads, progress=progress)
    middle = range(HORIZON_SLOTS, 2 * HORIZON_SLOTS)
    hours = np.array([hour_of_week(supply.first_slot + k, region.utc_offset_h) for k in middle])
    per_hour, per_kwh = HOUR_S / 1e12, WATT_SECONDS_PER_KWH / 1e12
    return Scarcity(
        core=_profile(found.core, hours, supply.pools, per_hour),
        card=_profile(found.card, hours, supply.pools, per_hour),
        power=_profile(found.power, hours, supply.sites, per_kwh),
        jobs=len(demand.job) // 2,
        until_s=now_s,
        bound_yuan=round(found.bound_micro / 2e6, 2),
        error=_error(records, now_s),
    )


def _error(records: Sequence[JobRecord], now_s: int) -> float | None:
    """How wrong this forecast would have been a week ago; None where nothing came in the week before that."""
    demand = hourly_demand(records, now_s - 2 * WEEK_S + 1, 2 * HOURS_A_WEEK)
    if not demand[:HOURS_A_WEEK].any() or not demand[HOURS_A_WEEK:].any():
        return None
    return round(back_test(demand, HOURS_A_WEEK), 3)


def _empty_region(region: Region, begin_s: int) -> View:
    """The root's view of a region in which nothing runs, over three weeks."""
    root = region.root().id
    supply = Supply(region, root, PriceBook(region, SLOTS), SLOTS)
    supply.roll(begin_s)
    supply.heard[:] = True
    view = View(root, "", region, network_of(region), supply)
    for dataset in region.datasets.values():
        view.holders[dataset.id] = set(dataset.replicas)
    return view


def _capacity(supply: Supply) -> Capacity:
    energy, carbon = supply.plain_prices()
    return Capacity(
        first_s=supply.first_slot * SLOT_S,
        cores=np.repeat(supply.pool[:, [tables.CORES]], SLOTS, axis=1),
        cards=np.repeat(supply.pool[:, [tables.CARDS]], SLOTS, axis=1),
        mw=np.repeat(supply.it_cap_mw[:, None], SLOTS, axis=1),
        energy=energy,
        carbon=carbon,
    )


def _in_week(record: JobRecord, begin_s: int) -> JobRecord:
    """The job as it is expected in the week from ``begin_s``."""
    by = begin_s + (record.submitted_s - begin_s) % WEEK_S - record.submitted_s
    spec = record.spec
    arrival = record.submitted_s + by
    moved = replace(
        spec,
        earliest_start_s=max(spec.earliest_start_s + by if spec.earliest_start_s else 0, arrival),
        deadline_s=spec.deadline_s + by if spec.deadline_s else 0,
    )
    return changed(record, spec=moved, submitted_s=arrival, barred=(), bound=False)


def _profile(prices: Ints, hours: Ints, names: Sequence[str], unit: float) -> dict[str, tuple[float, ...]]:
    """The mean price of each hour of the week, for those rows that ever have one."""
    week = np.zeros((len(names), HOURS_A_WEEK))
    np.add.at(week.T, hours, prices[:, HORIZON_SLOTS : 2 * HORIZON_SLOTS].T)
    week *= unit / np.maximum(np.bincount(hours, minlength=HOURS_A_WEEK), 1)
    return {
        name: tuple(round(float(v), 7) for v in week[i]) for i, name in enumerate(names) if week[i].max() >= LEAST_YUAN
    }
