"""The bundled regions say what their sources say, and their models give plausible years."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sanjin.model.energy import site_tables
from sanjin.model.errors import NotFound
from sanjin.model.network import network_of
from sanjin.model.region import DataGrade, IndustryRole, NodeTier, PoolKind, Region, Status
from sanjin.model.units import GIB
from sanjin.regions.load import available, bundled, load_region
from sanjin.regions.scale import scaled

YEAR_2026 = 1_767_196_800 // 900  # 2026-01-01 00:00 at UTC+8


@pytest.fixture(scope="module")
def shanxi() -> Region:
    return load_region(bundled("shanxi"))


@pytest.fixture(scope="module")
def national() -> Region:
    return load_region(bundled("national"))


def yearly_pue(region: Region, node: str) -> float:
    return float(site_tables(region, region.nodes[node], YEAR_2026, 365 * 96).pue.mean())


def test_bundled_names() -> None:
    assert {"shanxi", "national"} <= set(available())
    with pytest.raises(NotFound):
        bundled("../shanxi")


def test_tree(shanxi: Region) -> None:
    assert shanxi.root().id == "taiyuan"
    tiers = [n.tier for n in shanxi.nodes.values()]
    assert [tiers.count(t) for t in (NodeTier.CORE, NodeTier.HUB, NodeTier.EDGE)] == [1, 3, 7]
    parents = {n.id: n.parent for n in shanxi.nodes.values() if n.tier is NodeTier.EDGE}
    assert parents == {
        "changzhi": "yangquan", "jincheng": "taiyuan", "shuozhou": "datong", "jinzhong": "taiyuan",
        "yuncheng": "luliang", "xinzhou": "taiyuan", "linfen": "luliang",
    }  # fmt: skip
    assert set(shanxi.subtree("taiyuan")) == set(shanxi.nodes)


def test_tier_and_role_are_two_attributes(shanxi: Region) -> None:
    roles = {n.id: n.industry_role for n in shanxi.nodes.values()}
    assert {k for k, r in roles.items() if r is IndustryRole.NONE} == {"shuozhou", "xinzhou", "linfen"}
    assert {k for k, r in roles.items() if r is IndustryRole.POLE} == {"datong", "luliang"}
    assert roles["yangquan"] is IndustryRole.POINT
    assert shanxi.nodes["yangquan"].tier is NodeTier.HUB


def test_facts(shanxi: Region) -> None:
    assert sum(n.population.value for n in shanxi.nodes.values()) == 34_915_616
    factor = shanxi.grids["shanxi"].factor
    assert (factor.value, factor.status, factor.date) == (0.7096, Status.SOURCED, "2022")
    assert shanxi.tariffs["shanxi-2026"].flat.status is Status.ESTIMATED
    assert shanxi.datasets["hospital-visits"].grade is DataGrade.CORE
    assert len(shanxi.datasets) >= 12
    assert {p.kind for n in shanxi.nodes.values() for p in n.site.pools} == set(PoolKind)


@pytest.mark.parametrize(
    ("node", "low", "high"),
    [("datong", 1.15, 1.2), ("yangquan", 1.08, 1.12), ("taiyuan", 1.25, 1.35), ("luliang", 1.2, 1.3)]
    + [
        (n, 1.4, 1.5)
        for n in ("changzhi", "jincheng", "shuozhou", "jinzhong", "yuncheng", "xinzhou", "linfen")
    ],
)
def test_a_years_pue_is_plausible(shanxi: Region, node: str, low: float, high: float) -> None:
    assert low <= yearly_pue(shanxi, node) <= high


def test_prices_of_use(shanxi: Region) -> None:
    prices = {(n.id, p.kind): p.price_core.value for n in shanxi.nodes.values() for p in n.site.pools}
    general = {node: price for (node, kind), price in prices.items() if kind is PoolKind.GENERAL}
    assert min(general, key=lambda k: general[k]) == "datong"
    dearest_hub = max(p for (n, _), p in prices.items() if shanxi.nodes[n].tier is not NodeTier.EDGE)
    assert all(p > dearest_hub for (n, _), p in prices.items() if shanxi.nodes[n].tier is NodeTier.EDGE)


def test_capacities_are_no_facts(shanxi: Region, national: Region) -> None:
    for region in (shanxi, national):
        pools = [p for n in region.nodes.values() for p in n.site.pools]
        assert {p.capacity.status for p in pools} <= {Status.ESTIMATED, Status.BELIEVED}


def test_every_source_is_used_and_in_the_table(shanxi: Region, national: Region) -> None:
    for region, name in ((shanxi, "shanxi"), (national, "national")):
        text = bundled(name).read_text(encoding="utf-8")
        body = text[: text.index("\nsources:")] + text[text.index("\ngrids:") :]
        used = set(re.findall(r"\bS\d+b?\b", body))
        assert used == set(region.sources)


def test_latency_classes(shanxi: Region) -> None:
    network = network_of(shanxi)
    assert np.isfinite(network.latency_ms).all()
    assert network.latency_ms.max() < 6.0
    at = {name: i for i, name in enumerate(network.nodes)}
    assert network.latency_ms[at["taiyuan"], at["jinzhong"]] == pytest.approx(0.24)
    off = network.latency_ms[~np.eye(len(at), dtype=bool)]
    assert (off <= 1.0).sum() / 2 <= 8  # few pairs of cities are within 1 ms: why there are edge nodes


def test_climate_and_places(shanxi: Region) -> None:
    means = shanxi.climates["datong"].monthly_mean
    assert [means[m].value for m in (0, 6)] == [-10.5, 22.6]
    assert sum(f.value for f in means) / 12 == pytest.approx(7.4, abs=0.05)
    for city, status in (("taiyuan", Status.ESTIMATED), ("linfen", Status.ESTIMATED), ("shuozhou", Status.SOURCED)):
        assert {f.status for f in shanxi.climates[city].monthly_mean} == {status}
    luliang = shanxi.nodes["luliang"]
    assert (luliang.adcode, luliang.name_zh, luliang.name_en) == ("141100", "吕梁", "Lüliang")
    assert (luliang.lat, luliang.lon) == (37.5192, 111.14436)


def test_national(national: Region) -> None:
    root = national.root()
    assert (root.id, root.tier) == ("national", NodeTier.NATIONAL)
    hubs = national.children("national")
    assert len(hubs) == 8
    assert sum(len(national.children(h)) for h in hubs) == 10
    assert np.isfinite(network_of(national).latency_ms).all()
    gates = {"guizhou": 1.2, "inner-mongolia": 1.2, "gansu": 1.2, "ningxia": 1.2}
    for node in national.nodes.values():
        if node.tier is NodeTier.HUB:
            assert yearly_pue(national, node.id) <= gates.get(node.site.grid, 1.25)


def test_scaled(shanxi: Region) -> None:
    small = scaled(shanxi, {"datong": {"ai": 2, "general": 7}, "changzhi": {"edge": 1}})
    general, ai = small.nodes["datong"].site.pools
    assert (general.cores, general.memory_bytes, general.accelerators) == (7, 28 * GIB, 0)
    assert (ai.cores, ai.memory_bytes, ai.accelerators) == (2, 16 * GIB, 1)
    assert (ai.capacity.value, ai.capacity.status) == (2.0, Status.COMPUTED)
    assert ai.price_core == shanxi.nodes["datong"].site.pools[1].price_core
    assert small.nodes["taiyuan"] == shanxi.nodes["taiyuan"]
    assert shanxi.nodes["datong"].site.pools[0].cores == 600_000
    hpc = scaled(shanxi, {"luliang": {"hpc": 3}}).nodes["luliang"].site.pools[0]
    assert hpc.memory_bytes >= 3 * GIB


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"paris": {"general": 1}}, NotFound),
        ({"datong": {"hpc": 1}}, NotFound),
        ({"datong": {"ai": 0}}, ValueError),
    ],
)
def test_scaled_refuses(shanxi: Region, wanted: dict[str, dict[str, int]], error: type[Exception]) -> None:
    with pytest.raises(error):
        scaled(shanxi, wanted)
