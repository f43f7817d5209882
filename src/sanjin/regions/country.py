"""A generated country: the national network's hubs and clusters, below them provinces and their prefectures.

The upper tier (a root, eight hubs, ten clusters) is the bundled ``national.yaml`` as it is. Provinces are those of
``provinces.csv``; prefectures, their places, people and pools are drawn with a seed and stand for none that exists.
It is for measuring how cost grows with size, never for quoting a figure about a real place.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sanjin.regions.load import bundled, text_of

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Document = dict[str, Any]

_MS_PER_KM = 1.8 * 0.005
"""One way: straight line x 1.8 x 5 us/km, as in the documents that ship."""

_CORES_PER_PERSON = 0.004
"""Enrolled cores, so that the provinces have about as many as the ten clusters. An assumption."""

LEAST_PREFECTURES = 31
"""One a province."""

UPPER_POOLS = 29
"""Pools of the root, the hubs and the clusters in ``national.yaml``."""


def least_pools(prefectures: int) -> int:
    """Pools of the upper tier and of provinces' centres, and one a prefecture."""
    return UPPER_POOLS + LEAST_PREFECTURES * len(_CENTRE) + prefectures


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How large a country: ``prefectures`` in all provinces together (in proportion to what they have, one at least)
    and pools in all; the same seed gives the same country."""

    prefectures: int = 337
    pools: int = 3000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Province:
    """A row of ``provinces.csv``."""

    id: str
    name_en: str
    name_zh: str
    adcode: str
    hub: str
    lat: float
    lon: float
    population: int
    units: int
    factor: float
    factor_status: str
    tariff: str
    climate: str


def provinces() -> list[Province]:
    """The 31 provincial-level divisions."""
    lines = text_of(Path(__file__).parent / "provinces.csv").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    numbers: dict[str, Any] = {"lat": float, "lon": float, "factor": float, "population": int, "units": int}
    return [Province(**{key: numbers.get(key, str)(value) for key, value in row.items()}) for row in rows]


def country(recipe: Recipe) -> str:
    """The region document, in YAML.

    Raises ValueError where the recipe has fewer than :data:`LEAST_PREFECTURES`, or fewer than :func:`least_pools`.
    """
    if recipe.prefectures < LEAST_PREFECTURES or recipe.pools < least_pools(recipe.prefectures):
        raise ValueError(f"{recipe.prefectures} prefectures and {recipe.pools} pools are too few")
    base: Document = yaml.load(text_of(bundled("national")), Loader=_LOADER)  # noqa: S506 (a safe loader)
    of = provinces()
    counts = _shared(recipe.prefectures, [p.units for p in of])
    left = recipe.pools - UPPER_POOLS - LEAST_PREFECTURES * len(_CENTRE)
    rng = np.random.default_rng(recipe.seed)
    pools = iter(_shared(left, [1] * recipe.prefectures))
    for p, count in zip(of, counts, strict=True):
        _add_province(base, p)
        for i, share in enumerate(rng.dirichlet(np.full(count, 3.0))):
            _add_prefecture(base, p, i + 1, int(p.population * share), next(pools), rng)
    head = (
        f"# A generated country: {recipe.prefectures} prefectures, {recipe.pools} pools, seed {recipe.seed}.\n"
        "# Hubs and clusters are those of national.yaml; prefectures and machines are drawn and stand for none that\n"
        "# exists. For measuring how cost grows with size.\n\n"
    )
    base.pop("provenance")
    base |= {"id": "country", "name_en": "Generated country", "name_zh": "生成的全国网络"}
    return head + yaml.dump(base, Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=160)


def _shared(total: int, weights: list[int]) -> list[int]:
    """``total`` in whole parts near the weights, each one at least (where there are enough)."""
    spare = max(total - len(weights), 0)
    ends = np.floor(np.cumsum(weights) * spare / sum(weights) + 1e-9).astype(int)
    return [int(n) + 1 for n in np.diff(ends, prepend=0)]


def _drawn(value: float, unit: str) -> Document:
    return {"value": value, "unit": unit, "date": "2026-11", "source": "drawn", "status": "estimated"}


_SERVER: Document = {
    "speed": _drawn(1.0, "x reference"),
    "watts_core": _drawn(8.0, "W"),
    "watts_idle_core": _drawn(3.0, "W"),
    "watts_gib": _drawn(0.3, "W/GiB"),
}
_KINDS: dict[str, Document] = {
    "general": {**_SERVER, "kind": "general"},
    "hpc": {**_SERVER, "kind": "hpc", "speed": _drawn(1.25, "x reference"), "watts_core": _drawn(9.0, "W")},
    "ai": {
        **_SERVER, "kind": "ai", "accelerator_kind": "npu-910b", "watts_accelerator": _drawn(450.0, "W"),
        "price_accelerator": _drawn(3.5, "yuan/card-hour"),
    },
    "edge": {**_SERVER, "kind": "edge", "speed": _drawn(1.1, "x reference"), "watts_core": _drawn(9.0, "W")},
}  # fmt: skip
"""The machines of Shanxi's document."""

_CENTRE = ("general", "hpc", "ai")
_MIX = ("general", "edge", "general", "ai", "general", "general", "edge", "hpc")
"""Kinds of a prefecture's pools, in order, again from the start where it has more."""


def _pool(kind: str, cores: int, price: float) -> Document:
    found = {
        **_KINDS[kind],
        "capacity": _drawn(cores, "cores"),
        "memory": _drawn(4 * cores, "GiB"),
        "price_core": _drawn(round(price, 4), "yuan/core-hour"),
    }
    if kind == "ai":
        found["accelerators"] = _drawn(max(cores // 8, 1), "cards")
    return found


def _add_province(base: Document, p: Province) -> None:
    """A province's core hub, linked to its national hub."""
    grid = p.id.removesuffix("-city")
    if grid not in base["grids"]:
        factor = {"value": p.factor, "unit": "kgCO2/kWh", "date": "2022", "source": "S23", "status": p.factor_status}
        if p.factor_status != "sourced":
            factor["source"] = "no figure was found; an assumption"
        base["grids"][grid] = {"name_en": f"{p.name_en} grid", "name_zh": f"{p.name_zh}电网", "factor": factor}
    cores = max(int(p.population * _CORES_PER_PERSON / 8), 1000)
    pools = {kind: _pool(kind, cores // (1 if kind == "general" else 4), 0.042) for kind in _CENTRE}
    people = {
        "value": p.population, "unit": "persons", "date": "2020-11-01", "source": "census as remembered",
        "status": "believed",
    }  # fmt: skip
    _add_node(base, p.id, p.name_en, p.name_zh, "core_hub", p.hub, p.lat, p.lon, people, p, pools, 0.09, 0.2)
    base["nodes"][p.id]["adcode"] = p.adcode
    _add_link(base, p.hub, p.id, 400.0, 0.02)


def _add_prefecture(
    base: Document, p: Province, number: int, people: int, count: int, rng: np.random.Generator
) -> None:
    """A prefecture somewhere around its province's capital, with ``count`` pools."""
    name = f"{p.id}-{number:02d}"
    turn, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 2.5)
    share = rng.dirichlet(np.full(count, 2.0))
    pools: Document = {}
    for i in range(count):
        kind = _MIX[i % len(_MIX)]
        cores = max(int(people * _CORES_PER_PERSON * share[i]), 64)
        pools[f"{kind}-{i + 1}"] = _pool(kind, cores, float(rng.uniform(0.038, 0.056)))
    _add_node(
        base, name, f"{p.name_en}, prefecture {number}", f"{p.name_zh}·生成地市{number}", "edge_node", p.id,
        round(p.lat + far * math.sin(turn), 4), round(p.lon + far * math.cos(turn), 4),
        _drawn(people, "persons"), p, pools,
        round(float(rng.uniform(0.08, 0.2)), 3), round(float(rng.uniform(0.16, 0.34)), 3),
    )  # fmt: skip
    _add_link(base, p.id, name, 100.0, 0.02)


def _add_node(
    base: Document, name: str, name_en: str, name_zh: str, tier: str, parent: str, lat: float, lon: float,
    people: Document, p: Province, pools: Document, fixed: float, cooling: float,
) -> None:  # fmt: skip
    watts = sum(
        pool["capacity"]["value"] * pool["watts_core"]["value"] + pool.get("accelerators", {"value": 0})["value"] * 450
        for pool in pools.values()
    )
    base["nodes"][name] = {
        "name_en": name_en, "name_zh": name_zh, "tier": tier, "industry_role": "none", "parent": parent,
        "lat": lat, "lon": lon, "population": people, "grid": p.id.removesuffix("-city"), "tariff": p.tariff,
        "climate": p.climate,
        "power": {
            "it_cap": _drawn(math.ceil(watts * 1.1 / 1000), "kW"),
            "typical_load": _drawn(0.6, "share"),
            "pue": {
                "fixed": _drawn(fixed, "share"), "cooling_max": _drawn(cooling, "share"),
                "free_below": _drawn(12.0, "degC"), "mechanical_above": _drawn(26.0, "degC"),
            },
        },
        "pools": pools,
    }  # fmt: skip


def _add_link(base: Document, a: str, b: str, gbps: float, price: float) -> None:
    ends = [(base["nodes"][n]["lat"], base["nodes"][n]["lon"]) for n in (a, b)]
    latency = round(_km(*ends) * _MS_PER_KM, 2)
    base["links"].append(
        {"a": a, "b": b, "latency": _drawn(max(latency, 0.01), "ms"), "bandwidth": _drawn(gbps, "Gbit/s"),
         "price": _drawn(price, "yuan/GB")}
    )  # fmt: skip


def _km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Along the sphere (haversine)."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2
    h += math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(h))
