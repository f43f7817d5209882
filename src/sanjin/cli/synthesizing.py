"""``sanjin region series`` and ``sanjin region country``: what is made up, and says so."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.cli.output import Format, data, language, note, text
from sanjin.cli.running import region_file
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.region import Region
from sanjin.regions.load import load_region
from sanjin.regions.series import suffix_of, write_series
from sanjin.regions.synthetic import DEEP_VALLEY, Weather, remarks_of, synthetic_year

FIRST_YEAR, LAST_YEAR = 1971, 2098
MOST_POOLS = 20_000


def series(
    region: Annotated[str, Parameter(help="The document, or the name of one that ships. 区域文档。")] = "shanxi",
    /,
    *,
    to: Annotated[Path, Parameter(help="The file: .csv, .csv.gz or .parquet. 输出文件。")],
    year: Annotated[int, Parameter(help="The year, local time. 年份。")] = 2026,
    seed: Annotated[int, Parameter(help="Of the weather. 天气的随机种子。")] = 1,
    holidays: Annotated[
        tuple[str, ...], Parameter(help="A day, or first/last, at the deep valley's price; repeat. 节假日。")
    ] = (),
    output: Format = "table",
) -> None:
    """Write a synthetic year of hourly prices, carbon, weather and generation. 生成合成年。

    It is made from the region document and chance, and every row says that it is synthetic; sanjin replay --series
    takes it.
    """
    model = load_region(region_file(region))
    days = _check(model, to, year, seed, holidays)
    weather = Weather(seed=seed)
    made = synthetic_year(model, year, weather, days)
    rows = write_series(made, to, model.utc_offset_h, remarks_of(model, year, weather, days))
    sites = len(model.nodes)
    told = {
        "file": str(to),
        "synthetic": made.synthetic,
        "source": made.source,
        "rows": rows,
        "hours": made.hours,
        "sites": sites,
        "made": [
            {"en": en, "zh": zh}
            for en, zh in zip(*(remarks_of(model, year, weather, days, lang) for lang in ("en", "zh")), strict=True)
        ],
    }
    if not data(told, output):
        print(text("cli.series_written", rows=rows, hours=made.hours, sites=sites, path=to))
        for line in remarks_of(model, year, weather, days, language()):
            note(line)


def country(
    *,
    to: Annotated[Path, Parameter(help="The file. 输出文件。")],
    prefectures: Annotated[int, Parameter(help="In all provinces together. 地市总数。")] = 337,
    pools: Annotated[int, Parameter(help="In the whole country. 资源池总数。")] = 3000,
    seed: Annotated[int, Parameter(help="Of all that is drawn. 随机种子。")] = 1,
    output: Format = "table",
) -> None:
    """Write a generated country: hubs, clusters, 31 provinces and prefectures. 生成全国网络。

    Hubs and clusters are those of the region that ships as national; prefectures, machines and prices are drawn and
    stand for none that exists. It is for measuring how cost grows with size.
    """
    from sanjin.regions import country as making
    from sanjin.regions.load import read_region

    faults = [
        problem("too_small", option, value=value, least=least)
        for option, value, least in (
            ("--prefectures", prefectures, making.LEAST_PREFECTURES),
            ("--pools", pools, making.least_pools(prefectures)), ("--seed", seed, 0),
        )
        if value < least
    ]  # fmt: skip
    faults += [
        problem("too_big", option, value=value, most=MOST_POOLS)
        for option, value in (("--prefectures", prefectures), ("--pools", pools))
        if value > MOST_POOLS
    ]
    if faults:
        raise ProblemsFound(faults)
    document = making.country(making.Recipe(prefectures=prefectures, pools=pools, seed=seed))
    made = read_region(document, str(to))
    try:
        to.write_text(document, encoding="utf-8")
    except OSError as fault:
        raise ProblemsFound([problem("unwritable", "--to", value=fault)]) from fault
    sites = [n.site for n in made.nodes.values()]
    cores = sum(p.cores for s in sites for p in s.pools)
    held = sum(len(s.pools) for s in sites)
    if not data({"file": str(to), "generated": True, "nodes": len(sites), "pools": held, "cores": cores}, output):
        print(text("cli.country_written", nodes=len(sites), pools=held, cores=f"{cores:,}", path=to))


def _check(region: Region, to: Path, year: int, seed: int, holidays: tuple[str, ...]) -> list[date]:
    """The days named. Raises ProblemsFound with everything that is wrong."""
    found: list[Problem] = []
    days: set[date] = set()
    try:
        suffix_of(to, "--to")
    except ProblemsFound as fault:
        found += fault.problems
    if year < FIRST_YEAR:
        found.append(problem("too_small", "--year", value=year, least=FIRST_YEAR))
    if year > LAST_YEAR:
        found.append(problem("too_big", "--year", value=year, most=LAST_YEAR))
    if seed < 0:
        found.append(problem("too_small", "--seed", value=seed, least=0))
    for named in holidays:
        try:
            first, last = (date.fromisoformat(part) for part in (named.split("/") * 2)[:2])
            here = [first + timedelta(days=k) for k in range((last - first).days + 1)]
        except ValueError:
            here = []
        if not here:
            found.append(problem("bad_amount", "--holidays", value=named, example="2026-05-01, 2026-10-01/2026-10-07"))
        elif here[0].year != year or here[-1].year != year:
            found.append(problem("other_year", "--holidays", value=named, year=year))
        days.update(here)
    without = [t.id for t in region.tariffs.values() if DEEP_VALLEY not in t.multipliers] if holidays else []
    found += [problem("no_deep_valley", "--holidays", value=name) for name in without]
    if found:
        raise ProblemsFound(found)
    return sorted(days)
