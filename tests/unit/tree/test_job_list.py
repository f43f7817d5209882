"""Lists of jobs over several nodes: the order, any place in it, and nothing beyond what one may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.adapters.store.memory import MemoryStore
from sanjin.model.access import EVERYTHING, Reach
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobOrder, JobSpec, JobState
from sanjin.model.listing import JobQuery, key_of, words_of
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch
from sanjin.tree.job_list import jobs

NODES = ("a", "b", "c")
REACHES = (
    EVERYTHING,
    Reach(tenant="t"),
    Reach(sites=frozenset("b")),
    Reach(sites=frozenset("abc")),
    Reach(tenant="u", sites=frozenset("ac")),
)


def region(records: Sequence[tuple[str, str, str, int, int]]) -> tuple[Any, list[JobRecord]]:
    """A region of three nodes with (owner, tenant, site, fen, minute) jobs; a site has what it runs, too."""
    stores = {node: MemoryStore() for node in NODES}
    made: list[JobRecord] = []
    for owner, tenant, site, fen, minute in sorted(records, key=lambda r: r[4]):
        number = len(made) + 1
        spec = JobSpec(name=f"job {fen % 3}", command=("true",), tenant=tenant)
        found = JobRecord(
            id=f"{owner}-{number}", key=f"k{number}", spec=spec, state=JobState.RUNNING, submitted_s=60 * minute,
            start_s=60 * minute + fen, fen=fen, site=site,
        )  # fmt: skip
        made.append(found)
        stores[owner].commit(Batch(jobs={found.id: found}))
        if site != owner:
            stores[site].commit(Batch(jobs={found.id: changed(found, came_from=owner)}))
    nodes = {name: SimpleNamespace(parts=SimpleNamespace(store=store)) for name, store in stores.items()}
    return SimpleNamespace(nodes=nodes, clock=SimpleNamespace(now=lambda: 10**6)), made


NODE, SMALL = st.sampled_from(NODES), st.integers(0, 9)
JOBS = st.lists(st.tuples(NODE, st.sampled_from("tu"), NODE, SMALL, SMALL), max_size=25)
SEARCHES = st.sampled_from(("", "job 1", "b"))


def readable(record: JobRecord, reach: Reach) -> bool:
    return reach.everything or record.spec.tenant == reach.tenant or record.site in reach.sites


@given(JOBS, st.sampled_from(REACHES), st.sampled_from(JobOrder), st.booleans(), SEARCHES, st.integers(1, 7))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_pages_hold_each_readable_job_once_in_order(
    records: list[tuple[str, str, str, int, int]], reach: Reach, order: JobOrder, down: bool, search: str, limit: int
) -> None:
    live, made = region(records)
    query = JobQuery(order=order, descending=down, search=search, limit=limit, now_s=10**6)
    wanted = {r.id: r for r in made if readable(r, reach) and search in words_of(r)}
    found: list[str] = []
    after, count = "", len(wanted)
    while True:
        page = jobs(live, query, after=after, reach=reach, count=True)
        assert page.count == count
        found += [r.id for r in page.jobs]
        after = page.next
        if not after:
            break
    assert sorted(found) == sorted(wanted)
    keys = [key_of(wanted[job], query) for job in found]
    assert keys == sorted(keys, reverse=down)
    for offset in (1, count // 2, count + 1):
        part = jobs(live, replace(query, offset=offset), reach=reach)
        assert [key_of(r, query) for r in part.jobs] == keys[offset : offset + limit]


def test_a_job_that_was_at_two_sites_of_ones_own_is_listed_and_counted_once() -> None:
    live, _ = region([("a", "t", "b", 5, 1)])
    moved = changed(live.nodes["b"].parts.store.job("a-1"), site="c", came_from="a")
    live.nodes["c"].parts.store.commit(Batch(jobs={"a-1": moved}))
    reach = Reach(sites=frozenset("bc"))
    page = jobs(live, JobQuery(order=JobOrder.COST), reach=reach, count=True)
    assert ([r.id for r in page.jobs], page.count) == (["a-1"], 1)
    assert jobs(live, JobQuery(), reach=reach, count=True).count == 1


def test_a_place_in_a_list_is_of_its_own_order() -> None:
    live, _ = region([("a", "t", "a", 5, 1), ("a", "t", "a", 6, 2)])
    with pytest.raises(ProblemsFound, match="another order"):
        jobs(live, JobQuery(order=JobOrder.COST), after="a-1")
    assert [r.id for r in jobs(live, JobQuery(order=JobOrder.COST), after="@1").jobs] == ["a-1"]
