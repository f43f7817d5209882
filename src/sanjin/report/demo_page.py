"""The demo's report: one HTML page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sanjin.model.catalogue import say
from sanjin.model.placement import TERMS, Explanation
from sanjin.model.region import Region
from sanjin.report import plots
from sanjin.report.comparison import Comparison, by_kind, totals

STYLE = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;
background:#fff;color:#1a1a1a}h1{font-size:1.7rem;margin-bottom:0}h2{margin-top:2.2rem;font-size:1.2rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.3rem .5rem;text-align:right;
border-bottom:1px solid #ddd;vertical-align:top}th:first-child,td:first-child,td.l,th.l{text-align:left}
tr.won{background:#fdf1dc}.big{display:flex;gap:2rem;flex-wrap:wrap;margin:1rem 0}.big div{min-width:9rem}
.big b{display:block;font-size:1.6rem}figure{margin:0;overflow-x:auto}svg{max-width:100%;height:auto}
.pair{display:flex;flex-wrap:wrap}.pair figure{flex:1 1 340px}td:not(:first-child):not(.l){white-space:nowrap}
@media(max-width:600px){figure>svg{max-width:none;width:640px}.pair figure>svg{width:100%}}
.why{color:#666}p.note{color:#555;font-size:.9rem}
"""


def page(
    region: Region,
    found: Comparison,
    explained: Sequence[Explanation],
    titles: Mapping[str, tuple[str, str]],
    begin_s: int,
    remarks: Sequence[str],
) -> str:
    """The whole page. ``titles`` names each kind of job; ``remarks`` say what was measured and how it was scaled."""
    parts = [
        f"<h1>{escape(region.name_en)} {escape(region.name_zh)}</h1>",
        _headline(found),
        "<h2>Where and when the work ran · 作业何时何地运行</h2>",
        "<p class=note>Dots: submitted. Thin lines: waiting. Bars: running. Beneath: the provincial tariff. "
        "圆点为提交,细线为等待,色条为运行,下方为电价。</p>",
        f"<figure>{plots.day(region, found.runs, begin_s)}</figure>",
        "<h2>Against everything at once in its own city · 与就地立即运行相比</h2>",
        f"<figure>{plots.costs(found)}</figure>",
        f"<p class=note>{escape(_left_out(found))}</p>",
        "<h2>By kind · 按类型</h2>",
        kinds_table(region, found, titles),
        "<h2>Who sent work where · 作业流向</h2>",
        f"<figure>{plots.flows(region, found.runs)}</figure>",
        "<h2>Why there? · 为何安排于此</h2>",
        *[_explanation(region, e) for e in explained],
        "<h2>How to read this · 说明</h2>",
        *[f"<p class=note>{escape(r)}</p>" for r in remarks],
    ]
    return document(f"Sanjin: {region.name_en} {region.name_zh}", STYLE, parts)


def document(title: str, style: str, parts: Sequence[str]) -> str:
    """A page of these parts that may load nothing."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<meta name=viewport content='width=device-width'><title>{escape(title)}</title><style>{style}</style>"
        f"</head><body>{''.join(parts)}</body></html>"
    )


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls where it is too wide; ``rows`` as :func:`row` makes them."""
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f"<div style='overflow-x:auto'><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def row(name: str, cells: Sequence[str], won: bool = False) -> str:
    """A row of a table; ``name`` and ``cells`` are HTML."""
    line = "".join(f"<td>{c}</td>" for c in cells)
    return f"<tr{' class=won' if won else ''}><td>{name}</td>{line}</tr>"


def _headline(found: Comparison) -> str:
    ours, home = totals(found)
    cells = [f"<div><b>{len(found.runs)}</b>jobs 作业</div>"]
    for key, name in (("yuan", "yuan 元"), ("kwh", "kWh 千瓦时"), ("kg", "kg CO2e")):
        change = (ours[key] / home[key] - 1) * 100 if home[key] else 0.0
        against = f"<br><span class=why>{change:+.0f} % vs at home 就地</span>"
        cells.append(f"<div><b>{ours[key]:.2f}</b>{name}{against}</div>")
    cells.append(f"<div><b>{ours['wait_h']:.1f} h</b>mean wait 平均等待</div>")
    return f"<div class=big>{''.join(cells)}</div>"


def _left_out(found: Comparison) -> str:
    out = sum(h is None for h in found.home)
    return (
        f"The same measured runs, metered again where and when they were submitted, as if there were room. "
        f"{out} of {len(found.runs)} jobs could not run in their own city and are left out on both sides. "
        f"同一批实测运行按提交地与提交时刻重新计量,假定当地有余量;{out} 个作业无法就地运行,两侧均不计。"
    )


def kinds_table(region: Region, found: Comparison, titles: Mapping[str, tuple[str, str]]) -> str:
    """A row a kind: where it ran, what it cost, against home."""
    out: list[str] = []
    for each in by_kind(found):
        en, zh = titles.get(each.kind, (each.kind, ""))
        where = ", ".join(
            f"{region.nodes[s].name_en} {region.nodes[s].name_zh} {n}" for s, n in each.sites().most_common()
        )
        cells = (
            str(len(each.runs)),
            f"{each.yuan:.2f}",
            f"{each.kwh:.2f}",
            f"{each.kg:.2f}",
            f"{each.wait_h:.1f} h",
            "" if each.against_home is None else f"{each.against_home * 100:+.0f} %",
        )
        out.append(
            f"<tr><td>{escape(en)}<br>{escape(zh)}</td><td class=l>{escape(where)}</td>"
            + "".join(f"<td>{c}</td>" for c in cells)
            + "</tr>"
        )
    heads = ["kind 类型", "ran at 运行于", "jobs 作业", "yuan 元", "kWh", "kg CO2e", "wait 等待", "vs home 较就地"]
    head = "".join(f"<th{' class=l' if i == 1 else ''}>{h}</th>" for i, h in enumerate(heads))
    return f"<table><tr>{head}</tr>{''.join(out)}</table>"


def _explanation(region: Region, found: Explanation) -> str:
    def clock(at_s: int) -> str:
        minute = (at_s // 60 + region.utc_offset_h * 60) % 1440
        return f"{minute // 60:02d}:{minute % 60:02d}"

    rows: list[str] = []
    for option in found.options:
        node = region.nodes[option.site]
        name = f"{escape(node.name_en)} {escape(node.name_zh)}"
        won = " class=won" if option.site == found.chosen else ""
        if option.terms is None:
            why = escape(say(f"reason.{option.reason}")) if option.reason else ""
            rows.append(f"<tr{won}><td>{name}<td class='l why' colspan=8>{why}</tr>")
            continue
        cells = [f"{getattr(option.terms, t) / 1e6:.4f}" for t in TERMS]
        total = f"<b>{option.terms.total / 1e6:.4f}</b>"
        line = "".join(f"<td>{c}</td>" for c in (clock(option.start_s), *cells, total))
        rows.append(f"<tr{won}><td>{name}</td>{line}</tr>")
    heads = ("site 站点", "start 开始", *(say(f"term.{t}") for t in TERMS), "total yuan 合计(元)")
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    by = region.nodes[found.decided_by]
    title = f"{found.job}: {region.nodes[found.chosen].name_en} {region.nodes[found.chosen].name_zh}"
    title += f" (decided by 决定者 {by.name_en} {by.name_zh}, {clock(found.at_s)})"
    return f"<h3>{escape(title)}</h3><table><tr>{head}</tr>{''.join(rows)}</table>"
