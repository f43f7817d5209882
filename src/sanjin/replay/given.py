"""What a series of hourly figures gives of a replay, and how its report says so."""

from __future__ import annotations

import numpy as np

from sanjin.model.catalogue import both
from sanjin.model.series import Quantity
from sanjin.model.units import SLOT_S
from sanjin.replay.workload import Workload


def given(work: Workload) -> dict[Quantity, float]:
    """Of each figure, the share of hours until the last arrival and sites for which the series has it.

    Of generation, the sites count that have some.
    """
    series, region = work.supply.book.series, work.region
    if series is None:
        return {}
    middle = work.begin_s + np.arange(work.trace.span_s() // SLOT_S + 1, dtype=np.int64) * SLOT_S + SLOT_S // 2
    found: dict[Quantity, float] = {}
    for quantity in Quantity:
        sites = [n for n, node in region.nodes.items() if quantity != Quantity.GENERATION or node.site.power.generation]
        said = [float((~np.isnan(series.at(quantity, site, middle))).mean()) for site in sites]
        if any(said):
            found[quantity] = sum(said) / len(said)
    return found


def assumed(work: Workload) -> list[tuple[str, str]]:
    """What a reader must know of the series, in English and Chinese; nothing where there is none."""
    series = work.supply.book.series
    if series is None:
        return []
    shares = ", ".join(f"{quantity} {share:.1%}" for quantity, share in given(work).items())
    found = [both("assumed.series", name=series.name, shares=shares)]
    if series.synthetic:
        found.append(both("assumed.series_synthetic"))
    if series.source:
        found.append(both("assumed.series_source", source=series.source))
    if series.year is not None:
        found.append(both("assumed.series_repeated"))
    return found
