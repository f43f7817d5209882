"""The parts of a region, each read from its table of the document.

Units stand here, next to the field they belong to; :mod:`sanjin.regions.fields` states the
problem where a document has another one.
"""

from __future__ import annotations

from yaml.nodes import Node as YamlNode
from yaml.nodes import SequenceNode

from sanjin.model.region import (
    PERIODS,
    Climate,
    DataGrade,
    Dataset,
    Envelope,
    Facility,
    Figure,
    Generation,
    Grid,
    IndustryRole,
    Link,
    Node,
    NodeTier,
    Pool,
    PoolKind,
    Power,
    PueModel,
    Quantity,
    Season,
    Site,
    Status,
    Tariff,
    Tenant,
)
from sanjin.model.units import GIB
from sanjin.regions.fields import Table, hint, line_of, number_in

GENERATION_KINDS = ("pv", "wind")
MONTHS = range(1, 13)


def grid(name: str, table: Table) -> Grid:
    """A power grid with its emission factor."""
    return Grid(
        id=name,
        name_en=table.text("name_en"),
        name_zh=table.text("name_zh"),
        factor=table.figure("factor", "kgCO2/kWh"),
    )


def tariff(name: str, table: Table) -> Tariff:
    """A time-of-use tariff; its seasons are checked in :mod:`sanjin.regions.checks`."""
    multipliers = table.table("multipliers")
    _only_periods(multipliers)
    return Tariff(
        id=name,
        name_en=table.text("name_en"),
        name_zh=table.text("name_zh"),
        valid_from=table.day("valid_from"),
        flat=table.figure("flat", "yuan/kWh"),
        multipliers={p: multipliers.figure(p, "x flat") for p in multipliers.keys if p in PERIODS},
        seasons=tuple(_season(each) for each in table.tables("seasons")),
    )


def _only_periods(table: Table) -> None:
    for key in table.keys:
        table.known[key] = None
        if key not in PERIODS:
            table.note("unknown_value", key, found=key, name="period", name_zh="时段", **hint(key, PERIODS))


def _season(table: Table) -> Season:
    periods = table.table("periods")
    _only_periods(periods)
    months = months_of(table)
    ranges = {
        period: tuple(r for node, path in periods.items(period) if (r := _hours(periods, node, path)))
        for period in periods.keys
        if period in PERIODS
    }
    season = Season(name=table.text("name"), months=months, periods=ranges)
    table.close()
    return season


def months_of(table: Table) -> tuple[int, ...]:
    """The list ``months``; anything but 1 to 12 is noted."""
    months = table.numbers("months")
    for number, (node, path) in zip(months, table.items("months"), strict=True):
        if number_in(node) is not None and number not in MONTHS:
            table.notes.add("out_of_range", line_of(node), path, value=f"{number:g}", low="1", high="12")
    return tuple(int(m) for m in months if m in MONTHS)


def _hours(table: Table, node: YamlNode, path: str) -> tuple[int, int] | None:
    """A range ``[from, to)`` of hours."""
    ends = [number_in(end) for end in node.value] if isinstance(node, SequenceNode) else []
    numbers = [int(end) for end in ends if end is not None and end.is_integer()]
    if len(ends) == len(numbers) == 2 and 0 <= numbers[0] < numbers[1] <= 24:
        return numbers[0], numbers[1]
    shown = "-".join("?" if e is None else f"{e:g}" for e in ends) or "this"
    table.notes.add("bad_hours", line_of(node), path, found=shown)
    return None


def climate(name: str, table: Table) -> Climate:
    """Monthly means, written as one or more series that together cover the year once."""
    means: dict[int, Figure] = {}
    for series in table.tables("monthly_mean"):
        months = months_of(series)
        values = series.numbers("values")
        if series.node is not None and len(months) != len(values):
            series.note("wrong_count", "values", found=len(values), expected=len(months))
        series.unit("degC")
        day, source, status = series.provenance()
        series.close()
        for month, value in zip(months, values, strict=False):
            means.setdefault(month, Figure(value, "degC", day, source, status))
    nothing = Figure(0.0, "degC", "", "", Status.ESTIMATED)
    return Climate(
        id=name,
        monthly_mean=tuple(means.get(m, nothing) for m in MONTHS),
        half_range=table.figure("half_range", "degC"),
    )


def power(table: Table) -> Power:
    """Power of a site: cap, load, PUE model, generation."""
    model = table.table("pue")
    pue = PueModel(
        fixed=model.figure("fixed", "share"),
        cooling_max=model.figure("cooling_max", "share"),
        free_below=model.figure("free_below", "degC", -60, 60),
        mechanical_above=model.figure("mechanical_above", "degC", -60, 60),
    )
    model.close()
    if {
        "mechanical_above",
        "free_below",
    } <= model.keys.keys() and pue.mechanical_above.value <= pue.free_below.value:
        model.note("wrong_order", "mechanical_above", name="mechanical_above", other="free_below")
    generation = tuple(_generation(each) for each in table.tables("generation", optional=True))
    found = Power(
        it_cap=table.figure("it_cap", "kW", above=True),
        typical_load=table.figure("typical_load", "share", 0, 1, above=True),
        pue=pue,
        generation=generation,
    )
    table.close()
    return found


def _generation(table: Table) -> Generation:
    kind = table.text("kind")
    if kind and kind not in GENERATION_KINDS:
        more = hint(kind, GENERATION_KINDS)
        table.note("unknown_value", "kind", found=kind, name="kind of generation", name_zh="发电类型", **more)
    found = Generation(kind=kind, peak=table.figure("peak", "kW", above=True), price=table.figure("price", "yuan/kWh"))
    table.close()
    return found


def _pool(name: str, table: Table) -> Pool:
    capacity = table.figure("capacity", "cores", above=True)
    memory = table.figure("memory", "GiB", above=True)
    cards = table.figure("accelerators", "cards", above=True) if table.has("accelerators") else None
    machine = table.table("machine", optional=True)
    sizes = {
        key: _whole(machine, key, machine.figure(key, unit, above=True)) if machine.has(key) else 0
        for key, unit in (("cores", "cores"), ("memory", "GiB"), ("accelerators", "cards"))
    }
    if sizes["cores"] == 0 and machine.node is not None:
        machine.note("missing_key", "cores", key="cores")
    machine.close()
    declares = declared(table.table("declares", optional=True))
    none = Figure(0.0, "", capacity.date, "no accelerators in this pool", Status.COMPUTED)

    def of_card(key: str, unit: str) -> Figure:
        """Figures of accelerators are asked for only where there are some."""
        if cards is None and not table.has(key):
            return Figure(none.value, unit, none.date, none.source, none.status)
        return table.figure(key, unit)

    return Pool(
        id=name,
        kind=table.choice("kind", PoolKind, "kind of pool", "资源池类型"),
        cores=_whole(table, "capacity", capacity),
        memory_bytes=round(memory.value * GIB),
        accelerators=_whole(table, "accelerators", cards) if cards else 0,
        accelerator_kind=table.text("accelerator_kind", optional=cards is None),
        speed=table.figure("speed", "x reference", above=True),
        watts_core=table.figure("watts_core", "W"),
        watts_idle_core=table.figure("watts_idle_core", "W"),
        watts_accelerator=of_card("watts_accelerator", "W"),
        watts_gib=table.figure("watts_gib", "W/GiB"),
        price_core=table.figure("price_core", "yuan/core-hour"),
        price_accelerator=of_card("price_accelerator", "yuan/card-hour"),
        capacity=capacity,
        machine_cores=sizes["cores"],
        machine_memory_bytes=(sizes["memory"] or round(memory.value)) * GIB,
        machine_accelerators=sizes["accelerators"] or (_whole(table, "accelerators", cards) if cards else 0),
        declares=declares,
    )


def declared(table: Table) -> dict[Quantity, Figure]:
    """What a machine is declared to do: any of the quantities, at least one where the table is there."""
    if table.node is not None and not table.keys:
        table.notes.add("empty_section", table.line, table.path)
    found = {q: table.figure(q.value, q.unit, above=True) for q in Quantity if table.has(q.value)}
    table.close()
    return found


def _whole(table: Table, key: str, figure: Figure) -> int:
    if not figure.value.is_integer():
        table.note("not_whole", key, value=f"{figure.value:g}")
    return int(figure.value)


def _facility(name: str, table: Table) -> Facility:
    facility = Facility(
        id=name,
        name_en=table.text("name_en"),
        name_zh=table.text("name_zh"),
        facts=table.text("facts"),
        status=table.choice("status", Status, "status", "可信状态"),
        source=table.text("source"),
    )
    table.close()
    return facility


def _site(table: Table) -> Site:
    pools: list[Pool] = []
    for name, each in table.by_id("pools"):
        pools.append(_pool(name, each))
        each.close()
    return Site(
        pools=tuple(pools),
        power=power(table.table("power")),
        grid=table.reference("grid", "grid"),
        tariff=table.reference("tariff", "tariff"),
        climate=table.reference("climate", "climate"),
        facilities=tuple(_facility(*each) for each in table.by_id("facilities", optional=True)),
        images=table.flag("images"),
    )


def node(name: str, table: Table) -> Node:
    """A node with its site."""
    return Node(
        id=name,
        name_en=table.text("name_en"),
        name_zh=table.text("name_zh"),
        tier=table.choice("tier", NodeTier, "tier", "节点层级"),
        industry_role=table.choice("industry_role", IndustryRole, "industry role", "产业定位"),
        parent=table.reference("parent", "node", may_be_empty=True),
        lat=table.number("lat", -90, 90),
        lon=table.number("lon", -180, 180),
        population=table.figure("population", "persons"),
        site=_site(table),
        adcode=table.digits("adcode"),
    )


def link(table: Table) -> Link:
    """A link; which nodes it joins is checked in :mod:`sanjin.regions.checks`."""
    found = Link(
        a=table.reference("a", "node"),
        b=table.reference("b", "node"),
        latency=table.figure("latency", "ms"),
        bandwidth=table.figure("bandwidth", "Gbit/s", above=True),
        price=table.figure("price", "yuan/GB"),
    )
    table.close()
    return found


def dataset(name: str, table: Table) -> Dataset:
    """A dataset with its replicas."""
    replicas = table.references("replicas", "node")
    return Dataset(
        id=name,
        title_en=table.text("title_en"),
        title_zh=table.text("title_zh"),
        owner=table.reference("owner", "tenant"),
        grade=table.choice("grade", DataGrade, "grade", "数据级别"),
        size=table.figure("size", "GB", above=True),
        replicas=replicas,
    )


def tenant(name: str, table: Table) -> Tenant:
    """A tenant with its envelopes by node."""
    envelopes: dict[str, Envelope] = {}
    by_node = table.table("envelopes", ids=True)
    for where in by_node.keys:
        if where != "*":
            by_node.refer("node", where, where)
        each = by_node.table(where)
        envelopes[where] = Envelope(cores=each.whole("cores"), yuan=each.number("yuan"))
        each.close()
    return Tenant(
        id=name,
        name_en=table.text("name_en"),
        name_zh=table.text("name_zh"),
        envelopes=envelopes,
    )
