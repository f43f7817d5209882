"""What a site's machines do: as declared, as measured, and whether the two agree.

Declared figures stand in the region document (``declares`` of a pool), or are given by the site's operator where the
document has none. Measured ones come from a short benchmark of the machine on which a node's jobs run. Nothing here
takes part in placing yet: a pool's ``speed`` alone does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from sanjin.model.region import Figure, Quantity, Region

TOLERANCE = 0.05
"""How far below its declaration a measured value may be, as a share of it, before it is flagged. Source: the issue that
asked for the benchmark ("more than 5 % below the declaration is flagged")."""

TEXT_MAX = 500
"""Characters of any text that a node tells of its machine."""

NOT_MEASURED = ("accelerators", "network")
"""What the benchmark says nothing about."""


class Remark(StrEnum):
    """Why a figure is missing, or is to be read with care."""

    SMALL_ARRAYS = "small_arrays"
    """Memory did not suffice for arrays of four times the caches: part of the triad ran in the caches."""
    CACHED_FILE = "cached_file"
    """The file stayed in memory, so that reading it says nothing of a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The median of ``runs`` repetitions, and the least and greatest of them, in the quantity's unit."""

    quantity: Quantity
    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """Greatest less least, as a share of the median."""
        return (self.high - self.low) / self.median


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of the benchmark. ``at_s`` is wall time, seconds UTC.

    ``machine`` says which (processor, cores, memory), ``blas`` which library multiplied the matrices, with ``threads``
    threads on ``cores`` cores. ``sandbox`` is how the run was confined. ``others_share`` of the machine's processor
    time went to other work meanwhile, which the figures then lack.
    """

    at_s: int
    machine: str
    cores: int
    threads: int
    blas: str
    sandbox: str
    others_share: float
    samples: tuple[Sample, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is declared of the machines of one pool in one quantity."""

    pool: str
    quantity: Quantity
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePerformance:
    """What a node tells of its site. ``declared`` is what its operator adds to the region document; of two words about
    one site that with the later ``said_at_ms`` (wall time, milliseconds UTC) counts."""

    site: str
    said_at_ms: int
    declared: tuple[Declaration, ...] = ()
    measured: Measurement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One line of the comparison. ``pool`` is empty where none declares the quantity, ``declared`` or ``measured`` 0
    where there is no such figure; then ``ratio`` (measured to declared) is 0 too. ``below``: more than
    :data:`TOLERANCE` below what is declared."""

    pool: str
    quantity: Quantity
    unit: str
    declared: float = 0.0
    source: str = ""
    status: str = ""
    measured: float = 0.0
    low: float = 0.0
    high: float = 0.0
    runs: int = 0
    ratio: float = 0.0
    below: bool = False


def sampled(quantity: Quantity, values: Sequence[float]) -> Sample:
    """The sample of some repetitions, at least one, all above 0."""
    return Sample(quantity=quantity, median=median(values), low=min(values), high=max(values), runs=len(values))


def falls_short(measured: float, declared: float) -> bool:
    """Whether a measured value is more than :data:`TOLERANCE` below its declaration."""
    return measured < declared * (1.0 - TOLERANCE)


def declarations(region: Region, site: str, added: Iterable[Declaration] = ()) -> tuple[Declaration, ...]:
    """All that is declared of a site's pools: by the region document, and where that is silent by ``added``."""
    pools = region.nodes[site].site.pools
    found = {
        (p.id, q): Declaration(pool=p.id, quantity=q, figure=p.declares[q])
        for p in pools
        for q in Quantity
        if q in p.declares
    }
    known = {p.id for p in pools}
    for each in added:
        if each.pool in known:
            found.setdefault((each.pool, each.quantity), each)
    return tuple(found.values())


def compare(declared: Sequence[Declaration], measured: Measurement | None) -> tuple[Compared, ...]:
    """Declared beside measured, by quantity and pool."""
    samples = {s.quantity: s for s in measured.samples} if measured else {}
    found: list[Compared] = []
    for quantity in Quantity:
        promised = [d for d in declared if d.quantity is quantity]
        sample = samples.get(quantity)
        found += [_line(quantity, sample, each) for each in promised]
        if sample and not promised:
            found.append(_line(quantity, sample, None))
    return tuple(found)


def _line(quantity: Quantity, sample: Sample | None, declared: Declaration | None) -> Compared:
    promise = declared.figure.value if declared else 0.0
    both = sample is not None and declared is not None
    return Compared(
        pool=declared.pool if declared else "",
        quantity=quantity,
        unit=quantity.unit,
        declared=promise,
        source=declared.figure.source if declared else "",
        status=declared.figure.status if declared else "",
        measured=sample.median if sample else 0.0,
        low=sample.low if sample else 0.0,
        high=sample.high if sample else 0.0,
        runs=sample.runs if sample else 0,
        ratio=sample.median / promise if sample and both else 0.0,
        below=sample is not None and both and falls_short(sample.median, promise),
    )


def sound(told: SitePerformance, pools: Mapping[str, frozenset[str]]) -> bool:
    """Whether what a node tells can be shown: a known site with its own pools (``pools`` by site), figures above 0,
    texts of a bounded length, nothing twice. Whether it is true is another question."""
    known = pools.get(told.site)
    if known is None or not {d.pool for d in told.declared} <= known:
        return False
    if len({(d.pool, d.quantity) for d in told.declared}) < len(told.declared):
        return False
    figures = [d.figure.value for d in told.declared]
    texts = [t for d in told.declared for t in (d.figure.unit, d.figure.date, d.figure.source)]
    if any(d.figure.unit != d.quantity.unit for d in told.declared):
        return False
    if m := told.measured:
        if len({s.quantity for s in m.samples}) < len(m.samples) or len(m.remarks) > len(Remark):
            return False
        figures += [f for s in m.samples for f in (s.median, s.low, s.high)]
        texts += [m.machine, m.blas, m.sandbox]
        if not 0.0 <= m.others_share <= 1.0 or m.cores < 1 or any(s.runs < 1 for s in m.samples):
            return False
    return all(math.isfinite(f) and f > 0 for f in figures) and all(len(t) <= TEXT_MAX for t in texts)
