"""Shadow prices against the linear program itself, solved by HiGHS on small instances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sanjin.flow.scarcity import Capacity, Demand, choose, priced_board, shadow_prices
from sanjin.kernels import place as kernel
from sanjin.kernels import tables

SITES, POOLS, SLOTS = 2, 3, 12
SLOT = kernel.SLOT


def instance(seed: int, jobs: int = 30) -> tuple[Demand, Capacity]:
    """Jobs that want the same cheap slots of few cores."""
    rng = np.random.default_rng(seed)
    pool = np.zeros((POOLS, tables.POOL_COLUMNS), np.int64)
    pool[:, tables.SITE] = (0, 0, 1)
    pool[:, tables.CARD_KIND] = -2
    pool[:, tables.CORES], pool[:, tables.MEM] = 100, 2**40
    pool[:, tables.SPEED] = (1000, 900, 1100)
    pool[:, tables.MW_CORE] = 8000
    pool[:, tables.USE_CORE] = rng.integers(1_000_000, 4_000_000, POOLS)
    job = np.zeros((jobs, tables.JOB_COLUMNS), np.int64)
    job[:, tables.J_CORES], job[:, tables.J_MEM] = rng.integers(1, 5, jobs), 1
    job[:, tables.J_CARD_KIND] = job[:, tables.J_KIND] = -1
    job[:, tables.J_SECONDS] = rng.integers(300, 3 * SLOT, jobs)
    job[:, tables.J_SINCE] = job[:, tables.J_EARLIEST] = rng.integers(0, 3 * SLOT, jobs)
    job[:, tables.J_DELAY] = 10 ** rng.uniform(4, 7, jobs)
    ready = np.repeat(job[:, [tables.J_EARLIEST]], SITES, axis=1)
    nothing = np.zeros((jobs, SITES), np.int64)
    own = np.ones(SITES, np.int64)
    demand = Demand(pool=pool, own=own, job=job, barred=nothing, ready=ready, transport=nothing, latency=nothing)
    capacity = Capacity(
        first_s=0,
        cores=np.full((POOLS, SLOTS), 6, np.int64) + rng.integers(0, 3, (POOLS, SLOTS)),
        cards=np.zeros((POOLS, SLOTS), np.int64),
        mw=np.full((SITES, SLOTS), 90_000, np.int64),
        energy=rng.integers(50_000, 400_000, (SITES, SLOTS)),
        carbon=rng.integers(10_000, 20_000, (SITES, SLOTS)),
    )
    return demand, capacity


def program(demand: Demand, capacity: Capacity) -> float:
    """The least total of the linear program, micro-yuan: every (job, pool, start) is a variable."""
    cost, once, taken = [], [], []
    for j, row in enumerate(demand.job):
        for p, pool in enumerate(demand.pool):
            s, dur = pool[tables.SITE], -(-row[tables.J_SECONDS] * 1000 // pool[tables.SPEED])
            begin = int(row[tables.J_EARLIEST])
            for start in sorted({begin, *(k * SLOT for k in range(SLOTS) if k * SLOT >= begin)}):
                end = start + dur
                if end > SLOTS * SLOT:
                    continue
                window = range(start // SLOT, (end - 1) // SLOT + 1)
                power = row[tables.J_CORES] * pool[tables.MW_CORE]
                joule = sum(
                    (min(end, (k + 1) * SLOT) - max(start, k * SLOT)) * (capacity.energy[s, k] + capacity.carbon[s, k])
                    for k in window
                )
                use = dur * row[tables.J_CORES] * pool[tables.USE_CORE]
                cost.append((joule * power / 1000 + use + row[tables.J_DELAY] * (start - begin)) / 1e6)
                once.append(j)
                column = np.zeros(POOLS * SLOTS + SITES * SLOTS)
                for k in window:
                    column[p * SLOTS + k] = row[tables.J_CORES]
                    column[POOLS * SLOTS + s * SLOTS + k] = power / 1000
                taken.append(column)
    equal = np.zeros((len(demand.job), len(cost)))
    equal[once, np.arange(len(cost))] = 1
    limit = np.concatenate([capacity.cores.ravel(), capacity.mw.ravel() / 1000])
    found = linprog(cost, A_ub=np.array(taken).T, b_ub=limit, A_eq=equal, b_eq=np.ones(len(demand.job)), method="highs")
    assert found.success, found.message
    return float(found.fun)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_the_bound_is_below_the_linear_program_and_near_it(seed: int) -> None:
    demand, capacity = instance(seed)
    least = program(demand, capacity)
    found = shadow_prices(demand, capacity, rounds=300)
    assert found.bound_micro <= least + 1
    assert found.bound_micro >= 0.98 * least
    assert max(found.bounds) == found.bound_micro
    assert min(found.core.min(), found.card.min(), found.power.min()) >= 0


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_what_the_online_rule_pays_is_never_below_the_bound(seed: int) -> None:
    demand, capacity = instance(seed)
    found = shadow_prices(demand, capacity, rounds=100)
    board = priced_board(capacity, found.core, found.card, found.power, plenty=False)
    won, choice = choose(board, demand, 0, 0)
    if (choice >= 0).all():
        paid = won[:, tables.ENERGY :].sum() - won[:, tables.SCARCITY].sum()
        assert paid >= found.bound_micro - len(won)


def test_where_there_is_room_for_all_nothing_is_scarce() -> None:
    demand, capacity = instance(1, jobs=3)
    wide = Capacity(
        first_s=0,
        cores=capacity.cores * 100,
        cards=capacity.cards,
        mw=capacity.mw * 100,
        energy=capacity.energy,
        carbon=capacity.carbon,
    )
    found = shadow_prices(demand, wide, rounds=5)
    assert not found.core.any() and not found.power.any()
    assert found.bound_micro == pytest.approx(program(demand, wide), abs=10)


def test_threads_change_nothing() -> None:
    demand, capacity = instance(5)
    one, two = (shadow_prices(demand, capacity, rounds=20, threads=t) for t in (1, 2))
    assert one.bounds == two.bounds
    assert (one.core == two.core).all()


def test_a_job_without_any_place_is_said() -> None:
    demand, capacity = instance(2)
    demand.job[0, tables.J_CORES] = 1000
    with pytest.raises(ValueError, match="1 jobs have no place"):
        shadow_prices(demand, capacity, rounds=1)
