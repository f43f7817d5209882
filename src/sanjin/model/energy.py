"""Energy over time: tariff periods, weather, PUE, on-site generation, and price tables of a site.

Pure functions of the region and an instant, and of an hourly series where there is one. Weather and
generation are *modelled*, not measured: each formula says what it is. The same code serves one
instant (numbers) and many (arrays), and uses only operations that IEEE 754 rounds exactly, so that
tables are bit-identical everywhere; that is why the sine is a polynomial here.

Local time is UTC plus a fixed offset in whole hours; China has no daylight saving time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanjin.model.calendar import MONTH_DAYS, Ints, Local, local_of
from sanjin.model.region import PERIODS, Climate, Generation, Node, Power, PueModel, Region, Season, Tariff
from sanjin.model.series import Quantity, Series
from sanjin.model.units import DAY_S, HOUR_S, SLOT_S

FLAT = "flat"
WARMEST_HOUR = 15.0
"""Local hour at which the modelled day is warmest."""

CONSTANT_OVERHEAD = 0.5
"""Share of the fixed overhead that does not fall with load (transformers, UPS idling, lights). Model."""

LEAST_LOAD = 0.05
"""PUE is evaluated at no less load than this; below it the ratio means nothing. Model."""

PV_YIELD = 0.60
"""AC output over peak power x sine of solar elevation: performance ratio 0.80 x mean clearness 0.75.
A stated model; with it a year gives about 1,300 kWh per kW at 38 degrees north."""

WIND_YIELD = 0.25
"""Constant output of wind over its peak power. A stated model: there is no wind series."""

_OBLIQUITY_TURNS = 23.45 / 360.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SiteTables:
    """Energy of one site over consecutive slots, each value taken at the middle of its slot.

    Arrays have one float64 a slot. ``pue`` has no unit; ``tariff_yuan_kwh`` is the grid's price (the
    tariff's, or a series'); ``onsite_share`` (0 to 1) is on-site generation over the facility's typical
    load; ``energy_yuan_kwh`` blends both prices and ``carbon_kg_kwh`` (kg CO2e, location-based) counts
    the grid's part only. Prices and carbon are per kWh at the facility's meter: multiply by ``pue``
    for a kWh of IT.
    """

    first_slot: int
    pue: Floats
    tariff_yuan_kwh: Floats
    onsite_share: Floats
    energy_yuan_kwh: Floats
    carbon_kg_kwh: Floats


def _one(at_s: int) -> Ints:
    return np.array([at_s], np.int64)


def sin_turns(turns: float | Floats) -> Floats:
    """Sine of an angle in turns (1 is a full circle), of the same shape; error below 1e-8.

    Taylor polynomial of the 13th degree on a quarter circle: only sums and products, so every
    machine computes the same bits (a library's sine may differ in the last one).
    """
    given: Floats = np.asarray(turns, np.float64)
    t: Floats = given - np.floor(given + 0.5)
    t = np.where(t > 0.25, 0.5 - t, np.where(t < -0.25, -0.5 - t, t))
    x: Floats = t * (2.0 * np.pi)
    y: Floats = x * x
    total: Floats = np.full_like(y, 1.0 / 6_227_020_800.0)
    for factorial in (39_916_800.0, 362_880.0, 5040.0, 120.0, 6.0, 1.0):
        total = 1.0 / factorial - y * total
    return x * total


def local_hour(at_s: int, utc_offset_h: int) -> float:
    """Hour of the local day, 0 to 24 (not included), with its fraction."""
    return ((at_s + utc_offset_h * HOUR_S) % DAY_S) / HOUR_S


# --- tariff ---


def _season(tariff: Tariff, month: int) -> Season | None:
    return next((s for s in tariff.seasons if month in s.months), None)


def _period(season: Season | None, hour: int) -> str:
    if season is None:
        return FLAT
    for period in PERIODS:
        if any(begin <= hour < end for begin, end in season.periods.get(period, ())):
            return period
    return FLAT


def _price(tariff: Tariff, period: str) -> float:
    if period == FLAT:
        return tariff.flat.value
    return tariff.flat.value * tariff.multipliers[period].value


def period_at(tariff: Tariff, at_s: int, utc_offset_h: int) -> str:
    """Price period in force: one of :data:`PERIODS` or ``flat``.

    The tariff is applied to any instant, also before ``valid_from``. Holidays are not modelled.
    """
    at = local_of(_one(at_s), utc_offset_h)
    return _period(_season(tariff, int(at.month[0]) + 1), int(at.hour[0]))


def tariff_at(tariff: Tariff, at_s: int, utc_offset_h: int) -> float:
    """Price in force, yuan per kWh: flat price times the multiplier of the period."""
    return _price(tariff, period_at(tariff, at_s, utc_offset_h))


def _tariff(tariff: Tariff, at: Local) -> Floats:
    table = np.empty((12, 24))
    for month in range(12):
        season = _season(tariff, month + 1)
        table[month] = [_price(tariff, _period(season, hour)) for hour in range(24)]
    return table[at.month, at.hour.astype(np.int64)]


# --- weather and PUE ---


def season_c(monthly_mean: Floats, at: Local) -> Floats:
    """Temperature without the day's swing: straight lines between ``monthly_mean`` float64[12], degC, which stand
    in the middle of their months."""
    position = (at.day_of_month + at.hour / 24.0) / at.month_days - 0.5
    other = np.where(position < 0.0, at.month - 1, at.month + 1) % 12
    # February's middle as a neighbour is that of a common year: at most half a day off
    gap = 0.5 * (at.month_days + MONTH_DAYS[other])
    weight = np.abs(position) * at.month_days / gap
    return monthly_mean[at.month] * (1.0 - weight) + monthly_mean[other] * weight


def swing_c(climate: Climate, at: Local) -> Floats:
    """The day's swing around that, degC: a sine with its peak at :data:`WARMEST_HOUR`."""
    return climate.half_range.value * sin_turns((at.hour - WARMEST_HOUR) / 24.0 + 0.25)


def monthly_means(climate: Climate) -> Floats:
    """float64[12], degC."""
    return np.array([f.value for f in climate.monthly_mean])


def _outdoor(climate: Climate, at: Local) -> Floats:
    return season_c(monthly_means(climate), at) + swing_c(climate, at)


def outdoor_c(climate: Climate, at_s: int, utc_offset_h: int) -> float:
    """Outdoor temperature, degC. Modelled, not measured.

    Monthly means stand in the middle of their months with straight lines between them, plus a daily
    sine of ``half_range`` that peaks at 15:00 local. The straight lines cut the yearly extremes by
    some tenths of a degree.
    """
    return float(_outdoor(climate, local_of(_one(at_s), utc_offset_h))[0])


def pue(model: PueModel, outdoor_c: Any, load_share: Any) -> Any:
    """Power usage effectiveness at an outdoor temperature (degC) and IT load (0 to 1); at least 1.

    A stated model: 1 + fixed x (c + (1 - c) u) / u + cooling_max x m. ``c`` is
    :data:`CONSTANT_OVERHEAD`, ``u`` the load and ``m`` the part of the year's mechanical cooling in
    use, rising on a line from 0 at ``free_below`` to 1 at ``mechanical_above``. Takes numbers or
    arrays.
    """
    load = np.clip(load_share, LEAST_LOAD, 1.0)
    low, high = model.free_below.value, model.mechanical_above.value
    mechanical = np.clip((outdoor_c - low) / (high - low), 0.0, 1.0)
    fixed = model.fixed.value * (CONSTANT_OVERHEAD + (1.0 - CONSTANT_OVERHEAD) * load) / load
    return 1.0 + fixed + model.cooling_max.value * mechanical


# --- on-site generation ---


def _sun(at: Local, solar_hour: Floats, lat: float) -> Floats:
    """Sine of solar elevation, 0 at night; declination after P. I. Cooper (1969)."""
    declination = _OBLIQUITY_TURNS * sin_turns((at.day_of_year + 285) / 365.0)
    noon = sin_turns(solar_hour / 24.0 - 0.25)  # cosine of the hour angle
    high = sin_turns(lat / 360.0) * sin_turns(declination)
    wide = sin_turns(lat / 360.0 + 0.25) * sin_turns(declination + 0.25)
    return np.maximum(high + wide * noon, 0.0)


def _generated(sources: tuple[Generation, ...], at: Local, solar_hour: Floats, lat: float) -> tuple[Floats, Floats]:
    """Power of all sources in kW, and its mean price in yuan per kWh (by peak power where they give none)."""
    peak = sum(each.peak.value for each in sources)
    usual = sum(each.peak.value * each.price.value for each in sources) / peak if peak else 0.0
    total = np.zeros_like(solar_hour)
    cost = np.zeros_like(solar_hour)
    for each in sources:
        shape = PV_YIELD * _sun(at, solar_hour, lat) if each.kind == "pv" else WIND_YIELD
        power_kw = each.peak.value * shape
        total = total + power_kw
        cost = cost + power_kw * each.price.value
    return total, np.where(total > 0.0, cost / np.where(total > 0.0, total, 1.0), usual)


def _solar_hour(at: Local, utc_offset_h: int, lon: float | None) -> Floats:
    shift = 0.0 if lon is None else lon / 15.0 - utc_offset_h
    return at.hour + shift


def generation_kw(power: Power, at_s: int, utc_offset_h: int, lat: float, lon: float | None = None) -> float:
    """On-site generation of a site, kW. Modelled, not measured.

    PV: peak x :data:`PV_YIELD` x sine of solar elevation, from day of year and latitude. Solar time
    is mean solar time at ``lon``, or the clock's where ``lon`` is None; the equation of time
    (up to 16 min) is left out. Wind: peak x :data:`WIND_YIELD`.
    """
    at = local_of(_one(at_s), utc_offset_h)
    total, _ = _generated(power.generation, at, _solar_hour(at, utc_offset_h, lon), lat)
    return float(total[0])


def hourly_generation_kw(
    power: Power, first_hour_s: int, hours: int, utc_offset_h: int, lat: float, lon: float | None = None
) -> Floats:
    """Mean on-site generation of each hour from ``first_hour_s``, kW, float64[hours]. Modelled, not measured.

    As :func:`generation_kw`, in the middles of an hour's slots.
    """
    per_hour = HOUR_S // SLOT_S
    middle = first_hour_s + np.arange(hours * per_hour, dtype=np.int64) * SLOT_S + SLOT_S // 2
    at = local_of(middle, utc_offset_h)
    total, _ = _generated(power.generation, at, _solar_hour(at, utc_offset_h, lon), lat)
    return total.reshape(hours, per_hour).mean(axis=1)


# --- tables ---


def site_tables(region: Region, node: Node, first_slot: int, slots: int, series: Series | None = None) -> SiteTables:
    """Energy tables of ``node`` for ``slots`` slots from ``first_slot`` (counted from the epoch).

    PUE and the share of on-site power are taken at the site's typical load, so that prices are the
    same to everyone and do not depend on what is placed. What ``series`` says stands in place of the
    model; generation only at a site that has some in the region document, since its price is there.
    """
    site = node.site
    middle = (np.arange(first_slot, first_slot + slots, dtype=np.int64) * SLOT_S) + SLOT_S // 2
    at = local_of(middle, region.utc_offset_h)
    load = site.power.typical_load.value

    def given(quantity: Quantity, model: Floats) -> Floats:
        if series is None:
            return model
        found = series.at(quantity, node.id, middle)
        return np.where(np.isnan(found), model, found)

    outdoor = given(Quantity.TEMPERATURE, _outdoor(region.climates[site.climate], at))
    factor = pue(site.power.pue, outdoor, load)
    tariff = given(Quantity.PRICE, _tariff(region.tariffs[site.tariff], at))
    generated, price = _generated(site.power.generation, at, _solar_hour(at, region.utc_offset_h, node.lon), node.lat)
    if site.power.generation:
        generated = given(Quantity.GENERATION, generated)
    share = np.minimum(generated / (site.power.it_cap.value * load * factor), 1.0)
    carbon = given(Quantity.CARBON, np.full(slots, region.grids[site.grid].factor.value))
    return SiteTables(
        first_slot=first_slot,
        pue=factor,
        tariff_yuan_kwh=tariff,
        onsite_share=share,
        energy_yuan_kwh=tariff * (1.0 - share) + price * share,
        carbon_kg_kwh=carbon * (1.0 - share),
    )
