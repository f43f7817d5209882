"""Plots of a day's work, as SVG text to put into a page. Text stays text, so that any script shows."""

# matplotlib's keyword arguments have no types
# pyright: reportUnknownMemberType=false, reportArgumentType=false
from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sanjin.model.energy import site_tables
from sanjin.model.forecast import Forecast
from sanjin.model.region import Region
from sanjin.model.scarcity import HOURS_A_WEEK
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.report.comparison import ACCOUNTS, Comparison, Run, parts

# Okabe and Ito's palette: told apart by the colour-blind
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#666666", "#999933", "#882255")
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sanjin",
}
_PART_NAMES = {"energy": "energy 电费", "carbon": "carbon 碳", "site": "machines 机时", "network": "moving data 传输"}


def svg(figure: Figure) -> str:
    """The figure as SVG text, and the figure closed."""
    out = io.StringIO()
    with warnings.catch_warnings():
        # the text is drawn by the browser, whose fonts have what matplotlib's lack
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = out.getvalue()
    text = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font: \1px sans-serif", text)
    return text[text.index("<svg") :]


def day(region: Region, runs: Sequence[Run], begin_s: int) -> str:
    """When and where work ran: a bar a run by site, its wait as a thin line, the tariff beneath."""
    with plt.rc_context(STYLE):
        kinds = sorted({r.record.spec.kind for r in runs})
        colour = {k: COLOURS[i % len(COLOURS)] for i, k in enumerate(kinds)}
        sites = [n for n in region.nodes if any(r.record.site == n for r in runs)]
        figure, (top, low) = plt.subplots(
            2, 1, figsize=(10, 0.5 * len(sites) + 3.2), sharex=True, height_ratios=[0.5 * len(sites) + 0.6, 1.3]
        )
        end_s = max(r.ended.end_s for r in runs)
        for run in runs:
            record = run.record
            y = sites.index(record.site) + _spread(record.id)
            hours = [_hour(region, t, begin_s) for t in (record.submitted_s, run.ended.start_s, run.ended.end_s)]
            top.plot(hours[:2], [y, y], color=colour[record.spec.kind], lw=0.7, alpha=0.45)
            top.plot(hours[0], y, ".", color=colour[record.spec.kind], ms=3)
            top.barh(y, max(hours[2] - hours[1], 0.03), 0.16, hours[1], color=colour[record.spec.kind])
        names = [f"{region.nodes[s].name_en} {region.nodes[s].name_zh}" for s in sites]
        top.set_yticks(range(len(sites)), names)
        top.invert_yaxis()
        top.grid(axis="x", alpha=0.25)
        handles: list[Any] = [Rectangle((0, 0), 1, 1, color=colour[k]) for k in kinds]
        top.legend(handles, kinds, ncols=1, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        _tariff(low, region, begin_s, end_s)
        return svg(figure)


def _spread(job: str) -> float:
    """Where in its site's band a job is drawn."""
    return (int(job.rpartition("-")[2]) * 37 % 11 - 5) / 14


def _hour(region: Region, at_s: int, begin_s: int) -> float:
    first = (begin_s + region.utc_offset_h * HOUR_S) % 86_400 / HOUR_S
    return first + (at_s - begin_s) / HOUR_S


def _tariff(axes: Any, region: Region, begin_s: int, end_s: int) -> None:
    first = begin_s // SLOT_S
    slots = end_s // SLOT_S - first + 1
    tables = site_tables(region, region.root(), first, slots)
    hours = [_hour(region, (first + k) * SLOT_S, begin_s) for k in range(slots)]
    axes.step(hours, tables.tariff_yuan_kwh, where="post", color="#444444")
    axes.fill_between(hours, tables.tariff_yuan_kwh, step="post", color="#E69F00", alpha=0.25)
    axes.set_ylim(0)
    axes.set_ylabel("yuan/kWh\n电价")
    axes.set_xlabel("local hour 当地时间")


def costs(found: Comparison) -> str:
    """The bill as it was beside the baseline, part by part."""
    with plt.rc_context(STYLE):
        pairs = found.pairs()
        ours = _sum(parts(run.settled) for run, _ in pairs)
        home = _sum(parts(h) for _, h in pairs)
        figure, axes = plt.subplots(figsize=(10, 1.9))
        for row, sums in enumerate((ours, home)):
            left = 0.0
            for i, part in enumerate(ACCOUNTS):
                width = sums[part] / 100
                axes.barh(row, width, 0.6, left, color=COLOURS[i], label=_PART_NAMES[part] if row == 0 else None)
                left += width
            axes.text(left, row, f" {left:.2f}", va="center")
        axes.set_yticks([0, 1], ["placed by price 按价安排", "at once at home 就地立即"])
        axes.invert_yaxis()
        axes.set_xlabel("yuan 元")
        axes.legend(ncols=4, frameon=False, loc="lower center", bbox_to_anchor=(0.45, 1.0))
        return svg(figure)


def forecast(found: Forecast, history: Sequence[float], utc_offset_h: int, unit: str) -> str:
    """The last week of a history and what is forecast after it; ``unit`` is the axis' name."""
    past = list(history[-HOURS_A_WEEK:])
    first = found.first_hour_s // HOUR_S - len(past) + utc_offset_h
    hours = range(first, first + len(past) + len(found.values))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, 3))
        if past:
            axes.step(hours[: len(past)], past, where="post", color="#444444", lw=1, label="came 实际")
        axes.step(hours[len(past) :], found.values, where="post", color=COLOURS[0], label="forecast 预测")
        days = [h for h in hours if h % 24 == 0]
        days = days[:: len(days) // 16 + 1]
        axes.set_xticks(days, [str(np.datetime64(h, "h").astype("datetime64[D]"))[5:] for h in days])
        axes.set_ylim(0)
        axes.set_ylabel(unit)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return svg(figure)


def _sum(rows: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    return total


def flows(region: Region, runs: Sequence[Run]) -> str:
    """A schematic of the seats: who sent how much work where. Width of a line is the number of jobs."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.4, 6.4))
        moved = Counter((r.record.id.rpartition("-")[0], r.record.site) for r in runs)
        ran = Counter(r.record.site for r in runs)
        for (a, b), count in sorted(moved.items()):
            if a != b:
                start, end = region.nodes[a], region.nodes[b]
                style = {"arrowstyle": "-|>", "lw": 0.6 + 0.5 * count, "color": "#0072B2", "alpha": 0.5}
                style["connectionstyle"] = "arc3,rad=0.12"
                axes.annotate("", (end.lon, end.lat), (start.lon, start.lat), arrowprops=style)
        for node in region.nodes.values():
            share = ran[node.id]
            axes.plot(node.lon, node.lat, "o", ms=5 + 3.2 * share**0.5, color="#D55E00" if share else "#BBBBBB")
            label = f"{node.name_en} {node.name_zh}" + (f" · {share}" if share else "")
            # a name goes below its seat where a neighbour to the north would write over it
            crowded = any(
                0 < other.lat - node.lat < 0.3 and abs(other.lon - node.lon) < 0.9 for other in region.nodes.values()
            )
            offset = (7, -14) if crowded else (7, 6)
            axes.annotate(label, (node.lon, node.lat), xytext=offset, textcoords="offset points", fontsize=9)
        axes.set_aspect(1.25)
        axes.margins(0.18, 0.08)
        axes.axis("off")
        return svg(figure)
