"""A region of sites alike but for the hours in which power is cheap, for work that moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sanjin.regions.load import bundled


def two_prices(cheap: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """The document of Shanxi with every site like Datong; power is cheap at the named ones from the one hour to the
    other, and dear elsewhere and else. There is no generation."""
    region = yaml.safe_load(bundled("shanxi").read_text(encoding="utf-8"))
    base, alike = next(iter(region["tariffs"].values())), region["nodes"]["datong"]
    for name, node in region["nodes"].items():
        begin, end = cheap.get(name, (24, 24))
        dear = [[a, b] for a, b in ([0, begin], [end, 24]) if a < b]
        periods = {"sharp": dear} | ({"deep_valley": [[begin, end]]} if end > begin else {})
        season = {"name": "year", "months": list(range(1, 13)), "periods": periods}
        region["tariffs"][f"of-{name}"] = {**base, "seasons": [season]}
        node |= {key: alike[key] for key in ("pools", "climate")} | {"tariff": f"of-{name}"}
        node["power"] = {key: value for key, value in alike["power"].items() if key != "generation"}
    return region
