"""The placement kernel: price every feasible (site, pool, start) of a batch of jobs, take the least.

Arrays in, arrays out; no Python objects. All amounts are integers (:mod:`sanjin.model.money`), so
that every machine chooses alike. With ``NUMBA_DISABLE_JIT=1`` the same source runs uncompiled.

Shapes: S sites, P pools, T slots of the horizon, B blocks of :data:`BLOCK` slots, J jobs. Pools of a
site lie in the order of the region document. Power is milliwatts.

How it is fast: the board (:mod:`sanjin.kernels.board`) prices any window at once and lets whole blocks of
slots be skipped; the block that promises most is searched early; and where only the choice is wanted,
pools are tried in the order of a lower bound on their total until none that is left can win.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sanjin.kernels.board import (
    BLOCK,
    CODE_CAPACITY,
    OK,
    SLOT,
    Need,
    Rows,
    any_scarce,
    floor_of,
    hopeless,
    over,
    paid,
    reserve,
    room,
    scarcity_of,
    spans_of,
    times_power,
)

CODE_POOL_KIND, CODE_ACCELERATOR, CODE_TOO_LARGE = 5, 6, 7
CODE_DEADLINE, CODE_BUDGET = 10, 11
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
