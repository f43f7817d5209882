"""Aggregate a table with DuckDB: rows, sum, mean and 95th percentile of a measure, a group each.

Reads Parquet or CSV in place. The sums are exact integers, so another tool must agree to the unit.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from sanjin.examples import common


@dataclass(frozen=True, slots=True)
class Table:
    """Where a dataset keeps its rows, and what to group and to sum."""

    file: str
    group: str
    measure: str
    windows: int
    """Windows the year is cut into by default: fewer where a read is slow, as of CSV."""


TABLES = {
    "parcels-2026": Table("parcels.parquet", "origin", "fee_fen", 100),
    "hospital-visits": Table("visits.parquet", "department", "stay_h", 150),
    "coal-face-video-index": Table("clips.csv", "face", "length_s", 16),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One line of the answer."""

    group: str
    rows: int
    total: int
    mean: float
    p95: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All groups, and rows and total over them."""

    dataset: str
    measure: str
    rows: int
    total: int
    groups: tuple[Group, ...]


def run(folder: Path, dataset: str, *, seed: int = 2026, size: int = 0) -> Result:
    """Aggregate the rows of ``dataset`` in ``folder``, in ``size`` windows (0: the table's own).

    Each window is its own query over the file, as a report by period would ask; ``seed`` picks
    where the year is cut, which must not change the sums.
    """
    table = TABLES[dataset]
    source = str(folder / table.file).replace("'", "''")
    reader = "read_parquet" if table.file.endswith(".parquet") else "read_csv"
    windows = max(1, min(size or table.windows, 365))
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            f"CREATE TABLE parts AS SELECT day, {table.group} AS name, {table.measure} AS value "
            f"FROM {reader}('{source}') LIMIT 0"
        )
        for number in range(windows):
            connection.execute(
                f"INSERT INTO parts SELECT day, {table.group}, {table.measure} FROM {reader}('{source}') "
                f"WHERE (day + {seed % 365}) % {windows} = {number}"
            )
        found = connection.execute(
            "SELECT name, count(*), sum(value)::BIGINT, avg(value), quantile_disc(value, 0.95)::BIGINT "
            "FROM parts GROUP BY name ORDER BY name"
        ).fetchall()
    groups = tuple(
        Group(group=name, rows=rows, total=total, mean=mean, p95=p95)
        for name, rows, total, mean, p95 in found
    )
    return Result(
        dataset=dataset,
        measure=table.measure,
        rows=sum(g.rows for g in groups),
        total=sum(g.total for g in groups),
        groups=groups,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=0, size_help="windows the year is cut into, 0: usual")
    options.add_argument("--dataset", choices=sorted(TABLES), default="parcels-2026")
    chosen = options.parse_args(argv)
    result = run(common.dataset(chosen.dataset), chosen.dataset, seed=chosen.seed, size=chosen.size)
    with (common.outputs() / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("group", "rows", "total", "mean", "p95"))
        rows.writerows((g.group, g.rows, g.total, f"{g.mean:.3f}", g.p95) for g in result.groups)
    line = f"{result.measure} total {result.total} over {result.rows} rows in {len(result.groups)} groups"
    common.finish("aggregate", asdict(result), f"{line} of {result.dataset}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
