"""``sanjin prices``: what scarce capacity is worth, learnt from the work that came; see and use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.output import Format, State, at, data, note, table, text
from sanjin.model.errors import NotFound
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.regions.load import load_region
from sanjin.tree.job_list import owned


def learn(
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Show the prices; keep nothing. 试算。")] = False,
    rounds: Annotated[int, Parameter(help="Rounds of the ascent; more is nearer the best. 轮数。")] = 80,
    state: State = None,
    output: Format = "table",
) -> None:
    """Learn the prices of scarce capacity from the last seven days of work. 学习稀缺价格。

    They are used from the next ``sanjin up`` on; the region may be up meanwhile.
    """
    from sanjin.flow.learn import WEEK_S
    from sanjin.flow.learn import learn as learn_from

    folder = StateFolder(state or default_folder())
    region = load_region(folder.region_document())
    records = kept_records(folder.path, region)
    if not records:
        raise NotFound(f"{folder.path}: no job was ever submitted here; there is nothing to learn from")
    until_s = max(r.submitted_s for r in records)
    recent = sum(r.submitted_s > until_s - WEEK_S for r in records)
    note(text("cli.learning", count=recent))
    found = learn_from(region, records, until_s, rounds=rounds, threads=os.cpu_count() or 1)
    if not dry_run:
        folder.keep_scarcity(msgspec.json.encode(found))
    if not data(found, output):
        _print(found, region)
        note(text("cli.dry_run_prices" if dry_run else "cli.prices_kept"))


def show(*, state: State = None, output: Format = "table") -> None:
    """Show the prices of scarce capacity that the region uses. 查看稀缺价格。"""
    folder = StateFolder(state or default_folder())
    found = folder.scarcity()
    if found is None:
        raise NotFound(f"{folder.path}: no prices of scarcity were learnt; see: sanjin prices learn")
    if not data(found, output):
        _print(found, load_region(folder.region_document()))


def kept_records(folder: Path, region: Region) -> list[JobRecord]:
    """Every job that was ever submitted to the region whose state is in ``folder``."""
    found: list[JobRecord] = []
    for name in region.nodes:
        store = SqliteStore(folder / name / "state.db")
        found += owned(store)
        store.close()
    return found


def _print(found: Scarcity, region: Region) -> None:
    rows: list[list[object]] = []
    for unit, prices in (("unit.core_h", found.core), ("unit.card_h", found.card), ("unit.kwh", found.power)):
        for name, week in prices.items():
            busy = sum(v > 0 for v in week)
            rows.append([name, text(unit), busy, f"{sum(week) / len(week):.5f}", f"{max(week):.5f}"])
    if rows:
        table([f"head.{h}" for h in ("pool", "yuan_per", "hours_scarce", "mean", "most")], rows, left=(0, 1))
    else:
        print(text("cli.nothing_scarce"))
    until = at(found.until_s, region.utc_offset_h)
    note(text("cli.learnt", count=found.jobs, at=until, bound=f"{found.bound_yuan:.2f}"))
    note(text("cli.no_error") if found.error is None else text("cli.error", error=f"{found.error:.0%}"))
