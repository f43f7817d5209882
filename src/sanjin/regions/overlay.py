"""Overlays: what differs from a document, laid over it before it is read, so that every check is made on the whole.

A mapping is laid over a mapping key by key, ``null`` takes a key away, and a plain number over a figure gives its
value. In a list of links an entry is named by its two ends (``taiyuan-datong``). A figure that was changed
without a source of its own is an estimate with the source "what-if".
"""

from __future__ import annotations

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sanjin.model.errors import ProblemsFound
from sanjin.model.region import Region
from sanjin.regions.fields import Notes, Table, line_of
from sanjin.regions.load import region_in
from sanjin.regions.wording import problem

_NULL, _STR, _MAP = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "str", "map"))


def overlaid(root: Table, over: Node | None, name: str) -> Region:
    """The region of a document with ``over`` laid over it; ``name`` stands in problems for the latter. ``root`` is
    left as it is.

    Raises ProblemsFound with all problems.
    """
    file = f"{root.notes.file} + {name}" if over else root.notes.file
    return region_in(Table(Notes(file), laid_over(root.node, over, file) if over else root.node, ""))


def laid_over(base: Node | None, over: Node, file: str) -> Node:
    """A document's tree of nodes with another laid over it. Raises ProblemsFound where a link has no such ends."""
    if isinstance(base, SequenceNode) and isinstance(over, MappingNode):
        return _links(base, over, file)
    if not isinstance(base, MappingNode):
        return over
    entries = dict(Table(Notes(file), base, "").keys)
    if isinstance(over, MappingNode):
        for key, value in over.value:
            if value.tag == _NULL:
                entries.pop(key.value, None)
                continue
            old = entries.get(key.value)
            entries[key.value] = (key, laid_over(old[1] if old else None, value, file))
        given = {key.value for key, _ in over.value}
        if "value" in given and "source" in entries:
            entries |= _what_if(over, given)
    elif "value" in entries and isinstance(over, ScalarNode):
        entries["value"] = (entries["value"][0], over)
        entries |= _what_if(over, set())
    else:
        return over
    return MappingNode(_MAP, list(entries.values()), over.start_mark, over.end_mark)


def nested(path: str, value: Node) -> Node:
    """``a.b.c`` and a value as mappings within each other."""
    for key in reversed(path.split(".")):
        value = MappingNode(_MAP, [(_text(key, value), value)], value.start_mark, value.end_mark)
    return value


def node_of(document: object) -> Node:
    """Plain values as a tree of nodes."""
    found = yaml.compose(yaml.safe_dump(document), Loader=yaml.SafeLoader)
    assert found is not None
    return found


def _links(base: SequenceNode, over: MappingNode, file: str) -> Node:
    items: list[Node] = list(base.value)
    ends = [{Table(Notes(file), item, "").keys[k][1].value for k in ("a", "b")} for item in items]
    for key, value in over.value:
        at = next((i for i, pair in enumerate(ends) if "-".join(sorted(pair)) in _orders(key.value, pair)), None)
        if at is None:
            known = ", ".join(sorted("-".join(sorted(pair)) for pair in ends))
            raise ProblemsFound([problem("unknown_link", file, line_of(key), key.value, known=known)])
        items[at] = laid_over(items[at], value, file) if value.tag != _NULL else value
    kept = [item for item in items if item.tag != _NULL]
    return SequenceNode(base.tag, kept, base.start_mark, base.end_mark)


def _orders(name: str, pair: set[str]) -> set[str]:
    """The sorted form of ``name`` where it joins these two ends, in either order."""
    a, b = sorted(pair)
    return {f"{a}-{b}"} if name in (f"{a}-{b}", f"{b}-{a}") else set()


def _what_if(at: Node, given: set[str]) -> dict[str, tuple[Node, Node]]:
    """Source and status of a figure that was changed, where the change says none."""
    words = {"source": "what-if", "status": "estimated"}
    return {k: (_text(k, at), _text(w, at)) for k, w in words.items() if k not in given}


def _text(value: str, at: Node) -> ScalarNode:
    return ScalarNode(_STR, value, at.start_mark, at.end_mark)
