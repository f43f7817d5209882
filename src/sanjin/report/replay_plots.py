"""Plots of replays, as SVG text to put into a page."""

# matplotlib's keyword arguments have no types
# pyright: reportUnknownMemberType=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sanjin.kernels import tables
from sanjin.model.region import Node
from sanjin.model.units import DAY_S, HOUR_S, SLOT_S
from sanjin.replay.compare import Replayed
from sanjin.replay.outcome import MW_S_PER_KWH, Floats
from sanjin.replay.workload import Workload
from sanjin.report.plots import COLOURS, STYLE, plt, svg

SLOTS_AN_HOUR = HOUR_S // SLOT_S
SITES_SHOWN = 40
"""Of more sites, those are named that did most."""
NAMED_ON_MAPS = 12
"""Then, on maps."""

TERMS = {
    "energy": "energy 电费",
    "carbon": "carbon 碳",
    "transport": "moving data 传输",
    "use": "machines 机时",
    "waiting": "waiting 等待",
}


def totals(rows: Sequence[tuple[str, dict[str, float]]], height: float = 0.5) -> str:
    """The total of each of ``rows`` (a name, and yuan by term), term by term; a row is so many inches high."""
    sums = [sum(terms.values()) for _, terms in rows]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, height * len(rows) + 1.3))
        # what costs many times more than the others would leave nothing to see of them
        most = max(total for total in sums if total <= 4 * sums[0])
        axes.set_xlim(0, most * 1.08)
        for at, (_, terms) in enumerate(rows):
            left = 0.0
            for i, (term, name) in enumerate(TERMS.items()):
                axes.barh(at, terms[term], 0.65, left, color=COLOURS[i], label=name if at == 0 else None)
                left += terms[term]
            axes.text(min(left, most * 1.08), at, f" {left:,.0f}", va="center", clip_on=False)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel("yuan 元")
        axes.legend(ncols=5, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0))
        return svg(figure)


def waits(found: Sequence[Replayed]) -> str:
    """How many jobs have waited less than so long."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, 2.8))
        for i, each in enumerate(found):
            hours = np.sort(each.account.wait_s) / HOUR_S
            if len(hours):
                which = np.unique(np.linspace(0, len(hours) - 1, 400).astype(int))
                share = (which + 1) / len(hours) * 100
                axes.step(np.maximum(hours[which], 0.01), share, color=COLOURS[i], label=each.title_en)
        axes.set_xscale("log")
        axes.set_xlabel("hours waited (1/100 h and less at the left) 等待小时")
        axes.set_ylabel("% of jobs 作业")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
        return svg(figure)


def days(work: Workload, found: Sequence[Replayed]) -> str:
    """IT energy by hour of the day of each rule, over the price of energy there and then."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(10, 2.8))
        first = (work.begin_s + work.region.utc_offset_h * HOUR_S) % DAY_S // SLOT_S
        hour = (first + np.arange(work.supply.slots)) % (DAY_S // SLOT_S) // SLOTS_AN_HOUR
        for i, each in enumerate(found):
            energy = each.account.energy_mws[:, : work.supply.slots].sum(axis=0) / MW_S_PER_KWH
            sums = np.bincount(hour, energy, 24)
            axes.step(range(25), [*sums, sums[-1]], where="post", color=COLOURS[i], label=each.title_en)
        axes.set_xlim(0, 24)
        axes.set_ylim(0)
        axes.set_xticks(range(0, 25, 3))
        axes.set_xlabel("local hour of the day 当地时间")
        axes.set_ylabel("kWh (IT)")
        energy, _ = work.supply.plain_prices()
        price = np.bincount(hour, energy.mean(axis=0), 24) / np.maximum(np.bincount(hour, minlength=24), 1)
        other = axes.twinx()
        other.fill_between(range(25), [*price, price[-1]], step="post", color="#E69F00", alpha=0.18)
        other.set_ylim(0)
        other.set_yticks([])
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
        axes.set_title("shaded: price of energy 阴影为电价", fontsize=9, loc="right")
        return svg(figure)


def use(work: Workload, each: Replayed) -> str:
    """How much of each site's cores is in use, hour by hour; of many sites those that did most."""
    with plt.rc_context(STYLE):
        sites, hours = len(work.supply.sites), work.supply.slots // SLOTS_AN_HOUR
        core_s = each.account.core_s[:, : hours * SLOTS_AN_HOUR].reshape(len(work.pool), hours, -1).sum(axis=2)
        site = work.pool[:, tables.SITE]
        used, have = np.zeros((sites, hours)), np.bincount(site, work.pool[:, tables.CORES], sites)
        np.add.at(used, site, core_s)
        last = max(int(np.flatnonzero(used.any(axis=0))[-1]) + 1, 24) if used.any() else 24
        shown = np.sort(np.argsort(-used.sum(axis=1), kind="stable")[:SITES_SHOWN])
        share, sites = (used[:, :last] / np.maximum(have[:, None] * HOUR_S, 1))[shown], len(shown)
        figure, axes = plt.subplots(figsize=(10, 0.32 * sites + 1))
        edges = np.arange(last + 1) / 24
        # drawn as shapes: the page may load no image, not even its own
        image: Any = axes.pcolormesh(edges, np.arange(sites + 1), share, cmap="YlGnBu", vmin=0, vmax=1)
        axes.invert_yaxis()
        nodes = list(work.region.nodes.values())
        names = [f"{nodes[i].name_en} {nodes[i].name_zh}" for i in shown]
        axes.set_yticks(np.arange(sites) + 0.5, names)
        axes.set_xlabel("days from the begin 天")
        bar: Any = figure.colorbar(image, ax=axes, label="share of cores in use 使用率", fraction=0.03, pad=0.01)
        bar.solids.set(rasterized=False, edgecolor="face")
        return svg(figure)


def map_of(work: Workload, each: Replayed) -> str:
    """Where work came from and where it ran: a circle a site, lines where core-hours went elsewhere."""
    with plt.rc_context(STYLE):
        region = work.region
        nodes = list(region.nodes.values())
        ran = each.outcome.place >= 0
        target = work.pool[each.outcome.place[ran], tables.SITE]
        hours = (work.trace.cores * (each.outcome.end_s - each.outcome.start_s))[ran] / HOUR_S
        flow = np.zeros((len(nodes), len(nodes)))
        np.add.at(flow, (work.origin[ran], target), hours)
        most = max(float((flow - np.diag(np.diag(flow))).max()), 1e-9)
        figure, axes = plt.subplots(figsize=(6, 7))
        for a, b in np.argwhere(flow > most / 50).tolist():
            if a != b:
                axes.annotate(
                    "", (nodes[b].lon, nodes[b].lat), (nodes[a].lon, nodes[a].lat),
                    arrowprops={"arrowstyle": "-|>", "color": "#0072B2", "alpha": 0.25 + 0.6 * flow[a, b] / most,
                                "lw": 0.4 + 3 * flow[a, b] / most, "connectionstyle": "arc3,rad=0.12"},
                )  # fmt: skip
        done = flow.sum(axis=0)
        size = _sizes(done)
        axes.scatter([n.lon for n in nodes], [n.lat for n in nodes], size, color="#E69F00", alpha=0.85, zorder=3)
        _label(axes, nodes, done, [f"{hours:,.0f} core-h" for hours in done])
        return svg(figure)


def places(work: Workload, each: Replayed) -> str:
    """What a core-hour cost at each site (all but waiting), and its PUE: a circle a site, as large as its energy."""
    with plt.rc_context(STYLE):
        nodes, a = list(work.region.nodes.values()), each.account
        hours = np.bincount(work.pool[:, tables.SITE], a.core_s.sum(axis=1) / HOUR_S, len(nodes))
        yuan = sum(values for term, values in a.by_site.items() if term != "waiting") / np.maximum(hours, 1e-9)
        it_kwh = a.energy_mws.sum(axis=1) / MW_S_PER_KWH
        pue = a.kwh_by_site / np.maximum(it_kwh, 1e-9)
        ran = hours > 0
        figure, axes = plt.subplots(figsize=(6, 7))
        size = _sizes(a.kwh_by_site)
        lon, lat = np.array([n.lon for n in nodes]), np.array([n.lat for n in nodes])
        axes.scatter(lon[~ran], lat[~ran], size[~ran], color="#cccccc", zorder=2)
        dots: Any = axes.scatter(lon[ran], lat[ran], size[ran], c=yuan[ran], cmap="cividis_r", alpha=0.9, zorder=3)
        if ran.any():
            label = "yuan a core-hour 元/核时"
            where = {"location": "bottom", "fraction": 0.03, "pad": 0.02, "shrink": 0.8}
            bar: Any = figure.colorbar(dots, ax=axes, label=label, **where)
            bar.solids.set(rasterized=False, edgecolor="face", alpha=1)
        parts = zip(ran, yuan, pue, strict=True)
        _label(axes, nodes, hours, [f"{y:.4f} yuan, PUE {p:.2f}" if r else "no work 无作业" for r, y, p in parts])
        return svg(figure)


def _sizes(weight: Floats) -> Floats:
    """How large the circle of each site is."""
    least = 60.0 if len(weight) <= SITES_SHOWN else 8.0
    return least + 15 * least * weight / max(float(weight.max()), 1e-9)


def _label(axes: Any, nodes: Sequence[Node], weight: Floats, texts: Sequence[str]) -> None:
    """Name the sites, of many those that weigh most, and leave room around them."""
    named = SITES_SHOWN if len(nodes) <= SITES_SHOWN else NAMED_ON_MAPS
    most: list[int] = np.argsort(-weight, kind="stable")[:named].tolist()
    for i in most:
        node = nodes[i]
        others = [nodes[k] for k in most if k != i]
        # a name stands where it does not write over a neighbour to the east or north
        east = any(0 < o.lon - node.lon < 1.5 and abs(o.lat - node.lat) < 0.15 for o in others)
        north = any(0 < o.lat - node.lat < 0.4 and abs(o.lon - node.lon) < 0.9 for o in others)
        label = f"{node.name_en} {node.name_zh}\n{texts[i]}"
        axes.annotate(
            label, (node.lon, node.lat), (-9 if east else 9, -18 if north else 6), textcoords="offset points",
            fontsize=8, zorder=4, ha="right" if east else "left",
        )  # fmt: skip
    axes.set_aspect(1.27)  # a degree of latitude is longer than one of longitude here
    axes.margins(0.3, 0.1)
    axes.axis("off")
