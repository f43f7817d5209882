"""Replays that begin with a state folder: what a region did, done again, and what would become of it from now on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore, snapshot
from sanjin.cli.output import Format, at, data, note, sentence, table, text
from sanjin.cli.policies import kept_policy
from sanjin.cli.replaying import MADE
from sanjin.model.job import JobState
from sanjin.model.units import HOUR_S
from sanjin.regions.load import load_region
from sanjin.regions.policy import applied, load_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sanjin.model.region import Region
    from sanjin.replay.fork import Became
    from sanjin.replay.generate import Recipe
    from sanjin.replay.recorded import Placing
    from sanjin.replay.workload import Rule

NO_TRACE = "none"


@contextmanager
def copied(folder: StateFolder, region: Region) -> Generator[dict[str, SqliteStore]]:
    """Copies of all nodes' stores, for as long as they are needed; the originals are only read."""
    with tempfile.TemporaryDirectory(prefix="sanjin-replay-") as made:
        stores: dict[str, SqliteStore] = {}
        try:
            for name in region.nodes:
                snapshot(folder.path / name / "state.db", Path(made) / name / "state.db")
                stores[name] = SqliteStore(Path(made) / name / "state.db")
            yield stores
        finally:
            for store in stores.values():
                store.close()


def rate_of(folder: StateFolder) -> float:
    """How much faster than the wall the clock of this state runs."""
    path = folder.path / "clock.json"
    return float(json.loads(path.read_text())["rate"]) if path.exists() else 1.0


def recorded(state: Path, output: Format) -> int:
    """What the region of this folder did, asked again of live nodes on a virtual clock; 1 where any differs."""
    from sanjin.replay.recorded import compare, read, replay_recorded

    folder = StateFolder(state)
    policy, region = kept_policy(folder), load_region(folder.region_document())
    region = applied(region, policy)
    with copied(folder, region) as stores:
        then = read(stores)
    # learnt on the way, prices were others before: the file has the last
    scarcity = None if then.priced else folder.scarcity()
    rate = rate_of(folder)
    found = compare(then, replay_recorded(then, region, policy, rate, scarcity), region, rate)
    if not data(found, output):
        offset = region.utc_offset_h
        print(sentence("cli.recorded", jobs=found.jobs, same=found.same, second=found.same_second))
        if found.others:
            rows = [
                [o.job, _said(o.recorded, offset), _said(o.replayed, offset), "x" if o.overtaken else ""]
                for o in found.others
            ]
            table(("head.job", "head.recorded", "head.replayed", "head.overtaken"), rows, left=(0, 1, 2, 3))
        if found.restarts or found.priced:
            note(text("cli.recorded_not", restarts=found.restarts, priced=found.priced))
        note(sentence("cli.recorded_how"))
    return 0 if not found.others else 1


def forked(state: Path, trace: str, made: Recipe, rule: Rule, policy_file: Path | None, output: Format) -> int:
    """What becomes of the region's work from now on, a trace (``made``: a generated one; ``none``) on top of it, under
    another policy where one is given."""
    from dataclasses import replace

    from rich.progress import Progress

    from sanjin.replay.fork import fork, last_s, with_payer
    from sanjin.replay.generate import generate
    from sanjin.replay.read import read_trace
    from sanjin.replay.through_node import in_whole_fen
    from sanjin.replay.workload import slots_of, workload

    folder = StateFolder(state)
    policy = load_policy(policy_file) if policy_file else kept_policy(folder)
    region = applied(load_region(folder.region_document()), policy)
    data_at = {n: _datasets(folder.path / n / "data") for n in region.nodes}
    with copied(folder, region) as stores, Progress(transient=True) as bar:
        work = None
        if trace != NO_TRACE:
            found = generate(made) if trace == MADE else read_trace(Path(trace))
            rule = replace(rule, begin_s=last_s(stores))
            work = in_whole_fen(workload(with_payer(region), found, rule, slots_of(found, rule)))
        task = bar.add_task("", total=len(work) if work else 0)
        became = fork(
            stores, region, policy, work, data_at, rate_of(folder), folder.scarcity(),
            lambda n: bar.update(task, completed=n),
        )  # fmt: skip
    if not data(became, output):
        offset = region.utc_offset_h
        print(sentence("cli.forked", begin=at(became.begin_s, offset, year=True), end=at(became.end_s, offset)))
        rows = [_group(word, jobs) for word, jobs in (("there", became.there), ("came", became.came)) if jobs]
        heads = ("of", "jobs", "ended_well", "had_place", "as_placed", "wait_h", "billed")
        if rows:
            table([f"head.{h}" for h in heads], rows)
        if became.refused:
            note(text("cli.forked_refused", count=became.refused))
        note(sentence("cli.forked_how"))
    return 0


def _datasets(folder: Path) -> frozenset[str]:
    """Datasets that a site's folder holds."""
    return frozenset(p.parent.name for p in folder.glob("[!.]*/MANIFEST.json"))


def _group(word: str, jobs: Sequence[Became]) -> list[object]:
    ran = [b for b in jobs if b.start_s]
    waits = [b.start_s - b.submitted_s for b in ran]
    return [
        text(f"head.{word}"),
        len(jobs),
        sum(b.after is JobState.SUCCEEDED for b in jobs),
        sum(b.place is not None for b in jobs),
        sum(b.as_placed for b in jobs),
        f"{sum(waits) / len(waits) / HOUR_S:.2f}" if waits else "-",
        f"{sum(b.fen for b in jobs) / 100:,.2f}",
    ]


def _said(placing: Placing | None, offset: int) -> str:
    return f"{placing.site}/{placing.pool} {at(placing.start_s, offset)}" if placing else "-"
