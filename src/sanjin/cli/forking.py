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
from sanjin.regions.load import load_region
from sanjin.regions.policy import applied

if TYPE_CHECKING:
    from sanjin.model.region import Region
    from sanjin.replay.recorded import Placing


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


def _said(placing: Placing | None, offset: int) -> str:
    return f"{placing.site}/{placing.pool} {at(placing.start_s, offset)}" if placing else "-"
