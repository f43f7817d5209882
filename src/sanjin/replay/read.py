"""Reading traces: Standard Workload Format (plain or gz), CSV and Parquet.

SWF is the format of the Parallel Workloads Archive (Chapin et al., 1999; www.cs.huji.ac.il/labs/parallel/
workload/swf.html): 18 numbers a line, -1 for what is not known, and a header of comments.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.units import HOUR_S
from sanjin.replay.trace import Ints, Remark, Trace, tidy

FIELDS = 18
"""Numbers in a line of SWF."""

FAULTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table is what; ``unit_s`` are the seconds of its unit of time."""

    arrival: str
    run: str
    cores: str
    asked: str = ""
    cards: str = ""
    user: str = ""
    queue: str = ""
    waited: str = ""
    stoppable: str = ""
    stop_cost: str = ""
    unit_s: float = 1.0


KNOWN = (
    Columns("arrival_time", "length", "cpus", unit_s=HOUR_S),
    Columns(
        "arrive_s", "run_s", "cores", "asked_s", "cards", "user", "queue", "waited_s", "stoppable", "stop_cost_s"
    ),
)
"""Tables that are known by their columns: the GAIA artifact's, and our own."""


def read_trace(path: Path, columns: Columns | None = None) -> Trace:
    """The trace in a file, by its suffix: .swf, .swf.gz, .csv, .csv.gz or .parquet.

    Raises ProblemsFound with file, line and what to do where it is none of these or cannot be read.
    """
    name = path.name.lower()
    if name.endswith((".swf", ".swf.gz")):
        return tidy(_swf(path))
    if name.endswith((".csv", ".csv.gz")):
        return tidy(_table(path, columns, *_csv(path)))
    if name.endswith(".parquet"):
        return tidy(_table(path, columns, *_parquet(path)))
    raise ProblemsFound([_fault("trace_kind", path, 1, value=path.name)])


def _fault(code: str, path: Path, line: int, **values: object) -> Problem:
    return replace(problem(code, "", **values), file=str(path), line=line)


def _text(path: Path) -> str:
    try:
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            return file.read()
    except (OSError, EOFError) as fault:
        raise ProblemsFound([_fault("unreadable", path, 1, value=fault)]) from fault


# -- SWF


def _swf(path: Path) -> Trace:
    lines = _text(path).splitlines()
    header = [line.lstrip("; \t") for line in lines if line.startswith(";")]
    rows = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith(";")]
    if not rows:
        raise ProblemsFound([_fault("trace_empty", path, 1)])
    try:
        table = np.loadtxt(io.StringIO("\n".join(line for _, line in rows)), ndmin=2)
        wrong = 0 if not len(table) or table.shape[1] == FIELDS else len(rows)
    except ValueError:
        table, wrong = np.zeros((0, FIELDS)), len(rows)
    if wrong:
        table, faults = _row_by_row(path, rows)
        if not len(table):
            raise ProblemsFound(faults or [_fault("trace_empty", path, 1)])
        wrong = len(rows) - len(table)
    column: list[Ints] = [c.astype(np.int64) for c in table.T]
    used, asked = column[4], column[7]
    return Trace(
        name=path.name,
        arrive_s=column[1],
        waited_s=np.where(column[2] >= 0, column[2], -1),
        run_s=column[3],
        cores=np.where(asked > 0, asked, used),
        asked_s=column[8],
        cards=np.zeros(len(table), np.int64),
        user=column[11],
        queue=column[14],
        begin_s=_header_number(header, "UnixStartTime"),
        # a log that states only nodes has one processor a node
        machine_cores=_header_number(header, "MaxProcs") or _header_number(header, "MaxNodes"),
        remarks=(Remark("bad_line", wrong),) if wrong else (),
    )


def _row_by_row(path: Path, rows: list[tuple[int, str]]) -> tuple[NDArray[np.float64], list[Problem]]:
    """The lines that are 18 numbers, and what is wrong with the others."""
    good: list[list[float]] = []
    faults: list[Problem] = []
    for number, line in rows:
        parts = line.split()
        try:
            values = [float(p) for p in parts]
        except ValueError:
            values = []
        if len(values) == FIELDS and all(np.isfinite(values)):
            good.append(values)
        elif len(faults) < FAULTS_SHOWN:
            faults.append(_fault("swf_line", path, number, value=line[:60]))
    return np.array(good, float).reshape(len(good), FIELDS), faults


def _header_number(header: list[str], key: str) -> int:
    for line in header:
        name, _, value = line.partition(":")
        if name.strip() == key and value.strip().isdigit():
            return int(value)
    return 0


# -- tables


def _csv(path: Path) -> tuple[list[str], Mapping[str, NDArray[np.float64]]]:
    text = _text(path)
    first, _, rest = text.partition("\n")
    names = [n.strip().strip('"') for n in first.split(",")]
    if not rest.strip():
        return names, {n: np.zeros(0) for n in names}
    try:
        table = np.loadtxt(io.StringIO(rest), delimiter=",", ndmin=2, quotechar='"')
    except ValueError as fault:
        raise ProblemsFound([_fault("not_numbers", path, 2, value=fault)]) from fault
    if len(table) and table.shape[1] != len(names):
        raise ProblemsFound([_fault("not_numbers", path, 2, value=f"{len(names)} names, {table.shape[1]} columns")])
    return names, {n: table[:, i] for i, n in enumerate(names)}


def _parquet(path: Path) -> tuple[list[str], Mapping[str, NDArray[np.float64]]]:
    try:
        import duckdb
    except ImportError as fault:
        raise ProblemsFound([_fault("no_parquet", path, 1)]) from fault
    try:
        found: Any = duckdb.from_parquet(str(path)).fetchnumpy()
    except duckdb.Error as fault:
        raise ProblemsFound([_fault("unreadable", path, 1, value=fault)]) from fault
    return list(found), found


def _table(
    path: Path, columns: Columns | None, names: list[str], table: Mapping[str, NDArray[np.float64]]
) -> Trace:
    if columns is None:
        columns = next((k for k in KNOWN if {k.arrival, k.run, k.cores} <= set(names)), None)
    if columns is None:
        raise ProblemsFound([_fault("trace_columns", path, 1, value=", ".join(names))])
    given = {f: getattr(columns, f) for f in Columns.__slots__ if f != "unit_s"}
    needed = ("arrival", "run", "cores") if columns in KNOWN else tuple(given)
    missing = [given[f] for f in needed if given[f] and given[f] not in names]
    if missing:
        raise ProblemsFound([_fault("missing_column", path, 1, value=n) for n in missing])
    count = len(table[columns.arrival])
    if not count:
        raise ProblemsFound([_fault("trace_empty", path, 1)])

    def column(name: str, usual: int, scale: float = 1.0) -> Ints:
        if not name or name not in names:
            return np.full(count, usual, np.int64)
        values = np.asarray(table[name], float) * scale
        return np.where(np.isfinite(values), np.rint(values), usual).astype(np.int64)

    unit = columns.unit_s
    run = np.asarray(table[columns.run], float) * unit
    return Trace(
        name=path.name,
        arrive_s=column(columns.arrival, -1, unit),
        # what ran for less than a second ran for one
        run_s=np.where(run > 0, np.maximum(np.rint(run), 1), 0).astype(np.int64),
        asked_s=column(columns.asked, 0, unit),
        cores=np.ceil(np.asarray(table[columns.cores], float)).astype(np.int64),
        cards=column(columns.cards, 0),
        user=column(columns.user, -1),
        queue=column(columns.queue, -1),
        waited_s=column(columns.waited, -1, unit),
        stoppable=np.clip(column(columns.stoppable, -1), -1, 1),
        stop_cost_s=np.maximum(column(columns.stop_cost, -1, unit), -1),
    )
