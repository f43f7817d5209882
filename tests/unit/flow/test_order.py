"""Order: a permutation, by priority, and fair by dominant share: checked against the definition."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.order import in_turn
from sanjin.flow.supply import PriceBook, Supply
from sanjin.flow.view import View
from sanjin.model.job import JobSpec, JobState
from sanjin.model.network import network_of
from sanjin.model.policy import Policy, Queue
from sanjin.model.record import JobRecord
from sanjin.regions.load import bundled, load_region

POLICY = Policy(queues={"urgent": Queue(priority=5), "batch": Queue(), "spare": Queue(priority=-5)})


@lru_cache(1)
def base() -> tuple[object, ...]:
    region = load_region(bundled("shanxi"))
    return region, network_of(region), PriceBook(region)


def view_of(records: list[JobRecord]) -> View:
    region, network, book = base()
    view = View("taiyuan", "", region, network, Supply(region, "taiyuan", book, policy=POLICY))
    for record in records:
        view.put(record)
    return view


@st.composite
def queues(draw: st.DrawFn) -> list[JobRecord]:
    count = draw(st.integers(0, 14))
    return [
        JobRecord(
            id=f"taiyuan-{i}",
            key=str(i),
            state=draw(st.sampled_from([JobState.QUEUED, JobState.QUEUED, JobState.PLACED])),
            spec=JobSpec(
                name="j",
                command=("true",),
                tenant=draw(st.sampled_from(["a", "b", "c"])),
                queue=draw(st.sampled_from(["urgent", "batch", "spare"])),
                priority=draw(st.integers(-1, 1)),
                cores=draw(st.integers(1, 1000)),
                accelerators=draw(st.integers(0, 100)),
            ),
        )
        for i in range(count)
    ]


def level(record: JobRecord) -> tuple[int, int]:
    return -POLICY.priority(record.spec.queue), -record.spec.priority


def add(taken: dict[str, list[int]], record: JobRecord) -> None:
    for i, amount in enumerate(record.spec.amounts()):
        taken[record.spec.tenant][i] += amount


@settings(max_examples=200, deadline=None)
@given(queues())
def test_order_is_by_priority_and_then_by_dominant_share(records: list[JobRecord]) -> None:
    view = view_of(records)
    waiting = [r for r in records if r.state is JobState.QUEUED]
    found = [view.jobs[j] for j in in_turn(view, [r.id for r in waiting])]
    assert sorted(r.id for r in found) == sorted(r.id for r in waiting)
    assert [level(r) for r in found] == sorted(level(r) for r in waiting)
    totals = [int(view.supply.pool[:, c].sum()) for c in (3, 4, 5)]
    taken = {t: [0, 0, 0] for t in "abc"}
    for record in records:
        if record.state is JobState.PLACED:
            add(taken, record)
    left = list(waiting)
    for chosen in found:
        rivals = [r for r in left if level(r) == level(chosen)]
        shares = {r.spec.tenant: max(u / t for u, t in zip(taken[r.spec.tenant], totals, strict=True)) for r in rivals}
        assert shares[chosen.spec.tenant] == min(shares.values())
        assert chosen is next(r for r in rivals if r.spec.tenant == chosen.spec.tenant)  # its own in order of arrival
        add(taken, chosen)
        left.remove(chosen)


def test_what_has_ended_counts_no_more() -> None:
    records = [
        JobRecord(id="taiyuan-1", key="1", state=JobState.PLACED, spec=JobSpec(name="j", command=("x",), tenant="a")),
    ]
    view = view_of(records)
    assert view.tenant("a").placed == [1, 512, 0]
    view.change("taiyuan-1", 0, state=JobState.RUNNING)
    assert view.tenant("a").placed == [1, 512, 0]
    view.change("taiyuan-1", 0, state=JobState.SUCCEEDED)
    assert view.tenant("a").placed == [0, 0, 0]
