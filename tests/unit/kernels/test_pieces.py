"""Pieces against brute force over every choice of slots."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.supply import Board
from sanjin.kernels import pieces
from sanjin.kernels.board import SLOT, Need

SLOTS = 11


def board(seed: int) -> Board:
    rng = np.random.default_rng(seed)
    made = Board(1, 1, SLOTS)
    made.cores[:] = rng.integers(0, 6, (1, SLOTS)) if seed % 2 else 10
    made.mem[:], made.cards[:], made.mw[:] = 10**6, 10, 10**7
    priced = rng.integers(0, 2)
    made.price(
        rng.integers(1 - 6 * (seed % 3 == 0), 9, (1, SLOTS)) * 1000,  # of some worlds also below nothing
        rng.integers(0, 3, (1, SLOTS)) * 1000,
        rng.integers(0, 5, (1, SLOTS)) * 1000 * priced,
        rng.integers(0, 9, (1, SLOTS)) * 10**6 * priced,
        np.zeros((1, SLOTS), np.int64),
    )
    made.settle()
    return made


def price(b: Board, k: int, need: Need) -> int:
    watt = int(b.cells[b.rows.watt, k + 1] - b.cells[b.rows.watt, k]) * need.mw // 1000
    power = int(b.cells[b.rows.power, k + 1] - b.cells[b.rows.power, k]) * need.mw // 1000
    return watt + power + int(b.cells[b.rows.core, k + 1] - b.cells[b.rows.core, k]) * need.cores


def runs(slots: tuple[int, ...]) -> int:
    return sum(k - 1 not in slots for k in slots)


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 6 * SLOT),
    st.sampled_from([0, 60, SLOT, SLOT + 1]),
    st.integers(1, 4),
    st.sampled_from([0, 1000, 10**6, 10**8]),
    st.integers(0, 3),
    st.integers(6, SLOTS - 1),
)
def test_no_choice_of_slots_is_cheaper(
    seed: int, seconds: int, stop_cost: int, most: int, delay: int, k0: int, k1: int
) -> None:
    b, need = board(seed), Need(3, 512, 0, 20_000)
    used = np.zeros(SLOTS, np.bool_)
    count = pieces.best_pieces(b.cells, b.rows, 0, 0, need, k0, k1, seconds, stop_cost, most, delay, used)
    free = [k for k in range(k0, k1 + 1) if b.cores[0, k] >= need.cores]
    found = []
    for c in range(1, most + 1):
        n = -(-(seconds + (c - 1) * stop_cost) // SLOT)
        for slots in itertools.combinations(free, n):
            if runs(slots) == c:
                found.append((sum(price(b, k, need) for k in slots) + delay * (slots[-1] + 1 - k0) * SLOT, slots))
    if not found:
        assert count == 0 and not used.any()
        return
    chosen = tuple(int(k) for k in np.flatnonzero(used))
    assert len(chosen) == count
    total = sum(price(b, k, need) for k in chosen) + delay * (chosen[-1] + 1 - k0) * SLOT
    assert total == min(found)[0]
    assert (total, chosen) in found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_compiled_and_uncompiled_agree(seed: int) -> None:
    b, need = board(seed), Need(3, 512, 0, 20_000)
    marks = []
    for function in (pieces.best_pieces, pieces.best_pieces.py_func):
        used = np.zeros(SLOTS, np.bool_)
        marks.append((function(b.cells, b.rows, 0, 0, need, 0, SLOTS - 1, 4 * SLOT, 100, 3, 5000, used), list(used)))
    assert marks[0] == marks[1]


def test_the_price_of_pieces_is_that_of_their_seconds() -> None:
    b, need = board(6), Need(3, 512, 0, 20_000)
    begins, ends = np.array([100, 4 * SLOT]), np.array([SLOT + 50, 5 * SLOT + 1])
    found = pieces.price_pieces(b.cells, b.rows, 0, 0, 0, need, begins, ends)
    for i, row in enumerate((b.rows.energy, b.rows.carbon)):
        slot = [int(b.cells[row, k + 1] - b.cells[row, k]) // SLOT for k in range(SLOTS)]
        expected = slot[0] * 800 + slot[1] * 50 + slot[4] * SLOT + slot[5]
        assert found[i] == expected * need.mw // 1000
