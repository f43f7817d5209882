"""The register, the plan, forecasts and the sorted list, over HTTP and for each role."""

from __future__ import annotations

import numpy as np
import pytest

from sanjin.client import Client
from sanjin.model.access import Reach
from sanjin.model.errors import NotAllowed, ProblemsFound
from sanjin.model.forecast import ForecastKind, ForecastModel
from sanjin.model.job import JobOrder
from sanjin.model.messages import MESSAGES
from sanjin.model.performance import Declaration, Measurement, SitePerformance, sampled
from sanjin.model.plan import Plan
from sanjin.model.region import Figure, Quantity, Status
from sanjin.model.resources import LifeCycle, Resource, ResourceKind
from sanjin.tree import topology
from sanjin.tree.register import resources
from tests.support import until
from tests.unit.api.conftest import OUR_SITE, OURS, THEIR_SITE, AccessWorld


def client(access: AccessWorld, who: str) -> Client:
    return Client(access.url, access.tokens[who])


def test_the_register_has_everything_once_with_the_source_of_every_figure(access: AccessWorld) -> None:
    region = access.live.region
    with client(access, "planner") as asking:
        found = {r.id: r for r in asking.resources()}
    kinds = [r.kind for r in found.values()]
    pools = sum(len(n.site.pools) for n in region.nodes.values())
    counted = [kinds.count(ResourceKind(k)) for k in ("site", "pool", "link", "dataset")]
    assert counted == [len(region.nodes), pools, len(region.links), len(region.datasets)]
    assert len(found) == len(resources(access.live)) and set(kinds) == set(ResourceKind)
    for each in found.values():
        assert each.name_en and each.name_zh
        assert all(f.source and f.date and f.unit and f"figure.{f.name}" in MESSAGES for f in each.figures), each.id
    population = found[OUR_SITE].figures[0]
    assert (population.name, population.status, population.source) == ("population", Status.SOURCED, "S26")
    assert population.source_text == region.sources["S26"]
    centre = found["taiyuan/facility/ty-nscc"]
    assert centre.source_text == f"{region.sources['S15']}; {region.sources['S16']}"
    assert (centre.status, centre.state) == (Status.SOURCED, LifeCycle.DECLARED)


def by_id(access: AccessWorld) -> dict[str, Resource]:
    return {r.id: r for r in resources(access.live)}


def test_a_site_below_its_word_is_remarked_and_a_faulty_one_said_so(access: AccessWorld) -> None:
    node = access.live.nodes["xinzhou"]
    pool = node.region.nodes["xinzhou"].site.pools[0].id
    word = Figure(50.0, "GB/s", "2026", "data sheet", Status.BELIEVED)
    samples = tuple(sampled(q, (20.0,)) for q in (Quantity.MEMORY_BANDWIDTH, Quantity.DISK_READ))
    measured = Measurement(
        at_s=1, machine="m", cores=2, threads=2, blas="b", sandbox="none", others_share=0.0, samples=samples
    )
    declared = (Declaration(pool=pool, quantity=Quantity.MEMORY_BANDWIDTH, figure=word),)
    assert by_id(access)["xinzhou"].state is LifeCycle.IN_SERVICE
    said = SitePerformance(site="xinzhou", said_at_ms=1, declared=declared, measured=measured)
    node.performances.say(said, new=False)
    until(lambda: by_id(access)["xinzhou"].state is LifeCycle.REMARKED, "remark")
    found = by_id(access)
    figure = found[f"xinzhou/{pool}"].figures[-1]
    assert (figure.name, figure.value, figure.measured, figure.source) == ("memory_bandwidth", 50.0, 20.0, "data sheet")
    assert found[f"xinzhou/{pool}"].state is LifeCycle.REMARKED
    assert "disk, reading 20 MB/s" in found["xinzhou"].note_en and "20 MB/s" in found["xinzhou"].note_zh
    fault, node.fault = node.fault, "secret fault text"
    try:
        answer = access.http("owner").get("/v1/resources")
        assert {r["id"]: r["state"] for r in answer.json()}["xinzhou"] == "faulty"
        assert "secret fault text" not in answer.text
    finally:
        node.fault = fault
        node.performances.say(SitePerformance(site="xinzhou", said_at_ms=2), new=False)


def test_what_is_at_a_silent_site_is_cut_off(access: AccessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    before = by_id(access)
    monkeypatch.setattr(topology, "silent", lambda live: frozenset({"changzhi"}))
    after = by_id(access)
    changed_ones = {name for name, each in after.items() if each.state is not before[name].state}
    at_it = {r.id for r in after.values() if r.kind is ResourceKind.POOL and r.site == "changzhi"}
    lines = {f"{k.a}-{k.b}" for k in access.live.region.links if "changzhi" in (k.a, k.b)}
    only_there = {f"dataset/{d.id}" for d in access.live.region.datasets.values() if d.replicas == ("changzhi",)}
    assert changed_ones == {"changzhi"} | at_it | lines | only_there
    assert lines and only_there and {after[name].state for name in changed_ones} == {LifeCycle.CUT_OFF}


def test_the_plan_shows_the_windows_that_one_may_read_and_counts_the_rest(access: AccessWorld) -> None:
    answers = {who: client(access, who) for who in ("operator", "owner", "site_operator", "planner")}
    plans: dict[str, Plan] = {}

    def at_rest() -> bool:
        """Whether no work of other tests came or went while the plans were made."""
        plans.update({who: asking.plan(hours=6, back=2) for who, asking in answers.items()})
        return len(plans["operator"].windows) == len(answers["operator"].plan(hours=6, back=2).windows)

    until(at_rest, "plans of one state")
    whole = plans["operator"]
    assert whole.hidden == 0 and whole.slots == 32 and whole.first_s % whole.slot_s == 0
    assert whole.first_s <= whole.now_s - 2 * 3600 < whole.first_s + whole.slot_s
    windows = {w.job: w for w in whole.windows}
    assert {access.theirs_running, access.theirs_reserved, access.ours, access.theirs} <= set(windows)
    assert {w.tenant for w in plans["owner"].windows} == {OURS}
    assert {w.site for w in plans["site_operator"].windows} == {OUR_SITE}
    assert plans["planner"].windows == ()
    for plan in plans.values():
        assert len(plan.windows) + plan.hidden == len(whole.windows)
        assert not {w.job for w in plan.windows} - set(windows)
    here = next(s for s in whole.sites if s.site == THEIR_SITE)
    rows = (here.energy_yuan_kwh, here.carbon_kg_kwh, here.pue, here.it_kw, here.cores)
    assert {len(row) for row in rows} == {whole.slots}
    now = (whole.now_s - whole.first_s) // whole.slot_s
    running = windows[access.theirs_running]
    assert running.state == "running" and running.finish_s > whole.now_s
    assert here.cores[now] >= running.cores + windows[access.theirs_reserved].cores
    assert max(here.it_kw) <= here.it_cap_kw
    for asking in answers.values():
        asking.close()


def test_prices_of_the_plan_are_those_that_work_is_billed_by(access: AccessWorld) -> None:
    with client(access, "operator") as asking:
        plan, status = asking.plan(hours=1, back=0), {s.site: s for s in asking.sites()}
    for site in plan.sites:
        assert site.energy_yuan_kwh[0] == pytest.approx(status[site.site].energy_yuan_kwh)
        assert site.pue[0] == pytest.approx(status[site.site].pue, abs=0.05)


def test_work_is_reached_by_its_tenant_or_its_site(access: AccessWorld) -> None:
    record = access.live.job(access.theirs)
    assert record is not None
    for reach, wanted in (
        (Reach(), False),
        (Reach(sites=frozenset({OUR_SITE})), False),
        (Reach(tenant=OURS), False),
        (Reach(sites=frozenset({THEIR_SITE})), True),
        (Reach(tenant=record.spec.tenant), True),
        (Reach(everything=True), True),
    ):
        assert reach.covers(record.spec.tenant, record.site) == wanted
    assert not Reach().covers("", record.site)


def test_generation_is_modelled_and_demand_says_what_it_lacks(access: AccessWorld) -> None:
    with client(access, "planner") as asking:
        found = asking.forecast(ForecastKind.GENERATION, OUR_SITE, hours=24)
        assert found.model is ForecastModel.MODELLED and len(found.values) == 24 and found.history == ()
        assert np.max(found.values) > 0
        with pytest.raises(ProblemsFound, match="hours of history"):
            asking.forecast(ForecastKind.DEMAND)
        with pytest.raises(ProblemsFound, match="nowhere"):
            asking.forecast(ForecastKind.DEMAND, "nowhere")
        with pytest.raises(ProblemsFound):
            asking.forecast(ForecastKind.GENERATION)


def test_others_work_is_neither_found_by_search_nor_counted(access: AccessWorld) -> None:
    def seen(who: str, **how: object) -> tuple[set[str], int]:
        with client(access, who) as asking:
            page = asking.jobs(count=True, limit=1000, **how)  # type: ignore[arg-type]
            assert len(page.jobs) == page.count
            return {r.id for r in page.jobs}, page.count

    for order in JobOrder:
        assert seen("owner", search="ZQ-NAME", order=order) == (set(), 0)
        assert seen("site_operator", search="zq-name", order=order) == (set(), 0)
        assert seen("operator", search="Zq-Name", order=order)[0] >= set(access.their_ids())
        at_their_site = seen("owner", search=THEIR_SITE, order=order)[0]
        assert access.ours_elsewhere in at_their_site and not at_their_site & set(access.their_ids())
        assert access.ours in seen("site_operator", order=order)[0]
    assert seen("operator", site=THEIR_SITE, search=OURS)[0] >= {access.ours_elsewhere}
    with client(access, "planner") as asking, pytest.raises(NotAllowed):
        asking.jobs(search="x", count=True)


def test_a_sorted_list_goes_on_where_its_page_ends(access: AccessWorld) -> None:
    with client(access, "operator") as asking:
        whole = [r.id for r in asking.jobs(order=JobOrder.NAME, descending=False, limit=1000).jobs]
        found, after = list[str](), ""
        while True:
            page = asking.jobs(order=JobOrder.NAME, descending=False, limit=2, after=after)
            found += [r.id for r in page.jobs]
            after = page.next
            if not after:
                break
        assert found == whole
        assert [r.id for r in asking.jobs(order=JobOrder.NAME, descending=False, offset=1, limit=2).jobs] == whole[1:3]
        with pytest.raises(ProblemsFound, match="another order"):
            asking.jobs(order=JobOrder.COST, after=access.ours)
