"""The morning report for people: as Markdown, and as one HTML page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from sanjin.model.briefing import Briefing
from sanjin.model.catalogue import both, say

Said = Callable[[int], str]
"""Region time as it is written."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: paragraphs, then a table where there are rows. ``heads`` are catalogue keys; the first
    ``left`` columns are words. ``figure`` names a plot of :mod:`sanjin.report.briefing_plots`."""

    title: str
    paragraphs: tuple[tuple[str, str], ...] = ()
    heads: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=tuple[Sequence[str], ...])
    left: int = 1
    figure: str = ""


def sections(found: Briefing, names: Mapping[str, str], said: Said) -> list[Section]:
    """All parts. ``names`` of the sites, in the languages that are to be read."""
    return [
        Section("report.attention", tuple(_attention(found, names)) or (both("report.calm"),)),
        _came(found),
        _home(found),
        _sites(found, names),
        _waits(found, said),
        _cheapest(found, names, said),
    ]


def markdown(found: Briefing, region: str, names: Mapping[str, str], said: Said) -> str:
    """The report as Markdown (CommonMark with tables)."""
    lines = [f"# {_title(region)}", ""]
    for part in _over(found, said):
        lines += [part, ""]
    for section in sections(found, names, said):
        lines += [f"## {say(section.title)}", ""]
        for en, zh in section.paragraphs:
            lines += [_plain(en), "", _plain(zh), ""]
        if section.rows:
            lines += [_line([say(h) for h in section.heads])]
            lines += [_line(["---"] * section.left + ["---:"] * (len(section.heads) - section.left))]
            lines += [*(_line(row) for row in section.rows), ""]
    en, zh = both("report.how")
    return "\n".join([*lines, "---", "", en, "", zh, ""])


def html(found: Briefing, region: str, names: Mapping[str, str], said: Said) -> str:
    """The report as a page."""
    from sanjin.report import briefing_plots as plots
    from sanjin.report.demo_page import STYLE, document, row, table

    figures = {"sites": lambda: plots.sites(found, names), "home": lambda: plots.against_home(found)}
    title = _title(region)
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(part)}</p>" for part in _over(found, said))]
    for section in sections(found, names, said):
        parts.append(f"<h2>{escape(say(section.title))}</h2>")
        parts += [f"<p>{escape(en)}<br>{escape(zh)}</p>" for en, zh in section.paragraphs]
        if section.figure:
            parts.append(f"<figure>{figures[section.figure]()}</figure>")
        if section.rows:
            rows = [row(escape(first), [escape(cell) for cell in rest]) for first, *rest in section.rows]
            parts.append(table([say(h) for h in section.heads], rows))
    en, zh = both("report.how")
    parts.append(f"<p class=note>{escape(en)}<br>{escape(zh)}</p>")
    return document(title, STYLE, parts)


def _title(region: str) -> str:
    return say("report.title") + f": {region}"


def _over(found: Briefing, said: Said) -> tuple[str, str]:
    return both("report.over", begin=said(found.from_s), at=said(found.at_s), until=said(found.until_s))


def _plain(text: str) -> str:
    """Text of others (a fault's) as Markdown that means nothing but itself."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text.replace("\n", " "))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(c if set(c) <= set('-:') else _plain(c) for c in cells)} |"


def _attention(found: Briefing, names: Mapping[str, str]) -> list[tuple[str, str]]:
    lines = [both("report.audit_broken")] if not found.audit_ok else []
    for site in found.sites:
        lines += [] if site.reachable else [both("report.silent", site=names[site.site])]
        lines += [both("report.fault", site=names[site.site], fault=site.fault)] if site.fault else []
    for key, count in (("report.failed_jobs", found.failed), ("report.late_jobs", found.late)):
        lines += [both(key, count=count)] if count else []
    return lines


def _came(found: Briefing) -> Section:
    measured, modelled = say("label.measured"), say("label.modelled")
    rows = (
        ("report.submitted", f"{found.submitted:,}", measured),
        ("report.succeeded", f"{found.succeeded:,}", measured),
        ("report.running", f"{found.running:,}", measured),
        ("report.yuan", f"{found.fen / 100:,.2f}", modelled),
        ("report.kwh", f"{found.kwh:,.1f}", modelled),
        ("report.kg", f"{found.kg:,.1f}", modelled),
        ("report.moved", f"{found.moved_bytes / 1e9:,.1f}", modelled),
    )
    heads = ("head.what", "head.value", "head.known")
    return Section("report.came", (), heads, [(say(key), value, how) for key, value, how in rows])


def _home(found: Briefing) -> Section:
    how = both("report.home_how", count=found.compared, moved=found.moved_jobs, away=found.away_jobs)
    if not found.compared:
        return Section("report.home", (how,))
    lines = (
        ("report.yuan", found.ours_fen / 100, found.home_fen / 100),
        ("report.kwh", found.ours_kwh, found.home_kwh),
        ("report.kg", found.ours_kg, found.home_kg),
    )
    known = f"{say('label.modelled')} / {say('label.estimated')}"
    rows = [
        (say(key), f"{ours:,.2f}", f"{home:,.2f}", f"{100 * (ours / home - 1):+.1f} %" if home else "-", known)
        for key, ours, home in lines
    ]
    heads = ("head.what", "head.ours", "head.at_home", "head.difference", "head.known")
    return Section("report.home", (how,), heads, rows, figure="home")


def _sites(found: Briefing, names: Mapping[str, str]) -> Section:
    rows = [
        (
            names[s.site], f"{s.jobs:,}", f"{s.core_h:,.1f}", f"{s.use:.1%}", f"{s.kwh:,.1f}", f"{s.kg:,.1f}",
            f"{s.fen / 100:,.2f}", f"{s.planned_jobs:,}", f"{s.planned_core_h:,.1f}",
            say("report.fine") if s.reachable and not s.fault else "!",
        )
        for s in found.sites
    ]  # fmt: skip
    heads = (
        "head.site", "head.jobs", "head.core_h_run", "head.share_used", "head.kwh", "head.kg", "head.yuan",
        "head.jobs_planned", "head.core_h_planned", "head.state",
    )  # fmt: skip
    return Section("report.sites", (), heads, rows, figure="sites")


def _waits(found: Briefing, said: Said) -> Section:
    rows = [(say(f"reason.{w.reason}"), f"{w.jobs:,}", said(w.oldest_s)) for w in found.waiting]
    heads = ("head.why", "head.jobs", "head.since")
    return Section("report.waits", () if rows else (both("report.none_waits"),), heads, rows)


def _cheapest(found: Briefing, names: Mapping[str, str], said: Said) -> Section:
    rows = [(names[site], said(begin), f"{yuan:.3f}") for site, begin, yuan in found.cheapest]
    heads = ("head.site", "head.hour", "head.yuan_kwh")
    return Section("report.cheapest", (both("report.cheapest_how"),), heads, rows, left=2)
