"""Files of hourly series: CSV (.csv, .csv.gz) and Parquet, read with everything that is wrong with them, and written.

::

    hour,site,price_yuan_kwh,carbon_kg_kwh,temperature_c,generation_kw,source
    2026-01-01T00:00+08:00,taiyuan,0.31,,-6.2,,spot market

A row is a site's figures of one hour. ``hour`` is its begin: ISO 8601 (local to the region where it has no offset) or
seconds since 1970. ``site`` is a node, or ``*`` (also where the column is left out) for all that have no figure of
their own. An empty figure is not known: the region's model holds. ``source`` says where a row comes from, and begins
with ``synthetic`` where it was made by a model. In CSV, lines that begin with ``#`` are for people.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanjin.model.calendar import Ints
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.region import Region
from sanjin.model.series import ALL_SITES, SYNTHETIC, Floats, Quantity, Series
from sanjin.model.units import HOUR_S

SUFFIXES = (".csv", ".csv.gz", ".parquet")
HOUR, SITE, SOURCE = "hour", "site", "source"
COLUMNS: tuple[str, ...] = (HOUR, SITE, *Quantity, SOURCE)

LIMITS = {
    Quantity.PRICE: (-10.0, 50.0),
    Quantity.CARBON: (0.0, 5.0),
    Quantity.TEMPERATURE: (-80.0, 60.0),
    Quantity.GENERATION: (0.0, 1e7),
}
"""What can be meant: beyond, the unit is another one (yuan a MWh, grams, kelvin, W). Prices of spot markets fall
below nothing."""

MOST_SHOWN = 50
"""Faults of one file that are listed; of others the number is said."""

END_S = 4_102_444_800
"""2100: what comes later is no time (milliseconds, perhaps)."""

PARQUET_KEY = "sanjin_series"
"""Key of the remarks in the metadata of a Parquet file."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The cells of a file as text, by column; ``lines`` is where each row stands."""

    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]


class _Faults:
    """What is wrong in a file, by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[tuple[int, str, str, dict[str, object]]] = []

    def add(self, line: int, code: str, column: str, **values: object) -> None:
        self.found.append((line, code, column, values))

    def settle(self) -> None:
        """Raise ProblemsFound where there are any: the first, and how many more."""
        if not self.found:
            return
        self.found.sort(key=lambda f: f[0])
        shown, rest = self.found[:MOST_SHOWN], self.found[MOST_SHOWN:]
        if rest:
            shown.append((rest[0][0], "more_faults", "", {"value": len(rest)}))
        raise ProblemsFound([self._problem(*fault) for fault in shown])

    def _problem(self, line: int, code: str, column: str, values: dict[str, object]) -> Problem:
        return replace(problem(code, column, **values), file=str(self.path), line=line)


def read_series(path: Path, region: Region) -> Series:
    """The series in a file. Raises ProblemsFound with all that is wrong, also where it cannot be read."""
    faults = _Faults(path)
    table = _read(path, faults)
    if not _columns_are_sound(table, faults):
        faults.settle()
    sites = (*region.nodes, ALL_SITES)
    count = len(table.lines)
    hour = _hours(table, region.utc_offset_h, faults)
    index = {name: i for i, name in enumerate(sites)}
    names = table.columns.get(SITE, [ALL_SITES] * count)
    site = np.array([index.get(name, -1) for name in names], np.int64)
    for i in _where(site < 0):
        faults.add(table.lines[i], "unknown_node", SITE, value=names[i], known=", ".join(sites))
    figures = {q: _figures(table, q, faults) for q in Quantity if q in table.columns}
    _check_twice(table, hour, site, faults)
    _check_generation(table, region, sites, site, figures, faults)
    faults.settle()
    first, last = int(hour.min()), int(hour.max())
    found: dict[Quantity, dict[str, Floats]] = {}
    for quantity, values in figures.items():
        found[quantity] = {}
        for s in np.unique(site[~np.isnan(values)]):
            mine = site == s
            by_hour = np.full(last - first + 1, np.nan)
            by_hour[hour[mine] - first] = values[mine]
            found[quantity][sites[int(s)]] = by_hour
    sources = list(dict.fromkeys(filter(None, table.columns.get(SOURCE, ()))))
    return Series(
        name=path.name,
        source="; ".join(sources[:5]),
        synthetic=any(source.lower().startswith(SYNTHETIC) for source in sources),
        first_hour=first,
        hours=last - first + 1,
        values=found,
    )


def suffix_of(path: Path, option: str = "") -> str:
    """Which of :data:`SUFFIXES` a file has. Raises ProblemsFound for another."""
    found = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    if not found:
        raise ProblemsFound([problem("series_kind", option, value=path.name)])
    return found


def _read(path: Path, faults: _Faults) -> _Table:
    names, rows, lines = (_parquet if suffix_of(path) == ".parquet" else _csv)(path)
    right = [len(row) == len(names) for row in rows]
    for row, line, fits in zip(rows, lines, right, strict=True):
        if not fits:
            faults.add(line, "row_width", "", value=len(row), count=len(names))
    kept = [row for row, fits in zip(rows, right, strict=True) if fits]
    cells: list[Sequence[str]] = [*zip(*kept, strict=True)] if kept else [()] * len(names)
    for name in {n for n in names if names.count(n) > 1}:
        faults.add(lines[0] if lines else 1, "column_twice", name, value=name)
    lines = [line for line, fits in zip(lines, right, strict=True) if fits]
    return _Table(dict(zip(names, cells, strict=True)), lines)


def _csv(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Names, rows and their lines."""
    try:
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = [(n, line) for n, line in enumerate(file, 1) if line.strip() and not line.startswith("#")]
        rows = [[cell.strip() for cell in row] for row in csv.reader(line for _, line in lines)]
    except (OSError, EOFError, UnicodeError, csv.Error) as fault:
        raise ProblemsFound([replace(problem("unreadable", "", value=fault), file=str(path), line=1)]) from fault
    if not rows:
        return [], [], []
    return rows[0], rows[1:], [n for n, _ in lines[1:]]


def _parquet(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The same of a Parquet file, whose lines are its rows."""
    try:
        import duckdb
    except ImportError as fault:
        raise ProblemsFound([replace(problem("no_parquet", ""), file=str(path), line=1)]) from fault
    try:
        table: Any = duckdb.from_parquet(str(path))
        quoted = {name: '"' + name.replace('"', '""') + '"' for name in table.columns}
        # of an instant the seconds since 1970, which need no time zone
        cells = [
            f"epoch({q})::varchar" if str(kind) == "TIMESTAMP WITH TIME ZONE" else f"{q}::varchar"
            for q, kind in zip(quoted.values(), table.types, strict=True)
        ]
        rows = [["" if v is None else v for v in row] for row in table.project(", ".join(cells)).fetchall()]
    except duckdb.Error as fault:
        raise ProblemsFound([replace(problem("unreadable", "", value=fault), file=str(path), line=1)]) from fault
    return list(quoted), rows, list(range(1, len(rows) + 1))


def _columns_are_sound(table: _Table, faults: _Faults) -> bool:
    """Whether the columns are those of a series, with a row at least, so that rows can be looked at."""
    before, names = len(faults.found), list(table.columns)
    for name in names:
        if name not in COLUMNS:
            faults.add(1, "series_column", name, value=name, known=", ".join(COLUMNS))
    if HOUR not in names or not any(q in names for q in Quantity):
        faults.add(1, "series_columns", "", value=", ".join(names), known=", ".join(Quantity))
    elif not table.lines and not faults.found:
        faults.add(1, "series_empty", "")
    return len(faults.found) == before and bool(table.lines)


def _hours(table: _Table, utc_offset_h: int, faults: _Faults) -> Ints:
    """Hours since 1970 of all rows; -1 where one cannot be read."""
    texts = table.columns[HOUR]
    known = {text: _instant(text, utc_offset_h) for text in set(texts)}
    found = np.full(len(texts), -1, np.int64)
    for i, text in enumerate(texts):
        at_s = known[text]
        if at_s is None:
            faults.add(table.lines[i], "bad_amount", HOUR, value=repr(text), example="2026-07-15T18:00")
        elif at_s % HOUR_S:
            faults.add(table.lines[i], "not_on_the_hour", HOUR, value=text)
        else:
            found[i] = int(at_s) // HOUR_S
    return found


def _instant(text: str, utc_offset_h: int) -> float | None:
    """Seconds UTC, or None where the text says no time from 1970 to 2100."""
    try:
        at_s = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
            at_s = (at if at.tzinfo else at.replace(tzinfo=timezone(timedelta(hours=utc_offset_h)))).timestamp()
        except (ValueError, OverflowError):
            return None
    return at_s if 0 <= at_s < END_S else None


def _figures(table: _Table, quantity: Quantity, faults: _Faults) -> Floats:
    """One column as numbers, NaN where nothing is said."""
    texts = table.columns[quantity]
    found = np.array([_number(text) for text in texts], np.float64)
    least, most = LIMITS[quantity]
    for i in _where(np.isinf(found)):
        faults.add(table.lines[i], "bad_amount", quantity, value=repr(texts[i]), example="0.5")
    for i in _where((found < least) & np.isfinite(found)):
        faults.add(table.lines[i], "too_small", quantity, value=texts[i], least=f"{least:g}")
    for i in _where((found > most) & np.isfinite(found)):
        faults.add(table.lines[i], "too_big", quantity, value=texts[i], most=f"{most:g}")
    return found


def _where(marked: NDArray[np.bool_]) -> list[int]:
    """Which rows are marked."""
    return [int(i) for i in np.flatnonzero(marked)]


def _number(text: str) -> float:
    """A cell's number: NaN where it is empty, infinite where it is none."""
    try:
        found = float(text) if text else math.nan
    except ValueError:
        return math.inf
    return found if math.isfinite(found) or not text else math.inf


def _check_twice(table: _Table, hour: Ints, site: Ints, faults: _Faults) -> None:
    """No hour of a site stands twice."""
    known = np.flatnonzero((site >= 0) & (hour >= 0))
    first: Ints = np.unique(np.stack([hour[known], site[known]]), axis=1, return_index=True)[1]
    again = np.zeros(len(site), bool)
    again[known] = True
    again[known[first]] = False
    names = table.columns.get(SITE)
    for i in _where(again):
        value = f"{table.columns[HOUR][i]} {names[i] if names else ALL_SITES}"
        faults.add(table.lines[i], "series_twice", HOUR, value=value)


def _check_generation(
    table: _Table,
    region: Region,
    sites: Sequence[str],
    site: Ints,
    figures: Mapping[Quantity, Floats],
    faults: _Faults,
) -> None:
    """Generation has its price in the region document: no site may have it that has none there."""
    values = figures.get(Quantity.GENERATION)
    if values is None:
        return
    given = (values > 0) & (site >= 0)
    for s in np.unique(site[given]):
        name = sites[int(s)]
        if name != ALL_SITES and not region.nodes[name].site.power.generation:
            line = table.lines[_where(given & (site == s))[0]]
            faults.add(line, "no_generation", Quantity.GENERATION, value=name)


def write_series(series: Series, path: Path, utc_offset_h: int, remarks: Iterable[str]) -> int:
    """Write a series as :func:`read_series` reads it; how many rows. ``remarks`` say how it was made.

    They stand in the first lines of CSV, and in the metadata of Parquet. Raises ProblemsFound.
    """
    rows = _rows(series, utc_offset_h)
    suffix = suffix_of(path, "--to")
    head = [f"# {line}\n" for remark in remarks for line in remark.splitlines()]
    try:
        if suffix == ".parquet":
            _write_parquet(rows, path, "".join(head))
        else:
            text = io.StringIO("".join(head))
            text.seek(0, io.SEEK_END)
            csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
            body = text.getvalue().encode()
            path.write_bytes(gzip.compress(body, mtime=0) if suffix == ".csv.gz" else body)
    except OSError as fault:
        raise ProblemsFound([problem("unwritable", "--to", value=fault)]) from fault
    return len(rows)


def _rows(series: Series, utc_offset_h: int) -> list[tuple[str, ...]]:
    """Rows of :data:`COLUMNS` as text, site by site."""
    zone = timezone(timedelta(hours=utc_offset_h))
    starts = [(series.first_hour + k) * HOUR_S for k in range(series.hours)]
    hours = [datetime.fromtimestamp(at_s, UTC).astimezone(zone).isoformat(timespec="minutes") for at_s in starts]
    empty = [""] * series.hours
    rows: list[tuple[str, ...]] = []
    for site in dict.fromkeys(name for by_site in series.values.values() for name in by_site):
        figures = [series.values.get(q, {}).get(site) for q in Quantity]
        texts = [empty if f is None else ["" if v != v else repr(v) for v in f.tolist()] for f in figures]
        rows += zip(hours, [site] * series.hours, *texts, [series.source] * series.hours, strict=True)
    return rows


def _write_parquet(rows: Sequence[tuple[str, ...]], path: Path, remarks: str) -> None:
    try:
        import duckdb
    except ImportError as fault:
        raise ProblemsFound([problem("no_parquet", "--to")]) from fault
    cells: dict[str, Sequence[str]] = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    made: dict[str, Any] = {name: np.array(cells[name], object) for name in (SITE, SOURCE)}
    made[HOUR] = np.array([round(datetime.fromisoformat(text).timestamp()) for text in cells[HOUR]], np.int64)
    made |= {q.value: np.array([_number(text) for text in cells[q]], np.float64) for q in Quantity}
    figures = ", ".join(f"case when isnan({q}) then null else {q} end as {q}" for q in Quantity)
    target, text = (word.replace("'", "''") for word in (str(path), remarks))
    with duckdb.connect(config={"threads": 1}) as base:  # so that the same series gives the same file
        base.register("made", made)
        try:
            base.execute(
                f"copy (select to_timestamp({HOUR}) as {HOUR}, {SITE}, {figures}, {SOURCE} from made) "  # noqa: S608
                f"to '{target}' (format parquet, compression zstd, kv_metadata {{{PARQUET_KEY}: '{text}'}})"
            )
        except duckdb.Error as fault:
            raise OSError(str(fault)) from fault
