"""The board of the placement kernel: its layout, windows priced and checked on it, capacity taken from it.

Arrays in, arrays out; no Python objects. Amounts are integers, see :mod:`sanjin.model.money`; power is
milliwatts. Prefix sums price any window at once; the least price and the least and most free capacity
of each block of slots let whole blocks be skipped or accepted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SLOT = 900
"""Seconds a slot; equal to :data:`sanjin.model.units.SLOT_S` (kernels import nothing)."""

BLOCK = 8
"""Slots a block."""

REACH = 4
"""Blocks over which the least prices are kept; longer windows take several such spans."""

OK = 0
CODE_POWER, CODE_CAPACITY = 8, 9
"""Codes index :data:`sanjin.model.reason.KERNEL_REASONS`."""

_SMALL, _SMALL_MW = 180_000_000_000, 50_000_000
"""Up to these, the product of pico-yuan per watt and milliwatts is within 64 bits."""

Ints = NDArray[np.int64]


class Need(NamedTuple):
    """What a job takes from a pool: cores, MiB, cards, mW."""

    cores: int
    mem: int
    cards: int
    mw: int


class Rows(NamedTuple):
    """Where each part begins among the rows of a board.

    A board is three arrays. ``cells`` int64[N, T+1] holds free capacity a slot (``cores``, ``mem`` in MiB,
    ``cards`` a pool, ``mw`` a site; the last column is not used), and prices cumulated from the
    horizon's begin: ``energy`` and ``carbon`` a site in pico-yuan per watt of IT load, PUE in it, as the
    region's policy weighs them; ``watt`` their sum; ``paid`` what is billed for both. ``power`` a site,
    ``core`` and ``card`` a pool are what scarce capacity is worth to other work, pico-yuan per watt, core or
    card; since capacity is taken in whole slots, so is this. ``low`` and ``high`` int64[N, B] are the least
    and the most of each block; for prices, per second.

    One array of everything, since a kernel pays for each array that it hands on.
    """

    cores: int
    mem: int
    cards: int
    mw: int
    energy: int
    carbon: int
    paid: int
    watt: int
    power: int
    core: int
    card: int


def rows_of(pools: int, sites: int) -> tuple[Rows, int]:
    """The rows of a board for so many pools and sites, and how many there are."""
    begins = [0]
    for size in (pools, pools, pools, sites, sites, sites, sites, sites, sites, pools, pools):
        begins.append(begins[-1] + size)
    return Rows(*begins[:-1]), begins[-1]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def bounds(values: Any, low: Any, high: Any) -> None:
    """Write the least and the most of each block of ``values`` [N, T] into ``low`` and ``high`` [N, B]."""
    for n in range(values.shape[0]):
        for b in range(low.shape[1]):
            low[n, b], high[n, b] = extremes(values, n, b, values.shape[1])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def times_power(pico_per_watt: int, milliwatt: int) -> int:
    """``pico_per_watt`` x power, in pico-yuan, rounded down; exact, and within 64 bits up to 9 million yuan.

    Either may be long: a week of a dear hour's price, 100 MW. A price may be below nothing.
    """
    if -_SMALL <= pico_per_watt <= _SMALL and milliwatt <= _SMALL_MW:
        return pico_per_watt * milliwatt // 1000
    whole = pico_per_watt // 1000
    return whole * milliwatt + (pico_per_watt - whole * 1000) * milliwatt // 1000


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def until(cum: Any, n: int, first_s: int, at_s: int) -> int:
    """Row ``n`` of a cumulated price from the horizon's begin to ``at_s``; linear inside a slot."""
    k = (at_s - first_s) // SLOT
    rest = at_s - first_s - k * SLOT
    if rest == 0:
        return cum[n, k]
    return cum[n, k] + (cum[n, k + 1] - cum[n, k]) // SLOT * rest


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def over(cum: Any, n: int, first_s: int, start_s: int, end_s: int) -> int:
    """Row ``n`` of a cumulated price over a window."""
    return until(cum, n, first_s, end_s) - until(cum, n, first_s, start_s)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def blocked(cells: Any, rows: Rows, p: int, s: int, k: int, need: Need) -> int:
    """0 where slot ``k`` has room for what is needed, else the code that rules it out."""
    if (
        cells[rows.cores + p, k] < need.cores
        or cells[rows.mem + p, k] < need.mem
        or cells[rows.cards + p, k] < need.cards
    ):
        return CODE_CAPACITY
    if cells[rows.mw + s, k] < need.mw:
        return CODE_POWER
    return OK


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def roomy(low: Any, rows: Rows, p: int, s: int, b: int, need: Need) -> bool:
    """Whether every slot of block ``b`` has room."""
    return (
        low[rows.cores + p, b] >= need.cores
        and low[rows.mem + p, b] >= need.mem
        and low[rows.cards + p, b] >= need.cards
        and low[rows.mw + s, b] >= need.mw
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def spans_of(low: Any, rows: Rows) -> Ints:
    """The least of each price over one to :data:`REACH` blocks from each on: int64[REACH, rows from watt on, B]."""
    count, blocks = low.shape[0] - rows.watt, low.shape[1]
    spans = np.empty((REACH, count, blocks), np.int64)
    for n in range(count):
        for b in range(blocks):
            least = low[rows.watt + n, b]
            for r in range(REACH):
                least = min(least, low[rows.watt + n, min(b + r, blocks - 1)])
                spans[r, n, b] = least
    return spans


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def span(spans: Ints, n: int, b: int, reach: int) -> int:
    """The least of row ``n`` over block ``b`` and ``reach`` more."""
    if reach < REACH:
        return spans[reach, n, b]
    blocks = spans.shape[2]
    least = spans[REACH - 1, n, b]
    at = b + REACH
    while at <= min(b + reach, blocks - 1):
        least = min(least, spans[min(b + reach - at, REACH - 1), n, at])
        at += REACH
    return least


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def floor_of(spans: Ints, rows: Rows, p: int, s: int, b: int, reach: int, need: Need, dur: int, scarce: bool) -> int:
    """Less than any window of ``dur`` seconds in block ``b`` and ``reach`` more can cost, pico-yuan."""
    watt = span(spans, s, b, reach) * dur
    if not scarce:
        return times_power(watt, need.mw)
    whole, power = (dur + SLOT - 1) // SLOT * SLOT, span(spans, rows.power - rows.watt + s, b, reach)
    core, card = span(spans, rows.core - rows.watt + p, b, reach), 0
    if need.cards > 0:
        card = span(spans, rows.card - rows.watt + p, b, reach)
    return times_power(watt + power * whole, need.mw) + (core * need.cores + card * need.cards) * whole


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def scarcity_of(cells: Any, rows: Rows, p: int, s: int, k0: int, k1: int, need: Need) -> int:
    """What the capacity of slots ``k0`` to ``k1`` (inclusive) is worth to other work, pico-yuan."""
    power = cells[rows.power + s, k1 + 1] - cells[rows.power + s, k0]
    core = cells[rows.core + p, k1 + 1] - cells[rows.core + p, k0]
    card = cells[rows.card + p, k1 + 1] - cells[rows.card + p, k0]
    return times_power(power, need.mw) + core * need.cores + card * need.cards


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def hopeless(high: Any, rows: Rows, p: int, s: int, b: int, need: Need) -> bool:
    """Whether no slot of block ``b`` can have room."""
    return (
        (high[rows.cores + p, b] < need.cores)
        | (high[rows.mem + p, b] < need.mem)
        | (high[rows.cards + p, b] < need.cards)
        | (high[rows.mw + s, b] < need.mw)
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def first_hopeful(high: Any, rows: Rows, p: int, s: int, b: int, need: Need) -> int:
    """The first block from ``b`` on where some slot can have room, or the count of blocks."""
    while b < high.shape[1] and hopeless(high, rows, p, s, b, need):
        b += 1
    return b


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def room(cells: Any, low: Any, rows: Rows, p: int, s: int, k0: int, k1: int, need: Need) -> int:
    """0 where slots ``k0`` to ``k1`` (inclusive) all have room, else the code that rules the window out."""
    k = k0
    while k <= k1:
        if k % BLOCK == 0 and roomy(low, rows, p, s, k // BLOCK, need):
            k += BLOCK
            continue
        code = blocked(cells, rows, p, s, k, need)
        if code != OK:
            return code
        k += 1
    return OK


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def last_full(cells: Any, low: Any, rows: Rows, p: int, s: int, k0: int, k1: int, need: Need) -> int:
    """The last of slots ``k0`` to ``k1`` (inclusive) without room, or -1."""
    k = k1
    while k >= k0:
        if k % BLOCK == BLOCK - 1 and roomy(low, rows, p, s, k // BLOCK, need):
            k -= BLOCK
            continue
        if blocked(cells, rows, p, s, k, need) != OK:
            return k
        k -= 1
    return -1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def any_scarce(cells: Any, rows: Rows) -> bool:
    """Whether any capacity is worth something to other work."""
    most = 0
    for row in range(rows.power, cells.shape[0]):
        most = max(most, cells[row, -1])
    return most > 0


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def paid(cells: Any, rows: Rows, s: int, first_s: int, start: int, end: int, need: Need) -> int:
    """What is billed for a window's energy and carbon, pico-yuan."""
    return times_power(over(cells, rows.paid + s, first_s, start, end), need.mw)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def reserve(cells: Any, low: Any, high: Any, rows: Rows, p: int, s: int, k0: int, k1: int, need: Need) -> None:
    """Take ``need`` out of slots ``k0`` to ``k1`` (inclusive)."""
    for k in range(k0, k1 + 1):
        cells[rows.cores + p, k] -= need.cores
        cells[rows.mem + p, k] -= need.mem
        cells[rows.cards + p, k] -= need.cards
        cells[rows.mw + s, k] -= need.mw
    slots = cells.shape[1] - 1
    for b in range(k0 // BLOCK, k1 // BLOCK + 1):
        low[rows.cores + p, b], high[rows.cores + p, b] = extremes(cells, rows.cores + p, b, slots)
        low[rows.mem + p, b], high[rows.mem + p, b] = extremes(cells, rows.mem + p, b, slots)
        if need.cards > 0:
            low[rows.cards + p, b], high[rows.cards + p, b] = extremes(cells, rows.cards + p, b, slots)
        low[rows.mw + s, b], high[rows.mw + s, b] = extremes(cells, rows.mw + s, b, slots)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def extremes(values: Any, n: int, b: int, slots: int) -> tuple[int, int]:
    """(least, most) of row ``n`` in block ``b`` of the first ``slots`` columns."""
    least = most = values[n, b * BLOCK]
    for k in range(b * BLOCK + 1, min((b + 1) * BLOCK, slots)):
        least, most = min(least, values[n, k]), max(most, values[n, k])
    return least, most
