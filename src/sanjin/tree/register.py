"""The register of a region's resources (一本账), from the region document and from what the nodes here know now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sanjin.model.catalogue import both, say
from sanjin.model.performance import Compared
from sanjin.model.region import Figure, Generation, Link, Node, Pool, Region, Status
from sanjin.model.resources import LifeCycle, RecordedFigure, Resource, ResourceKind
from sanjin.model.units import GIB
from sanjin.tree import overview, topology
from sanjin.tree.region import LiveRegion

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known live: where each site stands, what was measured there, which datasets are held here."""

    region: Region
    states: Mapping[str, LifeCycle]
    compared: Mapping[str, Sequence[Compared]]
    held: frozenset[str]


def resources(live: LiveRegion) -> list[Resource]:
    """Everything that is registered: the region, grids, tariffs, each site with what is at it, links, datasets."""
    known = _look(live)
    region = known.region
    found = [*_of_the_region(region)]
    for node in region.nodes.values():
        found += _of_a_site(known, node)
    found += [_link(known, each) for each in region.links]
    found += _datasets(known)
    return found


def site_states(live: LiveRegion) -> dict[str, LifeCycle]:
    """Where each site stands, by what the nodes that run here know."""
    return dict(_look(live).states)


def _look(live: LiveRegion) -> _Known:
    silent, root = topology.silent(live), live.nodes[live.root]
    supply = root.view.supply
    compared: dict[str, Sequence[Compared]] = {}
    for node in live.nodes.values():
        for each in overview.site_figures(node, live.nodes):
            compared[each.site] = each.figures
    states: dict[str, LifeCycle] = {}
    for site in live.region.nodes:
        node = live.nodes.get(site)
        heard = node is not None or bool(supply.heard[supply.site_index[site]])
        if node is not None and overview.fault_of(node):
            states[site] = LifeCycle.FAULTY
        elif site in silent:
            states[site] = LifeCycle.CUT_OFF
        elif not heard:
            states[site] = LifeCycle.DECLARED
        else:
            short = any(line.below for line in compared.get(site, ()))
            states[site] = LifeCycle.REMARKED if short else LifeCycle.IN_SERVICE
    held = frozenset(dataset for node in live.nodes.values() for dataset in tuple(node.view.here))
    return _Known(region=live.region, states=states, compared=compared, held=held)


def source_text(region: Region, source: str) -> str:
    """What the region's table says of the ids that a figure's source names; empty where it names none."""
    ids = dict.fromkeys(word for word in _ID.findall(source) if word in region.sources)
    return "; ".join(region.sources[each] for each in ids)


def _recorded(region: Region, name: str, figure: Figure, measured: float | None = None) -> RecordedFigure:
    return RecordedFigure(
        name=name, value=figure.value, unit=figure.unit, date=figure.date, source=figure.source,
        source_text=source_text(region, figure.source), status=figure.status, measured=measured,
    )  # fmt: skip


def _figures(region: Region, **figures: Figure) -> tuple[RecordedFigure, ...]:
    return tuple(_recorded(region, name, figure) for name, figure in figures.items())


def _of_the_region(region: Region) -> Iterator[Resource]:
    """The region, its grids and its tariffs: no node speaks for them."""
    yield Resource(
        id=f"region/{region.id}", kind=ResourceKind.REGION, site="", name_en=region.name_en, name_zh=region.name_zh,
        state=LifeCycle.DECLARED, figures=_figures(region, carbon_price=region.carbon_price),
    )  # fmt: skip
    for grid in region.grids.values():
        yield Resource(
            id=f"grid/{grid.id}", kind=ResourceKind.GRID, site="", name_en=grid.name_en, name_zh=grid.name_zh,
            state=LifeCycle.DECLARED, figures=_figures(region, carbon_factor=grid.factor),
        )  # fmt: skip
    for tariff in region.tariffs.values():
        note_en, note_zh = both("register.tariff", day=tariff.valid_from)
        times = {f"multiplier_{period}": figure for period, figure in tariff.multipliers.items()}
        yield Resource(
            id=f"tariff/{tariff.id}", kind=ResourceKind.TARIFF, site="", name_en=tariff.name_en,
            name_zh=tariff.name_zh, state=LifeCycle.DECLARED, figures=_figures(region, flat=tariff.flat, **times),
            note_en=note_en, note_zh=note_zh,
        )  # fmt: skip


def _of_a_site(known: _Known, node: Node) -> Iterator[Resource]:
    """A site, and what is at it."""
    region, power = known.region, node.site.power
    note_en, note_zh = _site_note(known, node)
    yield Resource(
        id=node.id, kind=ResourceKind.SITE, site=node.id, name_en=node.name_en, name_zh=node.name_zh,
        state=known.states[node.id], figures=_site_figures(region, node), note_en=note_en, note_zh=note_zh,
    )  # fmt: skip
    for pool in node.site.pools:
        yield _pool(known, node, pool)
    for number, source in enumerate(power.generation):
        yield _generation(region, node, number, source)
    for each in node.site.facilities:
        yield Resource(
            id=f"{node.id}/facility/{each.id}", kind=ResourceKind.FACILITY, site=node.id, name_en=each.name_en,
            name_zh=each.name_zh, state=LifeCycle.DECLARED, note_en=each.facts, note_zh=each.facts,
            source=each.source, source_text=source_text(region, each.source), status=each.status,
        )  # fmt: skip


def _site_figures(region: Region, node: Node) -> tuple[RecordedFigure, ...]:
    power, pue = node.site.power, node.site.power.pue
    return _figures(
        region, population=node.population, it_cap=power.it_cap, typical_load=power.typical_load, pue_fixed=pue.fixed,
        pue_cooling_max=pue.cooling_max, pue_free_below=pue.free_below, pue_mechanical_above=pue.mechanical_above,
    )  # fmt: skip


def _site_note(known: _Known, node: Node) -> tuple[str, str]:
    """Its place in the tree and whose power it takes; and what was measured of which nothing is declared."""
    parts = [_worded("register.site", f"tier.{node.tier}", grid=node.site.grid, tariff=node.site.tariff)]
    parts += [
        _worded("register.only_measured", f"quantity.{line.quantity}", value=f"{line.measured:.3g} {line.unit}")
        for line in known.compared.get(node.id, ())
        if not line.pool
    ]
    return "; ".join(en for en, _ in parts), ";".join(zh for _, zh in parts)


def _worded(key: str, word: str, **values: object) -> tuple[str, str]:
    """A text of the catalogue whose ``{what}`` is another text of it, in both languages."""
    return say(key, "en", what=say(word, "en"), **values), say(key, "zh", what=say(word, "zh"), **values)


def _pool(known: _Known, node: Node, pool: Pool) -> Resource:
    lines = [line for line in known.compared.get(node.id, ()) if line.pool == pool.id]
    state = known.states[node.id]
    if state is LifeCycle.REMARKED and not any(line.below for line in lines):
        state = LifeCycle.IN_SERVICE  # it is another pool of the site that falls short
    cards = f"{pool.accelerators} x {pool.accelerator_kind}" if pool.accelerators else "0"
    note_en, note_zh = both("register.pool", memory=f"{pool.memory_bytes // GIB:,}", cards=cards)
    return Resource(
        id=f"{node.id}/{pool.id}", kind=ResourceKind.POOL, site=node.id, name_en=f"{node.name_en} / {pool.id}",
        name_zh=f"{node.name_zh} / {pool.id}", state=state, figures=_pool_figures(known.region, pool, lines),
        note_en=note_en, note_zh=note_zh,
    )  # fmt: skip


def _pool_figures(region: Region, pool: Pool, lines: Sequence[Compared]) -> tuple[RecordedFigure, ...]:
    found = _figures(
        region, capacity=pool.capacity, speed=pool.speed, watts_core=pool.watts_core,
        watts_idle_core=pool.watts_idle_core, watts_gib=pool.watts_gib, price_core=pool.price_core,
    )  # fmt: skip
    if pool.accelerators:
        found += _figures(region, watts_accelerator=pool.watts_accelerator, price_accelerator=pool.price_accelerator)
    return found + tuple(_performance(region, pool, line) for line in lines)


def _performance(region: Region, pool: Pool, line: Compared) -> RecordedFigure:
    """A declared performance beside what was measured, whether the document declares it or the site's operator."""
    measured = line.measured if line.runs else None
    if stated := pool.declares.get(line.quantity):
        return _recorded(region, line.quantity, stated, measured)
    return RecordedFigure(
        name=line.quantity, value=line.declared, unit=line.unit, date="", source=line.source,
        source_text=source_text(region, line.source), status=Status(line.status), measured=measured,
    )  # fmt: skip


def _generation(region: Region, node: Node, number: int, source: Generation) -> Resource:
    note_en, note_zh = both("register.modelled")
    name_en, name_zh = both(f"register.{source.kind}")
    return Resource(
        id=f"{node.id}/generation/{number + 1}-{source.kind}", kind=ResourceKind.GENERATION, site=node.id,
        name_en=f"{node.name_en} / {name_en}", name_zh=f"{node.name_zh} / {name_zh}", state=LifeCycle.DECLARED,
        figures=_figures(region, peak=source.peak, price_kwh=source.price), note_en=note_en, note_zh=note_zh,
    )  # fmt: skip


def _link(known: _Known, link: Link) -> Resource:
    """A link stands as the worse of its ends: nobody measures the line itself."""
    region = known.region
    ends = [known.states[link.a], known.states[link.b]]
    gone = LifeCycle.CUT_OFF in ends
    there = all(state is not LifeCycle.DECLARED for state in ends)
    a, b = region.nodes[link.a], region.nodes[link.b]
    return Resource(
        id=f"{link.a}-{link.b}", kind=ResourceKind.LINK, site="", name_en=f"{a.name_en} - {b.name_en}",
        name_zh=f"{a.name_zh} - {b.name_zh}",
        state=LifeCycle.CUT_OFF if gone else LifeCycle.IN_SERVICE if there else LifeCycle.DECLARED,
        figures=_figures(region, latency=link.latency, bandwidth=link.bandwidth, price_gb=link.price),
    )  # fmt: skip


def _datasets(known: _Known) -> Iterator[Resource]:
    """Datasets: in service where a node here holds one, cut off where all that hold it are silent."""
    for each in known.region.datasets.values():
        states = [known.states[site] for site in each.replicas]
        state = LifeCycle.IN_SERVICE if each.id in known.held else LifeCycle.DECLARED
        if states and all(s is LifeCycle.CUT_OFF for s in states):
            state = LifeCycle.CUT_OFF
        note_en, note_zh = _worded(
            "register.dataset", f"grade.{each.grade}", owner=each.owner, replicas=", ".join(each.replicas)
        )
        yield Resource(
            id=f"dataset/{each.id}", kind=ResourceKind.DATASET, site="", name_en=each.title_en,
            name_zh=each.title_zh, state=state, figures=_figures(known.region, size=each.size),
            note_en=note_en, note_zh=note_zh,
        )  # fmt: skip
