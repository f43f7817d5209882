"""``sanjin what-if``: what would become of a running region's work in a changed world."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from sanjin.cli.output import Format, State, at, data, note, sentence, table, text
from sanjin.client import Client
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound, SanjinError
from sanjin.model.units import HOUR_S
from sanjin.model.what_if import RunState, SiteDown, TimelineSums, WhatIf, WhatIfRun
from sanjin.regions.what_if import check

LOOK_WALL_S = 0.5
"""How often it is looked whether the answer is there."""

_WORDS = {
    RunState.WAITING: "whatif.waiting",
    RunState.RUNNING: "whatif.running",
    RunState.DONE: "whatif.done",
    RunState.FAILED: "whatif.failed",
}
UNDER_WAY = (RunState.WAITING, RunState.RUNNING)


def what_if(
    *,
    carbon_price: Annotated[float | None, Parameter(help="Yuan a tonne CO2e. 碳价(元/吨)。")] = None,
    tariff: Annotated[float, Parameter(help="Electricity costs so many times as much. 电价倍数。")] = 1.0,
    solar: Annotated[float, Parameter(help="Sites that generate power have so many times as much. 自发电倍数。")] = 1.0,
    down: Annotated[
        tuple[str, ...], Parameter(help="SITE:FROM:UNTIL, hours from now: that site is down. 停运站点与起止小时。")
    ] = (),
    wait: Annotated[bool, Parameter(help="Wait for the answer. 等待结果。")] = True,
    show: Annotated[str, Parameter(help="The answer to one that was asked before. 查看先前的推演。")] = "",
    dry_run: Annotated[bool, Parameter(negative=(), help="Only check the question. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Ask a region that is up: what would become of its work from now on in a changed world? 推演。

    The region's own nodes go on from copies of their stores, twice; the live region goes on undisturbed.
    """
    with Client.here(state) as client:
        if show:
            _told(client, client.what_if_run(show), output)
            return
        change = WhatIf(carbon_price=carbon_price, solar=solar, tariff=tariff, down=_downs(down))
        region = client.region()
        if change == WhatIf() and output == "table":
            note(text("whatif.nothing"))
        if dry_run:
            if found := check(change, region.nodes):
                raise ProblemsFound(found)
            if not data({"change": change, "dry_run": True}, output):
                note(text("whatif.checked"))
            return
        run = client.what_if(change)
        _told(client, _answer(client, run, output) if wait else run, output)


def _downs(given: Sequence[str]) -> tuple[SiteDown, ...]:
    """Raises ProblemsFound with every one that is not of the form."""
    found = {each: _down(each) for each in given}
    wrong = [each for each, down in found.items() if down is None]
    if wrong:
        raise ProblemsFound([problem("what_if_site_down", "--down", value=each) for each in wrong])
    return tuple(down for down in found.values() if down)


def _down(given: str) -> SiteDown | None:
    site, _, hours = given.partition(":")
    begin, _, until = hours.partition(":")
    try:
        return SiteDown(site=site, from_h=float(begin), until_h=float(until)) if site else None
    except ValueError:
        return None


def _answer(client: Client, run: WhatIfRun, output: Format) -> WhatIfRun:
    """The run when it is over, with a bar meanwhile."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, quiet=output != "table"), transient=True) as bar:
        task = bar.add_task(text("whatif.waiting"), total=1.0)
        while run.state in UNDER_WAY:
            time.sleep(LOOK_WALL_S)
            listed = next((r for r in client.what_ifs() if r.id == run.id), run)
            bar.update(task, completed=listed.progress, description=text(_WORDS[listed.state]))
            run = listed
    return client.what_if_run(run.id)


def _told(client: Client, run: WhatIfRun, output: Format) -> None:
    """Print an answer, or where it stands. Raises SanjinError where it failed."""
    if not data(run, output):
        if run.state in UNDER_WAY:
            print(text("whatif.not_yet", id=run.id, state=text(_WORDS[run.state]), share=f"{run.progress:.0%}"))
            note(text("whatif.asked", id=run.id))
        elif run.as_is and run.changed:
            begin = at(run.begin_s, client.region().utc_offset_h, year=True)
            print(text("whatif.begun", id=run.id, begin=begin, took=f"{run.took_s:g}"))
            heads = ("head.what", "head.as_is", "head.changed", "head.difference")
            table(heads, _rows(run.as_is.sums, run.changed.sums))
            note(sentence("whatif.how"))
    if run.state is RunState.FAILED:
        raise SanjinError(run.fault)


def _rows(as_is: TimelineSums, changed: TimelineSums) -> list[list[object]]:
    lines = (
        ("whatif.jobs", as_is.jobs, changed.jobs, 0),
        ("whatif.succeeded", as_is.succeeded, changed.succeeded, 0),
        ("whatif.yuan", as_is.fen / 100, changed.fen / 100, 2),
        ("whatif.kwh", as_is.facility_mwh / 1e6, changed.facility_mwh / 1e6, 1),
        ("whatif.kg", as_is.carbon_mg / 1e6, changed.carbon_mg / 1e6, 1),
        ("whatif.wait_h", as_is.mean_wait_s / HOUR_S, changed.mean_wait_s / HOUR_S, 2),
        ("whatif.late", as_is.late, changed.late, 0),
    )
    return [[text(key), f"{a:,.{n}f}", f"{b:,.{n}f}", f"{b - a:+,.{n}f}"] for key, a, b, n in lines]
