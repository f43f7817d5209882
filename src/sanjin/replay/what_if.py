"""``python -m sanjin.replay.what_if STATE-FOLDER``: what would become of a running region's work in a changed world.

The question is a line of JSON (:class:`~sanjin.model.what_if.WhatIf`) on standard input. Each line on standard output
is a JSON object: ``{"progress": 0.25}`` on the way, and in the end ``{"begin_s", "as_is", "changed"}`` or
``{"fault"}``.
The process ends when its standard input does, so that it does not outlive who asked.

The state folder is only read: stores are copied as all are at one instant, for which commits wait some milliseconds.
The region's own nodes go on from two such copies on virtual clocks, to the end of all work, once in the world as it is
and once in the changed one (:func:`sanjin.replay.fork.go_on`). Work that would still come is not guessed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore, snapshots
from sanjin.flow.supply import PriceBook, Until
from sanjin.model.errors import SanjinError
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.model.what_if import Timeline, WhatIf
from sanjin.ports import Store
from sanjin.regions.load import read_region
from sanjin.regions.policy import applied, load_policy
from sanjin.regions.what_if import changed
from sanjin.replay.fork import go_on, last_s
from sanjin.replay.living import Down
from sanjin.tree.timeline import timeline

JOBS_SHOWN = 20_000
NICE = 10
"""The region's own work goes first."""

STEPS = 200
"""Progress is told so often at most."""


@dataclass(frozen=True, slots=True)
class Became:
    """What came of the work in both worlds."""

    begin_s: int
    as_is: Timeline
    changed: Timeline


@dataclass(frozen=True, slots=True)
class _World:
    """One of the two."""

    region: Region
    book: PriceBook
    down: tuple[Down, ...] = ()


def what_if(folder: StateFolder, change: WhatIf, tell: Callable[[float], None] = lambda _: None) -> Became:
    """Let the region of ``folder``, which may be up, go on in both worlds from now. ``tell`` hears the share of the
    work that is over. Raises SanjinError."""
    document = folder.region_document()
    text, kept = document.read_text(encoding="utf-8"), folder.policy_document()
    policy = load_policy(kept) if kept else Policy()
    now = read_region(text, str(document))
    then = applied(changed(text, str(document), now, change), policy)
    now = applied(now, policy)
    with tempfile.TemporaryDirectory(prefix="sanjin-what-if-") as made:
        first, second = Path(made) / "as-is", Path(made) / "changed"
        snapshots({folder.path / n / "state.db": first / n / "state.db" for n in now.nodes})
        shutil.copytree(first, second)
        clock = folder.clock(None, None)
        stores = _opened(first, now)
        begin_s = max(last_s(stores), clock.now())
        book = PriceBook(now)
        as_is = _replayed(folder, policy, stores, _World(now, book), begin_s, lambda p: tell(p / 2))
        paid = PriceBook(then, before=Until(begin_s // SLOT_S, book))  # what was used before is paid as it was
        world = _World(then, paid, _downs(change, begin_s))
        other = _replayed(folder, policy, _opened(second, then), world, begin_s, lambda p: tell((1 + p) / 2))
    tell(1.0)
    return Became(begin_s, as_is, other)


def _downs(change: WhatIf, begin_s: int) -> tuple[Down, ...]:
    """When sites are down; a second after the begin at the earliest, when all nodes have met."""
    times = [(d.site, round(d.from_h * HOUR_S), round(d.until_h * HOUR_S)) for d in change.down]
    return tuple(Down(site, begin_s + max(begin, 1), begin_s + max(end, 2)) for site, begin, end in times)


def _opened(folder: Path, region: Region) -> dict[str, Store]:
    return {name: SqliteStore(folder / name / "state.db", durable=False) for name in region.nodes}


def _replayed(
    folder: StateFolder,
    policy: Policy,
    stores: dict[str, Store],
    world: _World,
    begin_s: int,
    tell: Callable[[float], None],
) -> Timeline:
    most = 1

    def heard(left: int) -> None:
        nonlocal most
        most = max(most, left)
        tell(1 - left / most)

    went = go_on(
        stores, world.region, policy, {n: _datasets(folder.path / n / "data") for n in world.region.nodes},
        folder.clock(None, None).rate, folder.scarcity(), begin_s=begin_s, book=world.book, down=world.down, tell=heard,
    )  # fmt: skip
    return timeline([went.after[job] for job in went.there], begin_s, max(went.end_s, begin_s), JOBS_SHOWN)


def _datasets(folder: Path) -> frozenset[str]:
    """Datasets that a site's folder holds."""
    return frozenset(p.parent.name for p in folder.glob("[!.]*/MANIFEST.json"))


def main(arguments: Sequence[str]) -> int:
    """Answer the question on standard input; the exit status."""
    os.nice(NICE)
    change = msgspec.json.decode(sys.stdin.readline(), type=WhatIf)
    threading.Thread(target=_end_with_input, daemon=True).start()
    told = -1

    def tell(share: float) -> None:
        nonlocal told
        if int(share * STEPS) > told:
            told = int(share * STEPS)
            _say({"progress": round(share, 3)})

    try:
        _say(what_if(StateFolder(Path(arguments[0])), change, tell))
    except SanjinError as fault:
        _say({"fault": str(fault)})
        return 1
    return 0


def _end_with_input() -> None:
    while sys.stdin.read(4096):
        pass
    os._exit(1)


def _say(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
