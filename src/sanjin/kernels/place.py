"""The placement kernel: price every feasible (site, pool, start) of a batch of jobs, take the least.

Arrays in, arrays out; no Python objects. All amounts are integers (:mod:`sanjin.model.money`), so
that every machine chooses alike. With ``NUMBA_DISABLE_JIT=1`` the same source runs uncompiled.

Shapes: S sites, P pools, T slots of the horizon, J jobs. Pools of a site lie in the order of the
region document. Prices are pico-yuan per watt-second of IT load, PUE included; power is milliwatts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SLOT = 900
"""Seconds a slot; equal to :data:`sanjin.model.units.SLOT_S` (kernels import nothing)."""

OK = 0
CODE_POOL_KIND, CODE_ACCELERATOR, CODE_TOO_LARGE = 5, 6, 7
CODE_POWER, CODE_CAPACITY, CODE_DEADLINE, CODE_BUDGET = 8, 9, 10, 11
"""Codes index :data:`sanjin.model.reason.KERNEL_REASONS`; 1 to 4 come from the caller's mask."""

POOL, CODE, START, FINISH, READY, ENERGY, CARBON, TRANSPORT, USE, WAITING = range(10)
ROW = 10
"""Columns of a result row, one row a (job, site). Terms are micro-yuan, times seconds UTC."""

_PICO = 1_000_000
_SMALL_MW = 50_000_000
_FAR = np.int64(2**62)

Ints = NDArray[np.int64]


@njit(cache=True)
def times_power(pico_per_watt: int, milliwatt: int) -> int:
    """``pico_per_watt`` x power, in pico-yuan, without leaving 64 bits for loads up to 100 MW."""
    if milliwatt <= _SMALL_MW:
        return (pico_per_watt * milliwatt) // 1000
    return (pico_per_watt // 1000) * milliwatt


@njit(cache=True)
def price_until(cum: Ints, price: Ints, first_s: int, at_s: int) -> int:
    """Pico-yuan per watt from the horizon's begin to ``at_s``; linear inside a slot."""
    k = (at_s - first_s) // SLOT
    rest = at_s - first_s - k * SLOT
    if rest == 0:
        return cum[k]
    return cum[k] + price[k] * rest


@njit(cache=True)
def blocked(cores: Any, mem: Any, acc: Any, mw: Any, k: int, need: Any) -> int:
    """0 where slot ``k`` has room for ``need`` = (cores, MiB, cards, mW), else the code that rules it out."""
    if cores[k] < need[0] or mem[k] < need[1] or acc[k] < need[2]:
        return CODE_CAPACITY
    if mw[k] < need[3]:
        return CODE_POWER
    return OK


@njit(cache=True)
def best_start(
    e_cum: Ints, e_price: Ints, c_cum: Ints, c_price: Ints, floor: int, first_s: int,
    cores: Any, mem: Any, acc: Any, mw: Any, need: Any,
    begin_s: int, since_s: int, dur: int, deadline: int, delay: int, fixed: int, budget: int,
) -> tuple[int, int]:
    """Least-priced feasible start in one pool: (start, 0), or (-1, code).

    Candidates are ``begin_s`` and every later slot boundary. ``floor`` is the least energy and
    carbon price per watt-second of the horizon: no later start can cost less than waiting + floor,
    so the scan stops there. ``fixed`` and ``budget`` are pico-yuan; a budget of 0 is none.
    """
    slots = e_price.shape[0]
    k = (begin_s - first_s) // SLOT
    known = k
    best, best_at, code = _FAR, -1, CODE_CAPACITY
    least = times_power(floor * dur, need[3])
    while True:
        start = max(begin_s, first_s + k * SLOT)
        end = start + dur
        last = (end - 1 - first_s) // SLOT
        if deadline > 0 and end > deadline:
            if best_at < 0 and code != CODE_BUDGET:
                code = CODE_DEADLINE
            break
        if last >= slots:
            break
        wait = delay * (start - since_s)
        if wait + least >= best:
            break
        known = max(known, k)
        hit = OK
        while known <= last:
            hit = blocked(cores, mem, acc, mw, known, need)
            if hit != OK:
                break
            known += 1
        if hit != OK:
            if best_at < 0 and code != CODE_BUDGET:
                code = hit
            k = known + 1
            continue
        per_watt = (
            price_until(e_cum, e_price, first_s, end) - price_until(e_cum, e_price, first_s, start)
            + price_until(c_cum, c_price, first_s, end) - price_until(c_cum, c_price, first_s, start)
        )
        power = times_power(per_watt, need[3])
        if budget > 0 and power + fixed > budget:
            code = CODE_BUDGET
        elif power + wait < best:
            best, best_at = power + wait, start
        k += 1
    if best_at < 0:
        return -1, code
    return best_at, OK


@njit(cache=True)
def reserve(cores: Any, mem: Any, acc: Any, mw: Any, k0: int, k1: int, need: Any) -> None:
    """Take ``need`` out of slots ``k0`` to ``k1`` (inclusive)."""
    for k in range(k0, k1 + 1):
        cores[k] -= need[0]
        mem[k] -= need[1]
        acc[k] -= need[2]
        mw[k] -= need[3]


@njit(cache=True, nogil=True)  # other nodes of the process go on meanwhile
def place_batch(
    e_cum: Any, e_price: Any, c_cum: Any, c_price: Any, first_s: int, now_s: int,
    pool: Any, free_cores: Any, free_mem: Any, free_acc: Any, free_mw: Any,
    own: Any, job: Any, barred: Any, ready: Any, transport: Any, out: Any, choice: Any,
) -> None:
    """Place jobs in order; each takes the least (total, start, own subtree first, site).

    ``pool`` int64[P, 11]: site, kind, accelerator kind, cores, MiB, cards, speed in 1/1000, mW per
    core, mW per card, mW per GiB, use price per core-second and per card-second (pico), see
    :class:`sanjin.flow.supply.Supply`. ``job`` int64[J, 11]: cores, MiB, cards, accelerator kind,
    pool kind, duration, since, earliest, deadline, delay (pico per second), budget (micro).
    ``barred`` int64[J, S]: 0 or the code that rules a site out. ``ready`` int64[J, S]: when inputs
    can be there. ``transport`` int64[J, S]: micro-yuan. Writes ``out`` int64[J, S, ROW] and
    ``choice`` int64[J] (site or -1), and reserves what it chose in the free arrays.
    """
    sites = e_price.shape[0]
    floors = np.empty(sites, np.int64)
    for s in range(sites):
        least = _FAR
        for k in range(e_price.shape[1]):
            least = min(least, e_price[s, k] + c_price[s, k])
        floors[s] = least
    need = np.zeros(4, np.int64)
    for j in range(job.shape[0]):
        for s in range(sites):
            out[j, s, :] = 0
            out[j, s, POOL] = -1
            out[j, s, CODE] = barred[j, s] if barred[j, s] != OK else CODE_POOL_KIND
            out[j, s, READY] = ready[j, s]
        for p in range(pool.shape[0]):
            s = pool[p, 0]
            if barred[j, s] != OK:
                continue
            fits(pool[p], job[j], need)
            code = need_code(pool[p], job[j])
            start = -1
            dur = (job[j, 5] * 1000 + pool[p, 6] - 1) // pool[p, 6]
            use = dur * (job[j, 0] * pool[p, 10] + job[j, 2] * pool[p, 11])
            if code == OK:
                begin = max(now_s, job[j, 7], ready[j, s])
                start, code = best_start(
                    e_cum[s], e_price[s], c_cum[s], c_price[s], floors[s], first_s,
                    free_cores[p], free_mem[p], free_acc[p], free_mw[s], need,
                    begin, min(job[j, 6], begin), dur, job[j, 8], job[j, 9],
                    use + transport[j, s] * _PICO, job[j, 10] * _PICO,
                )
            row = out[j, s]
            if code != OK:
                if row[POOL] < 0:
                    row[CODE] = max(row[CODE], code)
                continue
            end = start + dur
            energy = times_power(
                price_until(e_cum[s], e_price[s], first_s, end) - price_until(e_cum[s], e_price[s], first_s, start),
                need[3],
            ) // _PICO
            carbon = times_power(
                price_until(c_cum[s], c_price[s], first_s, end) - price_until(c_cum[s], c_price[s], first_s, start),
                need[3],
            ) // _PICO
            waiting = job[j, 9] * (start - min(job[j, 6], begin)) // _PICO
            total = energy + carbon + transport[j, s] + use // _PICO + waiting
            held = row[ENERGY] + row[CARBON] + row[TRANSPORT] + row[USE] + row[WAITING]
            if row[POOL] < 0 or total < held or (total == held and start < row[START]):
                row[POOL], row[CODE], row[START], row[FINISH] = p, OK, start, end
                row[ENERGY], row[CARBON], row[TRANSPORT] = energy, carbon, transport[j, s]
                row[USE], row[WAITING] = use // _PICO, waiting
        choice[j] = cheapest(out[j], own)
        if choice[j] >= 0:
            row = out[j, choice[j]]
            p = row[POOL]
            fits(pool[p], job[j], need)
            reserve(
                free_cores[p], free_mem[p], free_acc[p], free_mw[choice[j]],
                (row[START] - first_s) // SLOT, (row[FINISH] - 1 - first_s) // SLOT, need,
            )


@njit(cache=True)
def fits(pool: Ints, job: Ints, need: Ints) -> None:
    """Write what the job takes from the pool into ``need``: cores, MiB, cards, mW at full use."""
    need[0], need[1], need[2] = job[0], job[1], job[2]
    need[3] = job[0] * pool[7] + job[2] * pool[8] + (job[1] * pool[9]) // 1024


@njit(cache=True)
def need_code(pool: Ints, job: Ints) -> int:
    """0 where the pool could hold the job when empty, else the constraint that fails first."""
    if job[4] >= 0 and job[4] != pool[1]:
        return CODE_POOL_KIND
    if job[2] > 0 and job[3] >= 0 and job[3] != pool[2]:
        return CODE_ACCELERATOR
    if job[0] > pool[3] or job[1] > pool[4] or job[2] > pool[5]:
        return CODE_TOO_LARGE
    return OK


@njit(cache=True)
def cheapest(rows: Any, own: Any) -> int:
    """Site of the least (total, start, not own, site) among the feasible rows, or -1."""
    best, best_total, best_start_s, best_own = -1, _FAR, _FAR, 0
    for s in range(rows.shape[0]):
        if rows[s, POOL] < 0:
            continue
        total = rows[s, ENERGY] + rows[s, CARBON] + rows[s, TRANSPORT] + rows[s, USE] + rows[s, WAITING]
        start = rows[s, START]
        if (
            total < best_total
            or (total == best_total and start < best_start_s)
            or (total == best_total and start == best_start_s and own[s] > best_own)
        ):
            best, best_total, best_start_s, best_own = s, total, start, own[s]
    return best
