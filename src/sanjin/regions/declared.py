"""Reading what a site's operator declares of its machines, beside the region document.

::

    sources: {S1: acceptance test of 2026-10}
    pools:
      general:
        fp64_core: {value: 30, unit: GFLOP/s/core, date: 2026-10, source: S1, status: sourced}
        memory_bandwidth: {value: 200, unit: GB/s, date: 2026-10, source: S1, status: sourced}

What the region document declares already cannot be said again: that is what the site has promised to all.
"""

from __future__ import annotations

from pathlib import Path

from sanjin.model.errors import ProblemsFound
from sanjin.model.performance import Declaration
from sanjin.model.region import Region
from sanjin.regions.build import declared
from sanjin.regions.checks import check_references
from sanjin.regions.fields import hint
from sanjin.regions.load import root_of, text_of


def load_declared(path: Path, region: Region, site: str) -> tuple[Declaration, ...]:
    """What a document declares of the pools of ``site``. Raises ProblemsFound with everything that is wrong."""
    return read_declared(text_of(path), str(path), region, site)


def read_declared(text: str, file: str, region: Region, site: str) -> tuple[Declaration, ...]:
    """What ``text`` declares; ``file`` is what problems call it. Raises ProblemsFound."""
    root = root_of(text, file)
    root.has("provenance")  # holds anchors, as in a region document
    sources = root.table("sources", optional=True)
    known = {key: sources.text(key) for key in sources.keys}
    pools = {p.id: p for p in region.nodes[site].site.pools}
    found: list[Declaration] = []
    listed = root.table("pools", ids=True)
    for name, table in root.by_id("pools"):
        figures = declared(table)
        if name not in pools:
            listed.note("unknown_reference", name, found=name, name="pool", name_zh="资源池", **hint(name, pools))
            continue
        for quantity, figure in figures.items():
            if quantity in pools[name].declares:
                table.note("already_declared", quantity.value, key=quantity.value)
            found.append(Declaration(pool=name, quantity=quantity, figure=figure))
    root.close()
    check_references(root.notes, {"source": known})
    if root.notes.found:
        raise ProblemsFound(root.notes.problems)
    return tuple(found)
