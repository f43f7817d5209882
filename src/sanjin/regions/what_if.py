"""The region of a what-if: its document with the changes laid over it, so that every check is made on the whole."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem
from sanjin.model.region import Figure, Generation, Node, Region
from sanjin.model.what_if import WhatIf
from sanjin.regions.load import root_of
from sanjin.regions.overlay import node_of, overlaid

NAME = "what-if"
PRICE_MAX = 100_000.0
FACTOR_MAX = 1000.0
HOURS_MAX = 168.0
"""A week, for which the region plans ahead."""
DOWN_MAX = 100


def check(change: WhatIf, sites: Collection[str]) -> list[Problem]:
    """Everything that is wrong with a what-if about these sites."""
    found = list(_out_of_range("solar", change.solar, FACTOR_MAX))
    found += _out_of_range("tariff", change.tariff, FACTOR_MAX)
    if change.carbon_price is not None:
        found += _out_of_range("carbon_price", change.carbon_price, PRICE_MAX)
    if len(change.down) > DOWN_MAX:
        return [*found, problem("what_if_downs", "down", value=len(change.down), most=DOWN_MAX)]
    for i, down in enumerate(change.down):
        at = f"down[{i}]"
        if down.site not in sites:
            found.append(problem("no_node", f"{at}.site", value=down.site, known=", ".join(sites)))
        hours = [
            *_out_of_range(f"{at}.from_h", down.from_h, HOURS_MAX),
            *_out_of_range(f"{at}.until_h", down.until_h, HOURS_MAX),
        ]
        if not hours and down.from_h >= down.until_h:
            hours = [problem("what_if_hours", f"{at}.until_h", begin=f"{down.from_h:g}", until=f"{down.until_h:g}")]
        found += hours
    return found


def _out_of_range(path: str, value: float, most: float) -> Iterator[Problem]:
    if math.isnan(value) or value < 0:
        yield problem("too_small", path, value=f"{value:g}", least=0)
    elif value > most:
        yield problem("too_big", path, value=f"{value:g}", most=f"{most:g}")


def changed(document: str, file: str, region: Region, change: WhatIf) -> Region:
    """The region of ``document``, which is ``region`` as it is, in the changed world. Raises ProblemsFound.

    ``solar`` multiplies the peak of what sites generate themselves, sun and wind alike; where a site generates
    nothing, it changes nothing.
    """
    over: dict[str, Any] = {}
    if change.carbon_price is not None:
        over["carbon_price"] = change.carbon_price
    if change.tariff != 1.0:
        over["tariffs"] = {t.id: {"flat": t.flat.value * change.tariff} for t in region.tariffs.values()}
    if change.solar != 1.0:
        sunny = [n for n in region.nodes.values() if n.site.power.generation]
        over["nodes"] = {n.id: {"power": {"generation": _generation(n, change.solar)}} for n in sunny}
    return overlaid(root_of(document, file), node_of(over) if over else None, NAME)


def _generation(node: Node, factor: float) -> list[dict[str, Any]] | None:
    """A site's generation as its document would have it; None (there is none) for a factor of 0."""
    return [_source(each, factor) for each in node.site.power.generation] if factor else None


def _source(each: Generation, factor: float) -> dict[str, Any]:
    changed = Figure(
        value=each.peak.value * factor, unit=each.peak.unit, date=each.peak.date, source=NAME, status=each.peak.status
    )
    peak = {**asdict(changed), "status": "estimated"}
    return {"kind": each.kind, "peak": peak, "price": {**asdict(each.price), "status": each.price.status.value}}
