"""Series: what they say stands in place of the models, everywhere else the models hold."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow.supply import PriceBook
from sanjin.model.energy import pue, site_tables
from sanjin.model.region import Region
from sanjin.model.series import ALL_SITES, Quantity, Series, repeated
from sanjin.regions.load import bundled, load_region

LOCAL = timezone(timedelta(hours=8))
REGION: Region = load_region(bundled("shanxi"))
NAN = math.nan
FIRST = int(datetime(2026, 7, 1, 10, tzinfo=LOCAL).timestamp()) // 3600
DATONG = REGION.nodes["datong"]
TAIYUAN = REGION.nodes["taiyuan"]


def series(values: dict[Quantity, dict[str, list[float]]], first: int = FIRST) -> Series:
    arrays = {q: {site: np.array(v) for site, v in by_site.items()} for q, by_site in values.items()}
    hours = max(len(v) for by_site in arrays.values() for v in by_site.values())
    return Series(name="s", source="", synthetic=False, first_hour=first, hours=hours, values=arrays)


def hour_of(values: np.ndarray) -> np.ndarray:
    """Slots of the tables, by hour."""
    return values.reshape(-1, 4)


def test_a_figure_holds_for_its_hour_and_the_model_elsewhere() -> None:
    found = series({Quantity.PRICE: {"taiyuan": [NAN, 0.7, NAN, -0.2], ALL_SITES: [0.1, 0.1, NAN, NAN]}})
    first = (FIRST - 1) * 4  # an hour before, and one after
    model, given_ = (site_tables(REGION, TAIYUAN, first, 24, s) for s in (None, found))
    tariff = hour_of(given_.tariff_yuan_kwh)
    assert (tariff[[1, 2, 4]] == [[0.1], [0.7], [-0.2]]).all()
    assert (tariff[[0, 3, 5]] == hour_of(model.tariff_yuan_kwh)[[0, 3, 5]]).all()
    for name in ("pue", "onsite_share", "carbon_kg_kwh"):
        assert (getattr(model, name) == getattr(given_, name)).all()
    assert (given_.energy_yuan_kwh == given_.tariff_yuan_kwh).all()  # no power of its own there


def test_pue_follows_the_temperature_and_carbon_the_grid() -> None:
    found = series({Quantity.TEMPERATURE: {ALL_SITES: [-20.0, 39.0]}, Quantity.CARBON: {ALL_SITES: [0.9, 0.0]}})
    tables = site_tables(REGION, TAIYUAN, FIRST * 4, 8, found)
    power = TAIYUAN.site.power
    expected = [pue(power.pue, t, power.typical_load.value) for t in (-20.0, 39.0)]
    assert (hour_of(tables.pue) == np.array(expected)[:, None]).all() and expected[0] < expected[1]
    assert (hour_of(tables.carbon_kg_kwh) == [[0.9], [0.0]]).all()


def test_generation_keeps_its_price_also_at_night() -> None:
    midnight = FIRST + 14
    peak = DATONG.site.power.generation[0].price.value
    all_day = series({Quantity.GENERATION: {ALL_SITES: [1e6] * 24}}, midnight)
    tables = site_tables(REGION, DATONG, midnight * 4, 96, all_day)
    assert (tables.onsite_share == 1.0).all() and tables.energy_yuan_kwh == pytest.approx(peak)
    assert (tables.carbon_kg_kwh == 0).all()
    no_sun = series({Quantity.GENERATION: {"datong": [0.0] * 24}}, midnight)
    dark = site_tables(REGION, DATONG, midnight * 4, 96, no_sun)
    assert (dark.energy_yuan_kwh == dark.tariff_yuan_kwh).all()
    # what has no price in the document cannot be used
    assert (site_tables(REGION, TAIYUAN, midnight * 4, 96, all_day).onsite_share == 0).all()


def test_half_a_sites_load_from_the_sun_is_half_the_carbon() -> None:
    power = DATONG.site.power
    cold = {Quantity.TEMPERATURE: {"datong": [-30.0]}}
    factor = site_tables(REGION, DATONG, FIRST * 4, 4, series(cold)).pue[0]
    half = power.it_cap.value * power.typical_load.value * factor / 2
    found = series({**cold, Quantity.GENERATION: {"datong": [half]}, Quantity.PRICE: {"datong": [0.4]}})
    tables = site_tables(REGION, DATONG, FIRST * 4, 4, found)
    assert tables.onsite_share == pytest.approx(0.5)
    assert tables.carbon_kg_kwh == pytest.approx(REGION.grids[DATONG.site.grid].factor.value / 2)
    assert tables.energy_yuan_kwh == pytest.approx((0.4 + power.generation[0].price.value) / 2)


def test_the_price_book_has_what_the_series_says() -> None:
    found = series({Quantity.PRICE: {"taiyuan": [-0.5]}, Quantity.CARBON: {"taiyuan": [0.123]}})
    book, plain = PriceBook(REGION, 96, found), PriceBook(REGION, 96)
    block, model = book.at(FIRST * 4), plain.at(FIRST * 4)
    at, s = FIRST * 4 - block.first_slot, tuple(REGION.nodes).index("taiyuan")
    here = slice(at, at + 4)
    assert (block.facility_micro[s, here] == -500_000).all() and (block.carbon_mg[s, here] == 123_000).all()
    assert (block.energy[s, here] < 0).all()
    for a, b in ((block.facility_micro, model.facility_micro), (block.carbon_mg, model.carbon_mg)):
        a, b = a.copy(), b.copy()
        a[s, here] = b[s, here] = 0
        assert (a == b).all()


@given(st.integers(0, 4_102_444_799))
def test_a_year_that_is_said_again_has_the_same_hour_of_every_year(at_s: int) -> None:
    """Local month, day and hour, reckoned by the standard library; 29 February as the day before."""
    first = int(datetime(2026, 1, 1, tzinfo=LOCAL).timestamp()) // 3600
    whole = repeated(series({Quantity.PRICE: {ALL_SITES: [float(h) for h in range(8760)]}}, first), 8)
    there = datetime.fromtimestamp(at_s, UTC).astimezone(LOCAL)
    day = 28 if (there.month, there.day) == (2, 29) else there.day
    expected = there.replace(year=2026, day=day, minute=0, second=0) - datetime(2026, 1, 1, tzinfo=LOCAL)
    found = whole.at(Quantity.PRICE, "taiyuan", np.array([at_s]))
    assert found[0] == expected.total_seconds() / 3600


def test_only_what_is_said_again_is_there_in_other_years() -> None:
    some = series({Quantity.PRICE: {ALL_SITES: [1.0, 2.0]}})
    later = np.array([FIRST * 3600 + 365 * 86_400 + k * 3600 for k in range(3)])
    assert np.isnan(some.at(Quantity.PRICE, "datong", later)).all()
    found = repeated(some, 8).at(Quantity.PRICE, "datong", later)
    assert found[:2].tolist() == [1.0, 2.0] and math.isnan(found[2])
    # a leap year's own 29 February is that of later ones
    leap = int(datetime(2028, 1, 1, tzinfo=LOCAL).timestamp()) // 3600
    whole = repeated(series({Quantity.PRICE: {ALL_SITES: [float(h) for h in range(8784)]}}, leap), 8)
    again = np.array([int(datetime(2032, 2, 29, 5, tzinfo=LOCAL).timestamp())])
    assert whole.at(Quantity.PRICE, "datong", again)[0] == 59 * 24 + 5


def test_without_generation_of_its_own_a_site_has_none_in_a_series_either() -> None:
    bare = replace(DATONG, site=replace(DATONG.site, power=replace(DATONG.site.power, generation=())))
    found = series({Quantity.GENERATION: {"datong": [500.0]}})
    assert (site_tables(REGION, bare, FIRST * 4, 4, found).onsite_share == 0).all()
