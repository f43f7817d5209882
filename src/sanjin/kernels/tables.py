"""The tables of the placement kernel: columns of pools, jobs and result rows, and a job seen at one pool.

Arrays in, arrays out; no Python objects. All amounts are integers (:mod:`sanjin.model.money`), so that
every machine chooses alike; power is milliwatts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sanjin.kernels.board import OK, SLOT, Need

CODE_POOL_KIND, CODE_ACCELERATOR, CODE_TOO_LARGE = 5, 6, 7
CODE_DEADLINE, CODE_BUDGET, CODE_MACHINE = 10, 11, 14
"""Codes index :data:`sanjin.model.reason.KERNEL_REASONS`; 1 to 4, 12, 13 and 15 come from the caller's mask."""

POOL, CODE, START, FINISH, UNTIL, READY, ENERGY, CARBON, TRANSPORT, LATENCY, USE, SCARCITY, WAITING = range(13)
ROW = 13
"""Columns of a result row, one row a (job, site). Terms are micro-yuan, times seconds UTC; capacity is kept
until ``UNTIL``, the expected end is ``FINISH``."""

SITE, KIND, CARD_KIND, CORES, MEM, CARDS, SPEED, MW_CORE, MW_CARD, MW_GIB, USE_CORE, USE_CARD = range(12)
MACHINE_CORES, MACHINE_MEM, MACHINE_CARDS = 12, 13, 14
POOL_COLUMNS = 15
"""Columns of a pool: MiB of memory, speed in 1/1000, mW, price of use in pico-yuan a second; of one machine
what a job's node may take (0: not known, no bound)."""

J_CORES, J_MEM, J_CARDS, J_CARD_KIND, J_KIND, J_SECONDS = range(6)
J_SINCE, J_EARLIEST, J_DEADLINE, J_DELAY, J_BUDGET = range(6, 11)
J_SPREAD, J_NODES, J_LATEST, J_RUN = range(11, 15)
JOB_COLUMNS = 15
"""Columns of a job. Cores, MiB and cards of all its ``J_NODES`` machines together; seconds on a core of speed 1,
and how many more (``J_SPREAD``) capacity is kept; seconds UTC; delay, and a second of running (``J_RUN``), in
pico-yuan a second; budget in micro-yuan. 0 is none for deadline, budget and latest start."""

PICO = 1_000_000
"""Pico-yuan a micro-yuan."""

Ints = NDArray[np.int64]


class Weights(NamedTuple):
    """What a yuan of these terms counts for in the choice, in 1/1000."""

    transport: int
    use: int


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
    spread: int
    nodes: int
    latest: int
    run: int


class Plan(NamedTuple):
    """A job at one pool: how long it runs and keeps capacity, from when to when it may start, seconds; and in
    pico-yuan what is the same whenever it starts (``fixed``), and what of it is billed (``paid``)."""

    dur: int
    hold: int
    begin: int
    since: int
    latest: int
    delay: int
    fixed: int
    paid: int
    budget: int


PLACE_A_TURN = 500
"""Jobs that a live node places in one turn at most, so that clients who submit meanwhile are not kept waiting; then it
looks who makes room for them. Replays take the same turns."""

LOOKS_A_TURN = 200
"""Placed jobs that a live node looks at again in one turn, for a better place or for room; replays too."""


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def job_of(job: Ints, j: int) -> Job:
    """Row ``j`` of the job table."""
    return Job(
        job[j, J_CORES],
        job[j, J_MEM],
        job[j, J_CARDS],
        job[j, J_CARD_KIND],
        job[j, J_KIND],
        job[j, J_SECONDS],
        job[j, J_SINCE],
        job[j, J_EARLIEST],
        job[j, J_DEADLINE],
        job[j, J_DELAY],
        job[j, J_BUDGET],
        job[j, J_SPREAD],
        job[j, J_NODES],
        job[j, J_LATEST],
        job[j, J_RUN],
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def need_of(pool: Ints, p: int, ask: Job) -> Need:
    """What the job takes from the pool, at full use."""
    cores, mem, cards = ask.cores, ask.mem, ask.cards
    power = cores * pool[p, MW_CORE] + cards * pool[p, MW_CARD] + (mem * pool[p, MW_GIB]) // 1024
    return Need(cores, mem, cards, power)


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def need_code(pool: Ints, p: int, ask: Job) -> int:
    """0 where the pool could hold the job when empty, else the constraint that fails first."""
    if ask.kind >= 0 and ask.kind != pool[p, KIND]:
        return CODE_POOL_KIND
    if ask.cards > 0 and ask.card_kind >= 0 and ask.card_kind != pool[p, CARD_KIND]:
        return CODE_ACCELERATOR
    if ask.cores > pool[p, CORES] or ask.mem > pool[p, MEM] or ask.cards > pool[p, CARDS]:
        return CODE_TOO_LARGE
    if pool[p, MACHINE_CORES] > 0 and (
        ask.cores > ask.nodes * pool[p, MACHINE_CORES]
        or ask.mem > ask.nodes * pool[p, MACHINE_MEM]
        or ask.cards > ask.nodes * pool[p, MACHINE_CARDS]
    ):
        return CODE_MACHINE
    return OK


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def use_of(pool: Ints, p: int, ask: Job, dur: int) -> int:
    """The site's charge for its machines, pico-yuan."""
    return dur * (ask.cores * pool[p, USE_CORE] + ask.cards * pool[p, USE_CARD])


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def weighed(pico: int, weight: int) -> int:
    """An amount times a weight of 1/1000."""
    return pico if weight == 1000 else pico // 1000 * weight


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def plan_of(
    pool: Ints,
    p: int,
    ask: Job,
    horizon_end_s: int,
    now_s: int,
    ready: int,
    transport: int,
    latency: int,
    weights: Weights,
) -> Plan:
    """The job at pool ``p``: ``transport`` micro-yuan, ``latency`` pico-yuan a second of running."""
    dur = (ask.seconds * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]
    hold = dur
    if ask.spread > 0:
        hold = ((ask.seconds + ask.spread) * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]
    begin = max(now_s, ask.earliest, ready)
    latest = horizon_end_s - hold
    if ask.deadline > 0:
        latest = min(latest, ask.deadline - hold)
    if ask.latest > 0:
        latest = min(latest, ask.latest)
    use = use_of(pool, p, ask, dur)
    fixed = weighed(use, weights.use) + weighed(transport * PICO, weights.transport) + (latency + ask.run) * dur
    return Plan(
        dur, hold, begin, min(ask.since, begin), latest, ask.delay, fixed, use + transport * PICO, ask.budget * PICO
    )


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def slots_of(first_s: int, start: int, until: int) -> tuple[int, int]:
    """First and last slot (inclusive) of a window."""
    return (start - first_s) // SLOT, (until - 1 - first_s) // SLOT
