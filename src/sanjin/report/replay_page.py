"""The report of a replay: one HTML page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sanjin.model.catalogue import say
from sanjin.model.units import HOUR_S
from sanjin.replay.compare import BASELINE, Figures, Replayed, assumptions, figures
from sanjin.replay.gap import RealityGap
from sanjin.replay.workload import Workload
from sanjin.report import gap_section
from sanjin.report import replay_plots as plots
from sanjin.report.demo_page import STYLE, document, row, table
from sanjin.report.scenario_section import Others, section


def page(
    work: Workload, found: Sequence[Replayed], others: Others = (), gap: RealityGap | None = None,
    no_gap: str | None = None,
) -> str:
    """The whole page; the first rule is the one that it is about, ``others`` are scenarios. ``gap`` is how far a
    replay is from what was recorded, ``no_gap`` why that cannot be said, as a key of the catalogue."""
    numbers = figures(work, found)
    region, ours = work.region, found[0]
    rules = [(f"{each.title_en} {each.title_zh}", each.account.terms) for each in found]
    parts = [
        f"<h1>{escape(work.trace.name)} · {escape(region.name_en)} {escape(region.name_zh)}</h1>",
        "<p class=note>A replay on a virtual clock: nothing ran; energy, weather, links and machines are modelled. "
        "虚拟时钟回放:未实际运行,能耗、气候、链路与机器均为模型。</p>",
        _headline(work, numbers),
        "<h2>What each rule costs · 各规则成本</h2>",
        f"<figure>{plots.totals(rules)}</figure>",
        _rules(found, numbers),
        *section(numbers[0], others),
        "<h2>Waiting · 等待</h2>",
        f"<figure>{plots.waits(found)}</figure>",
        _cities(work, numbers),
        "<h2>Hours of the day · 一日之内</h2>",
        f"<figure>{plots.days(work, [each for each in found if each.key in (ours.key, BASELINE)])}</figure>",
        f"<h2>Use of each site: {escape(ours.title_en)} · 各站点使用率:{escape(ours.title_zh)}</h2>",
        f"<figure>{plots.use(work, ours)}</figure>",
        "<h2>Where work came from and where it ran; what a core-hour cost there · 来源与去向;各地每核时成本</h2>",
        f"<div class=pair><figure>{plots.map_of(work, ours)}</figure><figure>{plots.places(work, ours)}</figure></div>",
        *gap_section.parts(gap, no_gap),
        "<h2>What this rests on · 假定</h2>",
        "<ul class=note>",
        *[f"<li>{escape(en)}<br>{escape(zh)}</li>" for en, zh in assumptions(work)],
        "</ul>",
        "<h2>Checked · 已核对</h2>",
        "<p class=note>Core-seconds and energy by site and slot equal, as integers, the sums over the jobs; no pool "
        "has more in use at any instant than it has; no job starts before it came, or runs where the site is down; "
        "no link carries more than it can. Lost work is counted by itself, and in what is paid. "
        "核秒与能耗的分站点分时段之和与作业之和逐位相等;任何时刻各资源池不超容量;无作业早于到达开始或在停运站点运行;"
        "链路不超载。损失的工作单独统计并计入费用。</p>",
    ]
    return document(f"Sanjin: {work.trace.name}", STYLE, parts)


def _headline(work: Workload, numbers: Sequence[Figures]) -> str:
    ours = numbers[0]
    base = next((n for n in numbers if n.rule == BASELINE and ours.saved_share is not None), None)
    cells = [f"<div><b>{ours.jobs:,}</b>jobs 作业</div>"]
    for value, before, unit in (
        (ours.total_yuan, base.total_yuan if base else 0, "yuan in all 元(总)"),
        (ours.billed_yuan, base.billed_yuan if base else 0, "yuan billed 元(账单)"),
        (ours.carbon_kg, base.carbon_kg if base else 0, "kg CO2e"),
        (ours.wait_s["mean"] / HOUR_S, base.wait_s["mean"] / HOUR_S if base else 0, "h mean wait 平均等待"),
    ):
        against = f"{(value / before - 1) * 100:+.1f} % vs EASY at home 较就地" if before else ""
        change = f"<br><span class=why>{against}</span>" if before else ""
        cells.append(f"<div><b>{value:,.1f}</b>{unit}{change}</div>")
    return f"<div class=big>{''.join(cells)}</div>"


def _rules(found: Sequence[Replayed], numbers: Sequence[Figures]) -> str:
    terms = list(numbers[0].terms_yuan)
    heads = [
        "rule 规则", "yuan 元", *(say(f"term.{t}") for t in terms), "kWh", "PUE", "kg CO2e",
        "wait mean / p95 h 等待", "slowdown p50 / p95 减速比", "late 逾期", "fairness 公平", "GB moved 传输",
        "moves 改派", "stops / made room 中断/让位", "no place 无处",
    ]  # fmt: skip
    rows: list[str] = []
    for each, n in zip(found, numbers, strict=True):
        cells = [
            f"<b>{n.total_yuan:,.0f}</b>",
            *(f"{n.terms_yuan[t]:,.1f}" for t in terms),
            f"{n.facility_kwh:,.0f}",
            f"{n.pue:.3f}",
            f"{n.carbon_kg:,.0f}",
            f"{n.wait_s['mean'] / HOUR_S:.2f} / {n.wait_s['p95'] / HOUR_S:.2f}",
            f"{n.bounded_slowdown['p50']:.2f} / {n.bounded_slowdown['p95']:.1f}",
            f"{n.late_share:.1%}",
            f"{n.fairness:.3f}",
            f"{n.moved_gb:,.0f}",
            f"{n.moves:,}",
            f"{n.stops:,} / {n.made_room:,}",
            f"{n.jobs - n.ran:,}",
        ]
        rows.append(row(f"{escape(each.title_en)}<br>{escape(each.title_zh)}", cells, each is found[0]))
    ours = numbers[0]
    return table(heads, rows) + f"<p class=why>{escape(_decided(ours))}</p>"


def _decided(n: Figures) -> str:
    """Which tiers of the tree decide, under the first rule."""
    shares = {t: f"{count / max(n.ran, 1):.1%}" for t, count in n.decided.items()}
    said: list[str] = []
    for lang in ("en", "zh"):
        parts = ", ".join(f"{say(f'tier.{t}', lang)} {share}" for t, share in shares.items())
        said.append(say("replayed.decided", lang, parts=parts))
    return " · ".join(said)


def _cities(work: Workload, numbers: Sequence[Figures]) -> str:
    """Waits by city of origin, of our rule beside the baseline."""
    ours, base = numbers[0], next((n for n in numbers if n.rule == BASELINE), numbers[0])
    heads = ("from 来源", "jobs 作业", "wait mean / p95 h 等待", "slowdown p95 减速比", "EASY at home: wait 就地等待")
    rows: list[str] = []
    most = sorted(ours.by_city, key=lambda name: -ours.by_city[name].jobs)[: plots.SITES_SHOWN]
    for name, node in work.region.nodes.items():
        if name not in most:
            continue
        own, other = ours.by_city[name], base.by_city[name]
        cells = [
            f"{own.jobs:,}",
            f"{own.wait_s['mean'] / HOUR_S:.2f} / {own.wait_s['p95'] / HOUR_S:.2f}",
            f"{own.bounded_slowdown['p95']:.1f}",
            f"{other.wait_s['mean'] / HOUR_S:.2f} / {other.wait_s['p95'] / HOUR_S:.2f}",
        ]
        rows.append(row(f"{escape(node.name_en)} {escape(node.name_zh)}", cells))
    more = len(ours.by_city) - len(most)
    return table(heads, rows) + (f"<p class=why>{escape(say('replayed.more', count=more))}</p>" if more else "")
