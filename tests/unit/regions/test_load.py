"""Broken region documents: every fault is found, with its line and its path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.region import NodeTier, PoolKind, Status
from sanjin.model.units import GIB
from sanjin.regions.load import load_region, read_region
from sanjin.regions.wording import FAULTS

SOUND = """\
id: two
name_en: Two
name_zh: 二
utc_offset_h: 8
provenance: {e: &e {date: 2026-11, source: assumed, status: estimated}}
carbon_price: {<<: *e, value: 90, unit: yuan/t}
sources: {S1: a page}
grids:
  g: {name_en: G, name_zh: 网, factor: {value: 0.7, unit: kgCO2/kWh, date: 2022, source: "S1", status: sourced}}
tariffs:
  t:
    name_en: T
    name_zh: 价
    valid_from: 2026-05-01
    flat: {<<: *e, value: 0.5, unit: yuan/kWh}
    multipliers: {sharp: {<<: *e, value: 1.9, unit: x flat}, peak: {<<: *e, value: 1.6, unit: x flat}}
    seasons:
      - {name: cold, months: [1, 2, 3, 10, 11, 12], periods: {sharp: [[18, 19]], peak: [[17, 20]]}}
      - {name: warm, months: [4, 5, 6, 7, 8, 9], periods: {peak: [[18, 21]]}}
climates:
  c:
    monthly_mean:
      - {<<: *e, unit: degC, months: [1, 2, 3, 4, 5, 6], values: [-5, 0, 5, 10, 15, 20]}
      - {<<: *e, unit: degC, months: [7, 8, 9, 10, 11, 12], values: [22, 20, 15, 10, 5, 0]}
    half_range: {<<: *e, value: 6, unit: degC}
nodes:
  up:
    name_en: Up
    name_zh: 上
    tier: core_hub
    industry_role: core
    parent: ""
    lat: 38
    lon: 112
    population: {<<: *e, value: 100, unit: persons}
    grid: g
    tariff: t
    climate: c
    power: &power
      it_cap: {<<: *e, value: 100, unit: kW}
      typical_load: {<<: *e, value: 0.5, unit: share}
      pue:
        fixed: {<<: *e, value: 0.1, unit: share}
        cooling_max: {<<: *e, value: 0.2, unit: share}
        free_below: {<<: *e, value: 10, unit: degC}
        mechanical_above: {<<: *e, value: 25, unit: degC}
    pools:
      general: &pool
        kind: general
        capacity: {<<: *e, value: 100, unit: cores}
        memory: {<<: *e, value: 400, unit: GiB}
        speed: {<<: *e, value: 1, unit: x reference}
        watts_core: {<<: *e, value: 8, unit: W}
        watts_idle_core: {<<: *e, value: 3, unit: W}
        watts_gib: {<<: *e, value: 0.3, unit: W/GiB}
        price_core: {<<: *e, value: 0.03, unit: yuan/core-hour}
    facilities:
      hall: {name_en: Hall, name_zh: 厅, facts: "big", status: believed, source: hearsay}
  down:
    name_en: Down
    name_zh: 下
    tier: edge_node
    industry_role: none
    parent: up
    lat: 37
    lon: 112
    population: {<<: *e, value: 50, unit: persons}
    grid: g
    tariff: t
    climate: c
    power: *power
    pools: {general: *pool}
links:
  - {a: up, b: down, latency: {<<: *e, value: 1, unit: ms}, bandwidth: {<<: *e, value: 10, unit: Gbit/s},
     price: {<<: *e, value: 0.02, unit: yuan/GB}}
datasets:
  d: {title_en: D, title_zh: 数, owner: who, grade: general, size: {<<: *e, value: 3, unit: GB}, replicas: [up]}
tenants:
  who: {name_en: Who, name_zh: 谁, envelopes: {"*": {cores: 10, yuan: 100}, up: {cores: 20, yuan: 5.5}}}
"""

EXTRA_LINK = (
    "\n  - {a: %s, b: %s, latency: {<<: *e, value: 1, unit: ms},"
    " bandwidth: {<<: *e, value: 10, unit: Gbit/s}, price: {<<: *e, value: 0.02, unit: yuan/GB}}\ndatasets:\n"
)


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ProblemsFound) as caught:
        read_region(text, "two.yaml")
    return caught.value.problems


def broken(old: str, new: str) -> str:
    assert old in SOUND, old
    return SOUND.replace(old, new, 1)


def line_with(text: str, mark: str) -> int:
    """First line that contains ``mark``, or ends with it where the mark ends in ``$``."""
    return next(i for i, line in enumerate(text.splitlines(), 1) if mark in line + "$")


# (code, what to replace, by what, text that marks the line, path, part of todo or what)
CASES = [
    ("unknown_key", "  up:\n    name_en", "  up:\n    tear: 3\n    name_en", "tear", "nodes.up.tear", "'tier'"),
    ("unknown_key", "id: two\n", "id: two\nzone: 3\n", "zone", "zone", "Known"),
    ("unknown_key", "value: 90, unit: yuan/t", "value: 90, unit: yuan/t, not: 1", "yuan/t", "carbon_price.not", ""),
    ("missing_key", "    lat: 37\n", "", "name_en: Down", "nodes.down.lat", "'lat'"),
    ("missing_key", "    valid_from: 2026-05-01\n", "", "name_en: T$", "tariffs.t.valid_from", ""),
    ("missing_key", "        kind: general\n", "", "&pool", "nodes.up.pools.general.kind", ""),
    ("wrong_type", "lat: 38", "lat: [38]", "lat: [38]", "nodes.up.lat", "a number"),
    ("wrong_type", "lat: 38", 'lat: "38"', "lat: \"38\"", "nodes.up.lat", "a number"),
    ("wrong_type", "lat: 38", "lat: 12:30", "12:30", "nodes.up.lat", "a number"),
    ("wrong_type", "lat: 38", "lat: .nan", ".nan", "nodes.up.lat", "a number"),
    ("wrong_type", "lat: 38", "lat: 1e999", "1e999", "nodes.up.lat", "a number"),
    ("wrong_type", "name_en: Up", "name_en: no", "name_en: no", "nodes.up.name_en", "quotes"),
    ("wrong_type", "name_en: Up", "name_en:", "name_en:$", "nodes.up.name_en", "nothing"),
    ("wrong_type", "replicas: [up]", "replicas: up", "owner: who", "datasets.d.replicas", "a list"),
    ("wrong_type", "replicas: [up]", "replicas: [{}]", "owner: who", "datasets.d.replicas[0]", "an id"),
    ("wrong_type", "    power: *power", "    power: 5", "power: 5", "nodes.down.power", "a mapping"),
    ("wrong_type", "    power: *power", "    power: {<<: 5}", "<<: 5", "nodes.down.power", "alias"),
    ("wrong_type", "    power: *power", "    ? [x]\n    : 1\n    power: *power", "? [x]", "nodes.down", "plain key"),
    ("empty_text", "name_en: Up", 'name_en: ""', 'name_en: ""', "nodes.up.name_en", ""),
    ("unknown_reference", "parent: up", "parent: upp", "upp", "nodes.down.parent", "'up'"),
    ("unknown_reference", "    grid: g\n    tariff: t\n    climate: c\n    power: *power",
     "    grid: h\n    tariff: t\n    climate: c\n    power: *power", "grid: h", "nodes.down.grid", "grid 'h'"),
    ("unknown_reference", "tariff: t\n", "tariff: tt\n", "tariff: tt", "nodes.up.tariff", "tariff 'tt'"),
    ("unknown_reference", "climate: c\n", "climate: d\n", "climate: d", "nodes.up.climate", "climate 'd'"),
    ("unknown_reference", "replicas: [up]", "replicas: [upper]", "owner: who", "datasets.d.replicas[0]", "up, down"),
    ("unknown_reference", "owner: who", "owner: whom", "whom", "datasets.d.owner", "'who'"),
    ("unknown_reference", 'source: "S1"', 'source: "S9, page 3"', "S9", "grids.g.factor.source", "Known: S1"),
    ("unknown_reference", "up: {cores", "upp: {cores", "upp", "tenants.who.envelopes.upp", "'up'"),
    ("unknown_reference", "b: down", "b: dawn", "dawn", "links[0].b", "'down'"),
    ("unknown_value", "status: believed", "status: sure", "sure", "nodes.up.facilities.hall.status", "estimated"),
    ("unknown_value", "grade: general", "grade: generic", "generic", "datasets.d.grade", "'general'"),
    ("unknown_value", "tier: edge_node", "tier: edge", "tier: edge", "nodes.down.tier", "'edge_node'"),
    ("unknown_value", "industry_role: none", "industry_role: dot", "dot", "nodes.down.industry_role", "point"),
    ("unknown_value", "        kind: general", "        kind: gpu", "gpu", "nodes.up.pools.general.kind", "hpc"),
    ("unknown_value", "warm, months: [4, 5, 6, 7, 8, 9], periods: {peak",
     "warm, months: [4, 5, 6, 7, 8, 9], periods: {peek",
     "warm", "tariffs.t.seasons[1].periods.peek", "'peak'"),
    ("cyclic_parents", 'parent: ""', "parent: down", "parent: down", "nodes.up.parent", "up -> down -> up"),
    ("cyclic_parents", "parent: up", "parent: down", "parent: down", "nodes.down.parent", "down -> down"),
    ("several_roots", "parent: up", 'parent: ""', None, "nodes.down.parent", "up, down"),
    ("duplicate_id", "links:", "  down: {}\nlinks:", "down: {}", "nodes.down", "line 59"),
    ("duplicate_id", "replicas: [up]", "replicas: [up, up]", "owner: who", "datasets.d.replicas[1]", "'up'"),
    ("duplicate_id", "    pools: {general: *pool}",
     "    pools: {general: *pool}\n    facilities:\n"
     "      hall: {name_en: H, name_zh: 厅, facts: big, status: believed, source: hearsay}",
     "name_en: H,", "nodes.down.facilities.hall", "line 58"),
    ("duplicate_key", "    lat: 37\n", "    lat: 37\n    lat: 36\n", "lat: 36", "nodes.down.lat", "line 65"),
    ("bad_id", "  d: {title_en", "  D d: {title_en", "D d:", "datasets.D d", "small letters"),
    ("zero", "value: 100, unit: cores", "value: 0, unit: cores", "unit: cores",
     "nodes.up.pools.general.capacity.value", ""),
    ("zero", "value: 100, unit: kW", "value: 0, unit: kW", "unit: kW", "nodes.up.power.it_cap.value", ""),
    ("zero", "value: 10, unit: Gbit/s", "value: 0.0, unit: Gbit/s", "a: up", "links[0].bandwidth.value", ""),
    ("negative", "value: 8, unit: W", "value: -8, unit: W", "-8", "nodes.up.pools.general.watts_core.value", "-8"),
    ("negative", "yuan: 5.5", "yuan: -5.5", "-5.5", "tenants.who.envelopes.up.yuan", ""),
    ("negative", "value: 1, unit: ms", "value: -1, unit: ms", "-1, unit: ms", "links[0].latency.value", ""),
    ("not_whole", "value: 100, unit: cores", "value: 1.5, unit: cores", "1.5",
     "nodes.up.pools.general.capacity", "1.5"),
    ("not_whole", "cores: 20", "cores: 2.5", "2.5", "tenants.who.envelopes.up.cores", ""),
    ("missing_unit", "value: 400, unit: GiB", "value: 400", "memory", "nodes.up.pools.general.memory.unit", "'GiB'"),
    ("wrong_unit", "unit: kgCO2/kWh", "unit: t/MWh", "t/MWh", "grids.g.factor.unit", "'kgCO2/kWh'"),
    ("wrong_unit", "unit: ms", "unit: s", "a: up", "links[0].latency.unit", "'ms'"),
    ("bad_date", "date: 2022", "date: 2022-13", "2022-13", "grids.g.factor.date", "YYYY-MM"),
    ("bad_date", "valid_from: 2026-05-01", "valid_from: 2026-02-30", "02-30", "tariffs.t.valid_from", ""),
    ("out_of_range", "lat: 38", "lat: 98", "lat: 98", "nodes.up.lat", "-90 to 90"),
    ("out_of_range", "lon: 112\n", "lon: -181\n", "-181", "nodes.up.lon", "-180 to 180"),
    ("out_of_range", "utc_offset_h: 8", "utc_offset_h: 15", "offset", "utc_offset_h", ""),
    ("out_of_range", "value: 0.5, unit: share", "value: 1.5, unit: share", "unit: share",
     "nodes.up.power.typical_load.value", ""),
    ("out_of_range", "months: [4,", "months: [13, 4,", "warm", "tariffs.t.seasons[1].months[0]", "1 to 12"),
    ("link_to_itself", "\ndatasets:\n", EXTRA_LINK % ("up", "up"), "b: up", "links[1]", "'up'"),
    ("duplicate_link", "\ndatasets:\n", EXTRA_LINK % ("down", "up"), "b: up", "links[1]", "line 74"),
    ("unreachable_node", "b: down", "b: up", "  down:", "nodes.down", "'down'"),
    ("bad_hours", "[[18, 21]]", "[[18, 25]]", "warm", "tariffs.t.seasons[1].periods.peak[0]", "18-25"),
    ("bad_hours", "[[18, 21]]", "[[21, 18]]", "warm", "tariffs.t.seasons[1].periods.peak[0]", "midnight"),
    ("bad_hours", "[[18, 21]]", "[18, 21]", "warm", "tariffs.t.seasons[1].periods.peak[0]", ""),
    ("overlapping_hours", "[[18, 21]]", "[[18, 21], [20, 22]]", "warm", "tariffs.t.seasons[1].periods.peak", "hour 20"),
    ("overlapping_hours", "peak: [[18, 21]]", "peak: [[18, 21]], valley: [[20, 23]]", "warm",
     "tariffs.t.seasons[1].periods.valley", "peak + valley"),
    ("missing_multiplier", "peak: [[18, 21]]", "peak: [[18, 21]], valley: [[1, 2]]", "warm",
     "tariffs.t.seasons[1].periods.valley", "'valley'"),
    ("missing_months", "months: [4, 5,", "months: [5,", "- {name: cold", "tariffs.t.seasons", "months 4"),
    ("double_months", "months: [4, 5,", "months: [3, 4, 5,", "- {name: cold", "tariffs.t.seasons", "months 3"),
    ("missing_months", "months: [1, 2, 3, 4, 5, 6], values: [-5, ", "months: [2, 3, 4, 5, 6], values: [",
     "- {<<: *e, unit: degC, months: [2", "climates.c.monthly_mean", "months 1"),
    ("wrong_count", "values: [-5, ", "values: [", "values: [0,", "climates.c.monthly_mean[0].values", "5 values"),
    ("wrong_order", "value: 25, unit: degC", "value: 10, unit: degC", "mechanical_above",
     "nodes.up.power.pue.mechanical_above", ""),
    ("empty_section", "pools: {general: *pool}", "pools: {}", "pools: {}", "nodes.down.pools", ""),
    ("empty_section", "replicas: [up]", "replicas: []", "owner: who", "datasets.d.replicas", ""),
]  # fmt: skip


@pytest.mark.parametrize(("code", "old", "new", "mark", "path", "says"), CASES)
def test_fault_is_found_with_its_line_and_path(
    code: str, old: str, new: str, mark: str | None, path: str, says: str
) -> None:
    text = broken(old, new)
    found = [p for p in problems_of(text) if p.code == code and p.path == path]
    assert found, [(p.code, p.path, p.what) for p in problems_of(text)]
    problem = found[0]
    assert problem.file == "two.yaml"
    assert says in problem.what + problem.todo
    assert problem.what_zh and problem.todo_zh
    if mark is not None:
        assert problem.line == line_with(text, mark)


def test_sound_document() -> None:
    region = read_region(SOUND, "two.yaml")
    assert list(region.nodes) == ["up", "down"]
    assert region.root().id == "up"
    assert region.nodes["down"].tier is NodeTier.EDGE
    pool = region.nodes["down"].site.pools[0]
    assert (pool.kind, pool.cores, pool.memory_bytes, pool.accelerators) == (
        PoolKind.GENERAL,
        100,
        400 * GIB,
        0,
    )
    assert pool.capacity.status is Status.ESTIMATED
    assert region.climates["c"].monthly_mean[6].value == 22
    assert region.tenants["who"].envelope("up").yuan == 5.5
    assert region.tenants["who"].envelope("down").cores == 10


def test_every_code_has_a_case() -> None:
    elsewhere = {"unreadable_file", "yaml_syntax", "too_deep", "no_root"}
    elsewhere |= {"unknown_link", "outage_of_what", "outage_ends", "too_many_scenarios"}  # in test_scenarios.py
    elsewhere |= {"already_declared"}  # in test_declared.py
    elsewhere |= {"not_an_address", "token_in_the_open"}  # in test_ray_site.py
    elsewhere |= {"not_a_rest_address", "rest_without_token", "token_for_nothing"}  # in test_slurm_rest.py
    elsewhere |= {"not_a_kubernetes_name"}  # in test_kubernetes_site.py
    elsewhere |= {"not_a_store_name", "not_a_store_address"}  # in test_stores_document.py
    elsewhere |= {"no_shared_folder", "not_a_whole_path", "not_a_slurm_name"}  # in test_slurm_site.py
    assert {case[0] for case in CASES} | elsewhere == set(FAULTS)


def test_one_fault_does_not_raise_others() -> None:
    for old, new, code in (
        ("lat: 38", "lat: x", "wrong_type"),
        ("parent: up", "parent: 5", "wrong_type"),
        ("owner: who", "owner: whom", "unknown_reference"),
        ("unit: ms", "unit: s", "wrong_unit"),
        ("  g: {name_en: G, ", "  g: {", "missing_key"),
    ):
        assert [p.code for p in problems_of(broken(old, new))] == [code]


def test_all_problems_at_once_in_order_of_lines() -> None:
    text = broken("lat: 38", "lat: 98").replace("parent: up", "parent: upp").replace("unit: ms", "unit: s")
    problems = problems_of(text.replace("grade: general", "grade: x"))
    assert [p.code for p in problems] == ["out_of_range", "unknown_reference", "wrong_unit", "unknown_value"]
    assert [p.line for p in problems] == sorted(p.line for p in problems)


def test_circle_is_reported_once() -> None:
    problems = problems_of(broken('parent: ""', "parent: down"))
    assert [p.code for p in problems] == ["cyclic_parents"]


def test_no_root() -> None:
    problems = problems_of(broken('parent: ""', "parent: elsewhere"))
    assert {p.code for p in problems} == {"no_root", "unknown_reference"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("id: [1\nname: 2", 2), ("a: 1\n---\nb: 2", 2), ("a: *x", 1), ("a: 1\nb: \x07", 2), ("a: 1\n\tb: 2", 2)],
)
def test_yaml_syntax(text: str, line: int) -> None:
    (problem,) = problems_of(text)
    assert (problem.code, problem.line) == ("yaml_syntax", line)


@pytest.mark.parametrize("text", ["", "- a", "just text", "# nothing"])
def test_no_mapping(text: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.code, problem.line) == ("wrong_type", 1)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000, "a: &a {<<: [*a, *a]}", "&a {x: *a, <<: *a}"])
def test_hostile_documents_end(text: str) -> None:
    assert problems_of(text)


def test_merges_of_merges_take_no_exponential_time() -> None:
    lines = ["x0: &x0 {q: 1}"]
    lines += [f"x{i}: &x{i} {{<<: [*x{i - 1}, *x{i - 1}]}}" for i in range(1, 60)]
    assert problems_of("\n".join([*lines, "carbon_price: *x59"]))


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"id: \xff")
    for name in ("none.yaml", "latin.yaml", ""):
        with pytest.raises(ProblemsFound) as caught:
            load_region(tmp_path / name)
        assert [p.code for p in caught.value.problems] == ["unreadable_file"]


def test_children_may_stand_before_their_parent() -> None:
    text = SOUND.replace("  up:\n", "  X:\n").replace("  down:\n", "  up:\n").replace("  X:\n", "  down:\n")
    text = (
        text.replace('parent: ""', "parent: 0")
        .replace("parent: up", 'parent: ""')
        .replace("parent: 0", "parent: up")
    )
    region = read_region(text, "two.yaml")
    assert list(region.nodes) == ["up", "down"]
    assert region.nodes["down"].name_en == "Up"


@given(st.text(max_size=200))
def test_any_text_is_refused_in_an_orderly_way(text: str) -> None:
    assert problems_of(text)


@given(st.integers(0, len(SOUND) - 1), st.sampled_from(list(":{}[]-*&!0x \n\"'#,")))
def test_a_damaged_document_loads_or_says_why(at: int, by: str) -> None:
    try:
        read_region(SOUND[:at] + by + SOUND[at + 1 :], "two.yaml")
    except ProblemsFound as found:
        assert all(p.what and p.todo and p.line > 0 for p in found.problems)
