"""The tree at work on a virtual clock: where jobs go, that they end, and that accounts balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sanjin.flow import audit, place
from sanjin.flow import submit as submission
from sanjin.flow.settle import settle
from sanjin.model import event as ev
from sanjin.model.errors import KeyReused, ProblemsFound, StoreFailed
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import KERNEL_REASONS, Reason
from sanjin.model.region import DataGrade, PoolKind
from sanjin.ports import Stored
from sanjin.regions.load import bundled, load_region
from sanjin.tree import node as node_module
from tests.tree_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for _ in range(5):
        made.clock.advance(made.clock.now() + 1)
        made.turn(3)
    yield made
    made.close()


def submit(world: World, node: str, key: str = "k", **fields: object) -> str:
    spec = replace(JobSpec(name="test", command=("true",), cores=64, duration_s=600), **fields)
    future = world.nodes[node].submit([Submission(key=key, spec=spec)])
    world.nodes[node].step(0.0)
    return future.result(0)[0].id


def record(world: World, job: str, node: str = ""):
    return world.nodes[node or job.rpartition("-")[0]].parts.store.job(job)


def test_every_site_hears_of_every_other(world: World) -> None:
    assert all(node.view.supply.heard.all() for node in world.nodes.values())


def test_every_node_sees_the_whole_capacity_of_an_empty_region(world: World) -> None:
    for node in world.nodes.values():
        supply = node.view.supply
        for free, column in ((supply.free_cores, 3), (supply.free_mem, 4), (supply.free_acc, 5)):
            assert (free == supply.pool[:, [column]]).all(), node.name
        assert (supply.free_mw == supply.it_cap_mw[:, None]).all()


@pytest.mark.parametrize("origin", ["taiyuan", "datong", "changzhi", "linfen"])
def test_a_job_from_anywhere_ends_once_and_its_owner_knows(world: World, origin: str) -> None:
    job = submit(world, origin, delay_price_fen_per_hour=100_000)
    world.turn(6)
    world.run(1800)
    found = record(world, job)
    assert found.state is JobState.SUCCEEDED, found
    assert found.fen > 0 and found.facility_mwh > 0 and found.site
    starts = [k for e in world.engines.values() for k in e.started]
    assert len(starts) == 1


def test_a_patient_job_waits_for_the_midday_valley(world: World) -> None:
    job = submit(world, "taiyuan", delay_price_fen_per_hour=1, duration_s=3600)
    world.turn(6)
    placed = record(world, job)
    assert placed.state in (JobState.ASSIGNED, JobState.PLACED, JobState.STAGING)
    hour = (placed.placement.start_s + 8 * 3600) // 3600 % 24
    assert 10 <= hour < 15


@pytest.mark.parametrize("target", ["yuncheng", "shuozhou", "taiyuan", "luliang"])
def test_a_job_can_land_at_any_node_from_any_node(world: World, target: str) -> None:
    job = submit(world, "jincheng", site=target, delay_price_fen_per_hour=100_000)
    world.turn(8)
    world.run(1800)
    assert record(world, job).state is JobState.SUCCEEDED
    assert record(world, job).site == target
    assert len(world.engines[target].started) == 1


def test_real_time_work_never_leaves_its_city(world: World) -> None:
    job = submit(world, "changzhi", latency_class_ms=1, pool_kind=PoolKind.EDGE, cores=1)
    world.turn(4)
    assert record(world, job).site == "changzhi"


def test_core_data_stays_where_it_is(world: World) -> None:
    job = submit(
        world, "taiyuan", tenant="health-bureau", grade=DataGrade.CORE, inputs=("hospital-visits",), cores=8
    )
    world.turn(6)
    assert record(world, job).site in world.region.datasets["hospital-visits"].replicas


def test_the_same_key_is_the_same_job_and_another_job_is_refused(world: World) -> None:
    first = submit(world, "datong", key="same")
    assert submit(world, "datong", key="same") == first
    with pytest.raises(KeyReused):
        submit(world, "datong", key="same", cores=65)


def test_everything_wrong_is_said_at_once_and_nothing_is_kept(world: World) -> None:
    bad = JobSpec(name="", command=(), cores=0, tenant="nobody", inputs=("nothing",), latency_class_ms=3)
    good = JobSpec(name="good", command=("true",))
    with pytest.raises(ProblemsFound) as caught:
        world.nodes["datong"].submit([Submission(key="a", spec=good), Submission(key="b", spec=bad)])
    codes = {p.code for p in caught.value.problems}
    assert {"name_length", "no_command", "too_small", "unknown_tenant", "unknown_dataset", "latency_class"} <= codes
    assert all(p.path.startswith("[1].") for p in caught.value.problems)
    world.turn()
    assert world.nodes["datong"].parts.store.counts() == {}


def test_a_job_larger_than_any_site_is_refused(world: World) -> None:
    with pytest.raises(ProblemsFound) as caught:
        submit(world, "taiyuan", accelerators=10**7)
    assert "larger_than_any_site" in {p.code for p in caught.value.problems}
    with pytest.raises(ProblemsFound) as caught:
        submit(world, "taiyuan", duration_s=8 * 86400)
    assert {p.code for p in caught.value.problems} == {"window_too_long"}


def test_quota_holds_and_lets_go(world: World) -> None:
    quota = world.region.tenants["public"].envelope("taiyuan").cores
    first = submit(world, "taiyuan", key="1", cores=quota, delay_price_fen_per_hour=100_000)
    second = submit(world, "taiyuan", key="2", cores=quota, delay_price_fen_per_hour=100_000)
    assert record(world, second).state is JobState.HELD
    assert record(world, second).reason is Reason.QUOTA
    world.turn(6)
    world.run(3600)
    assert record(world, first).state is JobState.SUCCEEDED
    assert record(world, second).state is JobState.SUCCEEDED


def test_cancel_before_the_start_and_while_running(world: World) -> None:
    waiting = submit(world, "linfen", key="w", delay_price_fen_per_hour=0)
    running = submit(world, "linfen", key="r", delay_price_fen_per_hour=100_000)
    world.turn(8)
    world.run(120)
    for job in (waiting, running):
        world.nodes["linfen"].cancel(job)
    world.turn(8)
    world.run(120)
    assert record(world, waiting).state is JobState.CANCELLED
    assert record(world, running).state is JobState.CANCELLED


def test_a_node_that_restarts_goes_on_with_its_jobs(world: World) -> None:
    jobs = [submit(world, "datong", key=str(i), site="datong", delay_price_fen_per_hour=10**6) for i in range(5)]
    later = submit(world, "datong", key="later", site="datong", delay_price_fen_per_hour=1)
    world.turn(3)
    world.nodes["datong"].stop()
    world.open("datong")
    world.run(6 * 3600, by=300)
    assert {record(world, j).state for j in [*jobs, later]} == {JobState.SUCCEEDED}
    assert len(world.engines["datong"].started) == 6


def test_a_cut_line_loses_nothing(world: World) -> None:
    world.board.cut("datong")
    job = submit(world, "shuozhou", key="cut", delay_price_fen_per_hour=100_000)
    world.run(1200)
    world.board.heal("datong")
    world.run(3600)
    assert record(world, job).state is JobState.SUCCEEDED
    assert sum(len(e.started) for e in world.engines.values()) == 1


def test_bills_recompute_from_the_journal_to_the_fen(world: World) -> None:
    for i, node in enumerate(world.nodes):
        submit(world, node, key=str(i), delay_price_fen_per_hour=100_000)
    world.turn(8)
    world.run(3600)
    paid = 0
    for node in world.nodes.values():
        store = node.parts.store
        entries = store.journal(limit=10**6)
        tenants = {e.job: ev.decode(e.kind, e.body).tenant for e in entries if e.kind == "job.settled"}
        grid = world.region.nodes[node.name].site.grid

        def again(m: ev.Metered, tenants: dict[str, str] = tenants, grid: str = grid) -> ev.Settled:
            return settle(m, tenants[m.job], grid)

        result = audit.verify(node.name, entries, store.tip(), store.ledger(), again)
        assert result.problems == ()
        assert sum(line.fen for line in store.ledger()) == 0
        paid += sum(line.fen for line in store.ledger() if line.account.startswith("tenant:"))
    owned = [r for n in world.nodes.values() for r in n.parts.store.jobs(_owned())]
    assert paid == sum(r.fen for r in owned) > 0


def _owned():
    from sanjin.ports import JobQuery

    return JobQuery(owned=True)


def test_audit_finds_a_changed_a_missing_and_a_moved_entry(world: World) -> None:
    submit(world, "taiyuan")
    store = world.nodes["taiyuan"].parts.store
    entries = store.journal()
    assert len(entries) > 2
    tip = store.tip()
    changed = [*entries[:1], replace(entries[1], body=entries[1].body + b" "), *entries[2:]]
    for broken in (changed, entries[1:], [entries[1], entries[0], *entries[2:]], entries[:-1]):
        assert audit.verify("taiyuan", broken, tip, []).problems
    assert audit.verify("taiyuan", entries, tip, []).problems == ()


def test_a_dry_run_prices_every_site_and_changes_nothing(world: World) -> None:
    node = world.nodes["taiyuan"]
    before = node.view.supply.free_cores.copy()
    future = node.dry_run([JobSpec(name="dry", command=("true",), cores=64)])
    node.step(0.0)
    (found,) = future.result(0)
    assert len(found.options) == len(world.region.nodes)
    best = found.choice().terms
    assert best.total == best.energy + best.carbon + best.transport + best.use + best.waiting
    assert best.payable + best.waiting == best.total
    assert found.alternative().terms.total >= best.total
    assert found.choice().terms.total == min(o.terms.total for o in found.options if o.terms)
    assert (node.view.supply.free_cores == before).all()
    assert node.parts.store.counts() == {}


def test_transfers_share_the_links_and_every_node_knows(tmp_path: Path) -> None:
    """Two sites fetch from the same city at once: the second gets what the first leaves of its line."""
    region = load_region(bundled("shanxi"))
    large = replace(next(iter(region.datasets.values())).size, value=2000.0)
    sizes = {n: replace(d, size=large, replicas=("shuozhou",)) for n, d in region.datasets.items()}
    first, second = list(sizes)[:2]
    region = replace(region, datasets=sizes)
    world = World(tmp_path, region)
    for _ in range(5):
        world.clock.advance(world.clock.now() + 1)
        world.turn(3)
    done = []
    for node, dataset in (("linfen", first), ("yuncheng", second)):
        submit(world, node, key=dataset, inputs=(dataset,), site=node, grade=region.datasets[dataset].grade)
        world.turn(6)
        world.clock.advance(world.clock.now() + 1)
        world.turn(6)
        journal = world.nodes[node].parts.store.journal(limit=10_000)
        started = [ev.decode(e.kind, e.body) for e in journal if e.kind == "transfer.started"]
        done.append(started[0].done_at_s - world.clock.now())
    network = world.network
    a, b, c = (network.nodes.index(n) for n in ("shuozhou", "linfen", "yuncheng"))
    shared = set(network.paths[a, b]) & set(network.paths[a, c])
    assert shared and done[1] > done[0] * 1.5
    for each in world.nodes.values():
        load = each.view.links.load()
        assert all((row <= network.slot_bytes[link]).all() for link, row in load.items()), each.name
        assert load.keys() & shared, each.name
    world.close()


def test_no_turn_is_taken_on_a_view_that_could_not_be_made_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be read for a while: what a failed turn changed in the view must not be written later."""
    monkeypatch.setattr(node_module, "RETRY_WALL_S", 0.0)
    node = world.nodes["taiyuan"]
    load, before, away = node.parts.store.load, node.view, [StoreFailed("away"), StoreFailed("still away")]

    def loaded() -> Stored:
        if away:
            raise away.pop()
        return load()

    monkeypatch.setattr(node.parts.store, "load", loaded)
    node._failed(StoreFailed("line cut"))
    assert away == [] and node.view is not before


def test_work_in_an_image_goes_where_images_run_and_elsewhere_it_is_said_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = JobSpec(name="boxed", command=("true",), image="oci:box:v1", delay_price_fen_per_hour=100_000)
    node = world.nodes["datong"]
    told = [(p.code, p.path) for p in submission.check(node.view, spec)]
    assert told == [("no_images", "spec.image")]  # no site says that it has any
    assert [p.code for p in submission.check(node.view, replace(spec, image="oci:../x"))] == ["bad_image"]
    there = node.view.region.nodes["yuncheng"]
    for each in world.nodes.values():
        changed = replace(there, site=replace(there.site, images=True))
        monkeypatch.setitem(each.view.region.nodes, "yuncheng", changed)
    job = submit(world, "datong", image="oci:box:v1", delay_price_fen_per_hour=100_000)
    barred = dict(zip(node.view.supply.sites, place.barred_sites(node.view, record(world, job)).tolist(), strict=True))
    assert {site for site, code in barred.items() if code == 0} == {"yuncheng"}
    assert KERNEL_REASONS[barred["datong"]] is Reason.IMAGES
    world.turn(6)
    world.run(1800)
    assert record(world, job).state is JobState.SUCCEEDED
    assert [name for name, e in world.engines.items() if e.started] == ["yuncheng"]


def test_a_client_that_is_gone_spoils_no_turn(world: World) -> None:
    node = world.nodes["taiyuan"]
    spec = JobSpec(name="t", command=("true",), duration_s=60)
    gone, stays = (node.submit([Submission(key=key, spec=spec)]) for key in ("gone", "stays"))
    asked = node.dry_run([spec])
    assert gone.cancel() and asked.cancel()
    node.step(0.0)
    assert stays.result(0)[0].key == "stays" and not stays.cancel()
    assert not node.fault and node.parts.store.find_keys("public", ["gone"]) == {}
