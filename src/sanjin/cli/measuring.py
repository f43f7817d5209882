"""What a node's machine is declared to do and what it does: measured on joining and by hand, and shown."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sanjin.adapters.engines import measuring
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.output import Format, State, Word, at, data, note, sentence, table, text
from sanjin.model import event as ev
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotAllowed, ProblemsFound, SanjinError
from sanjin.model.performance import (
    NOT_MEASURED,
    TOLERANCE,
    Compared,
    Declaration,
    Measurement,
    SitePerformance,
    compare,
    declarations,
)
from sanjin.model.region import Region
from sanjin.model.status import SiteFigures
from sanjin.ports import Entry
from sanjin.regions.declared import load_declared
from sanjin.regions.load import load_region, text_of

if TYPE_CHECKING:
    from sanjin.tree.node import Node

SECONDS_MAX = 600.0
LOOK_WALL_S = 1.0
"""How often a node looks whether there is a new measurement or declaration in its folder."""
SAY_AGAIN_WALL_S = 30.0

log = logging.getLogger("sanjin.measuring")


def measure(
    *,
    seconds: Annotated[float, Parameter(help="Of repetitions; it takes some more. 测试秒数。")] = measuring.SECONDS,
    state: State = None,
    output: Format = "table",
) -> None:
    """Measure this machine as jobs find it; the node's parent hears of it. It takes all cores. 实测本机性能。

    It works whether or not the node runs: one that is up reads the result within seconds, one that is not at its start.
    """
    folder = StateFolder(state or default_folder())
    settings = folder.node_settings()
    if settings is None:
        raise NotAllowed(f"{folder.path}: no node was started here; start one with: sanjin node --site")
    if not 0 < seconds <= SECONDS_MAX:
        word = ("too_big", "most", SECONDS_MAX) if seconds > 0 else ("too_small", "least", 0.1)
        raise ProblemsFound([problem(word[0], "--seconds", value=seconds, **{word[1]: word[2]})])
    region = load_region(folder.region_document())
    found = _measured(folder, seconds)
    whole = declarations(region, settings.site, kept_declared(folder, region, settings.site))
    lines = compare(whole, found)
    below = any(line.below for line in lines)
    shown = SiteFigures(site=settings.site, below=below, figures=lines, measured=found)
    if not data(shown, output):
        print_figures([shown], region.utc_offset_h)


def _measured(folder: StateFolder, seconds: float = measuring.SECONDS) -> Measurement:
    """Measure and keep it. Raises SanjinError."""
    note(text("cli.measuring", seconds=f"{seconds:g}"))
    found = measuring.measure(folder.path, seconds)
    folder.keep_measurement(found)
    return found


def kept_declared(folder: StateFolder, region: Region, site: str) -> tuple[Declaration, ...]:
    """What the operator of this node declares beside the region document. What no longer fits a newer document does
    not keep the node from starting: it is left out."""
    path = folder.declared_document()
    try:
        return load_declared(path, region, site) if path else ()
    except ProblemsFound as fault:
        log.warning("%s is not used: %s", path, fault)
        return ()


def on_joining(folder: StateFolder, site: str, declare: Path | None, joins: bool, benchmark: bool) -> None:
    """Keep what is declared, and where a node joins for the first time measure its machine. A machine that cannot be
    measured joins all the same. Raises ProblemsFound for a declaration with faults."""
    if declare:
        load_declared(declare, load_region(folder.region_document()), site)
        folder.keep_declared(text_of(declare))
    if not (joins and benchmark) or folder.measurement() is not None:
        return
    try:
        _measured(folder)
    except SanjinError as fault:
        note(text("cli.not_measured_why", fault=fault))


class Keeper:
    """Tells a running node what its folder has of its machine, at the start and whenever that changes.

    The folder is how ``sanjin node measure`` speaks to the node: who may write it may do anything to the node.
    """

    def __init__(self, folder: StateFolder, region: Region, site: str) -> None:
        self._folder, self._region, self._site = folder, region, site
        self._said, self._waits = "", 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, node: Node) -> None:
        """Look now and from time to time, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(node,), name="measured", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self, node: Node) -> None:
        while True:
            try:
                self.look(node)
            except (SanjinError, OSError) as fault:
                log.warning("%s", fault)
            if self._stop.wait(LOOK_WALL_S):
                return

    def look(self, node: Node) -> None:
        """Tell the node what it has not heard; again where the journal does not have it after a while."""
        digest, at_ms = self._folder.performance_digest()
        known = digest == self._folder.told()
        self._waits = 0.0 if known or digest != self._said else self._waits + LOOK_WALL_S
        if not digest or (digest == self._said and self._waits < SAY_AGAIN_WALL_S):
            return
        measured = self._folder.measurement()
        declared = kept_declared(self._folder, self._region, self._site)
        self._said, self._waits = digest, 0.0
        found = SitePerformance(site=self._site, said_at_ms=at_ms, declared=declared, measured=measured)
        node.performances.say(found, new=not known)
        if not measured and not known:
            self._folder.keep_told(digest)  # a declaration alone is no entry of the journal

    def listen(self, _: str, events: Sequence[tuple[Entry, ev.Event]]) -> None:
        """The node's journal has these entries."""
        if any(isinstance(event, ev.SiteMeasured) for _, event in events):
            self._folder.keep_told(self._said)


def print_figures(found: Sequence[SiteFigures], offset_h: int) -> None:
    """Declared beside measured of some sites, as a table; and what the figures rest on."""
    rows = [
        [
            each.site, line.pool, text(f"quantity.{line.quantity}"), line.unit,
            f"{line.declared:.4g} {text(f'status.{line.status}')}" if line.declared else "",
            *_measured_words(line, each.measured),
        ]
        for each in found
        for line in each.figures
    ]  # fmt: skip
    heads = ("site", "pool", "what", "unit", "declared", "measured", "spread", "ratio", "flag")
    table([f"head.{h}" for h in heads], rows, left=(0, 1, 2, 3, 8))
    for each in found:
        if m := each.measured:
            how = {"threads": m.threads, "blas": m.blas, "sandbox": m.sandbox, "others": f"{m.others_share:.0%}"}
            note(text("cli.measured_on", site=each.site, machine=m.machine, at=at(m.at_s, offset_h, year=True), **how))
            for remark in m.remarks:
                note(f"{each.site}: {text(f'remark.{remark}')}")
    words = {name: Word(f"unmeasured.{name}") for name in NOT_MEASURED}
    note(sentence("cli.measured_not", tolerance=f"{TOLERANCE:.0%}", **words))


def _measured_words(line: Compared, measured: Measurement | None) -> list[str]:
    """Measured, its spread, ratio and flag, which says where other work may be the reason."""
    if not line.measured:
        return ["", "", "", ""]
    busy = measured is not None and measured.others_share > TOLERANCE
    flag = text("cli.below_busy" if busy else "cli.below") if line.below else ""
    spread = f"{line.low:.4g}-{line.high:.4g} ({line.runs})"
    ratio = f"{line.ratio:.3f}" if line.ratio else ""
    return [f"{line.measured:.4g}", spread, ratio, flag]
