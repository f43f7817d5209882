"""A further node above two provinces: it sees each as one subtree and gives work of the one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sanjin.regions.load import bundled, load_region
from tests.acceptance.test_nodes import reached, state, submit, until
from tests.nodes import NodeProcess

TREE = {"nation": "", "taiyuan": "nation", "datong": "taiyuan", "hohhot": "nation", "baotou": "hohhot"}
"""Each node and its parent: two provinces of two nodes below one that has little of its own."""

LIKE = {"nation": "yuncheng", "hohhot": "taiyuan", "baotou": "datong"}


def country(path: Path) -> Path:
    """Two provinces of Shanxi's figures; only Hohhot has accelerators."""
    known = yaml.safe_load(bundled("shanxi").read_text())
    nodes, tiers = {}, {"nation": "national_hub", "taiyuan": "core_hub", "hohhot": "core_hub"}
    for n, (name, parent) in enumerate(TREE.items()):
        model = known["nodes"][LIKE.get(name, name)]
        pools = {p: v for p, v in model["pools"].items() if name == "hohhot" or "accelerator_kind" not in v}
        nodes[name] = model | {
            "name_en": name, "name_zh": name, "adcode": f"99000{n}", "parent": parent, "pools": pools,
            "tier": tiers.get(name, "edge_node"),
        }  # fmt: skip
    links = [known["links"][0] | {"a": p, "b": n} for n, p in TREE.items() if p]
    tenants = {t: v | {"envelopes": {"*": v["envelopes"]["*"]}} for t, v in known["tenants"].items()}
    path.write_text(
        yaml.safe_dump(known | {"nodes": nodes, "links": links, "datasets": {}, "tenants": tenants}, allow_unicode=True)
    )
    return path


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NodeProcess]]:
    root = tmp_path_factory.mktemp("country")
    document = country(root / "country.yaml")
    assert set(load_region(document).nodes) == set(TREE)
    found: dict[str, NodeProcess] = {}
    try:
        for name, parent in TREE.items():
            node = found[name] = NodeProcess(root, name)
            if parent:
                node.join(found[parent])
            else:
                node.up("--region", str(document))
        yield found
    finally:
        for node in reversed(found.values()):
            node.end()


def test_work_of_one_province_runs_in_the_other(nodes: dict[str, NodeProcess]) -> None:
    edge = nodes["datong"]
    until(lambda: all(reached(nodes[n]) for n in TREE if n != "nation"))
    jobs = {site: submit(edge, "--site", site) for site in ("baotou", "nation", "datong")}
    cards = submit(edge, "--accelerators", "8")
    until(lambda: all(state(edge, j) == "succeeded" for j in (*jobs.values(), cards)), 90.0)
    known = {j["id"]: j["site"] for j in edge.json("jobs")["jobs"]}
    assert {site: known[j] for site, j in jobs.items()} == {site: site for site in jobs}
    assert known[cards] == "hohhot"
    for name in ("nation", "hohhot", "datong"):
        assert nodes[name].run("audit", "verify").returncode == 0


def test_a_province_goes_on_without_the_country(nodes: dict[str, NodeProcess]) -> None:
    nodes["nation"].end(9)
    until(lambda: not reached(nodes["taiyuan"]))
    job = submit(nodes["datong"], "--site", "taiyuan")
    until(lambda: state(nodes["datong"], job) == "succeeded")
