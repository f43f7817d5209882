"""Series of hourly figures: what is written is read, all faults at once, and what a synthetic year is made of."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.model.energy import hourly_generation_kw, monthly_means, site_tables
from sanjin.model.errors import ProblemsFound
from sanjin.model.region import Region
from sanjin.model.series import ALL_SITES, Quantity, Series
from sanjin.regions.load import bundled, load_region
from sanjin.regions.series import MOST_SHOWN, PARQUET_KEY, read_series, write_series
from sanjin.regions.synthetic import Weather, remarks_of, synthetic_year

LOCAL = timezone(timedelta(hours=8))
REGION: Region = load_region(bundled("shanxi"))
NATION: Region = load_region(bundled("national"))
HEAD = "hour,site,price_yuan_kwh,carbon_kg_kwh,temperature_c,generation_kw,source\n"


def written(folder: Path, text: str, name: str = "s.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def faults(path: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(ProblemsFound) as fault:
        read_series(path, REGION)
    assert all(p.what and p.what_zh and p.todo and p.todo_zh and p.file == str(path) for p in fault.value.problems)
    return [(p.code, p.line, p.path) for p in fault.value.problems]


def alike(one: Series, other: Series) -> bool:
    same = (one.first_hour, one.hours, one.source, one.synthetic)
    if same != (other.first_hour, other.hours, other.source, other.synthetic):
        return False
    for quantity in Quantity:
        a, b = ({k: v for k, v in s.values.get(quantity, {}).items() if not np.isnan(v).all()} for s in (one, other))
        if a.keys() != b.keys() or not all(np.array_equal(a[k], b[k], equal_nan=True) for k in a):
            return False
    return True


# -- reading


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz"])
def test_times_are_read_however_they_are_written(tmp_path: Path, name: str) -> None:
    first = int(datetime(2026, 7, 1, tzinfo=LOCAL).timestamp())
    text = "# for people\n" + HEAD + (
        "2026-07-01T00:00,taiyuan,0.3,,,,a market\n"
        "2026-06-30T17:00Z,taiyuan,-0.1,0.6,,,a market\n"
        f"{first + 7200},taiyuan,0.5,,-3.5,,\n"
        "2026-07-01 03:00:00+08:00,*,0.9,,,,\n"
    )  # fmt: skip
    found = read_series(written(tmp_path, text, name), REGION)
    assert found.first_hour * 3600 == first and found.hours == 4
    price = found.values[Quantity.PRICE]
    assert price["taiyuan"][:3].tolist() == [0.3, -0.1, 0.5] and math.isnan(price["taiyuan"][3])
    assert price[ALL_SITES][3] == 0.9 and found.values[Quantity.CARBON]["taiyuan"][1] == 0.6
    assert found.values[Quantity.TEMPERATURE]["taiyuan"][2] == -3.5
    assert found.values[Quantity.GENERATION] == {}
    assert found.source == "a market" and not found.synthetic


def test_no_site_is_all_sites_and_a_synthetic_row_marks_the_whole(tmp_path: Path) -> None:
    found = read_series(written(tmp_path, "hour,carbon_kg_kwh,source\n0,0.5,measured\n3600,0.6,Synthetic\n"), REGION)
    assert list(found.values[Quantity.CARBON]) == [ALL_SITES] and found.synthetic


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = HEAD + (
        "2026-07-01T00:30,taiyuan,0.3,,,,\n"
        "soon,taiyuan,0.3,,,,\n"
        "2026-07-01T00:00,beijing,0.3,,,,\n"
        "2026-07-01T01:00,taiyuan,nan,-0.1,300,-5,\n"
        "2026-07-01T01:00,taiyuan,inf,x,,,\n"
        "1782835200000,taiyuan,0.3,,,,\n"
        "2026-07-01T02:00,taiyuan,312.5,,,10,\n"
        "2026-07-01T03:00,taiyuan\n"
        "2026-07-01T04:00,datong,-11,,,10,\n"
    )  # fmt: skip
    assert sorted(faults(written(tmp_path, text))) == sorted([
        ("not_on_the_hour", 2, "hour"), ("bad_amount", 3, "hour"), ("unknown_node", 4, "site"),
        ("bad_amount", 5, "price_yuan_kwh"), ("too_small", 5, "carbon_kg_kwh"), ("too_big", 5, "temperature_c"),
        ("too_small", 5, "generation_kw"), ("bad_amount", 6, "price_yuan_kwh"), ("bad_amount", 6, "carbon_kg_kwh"),
        ("series_twice", 6, "hour"), ("bad_amount", 7, "hour"), ("too_big", 8, "price_yuan_kwh"),
        ("no_generation", 8, "generation_kw"), ("row_width", 9, ""), ("too_small", 10, "price_yuan_kwh"),
    ])  # fmt: skip


def test_of_many_faults_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    text = HEAD + "".join(f"{3600 * h},taiyuan,x,,,,\n" for h in range(2 * MOST_SHOWN))
    found = faults(written(tmp_path, text))
    assert len(found) == MOST_SHOWN + 1 and found[-1][0] == "more_faults"
    assert [line for _, line, _ in found] == list(range(2, MOST_SHOWN + 3))


@pytest.mark.parametrize(
    ("name", "text", "codes"),
    [
        ("s.txt", "", ["series_kind"]),
        ("s.csv", "", ["series_columns"]),
        ("s.csv", "hour,site\n0,taiyuan\n", ["series_columns"]),
        ("s.csv", "hour,price\n0,1\n", ["series_column", "series_columns"]),
        ("s.csv", "hour,carbon_kg_kwh,carbon_kg_kwh\n0,1,1\n", ["column_twice"]),
        ("s.csv", HEAD, ["series_empty"]),
        ("s.csv", HEAD + "0\n", ["row_width"]),
        ("s.parquet", "no parquet", ["unreadable"]),
        ("s.csv.gz", None, ["unreadable"]),
    ],
)
def test_what_is_no_series_is_said(tmp_path: Path, name: str, text: str | None, codes: list[str]) -> None:
    path = tmp_path / name if text is None else written(tmp_path, text, name)
    with pytest.raises(ProblemsFound) as fault:
        read_series(path, REGION)
    assert [p.code for p in fault.value.problems] == codes


def test_parquet_of_others_is_read(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "s.parquet"
    for hour in ("timestamp '2026-07-01 00:00'", "timestamptz '2026-06-30 16:00+00'", "1782835200", "1782835200.0"):
        duckdb.sql(f"copy (select {hour} as hour, 0.25::decimal(5,3) as price_yuan_kwh) to '{path}' (format parquet)")
        found = read_series(path, REGION)
        assert found.first_hour * 3600 == 1_782_835_200 and found.values[Quantity.PRICE][ALL_SITES].tolist() == [0.25]
    wrong = "select 1782835200 as hour, 'nan'::double as temperature_c union all select 1782835201, 4.0"
    duckdb.sql(f"copy ({wrong}) to '{path}' (format parquet)")
    assert faults(path) == [("bad_amount", 1, "temperature_c"), ("not_on_the_hour", 2, "hour")]


FIGURES = {
    Quantity.PRICE: st.floats(-10, 50),
    Quantity.CARBON: st.floats(0, 5),
    Quantity.TEMPERATURE: st.floats(-80, 60),
    Quantity.GENERATION: st.floats(0, 1e7),
}


@st.composite
def many(draw: st.DrawFn) -> Series:
    hours = draw(st.integers(1, 5))
    values: dict[Quantity, dict[str, np.ndarray]] = {}
    for quantity, figure in FIGURES.items():
        sites = draw(st.sets(st.sampled_from(["datong", "yangquan", ALL_SITES]), max_size=2))
        nothing = st.just(math.nan)
        values[quantity] = {
            site: np.array(draw(st.lists(st.one_of(nothing, figure), min_size=hours, max_size=hours))) for site in sites
        }
    return Series(
        name="s",
        source=draw(st.sampled_from(["", 'a, "market"', "synthetic by hand", "实测"])),
        synthetic=False,
        first_hour=draw(st.integers(0, 1_000_000)),
        hours=hours,
        values=values,
    )


@settings(max_examples=60, deadline=None)
@given(many(), st.sampled_from([".csv", ".csv.gz", ".parquet"]))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, made: Series, suffix: str) -> None:
    if not any(made.values[q] for q in Quantity):
        return
    made = replace(made, synthetic=made.source.startswith("synthetic"))
    path = tmp_path_factory.mktemp("s") / f"s{suffix}"
    rows = write_series(made, path, 8, ["made\nby hand"])
    assert rows == made.hours * len({s for by in made.values.values() for s in by})
    assert alike(read_series(path, REGION), made)


# -- the synthetic year


@pytest.fixture(scope="module")
def year() -> Series:
    return synthetic_year(REGION, 2026, Weather())


def hours_of(series: Series) -> list[datetime]:
    first = datetime.fromtimestamp(series.first_hour * 3600, UTC).astimezone(LOCAL)
    return [first + timedelta(hours=h) for h in range(series.hours)]


def test_a_year_is_every_hour_of_it(year: Series) -> None:
    times = hours_of(year)
    assert times[0] == datetime(2026, 1, 1, tzinfo=LOCAL) and times[-1] == datetime(2026, 12, 31, 23, tzinfo=LOCAL)
    assert len(times) == 8760 and synthetic_year(REGION, 2028, Weather()).hours == 8784
    assert year.synthetic and year.source.startswith("synthetic")
    for quantity in (Quantity.PRICE, Quantity.CARBON, Quantity.TEMPERATURE):
        assert set(year.values[quantity]) == set(REGION.nodes)
    with_some = {n for n, node in REGION.nodes.items() if node.site.power.generation}
    assert set(year.values[Quantity.GENERATION]) == with_some
    assert not any(np.isnan(v).any() for by_site in year.values.values() for v in by_site.values())


@pytest.mark.parametrize("number", [2026, 2028])
def test_without_chance_the_means_of_months_are_the_documents(number: int) -> None:
    made = synthetic_year(REGION, number, Weather(spread_c=0.0))
    month = np.array([t.month for t in hours_of(made)])
    for name, node in REGION.nodes.items():
        found = made.values[Quantity.TEMPERATURE][name]
        means = [found[month == m].mean() for m in range(1, 13)]
        assert means == pytest.approx(monthly_means(REGION.climates[node.site.climate]), abs=0.001)
        day = found[4000 : 4000 + 24]
        assert max(day) - min(day) == pytest.approx(2 * REGION.climates[node.site.climate].half_range.value, abs=0.5)


def test_weather_is_noise_around_them_that_persists_and_is_alike_nearby() -> None:
    weather = Weather()
    calm = synthetic_year(REGION, 2026, replace(weather, spread_c=0.0))
    years = [synthetic_year(REGION, 2026, replace(weather, seed=seed)) for seed in range(12)]
    noise = {
        name: np.stack([y.values[Quantity.TEMPERATURE][name] for y in years]) - calm.values[Quantity.TEMPERATURE][name]
        for name in REGION.nodes
    }
    month = np.array([t.month for t in hours_of(calm)])
    keeps = weather.temperature_persists
    # standard error of a month's mean of an AR(1) process
    error = weather.spread_c * math.sqrt((1 + keeps) / (1 - keeps) / 30)
    for each in noise.values():
        assert abs(each.std() - weather.spread_c) < 0.3
        assert np.corrcoef(each[:, :-24].ravel(), each[:, 24:].ravel())[0, 1] == pytest.approx(keeps, abs=0.05)
        for m in range(1, 13):
            off = each[:, month == m].mean(axis=1)
            assert np.abs(off).max() < 4.5 * error and abs(off.mean()) < 4.5 * error / math.sqrt(len(off))
    near, far = (np.corrcoef(noise["taiyuan"].ravel(), noise[n].ravel())[0, 1] for n in ("jinzhong", "datong"))
    assert 0.7 < far < near < 1


def test_prices_are_the_tariff_but_on_holidays_that_are_named(year: Series) -> None:
    days = [date(2026, 2, 17), date(2026, 10, 1), date(2026, 10, 2)]
    made = synthetic_year(REGION, 2026, Weather(), days)
    first = year.first_hour * 4
    holiday = np.array([t.date() in days and 13 <= t.hour < 15 for t in hours_of(year)])
    assert holiday.sum() == 6
    for name, node in REGION.nodes.items():
        tariff = site_tables(REGION, node, first, 8760 * 4).tariff_yuan_kwh.reshape(-1, 4)
        assert (tariff == year.values[Quantity.PRICE][name][:, None]).all()
        found = made.values[Quantity.PRICE][name]
        assert (found[~holiday] == year.values[Quantity.PRICE][name][~holiday]).all()
        assert found[holiday] == pytest.approx(np.full(6, 0.36 * 0.5))


def test_carbon_is_the_grids_factor_and_generation_is_clouded_sunlight(year: Series) -> None:
    for name, node in REGION.nodes.items():
        assert (year.values[Quantity.CARBON][name] == REGION.grids[node.site.grid].factor.value).all()
        if not node.site.power.generation:
            continue
        model = hourly_generation_kw(node.site.power, year.first_hour * 3600, 8760, 8, node.lat, node.lon)
        found = year.values[Quantity.GENERATION][name]
        assert (found[model == 0] == 0).all() and (found <= model * 4 / 3 + 0.001).all()
        assert found.sum() == pytest.approx(model.sum(), rel=0.05)
        days = found.reshape(-1, 24).sum(axis=1) / model.reshape(-1, 24).sum(axis=1)
        assert days.std() == pytest.approx(math.sqrt(3 / 80) / 0.75, abs=0.05)  # of that beta distribution


def test_wind_is_as_modelled_and_sites_may_stand_in_one_place() -> None:
    name = next(n for n, node in REGION.nodes.items() if node.site.power.generation)
    node = REGION.nodes[name]
    wind = tuple(replace(g, kind="wind") for g in node.site.power.generation)
    node = replace(node, site=replace(node.site, power=replace(node.site.power, generation=wind)))
    twin = replace(node, id="twin")
    made = synthetic_year(replace(REGION, nodes={**REGION.nodes, name: node, "twin": twin}), 2026, Weather())
    wanted = hourly_generation_kw(node.site.power, made.first_hour * 3600, 8760, 8, node.lat, node.lon)
    assert made.values[Quantity.GENERATION][name] == pytest.approx(wanted, abs=0.001)
    here, there = (made.values[Quantity.TEMPERATURE][n] for n in (name, "twin"))
    assert np.abs(here - there).max() < 0.05


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_same_seed_gives_the_same_file_which_says_what_it_is(tmp_path: Path, year: Series, suffix: str) -> None:
    one, again, other = (tmp_path / f"{n}{suffix}" for n in "abc")
    remarks = remarks_of(REGION, 2026, Weather(), ())
    write_series(year, one, 8, remarks)
    write_series(synthetic_year(REGION, 2026, Weather()), again, 8, remarks)
    write_series(synthetic_year(REGION, 2026, Weather(seed=2)), other, 8, remarks_of(REGION, 2026, Weather(seed=2), ()))
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()
    read = read_series(one, REGION)
    assert alike(read, year) and read.synthetic
    if suffix == ".csv":
        text = one.read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if not line.startswith("#")][1:]
        assert "synthetic" in text.splitlines()[0].lower() and all("synthetic" in row for row in rows)
        return
    import duckdb

    found = duckdb.sql(f"select key, value from parquet_kv_metadata('{one}')").fetchall()
    said = {bytes(k).decode(): bytes(v).decode() for k, v in found}[PARQUET_KEY]
    assert "Synthetic year 2026" in said and "合成年" in said


def test_a_country_has_a_year_too() -> None:
    made = synthetic_year(NATION, 2027, Weather(seed=5))
    assert set(made.values[Quantity.TEMPERATURE]) == set(NATION.nodes)
    calm = synthetic_year(NATION, 2027, Weather(seed=5, spread_c=0.0))
    names = list(NATION.nodes)
    noise = [made.values[Quantity.TEMPERATURE][n] - calm.values[Quantity.TEMPERATURE][n] for n in names]
    # over a thousand kilometres and more, weather is another
    apart = [abs(NATION.nodes[n].lat - NATION.nodes[names[0]].lat) for n in names]
    assert np.corrcoef(noise[0], noise[int(np.argmax(apart))])[0, 1] < 0.6
