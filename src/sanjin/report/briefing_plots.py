"""Plots of the morning report, as SVG text."""

# matplotlib's keyword arguments have no types
# pyright: reportUnknownMemberType=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from sanjin.model.briefing import Briefing
from sanjin.report.plots import COLOURS, STYLE, svg


def sites(found: Briefing, names: Mapping[str, str]) -> str:
    """Core-hours that each site ran, and those that it is to run."""
    rows = np.arange(len(found.sites))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, 0.42 * len(found.sites) + 1.2))
        axes.barh(rows - 0.2, [s.core_h for s in found.sites], 0.38, color=COLOURS[0], label="run 已运行")
        planned = [s.planned_core_h for s in found.sites]
        axes.barh(rows + 0.2, planned, 0.38, color=COLOURS[1], hatch="//", edgecolor="white", label="planned 计划")
        axes.set_yticks(rows, [names[s.site] for s in found.sites])
        axes.invert_yaxis()
        axes.set_xlabel("core-hours 核时")
        axes.legend(frameon=False, loc="lower right")
        return svg(figure)


def against_home(found: Briefing) -> str:
    """Yuan, energy and carbon as they were, as shares of what they would have been at home."""
    pairs = (
        ("yuan 元", found.ours_fen, found.home_fen),
        ("kWh", found.ours_kwh, found.home_kwh),
        ("kg CO2e", found.ours_kg, found.home_kg),
    )
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, 1.9))
        shares = [100 * ours / home if home else 100.0 for _, ours, home in pairs]
        axes.barh(range(len(pairs)), shares, 0.6, color=COLOURS[2])
        for row, share in enumerate(shares):
            axes.text(share, row, f" {share:.0f} %", va="center")
        axes.axvline(100, color="#444444", lw=1, ls="--")
        axes.set_yticks(range(len(pairs)), [name for name, _, _ in pairs])
        axes.invert_yaxis()
        axes.set_xlabel("% of at once at home 占就地立即运行的百分比")
        return svg(figure)
