"""Typed reading of a YAML document that notes every problem instead of stopping at the first.

A :class:`Table` is a mapping of the document. Its methods return a value of the type asked for;
where the document has none, they note a :class:`~sanjin.model.errors.Problem` and return a
placeholder, so reading goes on. Whoever reads must look at :attr:`Notes.problems` in the end and
throw the result away if there are any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sanjin.model.errors import Problem
from sanjin.model.region import Figure, Status
from sanjin.regions.wording import problem

E = TypeVar("E", bound=StrEnum)
_PLACEHOLDER = Figure(value=1.0, unit="", date="", source="", status=Status.ESTIMATED)
_MERGE = "tag:yaml.org,2002:merge"
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_SOURCE_ID = re.compile(r"\bS\d+[a-z]?\b")
MANY = 12
"""More names than this are not listed in a hint."""

_DATES = (re.compile(r"\d{4}"), re.compile(r"\d{4}-\d\d"), re.compile(r"\d{4}-\d\d-\d\d"))


def line_of(node: Node) -> int:
    """Line of the document where ``node`` begins, counted from 1."""
    mark: Any = node.start_mark
    return int(mark.line) + 1


def hint(found: str, known: Iterable[str]) -> dict[str, str]:
    """``hint`` and ``hint_zh``: the known name nearest to ``found``, and the names where they are few."""
    names = list(known)
    near = get_close_matches(found, names, n=1)
    listed = ", ".join(names[:MANY]) + (", ..." if len(names) > MANY else "") or "-"
    if not near:
        return {"hint": f"Known: {listed}", "hint_zh": f"可用：{listed}"}
    more, more_zh = (f" (known: {listed})", f"（可用：{listed}）") if len(names) <= MANY else ("", "")
    return {"hint": f"Did you mean {near[0]!r}{more}", "hint_zh": f"是否应为 {near[0]!r}{more_zh}"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that must exist elsewhere in the document: ``name`` of kind ``kind``."""

    kind: str
    name: str
    line: int
    path: str


@dataclass(slots=True)
class Notes:
    """What reading found: problems, and references to check once everything is known."""

    file: str
    found: dict[Problem, None] = field(default_factory=dict[Problem, None])
    references: list[Reference] = field(default_factory=list[Reference])
    merged: dict[int, dict[str, tuple[Node, Node]]] = field(default_factory=dict[int, dict[str, tuple[Node, Node]]])
    """Entries of mappings that ``<<`` named, by identity of the node: each is read once, so that
    merges of merges cannot take exponential time."""

    @property
    def problems(self) -> list[Problem]:
        """All problems, by line."""
        return sorted(self.found, key=lambda p: p.line)

    def add(self, code: str, line: int, path: str, /, **details: object) -> None:
        """Note a problem, once for each place."""
        self.found[problem(code, self.file, line, path, **details)] = None


_KINDS: dict[type[Node], tuple[str, str]] = {
    MappingNode: ("a mapping", "一组键值"),
    SequenceNode: ("a list", "一个列表"),
}


def _described(node: Node) -> tuple[str, str]:
    if isinstance(node, ScalarNode):
        text = str(node.value)
        return (f"{text!r}", f" {text!r} ") if text else ("nothing", "空值")
    return _KINDS.get(type(node), ("something else", "其他内容"))


class Table:
    """One mapping of the document; ``node`` None stands for one that is missing or faulty.

    Reading a key marks it as known; :meth:`close` then notes the keys that nobody asked for.
    """

    def __init__(self, notes: Notes, node: Node | None, path: str, *, ids: bool = False) -> None:
        self.notes = notes
        self.node = node if isinstance(node, MappingNode) else None
        self.path = path
        self.line = line_of(node) if node is not None else 0
        self.known: dict[str, None] = {}
        self.keys: dict[str, tuple[Node, Node]] = {}
        if self.node is not None:
            self.keys = self._entries(self.node, "duplicate_id" if ids else "duplicate_key", ())

    def _entries(self, node: MappingNode, duplicate: str, above: tuple[Node, ...]) -> dict[str, tuple[Node, Node]]:
        """Keys of ``node`` with their nodes; ``<<`` gives defaults, as in YAML 1.1."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._wrong_type(key, self.path, "a plain key", "普通键")
            elif key.tag == _MERGE:
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    if not isinstance(source, MappingNode) or source is node or source in above:
                        self._wrong_type(value, self.path, "an alias of another mapping", "另一组键值的别名")
                    else:
                        merged = self._merged(source, duplicate, (*above, node)) | merged
            elif key.value in own:
                first = line_of(own[key.value][0])
                self.notes.add(duplicate, line_of(key), self.at(key.value), key=key.value, first=first)
            else:
                own[key.value] = (key, value)
        return own | {name: entry for name, entry in merged.items() if name not in own}

    def _merged(self, node: MappingNode, duplicate: str, above: tuple[Node, ...]) -> dict[str, tuple[Node, Node]]:
        known = self.notes.merged.get(id(node))
        if known is None:
            known = self.notes.merged[id(node)] = self._entries(node, duplicate, above)
        return known

    def at(self, key: str) -> str:
        """Path of ``key`` in the document."""
        return f"{self.path}.{key}" if self.path else key

    def line_at(self, key: str) -> int:
        """Line of the value of ``key``; the table's own where the key is missing."""
        entry = self.keys.get(key)
        return line_of(entry[1]) if entry else self.line

    def note(self, code: str, key: str, /, **details: object) -> None:
        """Note a problem with the value of ``key``."""
        self.notes.add(code, self.line_at(key), self.at(key), **details)

    def _wrong_type(self, node: Node, path: str, expected: str, expected_zh: str) -> None:
        found, found_zh = _described(node)
        self.notes.add(
            "wrong_type", line_of(node), path,
            found=found, expected=expected, found_zh=found_zh, expected_zh=expected_zh,
        )  # fmt: skip

    def has(self, key: str) -> bool:
        """Whether ``key`` is there; makes it a known key."""
        self.known[key] = None
        return key in self.keys

    def _value(self, key: str, *, optional: bool = False) -> Node | None:
        if self.has(key):
            return self.keys[key][1]
        if self.node is not None and not optional:
            self.notes.add("missing_key", self.line, self.at(key), key=key)
        return None

    def _scalar(self, key: str, expected: str, expected_zh: str, *, optional: bool = False) -> ScalarNode | None:
        node = self._value(key, optional=optional)
        if node is None or isinstance(node, ScalarNode):
            return node
        self._wrong_type(node, self.at(key), expected, expected_zh)
        return None

    def text(self, key: str, *, optional: bool = False, may_be_empty: bool = False) -> str:
        """A text; empty where it is optional and missing."""
        node = self._scalar(key, "a text", "文字", optional=optional)
        if node is None:
            return ""
        if not str(node.tag).endswith(":str"):
            self._wrong_type(node, self.at(key), "a text (in quotes if need be)", "文字（必要时加引号）")
            return ""
        if not node.value and not may_be_empty:
            self.note("empty_text", key)
        return str(node.value)

    def flag(self, key: str) -> bool:
        """``true`` or ``false``; false where it is missing."""
        node = self._scalar(key, "true or false", "true 或 false", optional=True)
        if node is not None and str(node.value) not in ("true", "false"):
            self._wrong_type(node, self.at(key), "true or false", "true 或 false")
        return node is not None and str(node.value) == "true"

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, at least one."""
        found: list[str] = []
        for node, path in self.items(key):
            if isinstance(node, ScalarNode) and str(node.tag).endswith(":str") and node.value:
                found.append(str(node.value))
            else:
                self._wrong_type(node, path, "a text", "文字")
        if not found and key in self.keys:
            self.note("empty_section", key)
        return tuple(found)

    def digits(self, key: str) -> str:
        """An optional code of digits, with or without quotes."""
        node = self._scalar(key, "digits", "数字代码", optional=True)
        if node is not None and not re.fullmatch(r"[0-9]+", str(node.value)):
            self._wrong_type(node, self.at(key), "digits", "数字代码")
            return ""
        return str(node.value) if node is not None else ""

    def number(self, key: str, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> float:
        """A number from ``low`` to ``high`` (with ``above``: not ``low`` itself)."""
        node = self._scalar(key, "a number", "数字")
        value = number_in(node) if node is not None else None
        if node is not None and value is None:
            self._wrong_type(node, self.at(key), "a number", "数字")
        if value is None:
            return max(low, min(1.0, high))
        if low == 0.0 and value < 0.0:
            self.note("negative", key, value=f"{value:g}")
        elif value == low == 0.0 and above:
            self.note("zero", key)
        elif not low <= value <= high or (above and value == low):
            self.note("out_of_range", key, value=f"{value:g}", low=f"{low:g}", high=f"{high:g}")
        return value

    def whole(self, key: str, low: float = 0.0, high: float = math.inf) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self.number(key, low, high)
        if not value.is_integer():
            self.note("not_whole", key, value=f"{value:g}")
        return int(value)

    def day(self, key: str) -> str:
        """A date: YYYY, YYYY-MM or YYYY-MM-DD."""
        node = self._scalar(key, "a date", "日期")
        if node is None:
            return ""
        if not is_date(str(node.value)):
            self.note("bad_date", key, found=str(node.value))
        return str(node.value)

    def choice(self, key: str, members: type[E], name: str, name_zh: str) -> E:
        """A member of an enumeration, by its value."""
        node = self._scalar(key, f"a {name}", name_zh)
        values = [m.value for m in members]
        if node is not None and node.value in values:
            return members(node.value)
        if node is not None:
            found = str(node.value)
            self.note("unknown_value", key, found=found, name=name, name_zh=name_zh, **hint(found, values))
        return next(iter(members))

    def reference(self, key: str, kind: str, *, may_be_empty: bool = False) -> str:
        """The id of something of ``kind`` that must stand elsewhere in the document."""
        name = self.text(key, may_be_empty=may_be_empty)
        if name:
            self.refer(kind, key, name)
        return name

    def refer(self, kind: str, key: str, name: str) -> None:
        """Note that ``key`` mentions ``name``, something of ``kind``."""
        self.notes.references.append(Reference(kind, name, self.line_at(key), self.at(key)))

    def references(self, key: str, kind: str) -> tuple[str, ...]:
        """A list of ids of ``kind``: at least one, each once."""
        items = self.items(key)
        if not items and key in self.keys:
            self.note("empty_section", key)
        first: dict[str, int] = {}
        for node, path in items:
            name = str(node.value) if isinstance(node, ScalarNode) else ""
            if not name:
                self._wrong_type(node, path, "an id", "编号")
            elif name in first:
                self.notes.add("duplicate_id", line_of(node), path, key=name, first=first[name])
            else:
                first[name] = line_of(node)
                self.notes.references.append(Reference(kind, name, line_of(node), path))
        return tuple(first)

    def table(self, key: str, *, optional: bool = False, ids: bool = False) -> Table:
        """The mapping under ``key``."""
        node = self._value(key, optional=optional)
        if node is not None and not isinstance(node, MappingNode):
            self._wrong_type(node, self.at(key), "a mapping", "一组键值")
        return Table(self.notes, node, self.at(key), ids=ids)

    def by_id(self, key: str, *, optional: bool = False) -> Iterator[tuple[str, Table]]:
        """Entries of the mapping under ``key``, whose keys are ids."""
        entries = self.table(key, optional=optional, ids=True)
        if entries.node is not None and not entries.keys and not optional:
            self.note("empty_section", key)
        for name in entries.keys:
            if not _ID.fullmatch(name):
                self.notes.add("bad_id", line_of(entries.keys[name][0]), entries.at(name), key=name)
            yield name, entries.table(name)

    def items(self, key: str, *, optional: bool = False) -> list[tuple[Node, str]]:
        """Nodes of the list under ``key`` with their paths."""
        node = self._value(key, optional=optional)
        if node is None:
            return []
        if not isinstance(node, SequenceNode):
            self._wrong_type(node, self.at(key), "a list", "一个列表")
            return []
        return [(item, f"{self.at(key)}[{i}]") for i, item in enumerate(node.value)]

    def tables(self, key: str, *, optional: bool = False) -> Iterator[Table]:
        """Mappings of the list under ``key``."""
        for node, path in self.items(key, optional=optional):
            if not isinstance(node, MappingNode):
                self._wrong_type(node, path, "a mapping", "一组键值")
            yield Table(self.notes, node, path)

    def numbers(self, key: str) -> list[float]:
        """Numbers of the list under ``key``."""
        found: list[float] = []
        for node, path in self.items(key):
            value = number_in(node)
            if value is None:
                self._wrong_type(node, path, "a number", "数字")
            found.append(0.0 if value is None else value)
        return found

    def unit(self, expected: str) -> None:
        """The key ``unit`` of a figure, which must be ``expected``."""
        if self.node is not None and not self.has("unit"):
            self.notes.add("missing_unit", self.line, self.at("unit"), expected=expected)
            return
        found = self.text("unit")
        if found and found != expected:
            self.note("wrong_unit", "unit", found=found, expected=expected)

    def provenance(self) -> tuple[str, str, Status]:
        """Date, source and status of a figure; ids in the source must be in the table of sources."""
        day, source = self.day("date"), self.text("source")
        for name in _SOURCE_ID.findall(source):
            self.refer("source", "source", name)
        return day, source, self.choice("status", Status, "status", "可信状态")

    def figure(self, key: str, unit: str, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> Figure:
        """A number with its unit, date, source and status."""
        table = self.table(key)
        if table.node is None:
            return _PLACEHOLDER
        value = table.number("value", low, high, above=above)
        table.unit(unit)
        day, source, status = table.provenance()
        table.close()
        return Figure(value=value, unit=unit, date=day, source=source, status=status)

    def close(self) -> None:
        """Note the keys that are none of those read."""
        for key, (node, _) in self.keys.items():
            if key not in self.known:
                near = hint(key, self.known)
                self.notes.add("unknown_key", line_of(node), self.at(key), key=key, **near)


def number_in(node: Node) -> float | None:
    """The finite number that ``node`` writes without quotes, else None.

    Stricter than YAML 1.1, in which 010 is eight and 12:30 is 750.
    """
    if not isinstance(node, ScalarNode) or node.style in ("'", '"', "|", ">"):
        return None
    text = str(node.value).replace("_", "")
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text, re.ASCII):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def is_date(text: str) -> bool:
    """Whether ``text`` is YYYY, YYYY-MM or YYYY-MM-DD and exists in the calendar."""
    if not any(form.fullmatch(text) for form in _DATES) or not text.isascii():
        return False
    try:
        date.fromisoformat(text + "-01-01"[len(text) - 4 :])
    except ValueError:
        return False
    return True
