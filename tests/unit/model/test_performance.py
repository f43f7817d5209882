"""Declared beside measured: the arithmetic, the flag, and what is believed of what a node tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sanjin.model.performance import (
    TOLERANCE,
    Declaration,
    Measurement,
    Remark,
    SitePerformance,
    compare,
    declarations,
    falls_short,
    sampled,
    sound,
)
from sanjin.model.region import Figure, Quantity, Status
from sanjin.regions.load import bundled, load_region

POOLS = {"datong": frozenset({"general", "ai"})}


def declared(quantity: Quantity, value: float, pool: str = "general") -> Declaration:
    figure = Figure(value, quantity.unit, "2026-11", "a test", Status.BELIEVED)
    return Declaration(pool=pool, quantity=quantity, figure=figure)


def measured(**values: float) -> Measurement:
    samples = tuple(sampled(Quantity(name), [v, v, v]) for name, v in values.items())
    return Measurement(
        at_s=1, machine="a machine", cores=2, threads=2, blas="a library", sandbox="bwrap", others_share=0.0,
        samples=samples,
    )  # fmt: skip


def test_a_sample_is_the_median_with_its_spread() -> None:
    found = sampled(Quantity.MEMORY_BANDWIDTH, [30.0, 10.0, 20.0, 24.0])
    assert (found.median, found.low, found.high, found.runs) == (22.0, 10.0, 30.0, 4)
    assert found.spread == pytest.approx(20 / 22)


@pytest.mark.parametrize(("value", "short"), [(94.9, True), (95.0, False), (95.1, False), (200.0, False)])
def test_more_than_five_percent_below_is_flagged(value: float, short: bool) -> None:
    assert TOLERANCE == 0.05
    assert falls_short(value, 100.0) is short


def test_every_pool_that_declares_has_its_line_and_what_nobody_declares_is_shown() -> None:
    promises = [declared(Quantity.FP64_CORE, 40.0), declared(Quantity.FP64_CORE, 30.0, "ai")]
    promises.append(declared(Quantity.DISK_READ, 100.0))
    lines = compare(promises, measured(fp64_core=35.0, memory_bandwidth=20.0))
    assert [(x.quantity, x.pool, x.ratio, x.below) for x in lines] == [
        (Quantity.FP64_CORE, "general", 0.875, True),
        (Quantity.FP64_CORE, "ai", pytest.approx(35 / 30), False),
        (Quantity.MEMORY_BANDWIDTH, "", 0.0, False),
        (Quantity.DISK_READ, "general", 0.0, False),  # declared and not measured: nothing to flag
    ]
    assert compare([], None) == ()


def test_the_region_document_has_the_first_word() -> None:
    region = load_region(bundled("shanxi"))
    site = region.nodes["datong"].site
    said = Figure(50.0, Quantity.FP64_CORE.unit, "2026-11", "the document", Status.BELIEVED)
    pools = tuple(replace(p, declares={Quantity.FP64_CORE: said}) if p.id == "general" else p for p in site.pools)
    node = replace(region.nodes["datong"], site=replace(site, pools=pools))
    region = replace(region, nodes={**region.nodes, "datong": node})
    added = [declared(Quantity.FP64_CORE, 1.0), *(declared(Quantity.DISK_READ, 9.0, p) for p in ("general", "no"))]
    found = declarations(region, "datong", added)
    assert [(d.pool, d.quantity, d.figure.value) for d in found] == [
        ("general", Quantity.FP64_CORE, 50.0),
        ("general", Quantity.DISK_READ, 9.0),
    ]


def test_what_makes_no_sense_is_not_believed() -> None:
    good = SitePerformance(
        site="datong", said_at_ms=1, declared=(declared(Quantity.DISK_READ, 9.0),), measured=measured(fp64_core=30.0)
    )
    assert sound(good, POOLS)
    figures = measured(fp64_core=30.0)
    bad = [
        replace(good, site="nowhere"),
        replace(good, declared=(declared(Quantity.DISK_READ, 9.0, "no-such-pool"),)),
        replace(good, declared=good.declared * 2),
        replace(good, declared=(declared(Quantity.DISK_READ, float("nan")),)),
        replace(good, measured=measured(fp64_core=float("inf"))),
        replace(good, measured=measured(fp64_core=-1.0)),
        replace(good, measured=replace(figures, samples=figures.samples * 2)),
        replace(good, measured=replace(figures, machine="x" * 501)),
        replace(good, measured=replace(figures, others_share=float("nan"))),
        replace(good, measured=replace(figures, remarks=(Remark.CACHED_FILE,) * 3)),
    ]
    assert [sound(each, POOLS) for each in bad] == [False] * len(bad)
