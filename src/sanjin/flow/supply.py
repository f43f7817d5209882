"""Supply: the prices and the free capacity of every pool over the horizon, as one node knows them.

Prices follow from the region document. Free capacity is this node's own for its own site, and
comes in offers for the others (:mod:`sanjin.tree.offer`). All arrays cover slots
``first_slot .. first_slot + slots - 1`` and roll forward with time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels import board as layout
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.model.energy import site_tables
from sanjin.model.job import JobSpec
from sanjin.model.money import pico_per_watt_second
from sanjin.model.placement import Placement
from sanjin.model.policy import Policy
from sanjin.model.region import Pool, PoolKind, Region
from sanjin.model.scarcity import Scarcity, hour_of_week
from sanjin.model.series import Series
from sanjin.model.units import DAY_S, HORIZON_SLOTS, HOUR_S, MIB, SLOT_S

KINDS = tuple(PoolKind)
SLOTS_A_DAY = DAY_S // SLOT_S
HURRY_FEN_PER_HOUR = 100
"""What an hour until the finish counts for where the rule is to hurry, for every job alike."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a day's block of slots, int64[S, slots]: pico-yuan per watt-second of IT load.

    ``facility_micro`` is micro-yuan per facility kWh, ``carbon_mg`` mg CO2e per facility kWh, ``pue`` float64.
    """

    first_slot: int
    energy: NDArray[np.int64]
    carbon: NDArray[np.int64]
    facility_micro: NDArray[np.int64]
    carbon_mg: NDArray[np.int64]
    pue: NDArray[np.float64]


def blocks_of(slots: int) -> int:
    """Blocks that the kernel divides a horizon into."""
    return -(-slots // layout.BLOCK)


class Board:
    """The arrays that the kernel works on, with views of their parts; see :class:`layout.Rows`.

    ``cores``, ``mem``, ``cards`` int64[P, T] and ``mw`` int64[S, T] are free capacity; change them in place.
    """

    def __init__(self, pools: int, sites: int, slots: int) -> None:
        self.rows, count = layout.rows_of(pools, sites)
        self.cells = np.zeros((count, slots + 1), np.int64)
        self.low = np.zeros((count, blocks_of(slots)), np.int64)
        self.high = np.zeros((count, blocks_of(slots)), np.int64)
        at = self.rows
        self.cores = self.cells[at.cores : at.mem, :slots]
        self.mem = self.cells[at.mem : at.cards, :slots]
        self.cards = self.cells[at.cards : at.mw, :slots]
        self.mw = self.cells[at.mw : at.energy, :slots]
        self._sites, self._pools, self._slots = sites, pools, slots

    def price(
        self,
        energy: Prices64,
        carbon: Prices64,
        power: Prices64,
        core: Prices64,
        card: Prices64,
        paid: Prices64 | None = None,
    ) -> None:
        """Set all prices, per second and slot: pico-yuan per watt a site (``power``: of scarce power), and of
        scarce capacity per core and card a pool. ``paid`` is what is billed per watt where that is not
        ``energy`` and ``carbon``."""
        at = self.rows
        both = energy + carbon
        parts = (energy, carbon, both if paid is None else paid, both, power, core, card)
        begins = (at.energy, at.carbon, at.paid, at.watt, at.power, at.core, at.card)
        for begin, price in zip(begins, parts, strict=True):
            part = slice(begin, begin + price.shape[0])
            np.cumsum(price * SLOT_S, axis=1, out=self.cells[part, 1:])
            layout.bounds(price, self.low[part], self.high[part])

    def settle(self, rows: Iterable[int] | None = None) -> None:
        """Bring the bounds of the blocks in line with the free capacity; call after changing that. ``rows`` names
        the rows that changed (None: any may have)."""
        spans = [slice(0, self.rows.energy)] if rows is None else [slice(n, n + 1) for n in rows]
        for part in spans:
            layout.bounds(self.cells[part, : self._slots], self.low[part], self.high[part])


Prices64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Until:
    """Before ``slot`` another book was in force."""

    slot: int
    book: PriceBook


class PriceBook:
    """Prices of a region by day, each block computed once; a horizon of ``slots`` fits into every block.

    Figures of ``series`` stand in place of the region's models, where it has some. ``before`` is what was in force
    earlier, of the same sites and as many slots.
    """

    def __init__(
        self, region: Region, slots: int = HORIZON_SLOTS, series: Series | None = None, before: Until | None = None
    ) -> None:
        self.region = region
        self.slots = slots
        self.series = series
        self.before = before
        self.block = lru_cache(maxsize=4)(self._block)
        self._metered = lru_cache(maxsize=4 * len(region.nodes))(self._of_site)

    def __reduce__(self) -> tuple[type[PriceBook], tuple[Region, int, Series | None, Until | None]]:
        return PriceBook, (self.region, self.slots, self.series, self.before)  # another process computes its own blocks

    def _block(self, day: int) -> Prices:
        first = day * SLOTS_A_DAY
        region, slots = self.region, self.slots + SLOTS_A_DAY
        tables = [site_tables(region, node, first, slots, self.series) for node in region.nodes.values()]
        pue = np.array([t.pue for t in tables])
        yuan = np.array([t.energy_yuan_kwh for t in tables])
        kg = np.array([t.carbon_kg_kwh for t in tables])
        unit = pico_per_watt_second(1.0)
        energy = np.rint(yuan * pue * unit).astype(np.int64)
        carbon = np.rint(kg * pue * (region.carbon_price.value / 1000) * unit).astype(np.int64)
        found = Prices(
            first_slot=first,
            energy=energy,
            carbon=carbon,
            facility_micro=np.rint(yuan * 1e6).astype(np.int64),
            carbon_mg=np.rint(kg * 1e6).astype(np.int64),
            pue=pue,
        )
        if self.before is not None and first < self.before.slot:
            earlier, part = self.before.book.block(day), slice(self.before.slot - first)
            for name in ("energy", "carbon", "facility_micro", "carbon_mg", "pue"):
                getattr(found, name)[:, part] = getattr(earlier, name)[:, part]
        return found

    def at(self, slot: int) -> Prices:
        """The block that holds ``slot`` with a whole horizon after it."""
        return self.block(slot // SLOTS_A_DAY)

    def metered_at(self, slot: int, site: str) -> tuple[int, list[float], list[int], list[int]]:
        """Of the block that holds ``slot``, for a meter: its first slot, and the site's PUE, micro-yuan and mg CO2e
        per facility kWh, a slot each."""
        return self._metered(slot // SLOTS_A_DAY, site)

    def _of_site(self, day: int, site: str) -> tuple[int, list[float], list[int], list[int]]:
        block, i = self.block(day), tuple(self.region.nodes).index(site)
        return block.first_slot, block.pue[i].tolist(), block.facility_micro[i].tolist(), block.carbon_mg[i].tolist()


def _pool_row(site: int, pool: Pool, accelerators: list[str]) -> list[int]:
    per_hour = 1e12 / HOUR_S
    return [
        site,
        KINDS.index(pool.kind),
        accelerators.index(pool.accelerator_kind) if pool.accelerator_kind in accelerators else -2,
        pool.cores,
        pool.memory_bytes // MIB,
        pool.accelerators,
        round(pool.speed.value * 1000),
        round((pool.watts_core.value + pool.watts_idle_core.value) * 1000),
        round(pool.watts_accelerator.value * 1000),
        round(pool.watts_gib.value * 1000),
        round(pool.price_core.value * per_hour),
        round(pool.price_accelerator.value * per_hour),
        pool.machine_cores,
        pool.machine_memory_bytes // MIB,
        pool.machine_accelerators,
    ]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The dearest of everything, for what a job can cost at most (milliwatts, pico-yuan)."""

    price_pico: int
    mw_core: int
    mw_card: int
    mw_gib: int
    use_core_pico: int
    use_card_pico: int


class Supply:
    """Prices and free capacity over the horizon; the arrays that placement works on.

    ``sites`` and ``pools`` list ids in the region's order (a pool as ``site/pool``; ``pools_at`` has the
    numbers of each site's); ``own`` marks the node's own subtree.
    ``heard`` marks sites whose capacity is known: the node's own, and those
    of which an offer came. ``version`` counts changes of free capacity, ``own_version`` those in the
    own subtree, ``freed`` those that can give a waiting job a place; ``site_version`` int64[S] has the version of
    each site's last change. ``others`` is what others have of a site's cluster,
    int64[3, its pools, T]: cores, MiB and cards, not in the free capacity.
    """

    def __init__(
        self,
        region: Region,
        node: str,
        book: PriceBook,
        slots: int = HORIZON_SLOTS,
        scarcity: Scarcity | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.region = region
        self.scarcity = scarcity
        self.policy = policy or Policy()
        self.weights = self.policy.in_force()
        self.book = book
        self.slots = slots
        self.sites = tuple(region.nodes)
        self.site_index = {name: i for i, name in enumerate(self.sites)}
        listed = [(s, p) for s in self.sites for p in region.nodes[s].site.pools]
        self.pools = tuple(f"{s}/{p.id}" for s, p in listed)
        self.pool_index = {name: i for i, name in enumerate(self.pools)}
        self.pool_models = tuple(p for _, p in listed)
        self.accelerators = sorted({p.accelerator_kind for _, p in listed if p.accelerator_kind})
        self.pool = np.array([_pool_row(self.site_index[s], p, self.accelerators) for s, p in listed], np.int64)
        self.pools_at = [np.flatnonzero(self.pool[:, tables.SITE] == s).tolist() for s in range(len(self.sites))]
        self.it_cap_mw = np.array([round(region.nodes[s].site.power.it_cap.value * 1e6) for s in self.sites], np.int64)
        subtree = set(region.subtree(node))
        self.own = np.array([s in subtree for s in self.sites], np.int64)
        self.heard = np.array([s == node for s in self.sites], bool)
        self.first_slot = 0
        self.site_version = np.zeros(len(self.sites), np.int64)
        self.version = 0
        self.own_version = 0
        self.freed = 0
        self.board = Board(len(self.pools), len(self.sites), self.slots)
        self.free_cores, self.free_mem = self.board.cores, self.board.mem
        self.free_acc, self.free_mw = self.board.cards, self.board.mw
        self._unsettled: set[int] | None = None
        self.others: dict[int, NDArray[np.int64]] = {}
        self._clear()

    def _clear(self) -> None:
        self._fill(slice(None))

    def _fill(self, slots: slice) -> None:
        """Full capacity in these slots."""
        self.free_cores[:, slots] = self.pool[:, 3:4]
        self.free_mem[:, slots] = self.pool[:, 4:5]
        self.free_acc[:, slots] = self.pool[:, 5:6]
        self.free_mw[:, slots] = self.it_cap_mw[:, None]
        self._unsettled = None

    def settle(self) -> None:
        """Bring the board's bounds in line with what was reserved and freed."""
        if self._unsettled is None or self._unsettled:
            self.board.settle(self._unsettled)
        self._unsettled = set()

    def overwritten(self) -> None:
        """Free capacity was written anew, anywhere."""
        self._unsettled = None

    def roll(self, now_s: int) -> bool:
        """Let the horizon begin with the slot of ``now_s``; whether it moved. Never goes back."""
        first = now_s // SLOT_S
        by = first - self.first_slot
        if by <= 0:
            return False
        if by >= self.slots:
            self._clear()
        else:
            for free in (self.free_cores, self.free_mem, self.free_acc, self.free_mw):
                free[:, :-by] = free[:, by:].copy()
            self._fill(slice(self.slots - by, self.slots))
        for had in self.others.values():
            had[:, :, :-by], had[:, :, -by:] = had[:, :, by:].copy(), 0
        self.first_slot = first
        self._reprice()
        self.changed(own=True, freed=True, sites=range(len(self.sites)))
        return True

    def changed(self, *, own: bool, freed: bool, sites: Iterable[int] = ()) -> None:
        """Count a change of free capacity, at these sites."""
        self.version += 1
        for site in sites:
            self.site_version[site] = self.version
        self.own_version += own
        self.freed += freed

    def use_prices(self, scarcity: Scarcity) -> None:
        """Take these prices of scarce capacity into use."""
        self.scarcity = scarcity
        self._reprice()
        self.changed(own=False, freed=True)

    def _reprice(self) -> None:
        energy, carbon = self.plain_prices()
        weighed = (weigh(energy, self.weights.energy), weigh(carbon, self.weights.carbon))
        power, core, card = (weigh(prices, self.weights.scarcity) for prices in self._scarce())
        self.board.price(*weighed, power, core, card, paid=energy + carbon)
        most = [int(v) for v in self.pool[:, 7:12].max(axis=0)]
        self.ceiling = Ceiling(int((energy + carbon).max()), *most)

    def plain_prices(self) -> tuple[Prices64, Prices64]:
        """Energy and carbon of the horizon's slots, int64[S, T], pico-yuan per watt-second of IT load."""
        block = self.book.at(self.first_slot)
        part = slice(self.first_slot - block.first_slot, self.first_slot - block.first_slot + self.slots)
        return block.energy[:, part], block.carbon[:, part]

    def _scarce(self) -> tuple[Prices64, Prices64, Prices64]:
        """Prices of scarce power int64[S, T], cores and cards int64[P, T], pico-yuan per second."""
        power = np.zeros((len(self.sites), self.slots), np.int64)
        core, card = np.zeros((2, len(self.pools), self.slots), np.int64)
        if self.scarcity is None:
            return power, core, card
        hours = [hour_of_week(self.first_slot + k, self.region.utc_offset_h) for k in range(self.slots)]
        per_second = 1e12 / HOUR_S
        for prices, index, rows, unit in (
            (self.scarcity.power, self.site_index, power, pico_per_watt_second(1.0)),
            (self.scarcity.core, self.pool_index, core, per_second),
            (self.scarcity.card, self.pool_index, card, per_second),
        ):
            for name, week in prices.items():
                if name in index:
                    rows[index[name]] = np.rint(np.array(week)[hours] * unit)
        return power, core, card

    def pool_of(self, placement: Placement) -> int:
        """The pool's number."""
        return self.pool_index[f"{placement.site}/{placement.pool}"]

    def need(self, spec: JobSpec, pool: int) -> tuple[int, int, int, int]:
        """What a job takes from a pool: cores, MiB, cards, mW."""
        n = spec.width()
        mib = -(-spec.memory_bytes // MIB) * n
        row = self.pool[pool]
        power = spec.cores * n * int(row[7]) + spec.accelerators * n * int(row[8]) + mib * int(row[9]) // 1024
        return spec.cores * n, mib, spec.accelerators * n, power

    def take(self, pool: int, start_s: int, finish_s: int, need: tuple[int, int, int, int], sign: int) -> None:
        """Reserve (``sign`` 1) or release (-1) ``need`` over the part of a window still ahead."""
        if self.shift(pool, start_s, finish_s, need, sign):
            site = int(self.pool[pool, tables.SITE])
            self.changed(own=bool(self.own[site]), freed=sign < 0, sites=(site,))

    def give_others(self, site: int, taken: NDArray[np.int64]) -> None:
        """Let others have this of a site's pools, as in ``others``, in place of what they had."""
        more = taken - self.others.get(site, np.zeros_like(taken))
        self.others[site] = taken
        if more.any():
            for free, part in zip((self.free_cores, self.free_mem, self.free_acc), more, strict=True):
                free[self.pools_at[site]] -= part
            self._unsettled = None
            self.changed(own=bool(self.own[site]), freed=bool((more < 0).any()), sites=(site,))

    def has_beside_others(self, pool: int, start_s: int, finish_s: int, need: tuple[int, int, int, int]) -> bool:
        """Whether a pool has ``need`` free in a window, or lacks it though others have nothing there."""
        site = int(self.pool[pool, tables.SITE])
        if site not in self.others:
            return True
        window = slice(max(start_s // SLOT_S - self.first_slot, 0), (finish_s - 1) // SLOT_S - self.first_slot + 1)
        free = np.array([part[pool, window] for part in (self.free_cores, self.free_mem, self.free_acc)])
        had = self.others[site][:, self.pools_at[site].index(pool)]
        return not ((free < np.array(need[:3])[:, None]) & (had[:, window] > 0)).any()

    @contextmanager
    def trial(self) -> Generator[None]:
        """What is reserved or freed inside is taken back in the end, whatever it was."""
        free = (self.free_cores, self.free_mem, self.free_acc, self.free_mw)
        kept = [part.copy() for part in free]
        try:
            yield
        finally:
            for part, before in zip(free, kept, strict=True):
                part[:] = before
            self._unsettled = None

    def shift(self, pool: int, start_s: int, finish_s: int, need: tuple[int, int, int, int], sign: int) -> bool:
        """As :meth:`take`, for a trial that is taken back: nobody is told. Whether any slot was ahead."""
        k0 = max(start_s // SLOT_S - self.first_slot, 0)
        k1 = min((finish_s - 1) // SLOT_S - self.first_slot + 1, self.slots)
        if k0 >= k1:
            return False
        site, at = int(self.pool[pool, tables.SITE]), self.board.rows
        rows = (at.cores + pool, at.mem + pool, at.cards + pool, at.mw + site)
        for row, amount in zip(rows, need, strict=True):
            if amount:
                self.board.cells[row, k0:k1] -= sign * amount
        if self._unsettled is not None:
            self._unsettled.update(rows)
        return True


def weigh(prices: Prices64, weight: float) -> Prices64:
    """Prices times a weight, as integers."""
    return prices if weight == 1 else np.rint(prices * weight).astype(np.int64)


def job_rows(supply: Supply, specs: Sequence[tuple[JobSpec, int]]) -> NDArray[np.int64]:
    """The kernel's job table for (spec, submitted_s) pairs; see :func:`kernel.place_batch`."""
    rows: list[list[int]] = []
    accelerators, hurries, weight = supply.accelerators, supply.policy.rule.hurries, supply.weights.waiting
    per_hour = 10**10 // HOUR_S  # pico-yuan per second of one fen per hour
    for spec, submitted_s in specs:
        kind = spec.accelerator_kind
        delay = round((HURRY_FEN_PER_HOUR if hurries else spec.delay_price_fen_per_hour) * per_hour * weight)
        rows.append(
            [
                spec.cores * spec.nodes,
                -(-spec.memory_bytes // MIB) * spec.nodes,
                spec.accelerators * spec.nodes,
                (accelerators.index(kind) if kind in accelerators else -3) if kind else -1,
                KINDS.index(spec.pool_kind) if spec.pool_kind else -1,
                spec.duration_s,
                max(submitted_s, spec.earliest_start_s),
                spec.earliest_start_s,
                spec.deadline_s if spec.deadline_firm else 0,
                delay,
                spec.budget_fen * 10_000,
                spec.duration_spread_s,
                spec.nodes,
                max(spec.earliest_start_s, submitted_s) if spec.reserves else 0,
                delay if hurries else 0,
            ]
        )
    return np.array(rows, np.int64).reshape(len(rows), tables.JOB_COLUMNS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the kernel asks of J jobs at S sites, int64: the job table, and by site the code that bars it, when
    inputs can be there (seconds UTC), what moving them costs (micro-yuan), and the price of its latency
    (pico-yuan a second of running)."""

    jobs: NDArray[np.int64]
    barred: NDArray[np.int64]
    ready: NDArray[np.int64]
    transport: NDArray[np.int64]
    latency: NDArray[np.int64]

    def part(self, j: int) -> Asked:
        """Job ``j`` alone, copied."""
        return Asked(*(a[j : j + 1].copy() for a in self.arrays()))

    def arrays(self) -> tuple[Prices64, Prices64, Prices64, Prices64, Prices64]:
        """In the kernel's order."""
        return self.jobs, self.barred, self.ready, self.transport, self.latency


def run_kernel(supply: Supply, now_s: int, asked: Asked) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place a batch on ``supply`` (reserving as it goes): (rows int64[J, S, ROW], choice int64[J])."""
    count = asked.jobs.shape[0]
    out = np.zeros((count, len(supply.sites), tables.ROW), np.int64)
    choice = np.full(count, -1, np.int64)
    board = supply.board
    supply.settle()
    kernel.place_batch(
        board.cells, board.low, board.high, board.rows, supply.first_slot * SLOT_S, now_s, term_weights(supply),
        supply.pool, supply.own, *asked.arrays(), out, choice,
    )  # fmt: skip
    return out, choice


def compile_kernel(region: Region) -> None:
    """Compile what places jobs, where that has not been done: a fast clock would go on meanwhile."""
    supply = Supply(region, region.root().id, PriceBook(region))
    supply.roll(0)
    none = np.zeros((0, len(supply.sites)), np.int64)
    run_kernel(supply, 0, Asked(np.zeros((0, tables.JOB_COLUMNS), np.int64), none, none, none, none))


def term_weights(supply: Supply) -> tables.Weights:
    """The policy's weights that the kernel applies; those of energy, carbon and scarcity are in the board's prices."""
    return tables.Weights(round(supply.weights.transport * 1000), round(supply.weights.use * 1000))


def row_at(supply: Supply, asked: Asked, pool: int, start_s: int) -> NDArray[np.int64]:
    """What the first job of ``asked`` costs at one start in one pool, room or not: a row of the kernel."""
    row, board = np.zeros(tables.ROW, np.int64), supply.board
    site = int(supply.pool[pool, tables.SITE])
    kernel.price_at(
        board.cells, board.rows, supply.pool, pool, asked.jobs, supply.first_slot * SLOT_S, start_s,
        int(asked.ready[0, site]), int(asked.transport[0, site]), int(asked.latency[0, site]),
        term_weights(supply), row,
    )  # fmt: skip
    return row
