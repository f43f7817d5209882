"""A replay's results as Parquet: a row a job and rule, a row a site and hour, a row a rule or scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sanjin.kernels import tables
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.replay.compare import Figures, Replayed
from sanjin.replay.outcome import MW_S_PER_KWH
from sanjin.replay.workload import Workload

SLOTS_AN_HOUR = HOUR_S // SLOT_S


def write_parquet(
    folder: Path, work: Workload, found: Sequence[Replayed], numbers: Sequence[Figures]
) -> list[Path]:
    """Write ``jobs.parquet``, ``hours.parquet`` and ``rules.parquet`` into ``folder`` (made where it is missing).

    ``numbers`` are those of the rules and, after them, of scenarios. Times are seconds UTC; energy IT load in kWh.
    Raises ProblemsFound where DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise ProblemsFound([problem("no_parquet", "--parquet")]) from None
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with duckdb.connect() as base:
        for name, columns in (
            ("jobs", _jobs(work, found)),
            ("hours", _hours(work, found)),
            ("rules", _rules(numbers)),
        ):
            path = folder / f"{name}.parquet"
            # DuckDB takes texts as objects
            made = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
            base.register("made", made)
            target = str(path).replace("'", "''")
            base.execute(f"copy made to '{target}' (format parquet, compression zstd)")
            written.append(path)
    return written


def _jobs(work: Workload, found: Sequence[Replayed]) -> dict[str, Any]:
    count, sites, pools = len(work), np.array(work.supply.sites), np.array(work.supply.pools)
    parts: list[dict[str, Any]] = []
    for each in found:
        place = each.outcome.place
        ran = place >= 0
        parts.append(
            {
                "rule": np.full(count, each.key),
                "job": np.arange(count),
                "origin": sites[work.origin],
                "arrive_s": work.begin_s + work.trace.arrive_s,
                "cores": work.trace.cores,
                "pool": np.where(ran, pools[place], ""),
                "start_s": np.where(ran, each.outcome.start_s, 0),
                "end_s": np.where(ran, each.outcome.end_s, 0),
                "due_s": work.begin_s + work.due_s,
            }
        )
    return _joined(parts)


def _hours(work: Workload, found: Sequence[Replayed]) -> dict[str, Any]:
    """Core-hours in use and energy of every site and hour until the last run's end."""
    sites, names = len(work.supply.sites), np.array(work.supply.sites)
    parts: list[dict[str, Any]] = []
    for each in found:
        slots = work.supply.slots // SLOTS_AN_HOUR * SLOTS_AN_HOUR
        energy = each.account.energy_mws[:, :slots].reshape(sites, -1, SLOTS_AN_HOUR).sum(axis=2)
        cores = np.zeros_like(energy)
        by_pool = each.account.core_s[:, :slots].reshape(len(work.pool), -1, SLOTS_AN_HOUR).sum(axis=2)
        np.add.at(cores, work.pool[:, tables.SITE], by_pool)
        last = int(np.flatnonzero(energy.any(axis=0))[-1]) + 1 if energy.any() else 0
        at_site, hour = (a.ravel() for a in np.meshgrid(np.arange(sites), np.arange(last), indexing="ij"))
        parts.append(
            {
                "rule": np.full(len(hour), each.key),
                "site": names[at_site],
                "begin_s": work.begin_s + hour * HOUR_S,
                "core_hours": cores[at_site, hour] / HOUR_S,
                "it_kwh": energy[at_site, hour] / MW_S_PER_KWH,
            }
        )
    return _joined(parts)


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rules(numbers: Sequence[Figures]) -> dict[str, Any]:
    plain = ("rule", "digest", "jobs", "ran", "total_yuan", "billed_yuan", "it_kwh", "facility_kwh", "pue", "carbon_kg")
    plain += ("moved_gb", "lost_runs", "lost_core_h", "moves", "stops", "made_room", "fairness", "late_share")
    plain += ("saved_share",)
    columns: dict[str, Any] = {name: [getattr(n, name) for n in numbers] for name in plain}
    for name in ("wait_s", "bounded_slowdown", "terms_yuan"):
        for part in getattr(numbers[0], name):
            columns[f"{name}_{part}"] = [getattr(n, name)[part] for n in numbers]
    # what is not known is not a number there
    return {n: np.array([np.nan if v is None else v for v in values]) for n, values in columns.items()}
