"""What machines are declared to do: in a region document, and in the document of a site's operator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sanjin.model.errors import ProblemsFound
from sanjin.model.region import Quantity, Region
from sanjin.regions.declared import read_declared
from sanjin.regions.load import bundled, load_region, read_region
from tests.unit.regions.test_load import SOUND

FIGURE = "date: 2026-11, source: S1, status: sourced"


def with_declares(lines: str) -> str:
    """The sound document with this table in its first pool."""
    at = SOUND.index("        capacity:")
    return SOUND[:at] + f"        declares: {lines}\n" + SOUND[at:]


def problems(text: str) -> set[tuple[str, str]]:
    with pytest.raises(ProblemsFound) as found:
        read_region(text, "r.yaml")
    return {(p.code, p.path.rpartition("declares")[2]) for p in found.value.problems}


def test_a_region_document_may_declare_what_a_machine_does() -> None:
    document = with_declares(f"{{fp64_core: {{value: 30, unit: GFLOP/s/core, {FIGURE}}}}}")
    pool = next(iter(read_region(document, "r.yaml").nodes.values())).site.pools[0]
    assert pool.declares[Quantity.FP64_CORE].value == 30.0 and list(pool.declares) == [Quantity.FP64_CORE]
    shanxi = load_region(bundled("shanxi"))
    assert not any(p.declares for n in shanxi.nodes.values() for p in n.site.pools)  # it invents no figures


def test_all_faults_of_a_declaration_are_told_at_once() -> None:
    wrong = "{fp64_core: {value: 0, unit: GFLOP/s/core, X}, memory_bandwidth: {value: 3, unit: MB/s, X}, fp16: 3}"
    assert problems(with_declares(wrong.replace("X", FIGURE))) == {
        ("zero", ".fp64_core.value"),
        ("wrong_unit", ".memory_bandwidth.unit"),
        ("unknown_key", ".fp16"),
    }
    assert problems(with_declares("{}")) == {("empty_section", "")}


def of(region: Region, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ProblemsFound) as found:
        read_declared(text, "d.yaml", region, "datong")
    return [(p.code, p.path) for p in found.value.problems]


def test_an_operator_declares_beside_the_document() -> None:
    region = load_region(bundled("shanxi"))
    text = f"sources: {{S1: a test}}\npools:\n  general:\n    disk_read: {{value: 900, unit: MB/s, {FIGURE}}}\n"
    (found,) = read_declared(text, "d.yaml", region, "datong")
    assert (found.pool, found.quantity, found.figure.value) == ("general", Quantity.DISK_READ, 900.0)
    site = region.nodes["datong"].site
    pools = tuple(replace(p, declares={Quantity.DISK_READ: found.figure}) for p in site.pools)
    node = replace(region.nodes["datong"], site=replace(site, pools=pools))
    said = replace(region, nodes={**region.nodes, "datong": node})
    assert of(said, text) == [("already_declared", "pools.general.disk_read")]


def test_all_faults_of_an_operators_document_are_told_at_once() -> None:
    region = load_region(bundled("shanxi"))
    text = f"pools:\n  nope:\n    disk_read: {{value: -9, unit: MB/s, {FIGURE}}}\nmore: 1\n"
    assert sorted(of(region, text)) == [
        ("negative", "pools.nope.disk_read.value"),
        ("unknown_key", "more"),
        ("unknown_reference", "pools.nope"),
        ("unknown_reference", "pools.nope.disk_read.source"),
    ]
