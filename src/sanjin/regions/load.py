"""Reading a region document: one YAML file in, a :class:`~sanjin.model.region.Region` out.

Either the whole document is sound and a region comes back, or
:class:`~sanjin.model.errors.ProblemsFound` says everything that is wrong with it, each with its
line. Sections: :mod:`~sanjin.regions.build`; rules over the whole: :mod:`~sanjin.regions.checks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import Node as YamlNode

from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.region import Region
from sanjin.regions import build, checks
from sanjin.regions.fields import Notes, Table
from sanjin.regions.wording import problem

MAX_DEPTH = 40
"""Levels that a document may nest; the schema needs nine. libyaml's composer recurses in C and
crashes the process on a document of brackets alone, so depth is counted before composing."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def available() -> tuple[str, ...]:
    """Names of the regions that come with Sanjin."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yaml")))


def bundled(name: str) -> Path:
    """File of a region that comes with Sanjin; raises NotFound for a name not in :func:`available`."""
    if name not in available():
        raise NotFound(f"there is no bundled region {name!r}; known: {', '.join(available())}")
    return Path(__file__).parent / f"{name}.yaml"


def load_region(path: str | Path) -> Region:
    """Read the region document at ``path``.

    Raises ProblemsFound with all problems, also where the file cannot be read.
    """
    return read_region(text_of(path), str(path))


def text_of(path: str | Path) -> str:
    """The text of a document. Raises ProblemsFound where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProblemsFound([problem("unreadable_file", str(path), 0, "", reason=reason)]) from error


def read_region(text: str, file: str) -> Region:
    """Read a region document from ``text``; ``file`` is what problems call it.

    Raises ProblemsFound with all problems.
    """
    return region_in(root_of(text, file))


def region_in(root: Table) -> Region:
    """The region in a document's outermost mapping. Raises ProblemsFound with all problems."""
    region = _region(root.notes, root)
    if root.notes.found:
        raise ProblemsFound(root.notes.problems)
    return region


def root_of(text: str, file: str) -> Table:
    """The outermost mapping of a document. Raises ProblemsFound where it has none."""
    root = Table(Notes(file), _composed(text, file), "")
    if root.node is None:
        details = {"expected": "a mapping", "expected_zh": "一组键值", "found_zh": "其他内容"}
        raise ProblemsFound([problem("wrong_type", file, 1, "", found="something else", **details)])
    return root


def _composed(text: str, file: str) -> YamlNode | None:
    """The document's tree of nodes."""
    try:
        _check_depth(text, file)
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
        raise ProblemsFound([problem("yaml_syntax", file, line, "", reason=reason)]) from error


def _check_depth(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark: Any = event.start_mark
            raise ProblemsFound([problem("too_deep", file, mark.line + 1, "", limit=MAX_DEPTH)])


def _region(notes: Notes, root: Table) -> Region:
    """Read every section, then check what only the whole shows."""
    root.has("provenance")  # holds anchors for the figures' common keys; nothing reads it
    sources = root.table("sources")
    sections: dict[str, Any] = {
        key: _section(root, key, read, optional=optional)
        for key, read, optional in (
            ("grids", build.grid, False),
            ("tariffs", build.tariff, False),
            ("climates", build.climate, False),
            ("nodes", build.node, False),
            ("datasets", build.dataset, True),
            ("tenants", build.tenant, True),
        )
    }
    found = Region(
        id=root.text("id"),
        name_en=root.text("name_en"),
        name_zh=root.text("name_zh"),
        utc_offset_h=root.whole("utc_offset_h", -12, 14),
        carbon_price=root.figure("carbon_price", "yuan/t"),
        links=tuple(build.link(each) for each in root.tables("links")),
        sources={key: sources.text(key) for key in sources.keys},
        **sections,
    )
    root.close()
    nodes = root.table("nodes", ids=True)
    faulty = {p.path for p in notes.found}
    parents = {k: n.parent for k, n in found.nodes.items() if f"{nodes.at(k)}.parent" not in faulty}
    known = {key.removesuffix("s"): value for key, value in sections.items()}
    checks.check_references(notes, {**known, "source": found.sources})
    checks.check_tree(notes, nodes, parents)
    checks.check_links(notes, root, nodes, parents)
    checks.check_calendars(notes, root)
    checks.check_facilities(notes, nodes)
    if not notes.found:
        found.nodes.update({name: found.nodes.pop(name) for name in checks.parents_first(parents)})
    return found


def _section(root: Table, key: str, read: Any, *, optional: bool) -> dict[str, Any]:
    """A section whose entries are keyed by id."""
    found: dict[str, Any] = {}
    for name, table in root.by_id(key, optional=optional):
        found[name] = read(name, table)
        table.close()
    return found
