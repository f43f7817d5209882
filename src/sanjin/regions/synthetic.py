"""A synthetic year of a region: hourly figures made from its document, with weather by chance. Nothing is measured.

- *Temperature*: the document's monthly means, met exactly before chance, and its swing of the day; on it noise that
  persists from day to day and is alike at near sites.
- *On-site generation*: solar power as modelled, under a sky that changes from day to day; wind as modelled.
- *Price*: the tariff; on holidays that are named, the deep valley's price from 13 to 15 h.
- *Carbon*: the grid's yearly factor in every hour. Factors by the hour are not published, so none are made up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np

from sanjin.model.calendar import local_of
from sanjin.model.catalogue import say
from sanjin.model.energy import hourly_generation_kw, monthly_means, season_c, site_tables, swing_c
from sanjin.model.region import Node, Region
from sanjin.model.series import SYNTHETIC, Floats, Quantity, Series
from sanjin.model.units import HOUR_S, SLOT_S

HOLIDAY_HOURS = (13, 15)
"""Hours of a holiday at the deep valley's price: of the Shanxi tariff of 2026 (Spring Festival, Labour Day, National
Day), as its region document notes. The days are not in the document: they are named."""

DEEP_VALLEY = "deep_valley"

CLEAR_POWER = 3.0
"""The clearness of a day has the beta distribution (3, 1), from 0 (dark) to 1 (clear sky): so its mean is 0.75, the
mean clearness in :data:`sanjin.model.energy.PV_YIELD`. Assumed."""

_MEAN_CLEARNESS = CLEAR_POWER / (CLEAR_POWER + 1.0)
_EARTH_KM = 6371.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """By what chance the weather is made. Of an AR(1) process, ``*_persists`` is the correlation a day later, here the
    lag-1 correlations of WGEN (Richardson and Wright, USDA ARS-8, 1984): daily maximum and minimum temperature 0.621
    and 0.674, solar radiation 0.251, means of 31 places in the United States, taken for here. Correlation between
    sites falls to 1/e over ``*_reach_km``. ``spread_c`` is the standard deviation of temperature around the season's.
    Reaches and spread are assumed."""

    seed: int = 1
    spread_c: float = 3.0
    temperature_persists: float = 0.65
    temperature_reach_km: float = 1000.0
    sky_persists: float = 0.25
    sky_reach_km: float = 300.0


def synthetic_year(region: Region, year: int, weather: Weather, holidays: Iterable[date] = ()) -> Series:
    """Every hour of a year, local time, at every site. The same arguments give the same series."""
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // HOUR_S - region.utc_offset_h
    hours = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()) // HOUR_S - region.utc_offset_h - first
    nodes = tuple(region.nodes.values())
    # two streams, so that neither depends on how many numbers the other takes
    chance, sky_chance = (np.random.default_rng([weather.seed, part]) for part in range(2))
    hourly = weather.temperature_persists ** (1 / 24)
    noise = _persisting(_alike(nodes, weather.temperature_reach_km), hours, hourly, chance)
    sky = _persisting(_alike(nodes, weather.sky_reach_km), hours // 24, weather.sky_persists, sky_chance)
    prices = {node.site.tariff: _prices(region, node, first, hours, holidays) for node in nodes}
    values: dict[Quantity, dict[str, Floats]] = {q: {} for q in Quantity}
    for s, node in enumerate(nodes):
        usual = _temperature(region, node, first, hours)
        values[Quantity.TEMPERATURE][node.id] = np.round(usual + weather.spread_c * noise[s], 2)
        values[Quantity.PRICE][node.id] = prices[node.site.tariff]
        values[Quantity.CARBON][node.id] = np.full(hours, region.grids[node.site.grid].factor.value)
        if node.site.power.generation:
            clear = np.repeat(_clearness(sky[s]) / _MEAN_CLEARNESS, 24)
            values[Quantity.GENERATION][node.id] = np.round(_generation(region, node, first, hours, clear), 3)
    name = f"{SYNTHETIC} {region.id} {year} seed {weather.seed}"
    return Series(name=name, source=name, synthetic=True, first_hour=first, hours=hours, values=values)


def remarks_of(region: Region, year: int, weather: Weather, holidays: Iterable[date], lang: str = "both") -> list[str]:
    """How such a year is made, for its readers."""
    days = ", ".join(f"{day:%m-%d}" for day in sorted(holidays))
    begin, end = HOLIDAY_HOURS
    price = say("synthetic.no_holidays", lang)
    if days:
        price = say("synthetic.holidays", lang, days=days, begin=begin, end=end)
    return [
        say("synthetic.what", lang, region=region.id, year=year, seed=weather.seed),
        say(
            "synthetic.temperature", lang, spread=f"{weather.spread_c:g}", persists=f"{weather.temperature_persists:g}",
            reach=f"{weather.temperature_reach_km:g}",
        ),
        say(
            "synthetic.generation", lang, persists=f"{weather.sky_persists:g}", reach=f"{weather.sky_reach_km:g}",
            mean=f"{_MEAN_CLEARNESS:g}",
        ),
        price,
        say("synthetic.carbon", lang),
    ]  # fmt: skip


def _alike(nodes: tuple[Node, ...], reach_km: float) -> Floats:
    """float64[S, S] that makes independent standard normals correlate as exp(-distance / reach)."""
    lat, lon = np.radians(np.array([(n.lat, n.lon) for n in nodes])).T
    at = _EARTH_KM * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    # through the earth, not along it: then the matrix is sound wherever the sites are
    distance: Floats = np.sqrt(((at[:, None] - at[None, :]) ** 2).sum(axis=2))
    return np.linalg.cholesky(np.exp(-distance / reach_km) + 1e-9 * np.eye(len(nodes))).astype(np.float64)


def _persisting(alike: Floats, steps: int, keeps: float, chance: np.random.Generator) -> Floats:
    """float64[S, steps] of AR(1) processes of mean 0 and standard deviation 1."""
    new = alike @ chance.standard_normal((len(alike), steps))
    found = new.copy()
    for k in range(1, steps):
        found[:, k] = keeps * found[:, k - 1] + math.sqrt(1 - keeps * keeps) * new[:, k]
    return found


def _clearness(normal: Floats) -> Floats:
    """Clearness of days from standard normals."""
    even = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in normal.tolist()])
    return even ** (1 / CLEAR_POWER)


def _temperature(region: Region, node: Node, first: int, hours: int) -> Floats:
    """The season and the day's swing in the middle of each hour, degC; the mean of each month is the climate's.

    The model draws straight lines between the monthly means, which cuts the extremes; here the lines go where
    their own means are the climate's.
    """
    climate = region.climates[node.site.climate]
    middle = (first + np.arange(hours, dtype=np.int64)) * HOUR_S + HOUR_S // 2
    at = local_of(middle, region.utc_offset_h)
    part = np.stack([season_c(one, at) for one in np.eye(12)])  # of each month's mean in each hour
    mean = np.stack([part[:, at.month == month].mean(axis=1) for month in range(12)])
    return np.linalg.solve(mean, monthly_means(climate)) @ part + swing_c(climate, at)


def _prices(region: Region, node: Node, first: int, hours: int, holidays: Iterable[date]) -> Floats:
    """The tariff in each hour; periods begin with hours."""
    slots = HOUR_S // SLOT_S
    found = site_tables(region, node, first * slots, hours * slots).tariff_yuan_kwh[::slots].copy()
    tariff = region.tariffs[node.site.tariff]
    for day in holidays:
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // HOUR_S - region.utc_offset_h
        begin, end = (midnight + hour - first for hour in HOLIDAY_HOURS)
        if 0 <= begin < hours:
            found[begin:end] = tariff.flat.value * tariff.multipliers[DEEP_VALLEY].value
    return found


def _generation(region: Region, node: Node, first: int, hours: int, clear: Floats) -> Floats:
    """Mean kW of each hour: sunlight times ``clear`` (1 on the mean), wind as it is."""
    power = node.site.power
    total = np.zeros(hours)
    for each in power.generation:
        alone = replace(power, generation=(each,))
        modelled = hourly_generation_kw(alone, first * HOUR_S, hours, region.utc_offset_h, node.lat, node.lon)
        total += modelled * clear if each.kind == "pv" else modelled
    return total
