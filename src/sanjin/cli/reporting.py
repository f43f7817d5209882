"""``sanjin report``: the morning report of a region that is up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sanjin.cli.output import Format, State, at, data, note, text
from sanjin.client import Client
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound


def report(
    *,
    hours: Annotated[float, Parameter(help="The last so many hours of the region. 报告小时数。")] = 24,
    ahead: Annotated[float, Parameter(help="The plan of the next so many. 计划小时数。")] = 24,
    form: Annotated[
        Literal["md", "html"] | None, Parameter(name="--format", help="By default as --to ends, or md. 格式。")
    ] = None,
    to: Annotated[Path | None, Parameter(help="Write it to this file. 写入文件。")] = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """The morning report: what the night brought, what the day is to bring, what wants attention. 晨报。

    As Markdown, or as one HTML page that needs nothing from outside (print it for a PDF); `--output json` for programs.
    """
    from sanjin.report.briefing_page import html, markdown

    with Client.here(state) as client:
        found, region = client.briefing(hours, ahead), client.region()
        if data(found, output):
            return
        names = {s.site: f"{s.name_en} {s.name_zh}" for s in client.sites()}
    write = html if form == "html" or (form is None and to and to.suffix in (".html", ".htm")) else markdown
    page = write(
        found, f"{region.name_en} {region.name_zh}", names, lambda at_s: at(at_s, region.utc_offset_h, year=True)
    )
    if to is None:
        print(page)
        return
    try:
        to.write_text(page, encoding="utf-8")
    except OSError as fault:
        raise ProblemsFound([problem("unwritable", "--to", value=fault.strerror or fault)]) from fault
    note(text("report.written", file=to))
