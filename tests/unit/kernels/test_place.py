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

    def board(self) -> Board:
        made = Board(len(self.pool), len(self.own), SLOTS)
        made.cores[:], made.mem[:], made.cards[:], made.mw[:] = self.cores, self.mem, self.cards, self.mw
        made.price(self.energy, self.carbon, self.power, self.core, self.card)
        made.settle()
        return made


def world(seed: int, sites: int = 3, pools: int = 5, jobs: int = 4) -> World:
    rng = np.random.default_rng(seed)
    priced = rng.random() < 0.5
    pool = np.zeros((pools, 12), np.int64)
    pool[:, kernel.SITE] = np.sort(rng.integers(0, sites, pools))
    pool[:, kernel.KIND] = rng.integers(0, 2, pools)
    pool[:, kernel.CARD_KIND] = rng.integers(-2, 2, pools)
    pool[:, kernel.CORES], pool[:, kernel.MEM] = rng.integers(4, 20, pools), rng.integers(4000, 9000, pools)
    pool[:, kernel.CARDS] = np.where(pool[:, kernel.CARD_KIND] >= 0, rng.integers(1, 5, pools), 0)
    pool[:, kernel.SPEED] = rng.integers(500, 2000, pools)
    pool[:, kernel.MW_CORE], pool[:, kernel.MW_GIB] = rng.integers(2000, 20_000, pools), 300
    pool[:, kernel.MW_CARD] = 300_000
    pool[:, kernel.USE_CORE] = rng.integers(0, 40_000_000, pools)
    pool[:, kernel.USE_CARD] = rng.integers(0, 400_000_000, pools)
    job = np.zeros((jobs, 11), np.int64)
    job[:, kernel.J_CORES], job[:, kernel.J_MEM] = rng.integers(1, 16, jobs), rng.integers(1, 6000, jobs)
    job[:, kernel.J_CARDS] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 4, jobs), 0)
    job[:, kernel.J_CARD_KIND], job[:, kernel.J_KIND] = rng.integers(-1, 2, jobs), rng.integers(-1, 2, jobs)
    job[:, kernel.J_SECONDS] = rng.integers(1, 8 * SLOT, jobs)
    job[:, kernel.J_EARLIEST] = rng.integers(0, 6 * SLOT, jobs)
    job[:, kernel.J_SINCE] = job[:, kernel.J_EARLIEST]
    job[:, kernel.J_DEADLINE] = np.where(rng.random(jobs) < 0.3, rng.integers(SLOT, SLOTS * SLOT, jobs), 0)
    job[:, kernel.J_DELAY] = np.where(rng.random(jobs) < 0.3, 0, rng.integers(0, 3_000_000, jobs))
    job[:, kernel.J_BUDGET] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 500_000, jobs), 0)
    return World(
        energy=rng.integers(1000, 200_000, (sites, SLOTS)),
        carbon=rng.integers(0, 50_000, (sites, SLOTS)),
        power=rng.integers(0, 100_000, (sites, SLOTS)) * priced,
        core=rng.integers(0, 40_000_000, (pools, SLOTS)) * priced,
        card=rng.integers(0, 400_000_000, (pools, SLOTS)) * priced,
        pool=pool,
        cores=rng.integers(0, 20, (pools, SLOTS)),
        mem=rng.integers(3000, 9000, (pools, SLOTS)),
        cards=np.minimum(rng.integers(0, 5, (pools, SLOTS)), pool[:, [kernel.CARDS]]),
        mw=rng.integers(50_000, 2_000_000, (sites, SLOTS)),
        own=rng.integers(0, 2, sites),
        job=job,
        barred=np.where(rng.random((jobs, sites)) < 0.2, 1, 0),
        ready=rng.integers(0, 4 * SLOT, (jobs, sites)),
        transport=rng.integers(0, 100_000, (jobs, sites)),
    )


def place(w: World, board: Board | None = None, compiled: bool = True) -> tuple[Array, Array]:
    jobs, sites = w.barred.shape
    out, choice = np.zeros((jobs, sites, kernel.ROW), np.int64), np.full(jobs, -1, np.int64)
    function: Any = kernel.place_batch if compiled else kernel.place_batch.py_func
    args = (w.pool, w.own, w.job, w.barred, w.ready, w.transport, out, choice)
    b = board or w.board()
    function(b.cells, b.low, b.high, b.rows, 0, 0, *args)
    return out, choice


def choose(w: World, board: Board | None = None, compiled: bool = True) -> tuple[Array, Array]:
    won, choice = np.zeros((len(w.job), kernel.ROW), np.int64), np.full(len(w.job), -1, np.int64)
    function: Any = kernel.choose_batch if compiled else kernel.choose_batch.py_func
    args = (w.pool, w.own, w.job, w.barred, w.ready, w.transport, won, choice)
    b = board or w.board()
    function(b.cells, b.low, b.high, b.rows, 0, 0, *args)
    return won, choice


def needs(w: World, j: int, p: int) -> tuple[int, int, int, int]:
    cores, mem, cards = (int(w.job[j, c]) for c in (kernel.J_CORES, kernel.J_MEM, kernel.J_CARDS))
    core, card, gib = (int(w.pool[p, c]) for c in (kernel.MW_CORE, kernel.MW_CARD, kernel.MW_GIB))
    return cores, mem, cards, cores * core + cards * card + mem * gib // 1024


def brute(w: World, free: Board, j: int) -> list[tuple[int, int, int, int]]:
    """Every feasible (pico-yuan total, start, pool, finish) of job j on free capacity."""
    found = []
    job = [int(v) for v in w.job[j]]
    for p, values in enumerate(w.pool):
        row = [int(v) for v in values]
        s = row[kernel.SITE]
        cores, mem, cards, power = needs(w, j, p)
        if w.barred[j, s] or (job[kernel.J_KIND] >= 0 and job[kernel.J_KIND] != row[kernel.KIND]):
            continue
        if cards and job[kernel.J_CARD_KIND] >= 0 and job[kernel.J_CARD_KIND] != row[kernel.CARD_KIND]:
            continue
        if cores > row[kernel.CORES] or mem > row[kernel.MEM] or cards > row[kernel.CARDS]:
            continue
        dur = -(-job[kernel.J_SECONDS] * 1000 // row[kernel.SPEED])
        begin = max(job[kernel.J_EARLIEST], int(w.ready[j, s]))
        for start in sorted({begin, *(k * SLOT for k in range(SLOTS) if k * SLOT >= begin)}):
            end = start + dur
            if end > SLOTS * SLOT or (job[kernel.J_DEADLINE] and end > job[kernel.J_DEADLINE]):
                continue
            window = range(start // SLOT, (end - 1) // SLOT + 1)
            if any(
                free.cores[p, k] < cores or free.mem[p, k] < mem or free.cards[p, k] < cards or free.mw[s, k] < power
                for k in window
            ):
                continue
            seconds = [min(end, (k + 1) * SLOT) - max(start, k * SLOT) for k in window]
            watt = sum(t * int(w.energy[s, k] + w.carbon[s, k]) for t, k in zip(seconds, window, strict=True))
            scarce, core, card = (SLOT * sum(int(v) for v in a[window]) for a in (w.power[s], w.core[p], w.card[p]))
            use = dur * (cores * row[kernel.USE_CORE] + cards * row[kernel.USE_CARD])
            fixed = use + int(w.transport[j, s]) * 10**6
            if job[kernel.J_BUDGET] and watt * power // 1000 + fixed > job[kernel.J_BUDGET] * 10**6:
                continue
            waiting = job[kernel.J_DELAY] * (start - min(job[kernel.J_SINCE], begin))
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
            assert all(row[kernel.POOL] < 0 and row[kernel.CODE] > 0 for row in out[j])
            continue
        row = [int(v) for v in out[j, choice[j]]]
        total = sum(row[kernel.ENERGY :])
        # terms are rounded down to a micro-yuan each, so equal to the exact total within one a term
        assert 0 <= min(found)[0] // 10**6 - total <= 6
        assert any(f[1:] == (row[kernel.START], row[kernel.POOL], row[kernel.FINISH]) for f in found)
        p, s = row[kernel.POOL], int(choice[j])
        k0, k1 = row[kernel.START] // SLOT, (row[kernel.FINISH] - 1) // SLOT + 1
        cores, mem, cards, power = needs(w, j, p)
        free.cores[p, k0:k1] -= cores
        free.mem[p, k0:k1] -= mem
        free.cards[p, k0:k1] -= cards
        free.mw[s, k0:k1] -= power
        assert min(free.cores[p].min(), free.mem[p].min(), free.cards[p].min(), free.mw[s].min()) >= 0


@settings(max_examples=CASES, deadline=None)
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
    rows = [p for s in order for p in np.flatnonzero(w.pool[:, kernel.SITE] == s)]
    pool = w.pool[rows].copy()
    pool[:, kernel.SITE] = where[pool[:, kernel.SITE]]
    by_site = {f: getattr(w, f)[order] for f in ("energy", "carbon", "power", "mw", "own")}
    by_pool = {f: getattr(w, f)[rows] for f in ("core", "card", "cores", "mem", "cards")}
    by_job = {f: getattr(w, f)[:, order] for f in ("barred", "ready", "transport")}
    other = replace(w, pool=pool, **by_site, **by_pool, **by_job)
    first, choice = place(w)
    second, chosen = place(other)
    assert (choice[0] < 0) == (chosen[0] < 0)
    if choice[0] >= 0:
        for column in range(kernel.START, kernel.ROW):
            if column != kernel.READY:
                total = first[0, choice[0], kernel.ENERGY :].sum()
                assert total == second[0, chosen[0], kernel.ENERGY :].sum()
        assert first[0, choice[0], kernel.START] == second[0, chosen[0], kernel.START]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_a_lower_price_never_makes_a_site_less_chosen(seed: int, site: int) -> None:
    w = replace(world(seed, jobs=1), own=np.ones(3, np.int64))
    cheaper = w.energy.copy()
    cheaper[site] //= 2
    before, after = choose(w)[1][0], choose(replace(w, energy=cheaper))[1][0]
    if before == site:
        assert after == site


@pytest.mark.parametrize("name", [f.name for f in fields(World)])
def test_the_world_of_these_tests_has_every_part(name: str) -> None:
    varied = {getattr(world(seed), name).tobytes() for seed in range(6)}
    assert len(varied) > 1


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
