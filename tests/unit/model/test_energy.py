"""Energy over time: facts of the tariff, and properties of the models."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.model import energy
from sanjin.model.calendar import local_of
from sanjin.model.region import Figure, Generation, Power, PueModel, Region, Status
from sanjin.regions.load import bundled, load_region

LOCAL = timezone(timedelta(hours=8))
REGION: Region = load_region(bundled("shanxi"))
TARIFF = REGION.tariffs["shanxi-2026"]
INSTANTS = st.integers(0, 4_102_444_800)  # 1970 to 2099


def at(*when: int) -> int:
    """Seconds UTC of a local wall-clock time."""
    return int(datetime(*when, tzinfo=LOCAL).timestamp())  # type: ignore[arg-type]


def figure(value: float, unit: str = "") -> Figure:
    return Figure(value=value, unit=unit, date="2026", source="test", status=Status.ESTIMATED)


def power_of(*generation: Generation) -> Power:
    return replace(REGION.nodes["datong"].site.power, generation=generation)


PV = Generation("pv", figure(1000.0), figure(0.3))


@pytest.mark.parametrize(
    ("when", "period", "yuan"),
    [
        ((2026, 7, 15, 12), "valley", 0.225),
        ((2026, 7, 15, 19), "sharp", 0.96),
        ((2026, 7, 15, 17, 59), "flat", 0.50),
        ((2026, 7, 15, 21), "peak", 0.80),
        ((2026, 1, 10, 17), "sharp", 0.96),
        ((2026, 1, 10, 16), "peak", 0.80),
        ((2026, 1, 10, 23), "flat", 0.50),
        ((2026, 4, 1, 9), "valley", 0.225),
        ((2026, 10, 1, 10), "flat", 0.50),
        ((2026, 10, 1, 13), "valley", 0.225),
        ((2026, 5, 31, 23, 59, 59), "peak", 0.80),
        ((2026, 6, 1, 0), "flat", 0.50),
        ((2026, 5, 31, 17), "peak", 0.80),  # spring: peak from 17
        ((2026, 6, 1, 17), "flat", 0.50),  # summer: peak from 18
        ((2026, 6, 1, 6, 30), "peak", 0.80),  # 22:30 UTC of 31 May
        ((2028, 2, 29, 18), "sharp", 0.96),
        ((2028, 3, 1, 18), "peak", 0.80),
    ],
)
def test_tariff_facts(when: tuple[int, ...], period: str, yuan: float) -> None:
    assert energy.period_at(TARIFF, at(*when), 8) == period
    assert energy.tariff_at(TARIFF, at(*when), 8) == pytest.approx(yuan, abs=1e-12)


def test_seasons_change_at_local_midnight() -> None:
    one_hour = replace(
        TARIFF,
        seasons=(
            replace(TARIFF.seasons[0], months=(1, 2, 3, 4, 5), periods={"peak": ((0, 24),)}),
            replace(TARIFF.seasons[0], months=(6, 7, 8, 9, 10, 11, 12), periods={"valley": ((0, 24),)}),
        ),
    )
    for year in (2026, 2027, 2028):
        assert energy.period_at(one_hour, at(year, 6, 1) - 1, 8) == "peak"
        assert energy.period_at(one_hour, at(year, 6, 1), 8) == "valley"
        assert energy.period_at(one_hour, at(year, 1, 1) - 1, 8) == "valley"
        assert energy.period_at(one_hour, at(year, 1, 1), 8) == "peak"


@given(INSTANTS)
def test_calendar_is_that_of_the_standard_library(at_s: int) -> None:
    local = local_of(np.array([at_s], np.int64), 8)  # pyright: ignore[reportPrivateUsage]
    expected = datetime.fromtimestamp(at_s, UTC).astimezone(LOCAL)
    assert (int(local.month[0]) + 1, int(local.day_of_month[0]) + 1) == (expected.month, expected.day)
    assert int(local.day_of_year[0]) + 1 == expected.timetuple().tm_yday
    hour = expected.hour + expected.minute / 60 + expected.second / 3600
    assert float(local.hour[0]) == pytest.approx(hour)
    assert energy.local_hour(at_s, 8) == pytest.approx(hour)


@given(INSTANTS)
def test_every_instant_has_a_period(at_s: int) -> None:
    assert energy.period_at(TARIFF, at_s, 8) in (*energy.PERIODS, energy.FLAT)


def test_every_hour_of_every_month_follows_the_document() -> None:
    for season in TARIFF.seasons:
        for month in season.months:
            for hour in range(24):
                inside = [p for p, rs in season.periods.items() if any(a <= hour < b for a, b in rs)]
                wanted = "sharp" if "sharp" in inside else inside[0] if inside else "flat"
                assert energy.period_at(TARIFF, at(2026, month, 15, hour), 8) == wanted


@given(st.floats(-50, 50))
def test_sine(turns: float) -> None:
    assert float(energy.sin_turns(turns)) == pytest.approx(math.sin(2 * math.pi * turns), abs=1e-8)


@given(
    st.floats(-40, 45),
    st.floats(0, 20),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.1, 20),
)
def test_pue_is_at_least_one_and_rises_with_temperature(
    outdoor: float, warmer: float, load: float, fixed: float, cooling: float, width: float
) -> None:
    model = PueModel(figure(fixed), figure(cooling), figure(10.0), figure(10.0 + width))
    low, high = energy.pue(model, outdoor, load), energy.pue(model, outdoor + warmer, load)
    assert 1.0 <= low <= high
    assert energy.pue(model, outdoor, min(1.0, load + 0.1)) <= low


def test_pue_at_its_corners() -> None:
    model = PueModel(figure(0.1), figure(0.3), figure(10.0), figure(20.0))
    assert energy.pue(model, 0.0, 1.0) == pytest.approx(1.1)
    assert energy.pue(model, 15.0, 1.0) == pytest.approx(1.25)
    assert energy.pue(model, 40.0, 1.0) == pytest.approx(1.4)
    assert energy.pue(model, 0.0, 0.5) == pytest.approx(1.15)
    assert energy.pue(model, 0.0, 0.0) == energy.pue(model, 0.0, energy.LEAST_LOAD)


def test_temperature_facts() -> None:
    climate = REGION.climates["datong"]
    year = [energy.outdoor_c(climate, at(2026, 1, 1) + h * 3600, 8) for h in range(8760)]
    assert sum(year) / len(year) == pytest.approx(7.4, abs=0.15)
    day = [energy.outdoor_c(climate, at(2026, 7, 16, h), 8) for h in range(24)]
    assert day.index(max(day)) == 15
    assert max(day) - min(day) == pytest.approx(13.0, abs=0.2)
    mid_january = energy.outdoor_c(climate, at(2026, 1, 16, 9) + 3 * 3600, 8)
    assert mid_january == pytest.approx(-10.5 + 6.5 * math.cos(math.tau * 3 / 24), abs=0.2)


@given(INSTANTS)
def test_temperature_stays_near_its_months_and_has_no_jumps(at_s: int) -> None:
    for climate in REGION.climates.values():
        here, then = (energy.outdoor_c(climate, t, 8) for t in (at_s, at_s + 60))
        means = [f.value for f in climate.monthly_mean]
        assert min(means) - 6.6 <= here <= max(means) + 6.6
        assert abs(then - here) < 0.1


def test_generation() -> None:
    assert energy.generation_kw(power_of(PV), at(2026, 6, 21, 0), 8, 40.0) == 0.0
    noon = energy.generation_kw(power_of(PV), at(2026, 6, 21, 12), 8, 40.0)
    elevation = math.radians(90 - 40 + 23.45)
    assert noon == pytest.approx(1000 * energy.PV_YIELD * math.sin(elevation), rel=1e-3)
    assert noon > energy.generation_kw(power_of(PV), at(2026, 12, 21, 12), 8, 40.0) > 0
    year = sum(
        energy.generation_kw(power_of(PV), at(2026, 1, 1) + h * 3600, 8, 38.0, 112.5) for h in range(8760)
    )
    assert 1250 < year / 1000 < 1350
    wind = Generation("wind", figure(100.0), figure(0.3))
    assert energy.generation_kw(power_of(wind), 0, 8, 40.0) == pytest.approx(100 * energy.WIND_YIELD)
    assert energy.generation_kw(power_of(), 0, 8, 40.0) == 0.0


def test_longitude_moves_noon() -> None:
    noon = at(2026, 6, 21, 12)
    late = energy.generation_kw(power_of(PV), noon + 1800, 8, 40.0, lon=112.5)
    assert late == pytest.approx(energy.generation_kw(power_of(PV), noon, 8, 40.0))


@given(st.integers(0, 4_000_000), st.sampled_from(sorted(REGION.nodes)))
def test_tables_agree_with_the_scalar_functions(first: int, name: str) -> None:
    node = REGION.nodes[name]
    power = node.site.power
    tables = energy.site_tables(REGION, node, first, 3)
    for k in range(3):
        middle = (first + k) * 900 + 450
        outdoor = energy.outdoor_c(REGION.climates[node.site.climate], middle, 8)
        pue = energy.pue(power.pue, outdoor, power.typical_load.value)
        tariff = energy.tariff_at(TARIFF, middle, 8)
        generated = energy.generation_kw(power, middle, 8, node.lat, node.lon)
        share = min(1.0, generated / (power.it_cap.value * power.typical_load.value * pue))
        assert tables.pue[k] == pue  # to the bit
        assert tables.tariff_yuan_kwh[k] == tariff
        assert tables.onsite_share[k] == share
        onsite = power.generation[0].price.value if share else 0.0
        assert tables.energy_yuan_kwh[k] == pytest.approx(tariff * (1 - share) + onsite * share)
        assert tables.carbon_kg_kwh[k] == pytest.approx(0.7096 * (1 - share))


def test_tables_do_not_depend_on_where_they_begin() -> None:
    node = REGION.nodes["datong"]
    long = energy.site_tables(REGION, node, 1_980_000, 200)
    late = energy.site_tables(REGION, node, 1_980_100, 100)
    for name in ("pue", "tariff_yuan_kwh", "onsite_share", "energy_yuan_kwh", "carbon_kg_kwh"):
        assert np.array_equal(getattr(long, name)[100:], getattr(late, name))


def test_onsite_share_is_at_most_one() -> None:
    node = REGION.nodes["yangquan"]
    plenty = power_of(Generation("wind", figure(1e9), figure(0.2)))
    node = replace(node, site=replace(node.site, power=plenty))
    tables = energy.site_tables(REGION, node, 1_980_000, 96)
    assert (tables.onsite_share == 1.0).all()
    assert (tables.carbon_kg_kwh == 0.0).all()
    assert tables.energy_yuan_kwh == pytest.approx(0.2)


def test_a_week_of_all_sites_is_fast() -> None:
    best = math.inf  # of processor time: other tests and other programs run beside this one
    for _ in range(5):
        begin = time.thread_time()
        for node in REGION.nodes.values():
            energy.site_tables(REGION, node, 1_980_000, 672)
        best = min(best, time.thread_time() - begin)
    assert best < 0.02
