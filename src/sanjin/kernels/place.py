"""The placement kernel: price every feasible (site, pool, start) of a batch of jobs, take the least.

Arrays in, arrays out; no Python objects. All amounts are integers (:mod:`sanjin.model.money`), so
that every machine chooses alike. With ``NUMBA_DISABLE_JIT=1`` the same source runs uncompiled.

Shapes: S sites, P pools, T slots of the horizon, B blocks of :data:`BLOCK` slots, J jobs. Pools of a
site lie in the order of the region document. Power is milliwatts.

How it is fast: prefix sums price any window at once; the least price and the least free capacity of
each block of slots let whole blocks be skipped or accepted; and where only the choice is wanted, pools
are tried in the order of a lower bound on their total until none that is left can win.
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
CODE_POOL_KIND, CODE_ACCELERATOR, CODE_TOO_LARGE = 5, 6, 7
CODE_POWER, CODE_CAPACITY, CODE_DEADLINE, CODE_BUDGET = 8, 9, 10, 11
"""Codes index :data:`sanjin.model.reason.KERNEL_REASONS`; 1 to 4 come from the caller's mask."""

POOL, CODE, START, FINISH, READY, ENERGY, CARBON, TRANSPORT, USE, SCARCITY, WAITING = range(11)
ROW = 11
"""Columns of a result row, one row a (job, site). Terms are micro-yuan, times seconds UTC."""

SITE, KIND, CARD_KIND, CORES, MEM, CARDS, SPEED, MW_CORE, MW_CARD, MW_GIB, USE_CORE, USE_CARD = range(12)
"""Columns of a pool: MiB of memory, speed in 1/1000, mW, price of use in pico-yuan a second."""

J_CORES, J_MEM, J_CARDS, J_CARD_KIND, J_KIND, J_SECONDS = range(6)
J_SINCE, J_EARLIEST, J_DEADLINE, J_DELAY, J_BUDGET = range(6, 11)
"""Columns of a job: MiB, seconds on a core of speed 1, seconds UTC, delay in pico-yuan a second, budget in micro."""

_PICO = 1_000_000
_SMALL_MW = 50_000_000
_FAR = np.int64(2**62)
_ROUNDING = 6
"""Micro-yuan by which a total of rounded terms may lie below the exact one, and one more."""

Ints = NDArray[np.int64]


class Job(NamedTuple):
    """A row of the job table by value, so that it is read once; see the columns above."""

    cores: int
    mem: int
    cards: int
    card_kind: int
    kind: int
    seconds: int
    since: int
    earliest: int
    deadline: int
    delay: int
    budget: int


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
    horizon's begin: ``energy`` and ``carbon`` a site in pico-yuan per watt of IT load, PUE in it;
    ``watt`` their sum. ``power`` a site, ``core`` and ``card`` a pool are what scarce capacity is worth to other
    work, pico-yuan per watt, core or card; since capacity is taken in whole slots, so is this. ``low`` and
    ``high`` int64[N, B] are the least and the most of each block; for prices, per second.

    One array of everything, since a kernel pays for each array that it hands on.
    """

    cores: int
    mem: int
    cards: int
    mw: int
    energy: int
    carbon: int
    watt: int
    power: int
    core: int
    card: int


def rows_of(pools: int, sites: int) -> tuple[Rows, int]:
    """The rows of a board for so many pools and sites, and how many there are."""
    begins = [0]
    for size in (pools, pools, pools, sites, sites, sites, sites, sites, pools, pools):
        begins.append(begins[-1] + size)
    return Rows(*begins[:-1]), begins[-1]


@njit(cache=True, error_model="numpy")
def bounds(values: Any, low: Any, high: Any) -> None:
    """Write the least and the most of each block of ``values`` [N, T] into ``low`` and ``high`` [N, B]."""
    for n in range(values.shape[0]):
        for b in range(low.shape[1]):
            low[n, b], high[n, b] = extremes(values, n, b, values.shape[1])


@njit(cache=True, error_model="numpy")
def times_power(pico_per_watt: int, milliwatt: int) -> int:
    """``pico_per_watt`` x power, in pico-yuan, without leaving 64 bits for loads up to 100 MW."""
    if milliwatt <= _SMALL_MW:
        return (pico_per_watt * milliwatt) // 1000
    return (pico_per_watt // 1000) * milliwatt


@njit(cache=True, error_model="numpy")
def until(cum: Any, n: int, first_s: int, at_s: int) -> int:
    """Row ``n`` of a cumulated price from the horizon's begin to ``at_s``; linear inside a slot."""
    k = (at_s - first_s) // SLOT
    rest = at_s - first_s - k * SLOT
    if rest == 0:
        return cum[n, k]
    return cum[n, k] + (cum[n, k + 1] - cum[n, k]) // SLOT * rest


@njit(cache=True, error_model="numpy")
def over(cum: Any, n: int, first_s: int, start_s: int, end_s: int) -> int:
    """Row ``n`` of a cumulated price over a window."""
    return until(cum, n, first_s, end_s) - until(cum, n, first_s, start_s)


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def roomy(low: Any, rows: Rows, p: int, s: int, b: int, need: Need) -> bool:
    """Whether every slot of block ``b`` has room."""
    return (
        low[rows.cores + p, b] >= need.cores
        and low[rows.mem + p, b] >= need.mem
        and low[rows.cards + p, b] >= need.cards
        and low[rows.mw + s, b] >= need.mw
    )


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def scarcity_of(cells: Any, rows: Rows, p: int, s: int, k0: int, k1: int, need: Need) -> int:
    """What the capacity of slots ``k0`` to ``k1`` (inclusive) is worth to other work, pico-yuan."""
    power = cells[rows.power + s, k1 + 1] - cells[rows.power + s, k0]
    core = cells[rows.core + p, k1 + 1] - cells[rows.core + p, k0]
    card = cells[rows.card + p, k1 + 1] - cells[rows.card + p, k0]
    return times_power(power, need.mw) + core * need.cores + card * need.cards


@njit(cache=True, error_model="numpy")
def hopeless(high: Any, rows: Rows, p: int, s: int, b: int, need: Need) -> bool:
    """Whether no slot of block ``b`` can have room."""
    return (
        high[rows.cores + p, b] < need.cores
        or high[rows.mem + p, b] < need.mem
        or high[rows.cards + p, b] < need.cards
        or high[rows.mw + s, b] < need.mw
    )


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def best_start(
    cells: Any, low: Any, high: Any, rows: Rows, p: int, s: int, first_s: int, need: Need,
    begin_s: int, since_s: int, dur: int, deadline: int, delay: int, fixed: int, budget: int,
    scarce: bool, least: int, limit: int, spans: Ints, bound: Ints,
) -> int:
    """The least-priced feasible start in one pool that costs less than ``limit``, or -1; of equals the first.

    Candidates are ``begin_s`` and every later slot boundary. ``least`` is less than any window of this
    length can cost: where waiting alone makes up the rest, nothing later is looked at. After the first
    block, the one that promises most is searched, then those whose bound is below what was found. ``fixed`` and
    ``budget`` are pico-yuan; a budget of 0 is none. ``bound`` int64[B] is scratch.
    """
    slots = cells.shape[1] - 1
    latest_s = first_s + slots * SLOT - dur
    if deadline > 0:
        latest_s = min(latest_s, deadline - dur)
    if latest_s < begin_s:
        return -1
    b0, b1 = (begin_s - first_s) // SLOT // BLOCK, (latest_s - first_s) // SLOT // BLOCK
    reach = ((dur - 1) // SLOT + BLOCK) // BLOCK  # blocks that a window may reach beyond its own
    # the first block first: what it offers ends the look ahead where waiting alone would cost more
    best, best_at = limit, -1
    if not hopeless(high, rows, p, s, b0, need):
        best, best_at = best_in_block(
            cells, low, rows, p, s, first_s, need, b0, begin_s, latest_s, since_s, dur, delay,
            fixed, budget, scarce, best, best_at,
        )
    first, lowest_bound = -1, best
    for b in range(b0 + 1, b1 + 1):
        wait = delay * (first_s + b * BLOCK * SLOT - since_s)
        if wait + least >= best:
            b1 = b - 1
            break
        bound[b] = _FAR
        if hopeless(high, rows, p, s, b, need):
            continue
        bound[b] = wait + floor_of(spans, rows, p, s, b, reach, need, dur, scarce)
        if bound[b] < lowest_bound:
            first, lowest_bound = b, bound[b]
    if first >= 0:
        best, best_at = best_in_block(
            cells, low, rows, p, s, first_s, need, first, begin_s, latest_s, since_s, dur, delay,
            fixed, budget, scarce, best, best_at,
        )
        for b in range(b0 + 1, b1 + 1):
            start = first_s + b * BLOCK * SLOT
            if b == first or bound[b] > best or (bound[b] == best and (best_at < 0 or start > best_at)):
                continue
            best, best_at = best_in_block(
                cells, low, rows, p, s, first_s, need, b, begin_s, latest_s, since_s, dur, delay,
                fixed, budget, scarce, best, best_at,
            )
    return best_at


@njit(cache=True, error_model="numpy")
def any_scarce(cells: Any, rows: Rows) -> bool:
    """Whether any capacity is worth something to other work."""
    return bool(np.any(cells[rows.power :, -1] > 0))


@njit(cache=True, error_model="numpy")
def best_in_block(
    cells: Any, low: Any, rows: Rows, p: int, s: int, first_s: int, need: Need, b: int, begin_s: int, latest_s: int,
    since_s: int, dur: int, delay: int, fixed: int, budget: int, scarce: bool, best: int, best_at: int,
) -> tuple[int, int]:
    """(price, start) of the best start in block ``b`` where it beats what was found before, else the latter."""
    watt, cores = rows.watt + s, rows.cores + p
    for k in range(max(b * BLOCK, (begin_s - first_s) // SLOT), (b + 1) * BLOCK):
        start = max(begin_s, first_s + k * SLOT)
        if start > latest_s:
            break
        end = start + dur
        last = (end - 1 - first_s) // SLOT
        if cells[cores, k] < need.cores or cells[cores, last] < need.cores:
            continue  # seen at once, and what fails most often
        cost = times_power(over(cells, watt, first_s, start, end), need.mw) + delay * (start - since_s)
        if scarce:
            cost += scarcity_of(cells, rows, p, s, k, last, need)
        if cost > best or (cost == best and (best_at < 0 or start > best_at)):
            continue
        if room(cells, low, rows, p, s, k, last, need) != OK:
            continue
        if budget > 0 and fixed + paid(cells, rows, s, first_s, start, end, need) > budget:
            continue
        best, best_at = cost, start
    return best, best_at


@njit(cache=True, error_model="numpy")
def why_not(
    cells: Any, low: Any, rows: Rows, p: int, s: int, first_s: int, need: Need,
    begin_s: int, dur: int, deadline: int, fixed: int, budget: int,
) -> int:
    """The code that rules a pool out where no start is feasible: the budget where it alone stood against one,
    else what stood against the first start."""
    slots = cells.shape[1] - 1
    k, code = (begin_s - first_s) // SLOT, OK
    while True:
        start = max(begin_s, first_s + k * SLOT)
        end = start + dur
        last = (end - 1 - first_s) // SLOT
        if deadline > 0 and end > deadline:
            return code if code != OK else CODE_DEADLINE
        if last >= slots:
            return code if code != OK else CODE_CAPACITY
        hit = room(cells, low, rows, p, s, k, last, need)
        if hit == OK and budget > 0 and fixed + paid(cells, rows, s, first_s, start, end, need) > budget:
            return CODE_BUDGET
        code = code if code != OK else hit
        k += 1


@njit(cache=True, error_model="numpy")
def paid(cells: Any, rows: Rows, s: int, first_s: int, start: int, end: int, need: Need) -> int:
    """What a window's energy and carbon cost, pico-yuan: what scarcity adds is not billed."""
    per_watt = over(cells, rows.energy + s, first_s, start, end) + over(cells, rows.carbon + s, first_s, start, end)
    return times_power(per_watt, need.mw)


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def extremes(values: Any, n: int, b: int, slots: int) -> tuple[int, int]:
    """(least, most) of row ``n`` in block ``b`` of the first ``slots`` columns."""
    least = most = values[n, b * BLOCK]
    for k in range(b * BLOCK + 1, min((b + 1) * BLOCK, slots)):
        least, most = min(least, values[n, k]), max(most, values[n, k])
    return least, most


@njit(cache=True, error_model="numpy")
def job_of(job: Ints, j: int) -> Job:
    """Row ``j`` of the job table."""
    return Job(
        job[j, J_CORES], job[j, J_MEM], job[j, J_CARDS], job[j, J_CARD_KIND], job[j, J_KIND], job[j, J_SECONDS],
        job[j, J_SINCE], job[j, J_EARLIEST], job[j, J_DEADLINE], job[j, J_DELAY], job[j, J_BUDGET],
    )


@njit(cache=True, error_model="numpy")
def seconds_at(pool: Ints, p: int, ask: Job) -> int:
    """Run time at a pool's speed, rounded up."""
    return (ask.seconds * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]


@njit(cache=True, error_model="numpy")
def need_of(pool: Ints, p: int, ask: Job) -> Need:
    """What the job takes from the pool, at full use."""
    cores, mem, cards = ask.cores, ask.mem, ask.cards
    power = cores * pool[p, MW_CORE] + cards * pool[p, MW_CARD] + (mem * pool[p, MW_GIB]) // 1024
    return Need(cores, mem, cards, power)


@njit(cache=True, error_model="numpy")
def need_code(pool: Ints, p: int, ask: Job) -> int:
    """0 where the pool could hold the job when empty, else the constraint that fails first."""
    if ask.kind >= 0 and ask.kind != pool[p, KIND]:
        return CODE_POOL_KIND
    if ask.cards > 0 and ask.card_kind >= 0 and ask.card_kind != pool[p, CARD_KIND]:
        return CODE_ACCELERATOR
    if ask.cores > pool[p, CORES] or ask.mem > pool[p, MEM] or ask.cards > pool[p, CARDS]:
        return CODE_TOO_LARGE
    return OK


@njit(cache=True, error_model="numpy")
def use_of(pool: Ints, p: int, ask: Job, dur: int) -> int:
    """The site's charge for its machines, pico-yuan."""
    return dur * (ask.cores * pool[p, USE_CORE] + ask.cards * pool[p, USE_CARD])


@njit(cache=True, error_model="numpy")
def write_row(
    cells: Any, rows: Rows, pool: Ints, p: int, ask: Job, first_s: int, start: int, since: int,
    transport: int, need: Need, row: Ints,
) -> None:
    """Fill a result row for a start that was found."""
    s = pool[p, SITE]
    dur = seconds_at(pool, p, ask)
    end = start + dur
    energy = times_power(over(cells, rows.energy + s, first_s, start, end), need.mw)
    carbon = times_power(over(cells, rows.carbon + s, first_s, start, end), need.mw)
    k0, k1 = (start - first_s) // SLOT, (end - 1 - first_s) // SLOT
    scarcity = scarcity_of(cells, rows, p, s, k0, k1, need)
    row[POOL], row[CODE], row[START], row[FINISH] = p, OK, start, end
    row[ENERGY], row[CARBON], row[TRANSPORT] = energy // _PICO, carbon // _PICO, transport
    row[USE], row[SCARCITY] = use_of(pool, p, ask, dur) // _PICO, scarcity // _PICO
    row[WAITING] = ask.delay * (start - since) // _PICO


@njit(cache=True, error_model="numpy")
def total_of(row: Ints) -> int:
    """Sum of a row's terms, micro-yuan."""
    return row[ENERGY] + row[CARBON] + row[TRANSPORT] + row[USE] + row[SCARCITY] + row[WAITING]


@njit(cache=True, error_model="numpy")
def better(row: Ints, own: int, s: int, best: Ints, best_own: int, best_s: int) -> bool:
    """Whether a row beats the best so far: by total, start, own subtree first, site, pool."""
    total, held = total_of(row), total_of(best)
    if best[POOL] < 0 or total != held:
        return best[POOL] < 0 or total < held
    if row[START] != best[START]:
        return row[START] < best[START]
    if own != best_own:
        return own > best_own
    if s != best_s:
        return s < best_s
    return row[POOL] < best[POOL]


@njit(cache=True, nogil=True, error_model="numpy")  # other nodes of the process go on meanwhile
def place_batch(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, now_s: int,
    pool: Any, own: Any, job: Any, barred: Any, ready: Any, transport: Any, out: Any, choice: Any,
) -> None:
    """Place jobs in order with a row for every site; each takes the best, see :func:`better`.

    ``pool`` int64[P, 12] and ``job`` int64[J, 11] as the column names above; ``own`` int64[S] marks the
    own subtree. ``barred`` int64[J, S]: 0 or the code that rules a site out. ``ready`` int64[J, S]: when
    inputs can be there. ``transport`` int64[J, S]: micro-yuan. Writes ``out`` int64[J, S, ROW] and
    ``choice`` int64[J] (site or -1), and reserves what it chose.
    """
    sites, blocks, scarce = own.shape[0], low.shape[1], any_scarce(cells, rows)
    spans = spans_of(low, rows)
    trial, scratch = np.zeros(ROW, np.int64), np.empty(blocks, np.int64)
    for j in range(job.shape[0]):
        ask = job_of(job, j)
        for s in range(sites):
            out[j, s, :] = 0
            out[j, s, POOL] = -1
            out[j, s, CODE] = barred[j, s] if barred[j, s] != OK else CODE_POOL_KIND
            out[j, s, READY] = ready[j, s]
        best = -1
        for p in range(pool.shape[0]):
            s = pool[p, SITE]
            if barred[j, s] != OK:
                continue
            need = need_of(pool, p, ask)
            code = need_code(pool, p, ask)
            row = out[j, s]
            if code == OK:
                dur = seconds_at(pool, p, ask)
                begin = max(now_s, ask.earliest, ready[j, s])
                since = min(ask.since, begin)
                fixed, budget = use_of(pool, p, ask, dur) + transport[j, s] * _PICO, ask.budget * _PICO
                start = best_start(
                    cells, low, high, rows, p, s, first_s, need, begin, since, dur, ask.deadline, ask.delay,
                    fixed, budget, scarce, floor_of(spans, rows, p, s, 0, blocks, need, dur, scarce), _FAR,
                    spans, scratch,
                )
                if start < 0:
                    code = why_not(
                        cells, low, rows, p, s, first_s, need, begin, dur, ask.deadline, fixed, budget
                    )
            if code != OK:
                if row[POOL] < 0:
                    row[CODE] = max(row[CODE], code)
                continue
            write_row(cells, rows, pool, p, ask, first_s, start, since, transport[j, s], need, trial)
            trial[READY] = ready[j, s]
            if better(trial, own[s], s, row, own[s], s):
                row[:] = trial
        for s in range(sites):
            if out[j, s, POOL] >= 0 and (best < 0 or better(out[j, s], own[s], s, out[j, best], own[best], best)):
                best = s
        choice[j] = best
        if best >= 0:
            row = out[j, best]
            take(cells, low, high, rows, pool, ask, first_s, row)


@njit(cache=True, error_model="numpy")
def take(
    cells: Any, low: Any, high: Any, rows: Rows, pool: Ints, ask: Job, first_s: int, row: Ints
) -> None:
    """Reserve what a row says."""
    p = row[POOL]
    need = need_of(pool, p, ask)
    k0, k1 = (row[START] - first_s) // SLOT, (row[FINISH] - 1 - first_s) // SLOT
    reserve(cells, low, high, rows, p, pool[p, SITE], k0, k1, need)


@njit(cache=True, nogil=True, error_model="numpy")
def choose_batch(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, now_s: int,
    pool: Any, own: Any, job: Any, barred: Any, ready: Any, transport: Any, won: Any, choice: Any,
) -> None:
    """The same choices as :func:`place_batch`, without the rows of the sites that lose.

    Writes the winning rows ``won`` int64[J, ROW] and ``choice`` int64[J]. Pools are tried in the order of
    a bound that their total cannot be below; those whose bound is above the best total are not tried.
    """
    pools, blocks, scarce = pool.shape[0], low.shape[1], any_scarce(cells, rows)
    spans = spans_of(low, rows)
    trial, scratch = np.zeros(ROW, np.int64), np.empty(blocks, np.int64)
    bound, least, length = np.empty(pools, np.int64), np.empty(pools, np.int64), np.empty(pools, np.int64)
    floors = np.empty((pools, 4), np.int64)
    for p in range(pools):  # the least prices of a second over the whole horizon, once a batch
        for i, row in enumerate((rows.watt + pool[p, SITE], rows.power + pool[p, SITE], rows.core + p, rows.card + p)):
            floors[p, i] = low[row].min()
    for j in range(job.shape[0]):
        ask = job_of(job, j)
        best = won[j]
        best[:] = 0
        best[POOL] = -1
        best_s = -1
        left = 0
        for p in range(pools):
            s = pool[p, SITE]
            bound[p] = _FAR
            if barred[j, s] != OK or need_code(pool, p, ask) != OK:
                continue
            need = need_of(pool, p, ask)
            dur = seconds_at(pool, p, ask)
            begin = max(now_s, ask.earliest, ready[j, s])
            since = min(ask.since, begin)
            whole = (dur + SLOT - 1) // SLOT * SLOT
            least[p] = times_power(floors[p, 0] * dur + floors[p, 1] * whole, need.mw)
            least[p] += (floors[p, 2] * need.cores + floors[p, 3] * need.cards) * whole
            fixed = use_of(pool, p, ask, dur) + transport[j, s] * _PICO
            bound[p] = least[p] + fixed + ask.delay * (begin - since)
            length[p] = dur
            left += 1
        limit = _FAR
        while left > 0:
            p = 0
            for q in range(1, pools):
                if bound[q] < bound[p]:
                    p = q
            if bound[p] >= limit:
                break
            bound[p] = _FAR
            left -= 1
            s = pool[p, SITE]
            need = need_of(pool, p, ask)
            dur = length[p]
            begin = max(now_s, ask.earliest, ready[j, s])
            since = min(ask.since, begin)
            fixed = use_of(pool, p, ask, dur) + transport[j, s] * _PICO
            start = best_start(
                cells, low, high, rows, p, s, first_s, need, begin, since, dur, ask.deadline, ask.delay,
                fixed, ask.budget * _PICO, scarce, least[p], limit - fixed if limit < _FAR else _FAR,
                spans, scratch,
            )
            if start < 0:
                continue
            write_row(cells, rows, pool, p, ask, first_s, start, since, transport[j, s], need, trial)
            trial[READY] = ready[j, s]
            if better(trial, own[s], s, best, own[best_s] if best_s >= 0 else 0, best_s):
                best[:] = trial
                best_s = s
                # what costs this much cannot win even after its terms are rounded down
                limit = (total_of(best) + _ROUNDING) * _PICO
        choice[j] = best_s
        if best_s >= 0:
            take(cells, low, high, rows, pool, ask, first_s, best)
