"""The kernel against brute force: every start of every pool priced in plain Python; and its laws."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.supply import Board
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.kernels.board import times_power

SLOTS = 20
SLOT = kernel.SLOT
CASES = int(os.environ.get("SANJIN_KERNEL_CASES", "10000"))
"""Random cases against brute force; a longer run asks for more."""

Array = np.ndarray


@dataclass(frozen=True)
class World:
    """A small instance; free capacity is copied for each run."""

    energy: Array
    carbon: Array
    power: Array
    core: Array
    card: Array
    pool: Array
    cores: Array
    mem: Array
    cards: Array
    mw: Array
    own: Array
    job: Array
    barred: Array
    ready: Array
    transport: Array
    latency: Array
    paid: Array
    weights: tables.Weights

    def board(self) -> Board:
        made = Board(len(self.pool), len(self.own), SLOTS)
        made.cores[:], made.mem[:], made.cards[:], made.mw[:] = self.cores, self.mem, self.cards, self.mw
        made.price(self.energy, self.carbon, self.power, self.core, self.card, self.paid)
        made.settle()
        return made


def world(seed: int, sites: int = 3, pools: int = 5, jobs: int = 4) -> World:
    rng = np.random.default_rng(seed)
    priced = rng.random() < 0.5
    pool = np.zeros((pools, tables.POOL_COLUMNS), np.int64)
    pool[:, tables.SITE] = np.sort(rng.integers(0, sites, pools))
    pool[:, tables.KIND] = rng.integers(0, 2, pools)
    pool[:, tables.CARD_KIND] = rng.integers(-2, 2, pools)
    pool[:, tables.CORES], pool[:, tables.MEM] = rng.integers(4, 20, pools), rng.integers(4000, 9000, pools)
    pool[:, tables.CARDS] = np.where(pool[:, tables.CARD_KIND] >= 0, rng.integers(1, 5, pools), 0)
    pool[:, tables.SPEED] = rng.integers(500, 2000, pools)
    pool[:, tables.MW_CORE], pool[:, tables.MW_GIB] = rng.integers(2000, 20_000, pools), 300
    pool[:, tables.MW_CARD] = 300_000
    pool[:, tables.USE_CORE] = rng.integers(0, 40_000_000, pools)
    pool[:, tables.USE_CARD] = rng.integers(0, 400_000_000, pools)
    pool[:, tables.MACHINE_CORES] = np.where(rng.random(pools) < 0.5, rng.integers(3, 12, pools), 0)
    pool[:, tables.MACHINE_MEM], pool[:, tables.MACHINE_CARDS] = 4000, 2
    job = np.zeros((jobs, tables.JOB_COLUMNS), np.int64)
    job[:, tables.J_CORES], job[:, tables.J_MEM] = rng.integers(1, 16, jobs), rng.integers(1, 6000, jobs)
    job[:, tables.J_CARDS] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 4, jobs), 0)
    job[:, tables.J_CARD_KIND], job[:, tables.J_KIND] = rng.integers(-1, 2, jobs), rng.integers(-1, 2, jobs)
    job[:, tables.J_SECONDS] = rng.integers(1, 8 * SLOT, jobs)
    job[:, tables.J_EARLIEST] = rng.integers(0, 6 * SLOT, jobs)
    job[:, tables.J_SINCE] = job[:, tables.J_EARLIEST]
    job[:, tables.J_DEADLINE] = np.where(rng.random(jobs) < 0.3, rng.integers(SLOT, SLOTS * SLOT, jobs), 0)
    job[:, tables.J_DELAY] = np.where(rng.random(jobs) < 0.3, 0, rng.integers(0, 3_000_000, jobs))
    job[:, tables.J_SPREAD] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 3 * SLOT, jobs), 0)
    job[:, tables.J_NODES] = rng.integers(1, 4, jobs)
    job[:, tables.J_LATEST] = np.where(rng.random(jobs) < 0.2, rng.integers(0, SLOTS * SLOT, jobs), 0)
    job[:, tables.J_RUN] = np.where(rng.random(jobs) < 0.2, rng.integers(0, 3_000_000, jobs), 0)
    job[:, tables.J_BUDGET] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 500_000, jobs), 0)
    energy, carbon = rng.integers(1000, 200_000, (sites, SLOTS)), rng.integers(0, 50_000, (sites, SLOTS))
    if rng.random() < 0.3:  # spot prices fall below nothing
        energy -= rng.integers(1, 300_000)
    weighed = rng.random() < 0.3
    return World(
        energy=energy,
        carbon=carbon,
        paid=energy // 2 if weighed else energy + carbon,
        weights=tables.Weights(*(int(v) for v in rng.integers(0, 3000, 2))) if weighed else tables.Weights(1000, 1000),
        power=rng.integers(0, 100_000, (sites, SLOTS)) * priced,
        core=rng.integers(0, 40_000_000, (pools, SLOTS)) * priced,
        card=rng.integers(0, 400_000_000, (pools, SLOTS)) * priced,
        pool=pool,
        cores=rng.integers(0, 20, (pools, SLOTS)),
        mem=rng.integers(3000, 9000, (pools, SLOTS)),
        cards=np.minimum(rng.integers(0, 5, (pools, SLOTS)), pool[:, [tables.CARDS]]),
        mw=rng.integers(50_000, 2_000_000, (sites, SLOTS)),
        own=rng.integers(0, 2, sites),
        job=job,
        barred=np.where(rng.random((jobs, sites)) < 0.2, 1, 0),
        ready=rng.integers(0, 4 * SLOT, (jobs, sites)),
        transport=rng.integers(0, 100_000, (jobs, sites)),
        latency=np.where(rng.random((jobs, sites)) < 0.5, 0, rng.integers(0, 50_000_000, (jobs, sites))),
    )


def place(w: World, board: Board | None = None, compiled: bool = True) -> tuple[Array, Array]:
    jobs, sites = w.barred.shape
    out, choice = np.zeros((jobs, sites, tables.ROW), np.int64), np.full(jobs, -1, np.int64)
    function: Any = kernel.place_batch if compiled else kernel.place_batch.py_func
    args = (w.pool, w.own, w.job, w.barred, w.ready, w.transport, w.latency, out, choice)
    b = board or w.board()
    function(b.cells, b.low, b.high, b.rows, 0, 0, w.weights, *args)
    return out, choice


def choose(w: World, board: Board | None = None, compiled: bool = True) -> tuple[Array, Array]:
    won, choice = np.zeros((len(w.job), tables.ROW), np.int64), np.full(len(w.job), -1, np.int64)
    function: Any = kernel.choose_batch if compiled else kernel.choose_batch.py_func
    args = (w.pool, w.own, w.job, w.barred, w.ready, w.transport, w.latency, won, choice)
    b = board or w.board()
    function(b.cells, b.low, b.high, b.rows, 0, 0, w.weights, *args)
    return won, choice


def needs(w: World, j: int, p: int) -> tuple[int, int, int, int]:
    cores, mem, cards = (int(w.job[j, c]) for c in (tables.J_CORES, tables.J_MEM, tables.J_CARDS))
    core, card, gib = (int(w.pool[p, c]) for c in (tables.MW_CORE, tables.MW_CARD, tables.MW_GIB))
    return cores, mem, cards, cores * core + cards * card + mem * gib // 1024


def brute(w: World, free: Board, j: int) -> list[tuple[int, int, int, int]]:
    """Every feasible (pico-yuan total, start, pool, finish) of job j on free capacity."""
    found = []
    job = [int(v) for v in w.job[j]]
    for p, values in enumerate(w.pool):
        row = [int(v) for v in values]
        s = row[tables.SITE]
        cores, mem, cards, power = needs(w, j, p)
        if w.barred[j, s] or (job[tables.J_KIND] >= 0 and job[tables.J_KIND] != row[tables.KIND]):
            continue
        if cards and job[tables.J_CARD_KIND] >= 0 and job[tables.J_CARD_KIND] != row[tables.CARD_KIND]:
            continue
        if cores > row[tables.CORES] or mem > row[tables.MEM] or cards > row[tables.CARDS]:
            continue
        machine = row[tables.MACHINE_CORES], row[tables.MACHINE_MEM], row[tables.MACHINE_CARDS]
        if machine[0] and any(a > job[tables.J_NODES] * b for a, b in zip((cores, mem, cards), machine, strict=True)):
            continue
        dur = -(-job[tables.J_SECONDS] * 1000 // row[tables.SPEED])
        hold = -(-(job[tables.J_SECONDS] + job[tables.J_SPREAD]) * 1000 // row[tables.SPEED])
        begin = max(job[tables.J_EARLIEST], int(w.ready[j, s]))
        for start in sorted({begin, *(k * SLOT for k in range(SLOTS) if k * SLOT >= begin)}):
            end, until = start + dur, start + hold
            if until > SLOTS * SLOT or (job[tables.J_DEADLINE] and until > job[tables.J_DEADLINE]):
                continue
            if job[tables.J_LATEST] and start > job[tables.J_LATEST]:
                continue
            window = range(start // SLOT, (until - 1) // SLOT + 1)
            if any(
                free.cores[p, k] < cores or free.mem[p, k] < mem or free.cards[p, k] < cards or free.mw[s, k] < power
                for k in window
            ):
                continue
            seconds = [max(min(end, (k + 1) * SLOT) - max(start, k * SLOT), 0) for k in window]
            watt = sum(t * int(w.energy[s, k] + w.carbon[s, k]) for t, k in zip(seconds, window, strict=True))
            bill = sum(t * int(w.paid[s, k]) for t, k in zip(seconds, window, strict=True)) * power // 1000
            scarce, core, card = (SLOT * sum(int(v) for v in a[window]) for a in (w.power[s], w.core[p], w.card[p]))
            use = dur * (cores * row[tables.USE_CORE] + cards * row[tables.USE_CARD])
            bill += use + int(w.transport[j, s]) * 10**6
            if job[tables.J_BUDGET] and bill > job[tables.J_BUDGET] * 10**6:
                continue
            fixed = sum(
                amount // 1000 * weight
                for amount, weight in zip((int(w.transport[j, s]) * 10**6, use), w.weights, strict=True)
            )
            if w.weights == (1000, 1000):
                fixed = int(w.transport[j, s]) * 10**6 + use
            fixed += dur * (int(w.latency[j, s]) + job[tables.J_RUN])
            waiting = job[tables.J_DELAY] * (start - min(job[tables.J_SINCE], begin))
            total = watt * power // 1000 + scarce * power // 1000 + core * cores + card * cards + fixed + waiting
            found.append((total, start, p, end))
    return found


@settings(max_examples=CASES, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_is_the_least_of_all_and_no_bound_is_exceeded(seed: int) -> None:
    w = world(seed)
    out, choice = place(w)
    free = w.board()
    for j in range(len(choice)):
        found = brute(w, free, j)
        if not found:
            assert choice[j] == -1
            assert all(row[tables.POOL] < 0 and row[tables.CODE] > 0 for row in out[j])
            continue
        row = [int(v) for v in out[j, choice[j]]]
        total = sum(row[tables.ENERGY :])
        # terms are rounded down to a micro-yuan each, so equal to the exact total within one a term
        assert 0 <= min(found)[0] // 10**6 - total <= 7
        assert any(f[1:] == (row[tables.START], row[tables.POOL], row[tables.FINISH]) for f in found)
        p, s = row[tables.POOL], int(choice[j])
        k0, k1 = row[tables.START] // SLOT, (row[tables.UNTIL] - 1) // SLOT + 1
        cores, mem, cards, power = needs(w, j, p)
        free.cores[p, k0:k1] -= cores
        free.mem[p, k0:k1] -= mem
        free.cards[p, k0:k1] -= cards
        free.mw[s, k0:k1] -= power
        assert min(free.cores[p].min(), free.mem[p].min(), free.cards[p].min(), free.mw[s].min()) >= 0


@settings(max_examples=CASES // 5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_choosing_alone_gives_the_same_choices_and_leaves_the_same_free(seed: int) -> None:
    w = world(seed)
    one, other = w.board(), w.board()
    out, choice = place(w, one)
    won, chosen = choose(w, other)
    assert (choice == chosen).all()
    for j, s in enumerate(choice):
        if s >= 0:
            assert (out[j, s] == won[j]).all()
    assert (one.cells == other.cells).all()
    # the bounds that the kernel keeps are those of what is free
    kept = one.low.copy(), one.high.copy()
    one.settle()
    for board in (one, other):
        assert (board.low == one.low).all() and (board.high == one.high).all()
    assert (kept[0] == one.low).all() and (kept[1] == one.high).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compiled_and_uncompiled_agree(seed: int) -> None:
    w = world(seed)
    for function in (place, choose):
        for a, b in zip(function(w), function(w, compiled=False), strict=True):
            assert (a == b).all()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_the_order_of_sites_changes_no_price(seed: int, order: list[int]) -> None:
    w = world(seed, jobs=1)
    where = np.argsort(order)
    rows = [p for s in order for p in np.flatnonzero(w.pool[:, tables.SITE] == s)]
    pool = w.pool[rows].copy()
    pool[:, tables.SITE] = where[pool[:, tables.SITE]]
    by_site = {f: getattr(w, f)[order] for f in ("energy", "carbon", "paid", "power", "mw", "own")}
    by_pool = {f: getattr(w, f)[rows] for f in ("core", "card", "cores", "mem", "cards")}
    by_job = {f: getattr(w, f)[:, order] for f in ("barred", "ready", "transport", "latency")}
    other = replace(w, pool=pool, **by_site, **by_pool, **by_job)
    first, choice = place(w)
    second, chosen = place(other)
    assert (choice[0] < 0) == (chosen[0] < 0)
    if choice[0] >= 0:
        for column in range(tables.START, tables.ROW):
            if column != tables.READY:
                total = first[0, choice[0], tables.ENERGY :].sum()
                assert total == second[0, chosen[0], tables.ENERGY :].sum()
        assert first[0, choice[0], tables.START] == second[0, chosen[0], tables.START]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_a_lower_price_never_makes_a_site_less_chosen(seed: int, site: int) -> None:
    w = replace(world(seed, jobs=1), own=np.ones(3, np.int64))
    cheaper = w.energy.copy()
    cheaper[site] -= abs(cheaper[site]) // 2
    before, after = choose(w)[1][0], choose(replace(w, energy=cheaper))[1][0]
    if before == site:
        assert after == site


@pytest.mark.parametrize("name", [f.name for f in fields(World)])
def test_the_world_of_these_tests_has_every_part(name: str) -> None:
    varied = {bytes(memoryview(np.asarray(getattr(world(seed), name)).copy())) for seed in range(6)}
    assert len(varied) > 1


@settings(max_examples=2000, deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 10**11))
def test_power_times_a_price_is_exact_as_far_as_64_bits_reach(pico_per_watt: int, milliwatt: int) -> None:
    exact = pico_per_watt * milliwatt // 1000
    if -(2**63) <= exact < 2**63:
        assert times_power(pico_per_watt, milliwatt) == exact


def test_compiled_code_is_kept_by_the_contents_of_all_kernels() -> None:
    """Else a change of the board would leave code in use that was compiled from the old one."""
    from pathlib import Path

    from numba.core import config

    place(world(1))
    here = Path(kernel.__file__).parent
    if str(here) in config.CACHE_DIR:  # not where the user said otherwise
        digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(here.glob("*.py")))).hexdigest()[:12]
        assert config.CACHE_DIR.endswith(f"numba-{digest}")
        assert any(Path(config.CACHE_DIR).rglob("*.nbc"))
