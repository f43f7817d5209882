"""A trace mapped onto a region: where each job comes from, what waiting costs it, where its data lie.

Traces do not say these things, so they are drawn, by rules that a reader can check and with a stated seed:

- *Origin*: a node, drawn with weights that follow the capacity of its pools (so that queues at home are not
  made worse than they need be), or population; all jobs of one user come from one node.
- *Price of delay*: yuan a core-hour of waiting, log-uniform between two bounds; one draw a queue where the
  trace names queues, else one a job.
- *Due*: a job should be done within some times of what it asked for, log-uniform between two bounds; this is only
  counted, no rule looks at it.
- *Data*: a share of the jobs read a dataset of their own that lies at their origin, of log-normal size.
- *Stoppable*: work can stop and go on later where the trace says so; of what it says nothing about, a share that is
  drawn (none unless asked for). A stop costs what the trace says, else one and the same.
- *Time*: a trace longer than ``fold_days`` is laid over itself every so many days (0: never), so that it is as
  dense as a region's work.
- *Capacity*: where a load is given, every pool is scaled by one factor, so that the trace asks for that share
  of all core-seconds until its last arrival. Pools keep room for the widest job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import PriceBook, Supply, Until
from sanjin.kernels import tables
from sanjin.model.network import Network, network_of
from sanjin.model.region import Region
from sanjin.model.series import Series
from sanjin.model.units import GB, HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.replay.outages import Outage
from sanjin.replay.trace import Ints, Trace, folded


class Origin(StrEnum):
    """By what the nodes are weighted that jobs come from."""

    POPULATION = "population"
    CAPACITY = "capacity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a trace is mapped. ``load`` 0 leaves the region's capacity as it is; ``begin_s`` is when the trace
    begins, seconds UTC (0: when it says itself, else the start of 2026 in the region)."""

    seed: int = 1
    origin: Origin = Origin.CAPACITY
    load: float = 0.6
    fold_days: int = 7
    delay_low_yuan: float = 1e-5
    delay_high_yuan: float = 0.1
    data_share: float = 0.2
    data_median_gb: float = 0.15
    data_sigma: float = 1.5
    slack_least: float = 2.0
    slack_most: float = 20.0
    stoppable_share: float = 0.0
    stop_cost_s: int = 60
    begin_s: int = 0


YEAR_BEGIN_S = 1_767_225_600
"""2026-01-01 00:00 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How a replay stands ``at_s`` seconds from the trace's begin, before what happens then.

    ``arrived`` jobs had come. Of these, ``place``, ``start_s`` and ``end_s`` int64[J] as in an outcome, and ``given``
    bool[J], whether the run is over and the rest of its window given back. ``later`` may still move and ``parked``
    have no place, in order; ``load`` int64[L, T] are bytes booked on links.
    """

    at_s: int
    arrived: int
    place: Ints
    start_s: Ints
    end_s: Ints
    given: NDArray[np.bool_]
    later: Ints
    parked: Ints
    load: Ints
    moves: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Until ``checkpoint`` the work went as in ``before``."""

    checkpoint: Checkpoint
    before: Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs of a trace in a region: J jobs, S sites, P pools (scaled: ``pool`` as the kernel's table).

    ``origin`` int64[J] is a site; ``delay_pico`` int64[J] pico-yuan a second; ``due_s`` int64[J] seconds from the
    begin; ``data_bytes`` int64[J] lie at the origin. ``cap_mw`` int64[S] bounds the power of sites, mW. ``begin_s``
    is a slot's begin, seconds UTC. ``stoppable`` bool[J] can be stopped and go on later; each stop costs
    ``stop_cost_s`` int64[J] seconds of work at speed 1. ``scale`` is what pools were multiplied by.
    """

    region: Region
    network: Network
    trace: Trace
    rule: Rule
    supply: Supply
    pool: Ints
    cap_mw: Ints
    origin: Ints
    delay_pico: Ints
    data_bytes: Ints
    due_s: Ints
    stoppable: NDArray[np.bool_]
    stop_cost_s: Ints
    begin_s: int
    scale: float
    outages: tuple[Outage, ...] = ()
    fork: Fork | None = None

    def __len__(self) -> int:
        return len(self.trace)


def slots_of(trace: Trace, rule: Rule) -> int:
    """Slots from the trace's begin until two horizons after its last arrival."""
    return -(-folded(trace, rule.fold_days).span_s() // SLOT_S) + 2 * HORIZON_SLOTS


def workload(region: Region, trace: Trace, rule: Rule, slots: int, series: Series | None = None) -> Workload:
    """Map a trace onto a region; the supply's horizon has ``slots`` slots from the trace's begin.

    Energy is as ``series`` says, where it says something.
    """
    begin_s = (rule.begin_s or trace.begin_s or YEAR_BEGIN_S) // SLOT_S * SLOT_S
    supply = Supply(region, region.root().id, PriceBook(region, slots, series), slots)
    supply.roll(begin_s)
    rng = np.random.default_rng(rule.seed)
    trace = folded(trace, rule.fold_days)
    count = len(trace)
    pool, scale = _scaled(supply.pool, trace, rule.load)
    return Workload(
        region=region,
        network=network_of(region),
        trace=trace,
        rule=rule,
        supply=supply,
        pool=pool,
        cap_mw=_power(supply, pool, trace, scale),
        origin=_origins(region, supply, trace, rule, rng),
        delay_pico=_delays(trace, rule, rng),
        data_bytes=_data(count, rule, rng),
        due_s=_due(trace, rule),
        stoppable=_stoppable(trace, rule),
        stop_cost_s=np.where(trace.stop_cost_s >= 0, trace.stop_cost_s, rule.stop_cost_s),
        begin_s=begin_s,
        scale=scale,
    )


def in_other_world(
    work: Workload, region: Region, load: float | None, outages: tuple[Outage, ...], series: Series | None = None,
    held: Checkpoint | None = None,
) -> Workload:
    """The same jobs, from the same places and with the same worth, in a changed region.

    Pools and power are scaled by the factor of ``work``, so that changes of capacity show; ``load`` changes it,
    where it is given (0: as the region's document has it). Work from a site that is no more comes from its parent.
    Hourly figures are those of ``series``, or those of ``work`` where that is None. With a checkpoint, the region
    changes at its time only; sites and pools are then the same, see :func:`sanjin.replay.fork_check.faults_of`.
    """
    slots = work.supply.slots
    before = Until(work.begin_s // SLOT_S + held.at_s // SLOT_S, work.supply.book) if held else None
    book = PriceBook(region, slots, series or work.supply.book.series, before)
    supply = Supply(region, region.root().id, book, slots)
    supply.roll(work.begin_s)
    factor = work.scale
    if load is not None and work.rule.load:
        factor = work.scale * work.rule.load / load if load else 1.0
    elif load:
        factor = _factor(work.supply.pool, work.trace, load)
    pool = _at_scale(supply.pool, work.trace, factor)
    at = [supply.site_index[_still(name, work.region, region)] for name in work.supply.sites]
    return replace(
        work, region=region, network=network_of(region), supply=supply, pool=pool,
        cap_mw=_power(supply, pool, work.trace, factor), origin=np.array(at, np.int64)[work.origin],
        scale=factor, outages=outages, rule=work.rule if load is None else replace(work.rule, load=load),
        fork=Fork(checkpoint=held, before=work) if held else None,
    )  # fmt: skip


def _still(name: str, before: Region, after: Region) -> str:
    while name not in after.nodes:
        name = before.nodes[name].parent
    return name


def _origins(region: Region, supply: Supply, trace: Trace, rule: Rule, rng: np.random.Generator) -> Ints:
    if rule.origin is Origin.POPULATION:
        weight = np.array([n.population.value for n in region.nodes.values()])
    else:
        weight = np.bincount(supply.pool[:, tables.SITE], supply.pool[:, tables.CORES], len(supply.sites))
    weight = weight / weight.sum()
    by_job = rng.choice(len(weight), len(trace), p=weight)
    users, index = np.unique(trace.user, return_inverse=True)
    by_user = rng.choice(len(weight), len(users), p=weight)[index]
    return np.where(trace.user >= 0, by_user, by_job).astype(np.int64)


def _delays(trace: Trace, rule: Rule, rng: np.random.Generator) -> Ints:
    """What a second of waiting costs each job, pico-yuan."""
    low, high = np.log10(rule.delay_low_yuan), np.log10(rule.delay_high_yuan)
    by_job = rng.uniform(low, high, len(trace))
    queues, index = np.unique(trace.queue, return_inverse=True)
    by_queue = rng.uniform(low, high, len(queues))[index]
    exponent: NDArray[np.float64] = np.where(trace.queue >= 0, by_queue, by_job)
    return (10.0**exponent * trace.cores * 1e12 / HOUR_S).astype(np.int64)


def _due(trace: Trace, rule: Rule) -> Ints:
    """When each job should be done, seconds from the begin; no rule looks at it."""
    rng = np.random.default_rng([rule.seed, 1])
    slack = np.exp(rng.uniform(np.log(rule.slack_least), np.log(rule.slack_most), len(trace)))
    return trace.arrive_s + np.ceil(trace.asked_s * slack).astype(np.int64)


def _stoppable(trace: Trace, rule: Rule) -> NDArray[np.bool_]:
    """Which jobs can be stopped and go on later."""
    drawn = np.random.default_rng([rule.seed, 2]).random(len(trace)) < rule.stoppable_share
    return np.where(trace.stoppable >= 0, trace.stoppable > 0, drawn)


def _data(count: int, rule: Rule, rng: np.random.Generator) -> Ints:
    has = rng.random(count) < rule.data_share
    size = rng.lognormal(np.log(rule.data_median_gb), rule.data_sigma, count) * GB
    return np.where(has, size, 0).astype(np.int64)


def _power(supply: Supply, pool: Ints, trace: Trace, scale: float) -> Ints:
    """Power caps scaled like the pools, with room for the widest job."""
    widest = int(trace.cores.max()) * pool[:, tables.MW_CORE] + int(trace.cards.max()) * pool[:, tables.MW_CARD]
    least = np.zeros(len(supply.sites), np.int64)
    np.maximum.at(least, pool[:, tables.SITE], widest)
    return np.maximum(np.rint(supply.it_cap_mw * scale).astype(np.int64), least)


def _scaled(pool: Ints, trace: Trace, load: float) -> tuple[Ints, float]:
    """The pools at this load, and the factor."""
    factor = _factor(pool, trace, load) if load > 0 else 1.0
    return _at_scale(pool, trace, factor), factor


def _factor(pool: Ints, trace: Trace, load: float) -> float:
    """By what all pools are multiplied so that the trace asks for ``load`` of them."""
    speed = pool[:, tables.SPEED] / 1000
    return trace.core_seconds() / load / float((pool[:, tables.CORES] * speed).sum()) / trace.span_s()


def _at_scale(pool: Ints, trace: Trace, factor: float) -> Ints:
    """The pools times a factor (1: as they are). Memory is not in the traces: it never binds."""
    found = pool.copy()
    found[:, tables.MEM] = 2**50
    found[:, tables.MACHINE_CORES] = 0
    if factor == 1:
        return found
    for column, widest in ((tables.CORES, trace.cores.max()), (tables.CARDS, trace.cards.max())):
        has = pool[:, column] > 0
        found[has, column] = np.maximum(np.rint(pool[has, column] * factor), int(widest))
    return found
