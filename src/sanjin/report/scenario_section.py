"""The part of a replay's report on scenarios: what each costs, and how figures move along a sweep."""

# matplotlib's keyword arguments have no types
# pyright: reportUnknownMemberType=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sanjin.model.units import HOUR_S
from sanjin.replay.compare import Figures
from sanjin.replay.scenario import Scenario
from sanjin.report.demo_page import row, table
from sanjin.report.plots import COLOURS, STYLE, plt, svg
from sanjin.report.replay_plots import totals

Others = Sequence[tuple[Scenario, Figures]]
LISTED = 40
"""Scenarios that get a bar of their own."""


def section(own: Figures, others: Others) -> list[str]:
    """Parts of the page; ``own`` is what scenarios are held against: the same work in the unchanged region."""
    if not others:
        return []
    parts = ["<h2>Other worlds · 其他方案</h2>", f"<figure>{_bars(own, others)}</figure>", _table(own, others)]
    swept = [(s, n) for s, n in others if s.values]
    if swept and (plot := _lines(swept)):
        parts += ["<h2>Along the sweep · 参数扫描</h2>", f"<figure>{plot}</figure>"]
    return parts


def _name(scenario: Scenario) -> str:
    en, zh = scenario.title_en, scenario.title_zh
    return en if en == zh else f"{en} {zh}"


def _bars(own: Figures, others: Others) -> str:
    rows = [("as it is 现状", own.terms_yuan), *((_name(s), n.terms_yuan) for s, n in others[:LISTED])]
    return totals(rows, 0.42)


def _table(own: Figures, others: Others) -> str:
    heads = (
        "scenario 方案", "yuan 元", "vs as it is 较现状", "kWh", "kg CO2e", "wait mean / p95 h 等待", "late 逾期",
        "lost core-h 损失核时", "no place 无处", "vs EASY at home 较就地",
    )  # fmt: skip
    rows: list[str] = []
    for name, n in (("as it is 现状", own), *((_name(s), n) for s, n in others)):
        cells = [
            f"<b>{n.total_yuan:,.0f}</b>",
            f"{n.total_yuan / own.total_yuan - 1:+.1%}" if n.ran == own.ran and own.total_yuan else "-",
            f"{n.facility_kwh:,.0f}",
            f"{n.carbon_kg:,.0f}",
            f"{n.wait_s['mean'] / HOUR_S:.2f} / {n.wait_s['p95'] / HOUR_S:.2f}",
            f"{n.late_share:.1%}",
            f"{n.lost_core_h:,.0f}",
            f"{n.jobs - n.ran:,}",
            "-" if n.saved_share is None else f"{-n.saved_share:+.1%}",
        ]
        rows.append(row(escape(name), cells))
    return table(heads, rows)


def _lines(swept: Others) -> str:
    """Yuan and carbon along the first parameter that is a number, a line for each choice of the others."""
    names = [name for name, _ in swept[0][0].values]
    along = next((n for n in names if all(_number(dict(s.values)[n]) is not None for s, _ in swept)), None)
    if along is None:
        return ""
    lines: dict[str, list[tuple[float, Figures]]] = {}
    for s, n in swept:
        values = dict(s.values)
        rest = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in values.items() if k != along)
        lines.setdefault(rest, []).append((_number(values[along]) or 0.0, n))
    with plt.rc_context(STYLE):
        figure, both = plt.subplots(1, 2, figsize=(10, 3))
        for i, (name, points) in enumerate(sorted(lines.items())[: len(COLOURS)]):
            points.sort(key=lambda p: p[0])
            x = [p[0] for p in points]
            both[0].plot(x, [p[1].total_yuan for p in points], "o-", color=COLOURS[i], label=name or None)
            both[1].plot(x, [p[1].carbon_kg for p in points], "o-", color=COLOURS[i])
        for axes, label in zip(both, ("yuan 元", "kg CO2e"), strict=True):
            axes.set_xlabel(along)
            axes.set_ylabel(label)
            axes.grid(alpha=0.25)
        if len(lines) > 1:
            both[0].legend(frameon=False, fontsize=8)
        figure.subplots_adjust(wspace=0.25)  # without looking at texts: their fonts are the reader's
        return svg(figure)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
