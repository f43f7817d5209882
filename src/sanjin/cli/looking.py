"""Commands that show the region without its work: its register, its plan, its links, and who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from sanjin.cli.output import Format, State, at, data, name_of, note, table, text, titled, yuan
from sanjin.client import Client
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.plan import Plan, SitePlan
from sanjin.model.resources import Resource, ResourceKind
from sanjin.model.units import HOUR_S


def resources(
    *ids: Annotated[str, Parameter(help="Only these, each with its figures. 资源编号。")],
    kind: Annotated[ResourceKind | None, Parameter(help="Only of this kind. 资源类型。")] = None,
    site: Annotated[str, Parameter(help="Only at this site. 站点。")] = "",
    figures: Annotated[bool, Parameter(negative=(), help="Show every figure and its source. 显示数据与来源。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """The region's register: what there is, its state, and where every figure comes from. 资源一本账。"""
    with Client.here(state) as client:
        every = client.resources()
    missing = set(ids) - {each.id for each in every}
    if missing:
        raise NotFound(f"no resource {', '.join(sorted(missing))} is registered; see: sanjin resources")
    found = [r for r in every if (not ids or r.id in ids) and kind in (None, r.kind) and site in ("", r.site)]
    if data(found, output):
        return
    rows = [
        [r.id, text(f"resource.{r.kind}"), text(f"lifecycle.{r.state}"), name_of(r), titled(r.note_en, r.note_zh)]
        for r in found
    ]
    table([f"head.{h}" for h in ("resource", "kind", "state", "name", "note")], rows, left=(0, 1, 2, 3, 4))
    if figures or ids:
        print()
        _print_figures(found)


def _print_figures(found: Sequence[Resource]) -> None:
    rows = [
        [r.id, text(f"figure.{f.name}"), f"{f.value:g}", "" if f.measured is None else f"{f.measured:.3g}", f.unit,
         f.date, text(f"status.{f.status}"), f.source]
        for r in found
        for f in r.figures
    ]
    heads = ("resource", "what", "value", "measured", "unit", "date", "status", "source")
    table([f"head.{h}" for h in heads], rows, left=(0, 1, 4, 5, 6, 7))
    said = {f.source: f.source_text for r in found for f in r.figures if f.source_text}
    said |= {r.source: r.source_text for r in found if r.source_text}
    for source, its in said.items():
        note(f"{source}: {its}")


def plan(
    *,
    site: Annotated[str, Parameter(help="Show this site hour by hour. 逐小时显示该站点。")] = "",
    hours: Annotated[int, Parameter(help="Hours to come. 未来小时数。")] = 24,
    back: Annotated[int, Parameter(help="Hours that are over. 过去小时数。")] = 6,
    state: State = None,
    output: Format = "table",
) -> None:
    """The plan as it stands: work by site and time, against prices and power cap. 调度计划。"""
    with Client.here(state) as client:
        found, offset = client.plan(hours, back), client.region().utc_offset_h
    chosen = [s for s in found.sites if s.site == site]
    if site and not chosen:
        known = ", ".join(s.site for s in found.sites)
        raise ProblemsFound([problem("unknown_node", "--site", value=site, known=known)])
    if data(found, output):
        return
    for each in chosen:
        _print_hours(found, each, offset)
        print()
    rows = [
        [w.site, w.pool, w.job, w.name, text(f"state.{w.state}"), at(w.start_s, offset), at(w.finish_s, offset),
         w.cores, w.accelerators, yuan(w.total_micro)]
        for w in found.windows
        if site in ("", w.site)
    ]
    heads = ("site", "pool", "job", "name", "state", "start", "end", "cores", "cards", "price")
    table([f"head.{h}" for h in heads], rows, left=(0, 1, 2, 3, 4))
    if found.hidden or found.left_out:
        note(text("cli.plan_besides", hidden=found.hidden, left_out=found.left_out))


def _print_hours(found: Plan, site: SitePlan, offset_h: int) -> None:
    """A site by the hour: prices at its first slot, power and cores the most of its slots."""
    per_hour = HOUR_S // found.slot_s
    rows: list[list[object]] = []
    for k in range(0, found.slots, per_hour):
        part = slice(k, k + per_hour)
        kw, cores = max(site.it_kw[part]), max(site.cores[part])
        rows.append([
            at(found.first_s + k * found.slot_s, offset_h), f"{site.energy_yuan_kwh[k]:.3f}",
            f"{site.carbon_kg_kwh[k]:.3f}", f"{site.pue[k]:.2f}", f"{kw:.2f} / {site.it_cap_kw:g}",
            f"{cores} / {site.cores_max}",
        ])  # fmt: skip
    table([f"head.{h}" for h in ("time", "tariff_then", "kg_kwh", "pue_then", "it_kw", "cores")], rows)
    note(text("cli.energy_modelled"))


def links(*, state: State = None, output: Format = "table") -> None:
    """Every link now, modelled: what it carries of what it can. 链路状态。"""
    with Client.here(state) as client:
        found = client.links()
    if data(found, output):
        return
    rows = [
        [f"{k.a} - {k.b}", f"{k.gbit_s:g}", f"{k.latency_ms:g}", f"{k.yuan_gb:g}", f"{k.carried_bytes / 1e9:.1f}",
         f"{k.capacity_bytes / 1e9:.0f}", f"{k.ahead_bytes / 1e9:.1f}", "" if k.up else text("cli.cut_off")]
        for k in found
    ]
    heads = ("link", "gbit_s", "ms", "yuan_gb", "carried_gb", "capacity_gb", "ahead_gb", "fault")
    table([f"head.{h}" for h in heads], rows, left=(0, 7))
    note(text("cli.links_modelled"))


def me(*, state: State = None, output: Format = "table") -> None:
    """Whose token this is, and what its holder may do. 当前身份与权限。"""
    with Client.here(state) as client:
        found = client.me()
    if data(found, output):
        return
    roles = ", ".join(text(f"role.{r}") for r in found.roles)
    row = [found.name, roles, found.tenant, ", ".join(found.sites), ", ".join(found.may)]
    table([f"head.{h}" for h in ("user", "roles", "tenant", "sites", "may")], [row], left=(0, 1, 2, 3, 4))
