"""Live progress of a day: the region's clock, the tariff, how far the jobs are, what each site does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sanjin.cli.output import at, name_of, text
from sanjin.model.energy import period_at, tariff_at
from sanjin.model.job import JobState
from sanjin.model.record import JobRecord
from sanjin.model.region import Region

LINE_WALL_S = 10.0
"""How often a line is written where there is no terminal."""

_PHASES = {
    JobState.PLACED: "waiting",
    JobState.STAGING: "waiting",
    JobState.ASSIGNED: "waiting",
    JobState.PAUSED: "waiting",
    JobState.RUNNING: "running",
    JobState.DIVIDED: "running",
}


class Progress:
    """Shows what :meth:`show` is given: a live table in a terminal, a line now and then elsewhere."""

    def __init__(self, region: Region, jobs: int, quiet: bool) -> None:
        self._region = region
        self._jobs = jobs
        self._console = Console(stderr=True, quiet=quiet)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._said_at = 0.0

    def __enter__(self) -> Progress:
        """Begin."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        """Take the table away."""
        self._live.stop()

    def show(self, now_s: int, records: Sequence[JobRecord]) -> None:
        """The state of things at region time ``now_s``."""
        root = self._region.nodes[self._region.root().id]
        tariff = self._region.tariffs[root.site.tariff]
        offset = self._region.utc_offset_h
        ended = sum(r.state.ended for r in records)
        head = (
            f"{at(now_s, offset)}  {tariff_at(tariff, now_s, offset):.3f} yuan/kWh "
            f"{text('period.' + period_at(tariff, now_s, offset))}  {ended}/{self._jobs} {text('head.jobs')}"
        )
        if self._console.is_terminal:
            bar = Padding(ProgressBar(self._jobs, ended, 60), (0, 0, 1, 0))
            self._live.update(Group(Text(head, style="bold"), bar, self._sites(records)))
        elif time.monotonic() - self._said_at >= LINE_WALL_S:
            self._said_at = time.monotonic()
            self._console.print(head, highlight=False)

    def _sites(self, records: Sequence[JobRecord]) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column(text("head.site"))
        for head in ("head.waiting", "head.running", "head.ended"):
            table.add_column(text(head).replace(" · ", " "), justify="right")
        counts: dict[str, Counter[str]] = {}
        for record in records:
            if record.site:
                phase = "ended" if record.state.ended else _PHASES.get(record.state, "waiting")
                counts.setdefault(record.site, Counter())[phase] += 1
        for node in self._region.nodes.values():
            c = counts.get(node.id, Counter())
            dots = "[green]" + "●" * c["running"] + "[/green]"
            table.add_row(name_of(node), str(c["waiting"] or ""), f"{dots} {c['running'] or ''}", str(c["ended"] or ""))
        return table
