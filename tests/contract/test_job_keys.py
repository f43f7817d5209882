"""What every store says of jobs to sort and search them, against the plain meaning of the question."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanjin.adapters.store import schema
from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.model.job import JobOrder, JobSpec, JobState
from sanjin.model.listing import JobQuery, key_of, words_of
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch, Store

Made = tuple[Store, list[JobRecord]]
NAMES = ("Monte Carlo", "monte  carlo", "归档校验", "STRASSE", "straße", "a\nb", "a\x00b", "100%", "a_b", "é", "'--")


@pytest.fixture(scope="module", params=["sqlite", "memory", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A store with jobs of every kind, some of which have changed since they came, and the jobs as they came."""
    where = tmp_path_factory.mktemp("keys") / "state.db"
    if request.param == "postgresql":
        where = request.getfixturevalue("postgres").url()
    store: Store = MemoryStore() if request.param == "memory" else store_of(where)
    records = [record(number) for number in range(1, 61)]
    new = [changed(r, state=JobState.QUEUED, site="", start_s=0, end_s=0, fen=0) for r in records]
    store.commit(Batch(jobs={r.id: r for r in new}))
    store.commit(Batch(jobs={r.id: r for r in records}))
    yield store, records
    store.close()


def record(number: int) -> JobRecord:
    started, ended = number % 3 > 0, number % 3 == 2
    spec = JobSpec(
        name=NAMES[number % len(NAMES)] + str(number // 20), command=("true",), tenant="tu"[number % 2],
        kind=("", "Tiles")[number % 5 == 0],
    )  # fmt: skip
    node = "n" if number % 4 else "n-m"
    return JobRecord(
        id=f"{node}-{number}", key=f"k{number}", spec=spec, came_from="p" if number % 7 == 0 else "",
        state=JobState.SUCCEEDED if ended else JobState.RUNNING if started else JobState.QUEUED,
        submitted_s=1000 + number // 2, start_s=1000 + number * 13 % 50 if started else 0,
        end_s=2000 + number * 11 % 40 if ended else 0, fen=number * 17 % 30, site=("", "datong", "linfen")[number % 3],
    )  # fmt: skip


QUERIES = st.builds(
    JobQuery,
    state=st.sampled_from(("", "queued", "succeeded")),
    tenant=st.sampled_from(("", "t", "u", "nobody")),
    other_than=st.sampled_from(("", "", "t")),
    owned=st.booleans(),
    node=st.sampled_from(("", "", "n", "n-m")),
    site=st.sampled_from(("", "", "datong")),
    search=st.sampled_from(
        ("", "", "CARLO", "校验", "straße", "%", "_", "tiles", "n-1", "\x00", "a\x00b", "'--", "datong")
    ),
    ended_from_s=st.sampled_from((0, 0, 2020)),
    order=st.sampled_from(JobOrder),
    descending=st.booleans(),
    now_s=st.just(3000),
)


def wanted(records: list[JobRecord], query: JobQuery) -> list[JobRecord]:
    return [
        r
        for r in records
        if query.state in ("", r.state)
        and query.tenant in ("", r.spec.tenant)
        and not (query.other_than and query.other_than == r.spec.tenant)
        and (r.came_from == "" or not query.owned)
        and query.node in ("", r.id.rpartition("-")[0])
        and query.site in ("", r.site)
        and query.search.casefold().replace("\x00", "") in words_of(r)
        and r.end_s >= query.ended_from_s
    ]


@given(query=QUERIES)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_keys_counts_and_lists_are_of_the_jobs_that_match(made: Made, query: JobQuery) -> None:
    store, records = made
    found = wanted(records, query)
    assert store.keys(query) == ([key_of(r, query) for r in found], [r.id for r in found])
    assert store.count(query) == len(found)
    assert [r.id for r in store.jobs(query)] == [r.id for r in reversed(found)]


def test_jobs_without_a_time_stand_last_either_way() -> None:
    never, early, late = record(3), changed(record(1), start_s=5), changed(record(4), start_s=9)
    for descending, order in ((True, [late, early, never]), (False, [early, late, never])):
        query = JobQuery(order=JobOrder.STARTED, descending=descending)
        assert sorted([never, late, early], key=lambda r: key_of(r, query), reverse=descending) == order


def test_a_store_of_the_schema_before_is_filled_from_its_jobs(tmp_path: Path) -> None:
    records = [record(number) for number in range(1, 30)]
    store = SqliteStore(tmp_path / "state.db")
    store.commit(Batch(jobs={r.id: r for r in records}))
    query = JobQuery(order=JobOrder.NAME, search="carlo")
    before, rows = store.keys(query), _rows(store)
    store.close()
    with sqlite3.connect(store.path) as c:
        c.executescript("drop table listing; update alembic_version set version_num = '0003'")
    again = SqliteStore(store.path)
    assert again.keys(query) == before and before[1]
    assert _rows(again) == rows
    again.close()


def test_a_state_that_was_set_back_still_lists_its_last_job(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.commit(Batch(jobs={r.id: r for r in (record(1), record(2))}))
    store.skip_ahead([], 100)
    store.commit(Batch(jobs={"n-2": changed(record(2), fen=99), "n-3": record(3)}))
    assert store.keys(JobQuery(order=JobOrder.COST)) == ([17, 99, 21], ["n-1", "n-2", "n-3"])
    store.close()


def _rows(store: SqliteStore) -> list[object]:
    with store._engine.connect() as c:
        return [tuple(row) for row in c.execute(sa.select(schema.listing))]

