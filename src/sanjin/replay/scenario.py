"""Scenarios: what a replay changes of the region, its policy and its work, from an overlay document.

::

    scenarios:
      dear-carbon:
        title_en: Carbon at 300 yuan a tonne
        title_zh: 碳价每吨 300 元
        region: {carbon_price: 300}
      datong-down:
        outages: [{site: datong, from_h: 30, until_h: 42}]
      thin-line:
        region: {links: {taiyuan-datong: {bandwidth: 10}}}
        policy: {rule: greenest}
        load: 0.8
    sweep:
      region.carbon_price: [0, 90, 300]
      load: [0.5, 0.8]

Each scenario is the region's document with ``region`` laid over it (:mod:`sanjin.regions.overlay`), under the
policy document with ``policy`` laid over it. With ``from_h`` (hours from the trace's begin, to the quarter) all went
until then as in the region as it is. ``series`` names a file of hourly figures, ``rule`` another of the
rules that a replay compares. A sweep is a scenario for every combination of its values.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.series import Series
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.regions.fields import Table, hint
from sanjin.regions.load import root_of, text_of
from sanjin.regions.overlay import laid_over, nested, node_of, overlaid
from sanjin.regions.policy import applied, policy_in
from sanjin.regions.series import read_series
from sanjin.replay.outages import Outage

MOST = 1000
"""Scenarios of a sweep."""

HOURS_MAX = 24 * 3660.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world to replay the same work in. ``rule`` is a key of :data:`sanjin.replay.compare.RULES`; ``load`` of the
    region as it is, not of the changed one (None: that of the replay); ``values`` are those of a sweep. ``from_s``
    seconds from the trace's begin the world changes; 0: from the begin on."""

    id: str
    title_en: str
    title_zh: str
    region: Region
    policy: Policy
    rule: str = "own"
    load: float | None = None
    from_s: int = 0
    outages: tuple[Outage, ...] = ()
    series: Series | None = None
    values: tuple[tuple[str, str], ...] = ()


def load_scenarios(path: Path, region: Path, policy: Path | None, rules: Collection[str]) -> list[Scenario]:
    """The scenarios of an overlay document. Raises ProblemsFound with everything that is wrong with any of them."""
    root = root_of(text_of(path), str(path))
    found, faults = list[Scenario](), list[Problem]()
    base = root_of(text_of(policy), str(policy)).node if policy else None
    document = root_of(text_of(region), str(region))
    for name, table, values in _tables(root, str(path)):
        try:
            found.append(_scenario(name, table, values, document, base, rules))
        except ProblemsFound as fault:
            faults += [p for p in fault.problems if p not in faults]
        table.close()
    root.close()
    faults += root.notes.problems
    if faults:
        raise ProblemsFound(faults)
    return found


def _tables(root: Table, file: str) -> Iterator[tuple[str, Table, tuple[tuple[str, str], ...]]]:
    """The scenarios that are written, then those of the sweep."""
    for name, table in root.by_id("scenarios", optional=True):
        yield name, table, ()
    sweep = root.table("sweep", optional=True)
    axes: list[list[tuple[str, Node]]] = []
    for path, (_, value) in sweep.keys.items():
        sweep.has(path)
        axes.append([(path, v) for v in value.value] if isinstance(value, SequenceNode) else [(path, value)])
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST:
        root.note("too_many_scenarios", "sweep", count=count, most=MOST)
        return
    for chosen in itertools.product(*axes) if axes else ():
        whole: Node = MappingNode("tag:yaml.org,2002:map", [], chosen[0][1].start_mark, chosen[0][1].end_mark)
        for path, value in chosen:
            whole = laid_over(whole, nested(path, value), file)
        values = tuple((path, value.value) for path, value in chosen if isinstance(value, ScalarNode))
        name = ", ".join(f"{path.rpartition('.')[2]}={value}" for path, value in values)
        yield name, Table(root.notes, whole, f"sweep[{name}]"), values


def _scenario(
    name: str, table: Table, values: tuple[tuple[str, str], ...], document: Table, base: Node | None,
    rules: Collection[str],
) -> Scenario:
    rule = table.text("rule", optional=True) or "own"
    if rule not in rules:
        table.note("unknown_value", "rule", found=rule, name="rule", name_zh="规则", **hint(rule, rules))
    over = table.table("policy", optional=True)
    node = laid_over(base, over.node, table.notes.file) if base and over.node else over.node or base
    given = Table(table.notes, node if node is not None else node_of({}), table.at("policy"))
    policy = policy_in(given)
    raw = table.table("region", optional=True).node
    found = applied(overlaid(document, raw, f"{table.notes.file} ({name})"), policy)
    series = table.text("series", optional=True)
    from_s = round(table.number("from_h", 0.0, HOURS_MAX) * HOUR_S / SLOT_S) * SLOT_S if table.has("from_h") else 0
    hour = f"{from_s / HOUR_S:g}"
    return Scenario(
        id=name,
        series=read_series(Path(series), found) if series else None,
        title_en=(table.text("title_en", optional=True) or name) + (f" (from hour {hour})" if from_s else ""),
        title_zh=(table.text("title_zh", optional=True) or name) + (f"(自第 {hour} 小时)" if from_s else ""),
        region=found,
        policy=policy,
        rule=rule,
        load=table.number("load", 0.0, 10.0) if table.has("load") else None,
        from_s=from_s,
        outages=tuple(o for each in table.tables("outages", optional=True) for o in _outage(each, found)),
        values=values,
    )


def _outage(table: Table, region: Region) -> Iterator[Outage]:
    begin, until = (table.number(key, 0.0, HOURS_MAX) for key in ("from_h", "until_h"))
    site, link = table.text("site", optional=True), tuple(n.value for n, _ in table.items("link", optional=True))
    announced = table.has("announced") and table.keys["announced"][1].value == "true"
    table.close()
    if bool(site) == bool(link) or (link and announced):
        table.notes.add("outage_of_what", table.line, table.path)
    elif site and site not in region.nodes:
        table.note("unknown_value", "site", found=site, name="site", name_zh="站点", **hint(site, region.nodes))
    elif link and not any({e.a, e.b} == set(link) for e in region.links):
        known = ", ".join(f"{e.a}-{e.b}" for e in region.links)
        table.notes.add("unknown_link", table.line_at("link"), table.at("link"), known=known)
    elif begin >= until:
        table.notes.add("outage_ends", table.line, table.path, begin=f"{begin:g}", until=f"{until:g}")
    else:
        ends = (str(link[0]), str(link[1])) if link else None
        at = {"from_s": round(begin * HOUR_S), "until_s": round(until * HOUR_S)}
        yield Outage(site=site, link=ends, announced=announced, **at)
