"""What only the whole document shows: references, the tree, links, seasons and months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from yaml import SequenceNode

from sanjin.model.region import PERIODS
from sanjin.regions.build import MONTHS, months_of
from sanjin.regions.fields import Notes, Table, hint, line_of, number_in

_NAMES = {
    "node": ("node", "节点"),
    "grid": ("grid", "电网"),
    "tariff": ("tariff", "电价"),
    "climate": ("climate", "气候"),
    "tenant": ("tenant", "租户"),
    "source": ("source", "来源"),
}
_MAY_OVERLAP = (frozenset({"sharp", "peak"}), frozenset({"deep_valley", "valley"}))


def check_references(notes: Notes, known: Mapping[str, Iterable[str]]) -> None:
    """Every id that the document mentions must stand in its section."""
    for each in notes.references:
        names = list(known[each.kind])
        if each.name not in names:
            name, name_zh = _NAMES[each.kind]
            notes.add(
                "unknown_reference", each.line, each.path,
                found=each.name, name=name, name_zh=name_zh, **hint(each.name, names),
            )  # fmt: skip


def _upwards(parents: Mapping[str, str], start: str) -> list[str]:
    """``start`` and what stands above it, as far as it goes without repeating."""
    chain = [start]
    while (above := parents.get(chain[-1], "")) and above not in chain:
        chain.append(above)
    return chain


def check_tree(notes: Notes, nodes: Table, parents: Mapping[str, str]) -> None:
    """One root, and every node below it. ``parents`` has no entry where the parent is unreadable."""
    if len(parents) < len(nodes.keys):
        return
    roots = [name for name, above in parents.items() if not above]
    for name in roots[1:]:
        line = nodes.table(name).line_at("parent")
        where = f"{nodes.at(name)}.parent"
        notes.add("several_roots", line, where, found=len(roots), names=", ".join(roots))
    seen: set[str] = set()
    circles = 0
    for name in parents:
        chain = _upwards(parents, name)
        last = parents.get(chain[-1], "")
        if last in chain and last not in seen:
            circle = chain[chain.index(last) :]
            line = nodes.table(name).line_at("parent")
            names = " -> ".join([*circle, last])
            notes.add("cyclic_parents", line, f"{nodes.at(name)}.parent", names=names)
            circles += 1
        seen.update(chain)
    if parents and not roots and not circles:
        notes.add("no_root", nodes.line, nodes.path)


def parents_first(parents: Mapping[str, str]) -> list[str]:
    """Ids in the document's order, but each parent before its children; only for a sound tree."""
    order: dict[str, None] = {}
    for name in parents:
        for each in reversed(_upwards(parents, name)):
            order[each] = None
    return list(order)


def check_links(notes: Notes, root: Table, nodes: Table, parents: Mapping[str, str]) -> None:
    """Links join two different nodes, each pair once, and every node can be reached."""
    first: dict[frozenset[str], int] = {}
    near: dict[str, set[str]] = {name: set() for name in nodes.keys}
    for table in root.tables("links"):
        ends = [table.text(key) if key in table.keys else "" for key in ("a", "b")]
        pair = frozenset(ends)
        if not all(end in near for end in ends):
            continue
        if len(pair) == 1:
            notes.add("link_to_itself", table.line, table.path, key=ends[0])
        elif pair in first:
            names = " - ".join(ends)
            notes.add("duplicate_link", table.line, table.path, names=names, first=first[pair])
        first.setdefault(pair, table.line)
        near[ends[0]].add(ends[1])
        near[ends[1]].add(ends[0])
    start = next((name for name, above in parents.items() if not above), None)
    if start is None:
        return
    reached = [start]
    for name in reached:
        reached.extend(sorted(near.get(name, set()) - set(reached)))
    for name, (key, _) in nodes.keys.items():
        if name not in reached:
            notes.add("unreachable_node", line_of(key), nodes.at(name), key=name)


def _check_months(notes: Notes, table: Table, key: str) -> None:
    """Each month occurs once over the list of tables under ``key``."""
    if key not in table.keys:
        return
    parts = list(table.tables(key))
    if not all(part.node is not None and "months" in part.keys for part in parts):
        return
    months = [month for part in parts for month in months_of(part)]
    line, path = table.line_at(key), table.at(key)
    missing = [str(m) for m in MONTHS if m not in months]
    double = [str(m) for m in MONTHS if months.count(m) > 1]
    if missing:
        notes.add("missing_months", line, path, names=", ".join(missing))
    if double:
        notes.add("double_months", line, path, names=", ".join(double))


def _check_hours(notes: Notes, season: Table, multipliers: Table) -> None:
    """Hours of a season lie in one period each, and each period has its multiplier."""
    periods = season.table("periods")
    owner: dict[int, list[str]] = {}
    for period in (p for p in periods.keys if p in PERIODS):
        if period not in multipliers.keys and multipliers.node is not None:
            periods.note("missing_multiplier", period, key=period)
        for node, _ in periods.items(period):
            value: Any = node.value if isinstance(node, SequenceNode) else ()
            listed: list[Any] = list(value)
            ends = [number_in(end) for end in listed]
            if len(ends) != 2 or ends[0] is None or ends[1] is None:
                continue
            for hour in range(max(int(ends[0]), 0), min(int(ends[1]), 24)):
                owner.setdefault(hour, []).append(period)
    noted: set[tuple[str, ...]] = set()
    for hour, names in sorted(owner.items()):
        pair = tuple(names)
        if len(names) > 1 and frozenset(names) not in _MAY_OVERLAP and pair not in noted:
            noted.add(pair)  # one problem for a run of hours that collide alike
            periods.note("overlapping_hours", names[-1], hour=hour, names=" + ".join(names))


def check_calendars(notes: Notes, root: Table) -> None:
    """Seasons of tariffs and series of climates cover the year once."""
    tariffs, climates = root.table("tariffs", ids=True), root.table("climates", ids=True)
    for name in tariffs.keys:
        table = tariffs.table(name)
        _check_months(notes, table, "seasons")
        for season in table.tables("seasons", optional=True):
            if season.has("periods"):
                _check_hours(notes, season, table.table("multipliers"))
    for name in climates.keys:
        _check_months(notes, climates.table(name), "monthly_mean")


def check_facilities(notes: Notes, nodes: Table) -> None:
    """Ids of facilities are unique in the region, not only at their site."""
    first: dict[str, int] = {}
    for name in nodes.keys:
        facilities = nodes.table(name).table("facilities", optional=True, ids=True)
        for each, (key, _) in facilities.keys.items():
            if each in first and first[each] != line_of(key):
                notes.add("duplicate_id", line_of(key), facilities.at(each), key=each, first=first[each])
            first.setdefault(each, line_of(key))
