"""The store's contract: all or nothing, durable, the journal's order, keys that find their job."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext

from sanjin.adapters.store import schema
from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sql import HEAD
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.audit import chain
from sanjin.model.errors import StoreFailed
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch, Entry, JobQuery, LedgerLine, Mail, PeerMark, Share, Store, Totals


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the store under test, each time anew; what is in memory is the same object."""
    one, made = MemoryStore(), list[Store]()
    if request.param == "memory":
        yield lambda: one
        return
    where = tmp_path / "any" / "state.db"
    if request.param == "postgresql":
        where = request.getfixturevalue("postgres").url()

    def new() -> Store:
        made.append(store_of(where))
        return made[-1]

    yield new
    for store in made:
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "deep" / "state.db")


def record(number: int, **fields: object) -> JobRecord:
    spec = JobSpec(name="x", command=("true",), tenant="t")
    base = JobRecord(id=f"n-{number}", key=f"k{number}", spec=spec, state=JobState.QUEUED)
    return changed(base, **fields)


def entry(seq: int, before: bytes = b"") -> Entry:
    return Entry(seq=seq, at_s=5, kind="k", job="n-1", body=b"{}", hash=chain(before, seq, 5, "k", "n-1", b"{}"))


def test_what_is_committed_is_found_again_by_a_new_store(opened: Callable[[], Store]) -> None:
    store, first = opened(), entry(1)
    assert (store.tip(), store.load().next_number) == ((0, b""), 1)
    mail = [Mail(peer="p", seq=n, kind="report", body=b"1") for n in (1, 2)]
    lines = [LedgerLine(entry=2, job="n-2", tenant="t", at_s=5, account=a, fen=f) for a, f in (("a", 7), ("b", -7))]
    store.commit(
        Batch(
            jobs={"n-1": record(1), "n-2": record(2, state=JobState.SUCCEEDED, fen=7, carbon_mg=3)},
            journal=[first, entry(2, first.hash)],
            outbox=mail,
            marks={"p": PeerMark(peer="p", sent=2, received=4)},
            ledger=lines,
            shares={(s.tenant, s.peer): s for s in (Share(tenant="t", peer="p", cores=4), Share(tenant="t", peer="q"))},
        )
    )
    share = Share(tenant="t", peer="p", cores=2, fen=700, until_s=9, ask_s=1 << 62)
    store.commit(Batch(acked={"p": 1}, shares={("t", "p"): share}))
    store.close()
    found = opened()
    state = found.load()
    assert [r.id for r in state.live] == ["n-1"]
    assert state.outbox == mail[1:]
    assert state.marks == {"p": PeerMark(peer="p", sent=2, received=4)}
    assert state.shares == [share, Share(tenant="t", peer="q")]
    assert (state.tip_seq, state.next_number, state.spent_fen) == (2, 3, {"t": 7})
    assert (state.tip_seq, state.tip_hash) == found.tip()
    assert found.job("n-2") == record(2, state=JobState.SUCCEEDED, fen=7, carbon_mg=3)
    assert found.job("n-3") is None
    assert set(found.find_keys("t", ["k1", "k9"])) == {"k1"}
    assert found.find_keys("u", ["k1"]) == {}
    assert [e.seq for e in found.journal(after=1)] == [2]
    assert [e.seq for e in found.journal(limit=1)] == [1]
    assert found.journal(job="n-2") == []
    assert found.ledger("t") == found.ledger() == lines
    assert found.ledger("u") == []
    assert found.accounts() == {("t", "a"): 7, ("t", "b"): -7}
    assert found.counts() == {"queued": 1, "succeeded": 1}
    assert found.totals() == {"t": Totals(jobs=1, fen=7, facility_mwh=0, carbon_mg=3)}
    found.close()


def test_lists_are_newest_first_and_restricted_as_asked(opened: Callable[[], Store]) -> None:
    store = opened()
    store.commit(Batch(jobs={f"n-{n}": record(n) for n in (1, 2, 3)}))
    other = record(4, spec=JobSpec(name="x", command=("true",), tenant="u"), came_from="p")
    store.commit(Batch(jobs={"n-2": record(2, state=JobState.FAILED), "n-4": other}))

    def listed(**how: object) -> list[str]:
        return [r.id for r in store.jobs(JobQuery(**how))]

    assert listed() == ["n-4", "n-3", "n-2", "n-1"]
    assert listed(limit=2) == ["n-4", "n-3"]
    assert listed(before="n-3") == ["n-2", "n-1"]
    assert listed(before="gone") == []
    assert listed(state="failed") == ["n-2"]
    assert listed(tenant="u") == ["n-4"]
    assert listed(owned=True) == ["n-3", "n-2", "n-1"]
    store.close()


def test_a_commit_that_fails_writes_nothing(opened: Callable[[], Store]) -> None:
    store = opened()
    store.commit(Batch(journal=[entry(1)], outbox=[Mail(peer="p", seq=1, kind="report", body=b"1")]))
    with pytest.raises(StoreFailed):  # entry 1 is there already
        store.commit(Batch(jobs={"n-1": record(1)}, journal=[entry(1)]))
    with pytest.raises(StoreFailed):  # and so is this mail
        store.commit(Batch(jobs={"n-1": record(1)}, outbox=[Mail(peer="p", seq=1, kind="report", body=b"2")]))
    assert store.job("n-1") is None
    assert store.tip()[0] == 1
    assert [m.body for m in store.load().outbox] == [b"1"]
    store.close()


def test_two_jobs_cannot_have_one_key(opened: Callable[[], Store]) -> None:
    store = opened()
    store.commit(Batch(jobs={"n-1": record(1)}))
    with pytest.raises(StoreFailed):
        store.commit(Batch(jobs={"n-2": record(2, key="k1")}))
    store.commit(Batch(jobs={"n-2": record(2, key="k1", came_from="p")}))  # a relayed job keeps its key elsewhere
    assert store.find_keys("t", ["k1"])["k1"].id == "n-1"
    store.close()


def test_a_full_disk_is_said_and_reads_go_on(store: SqliteStore) -> None:
    store.commit(Batch(jobs={"n-1": record(1)}))
    with store._engine.connect() as c:
        pages = c.exec_driver_sql("pragma page_count").scalar()
    # as a full disk does, SQLite answers "database or disk is full" beyond its page limit
    sa.event.listen(store._engine, "checkout", lambda c, *_: c.execute(f"pragma max_page_count={pages}"))
    big = record(2, detail="x" * 10**6)
    with pytest.raises(StoreFailed, match="full"):
        store.commit(Batch(jobs={"n-2": big}))
    assert store.job("n-1") is not None
    assert store.job("n-2") is None


def test_commits_are_synchronised_to_disk(store: SqliteStore) -> None:
    with store._engine.connect() as c:
        assert c.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert c.exec_driver_sql("pragma synchronous").scalar() == 2


def test_migrations_make_the_schema_that_the_code_uses(store: SqliteStore) -> None:
    store.close()
    with sqlite3.connect(store.path) as c:
        assert c.execute("select version_num from alembic_version").fetchone() == (HEAD,)
    engine = sa.create_engine(f"sqlite:///{store.path}")
    with engine.connect() as c:
        from alembic.autogenerate import compare_metadata

        assert compare_metadata(MigrationContext.configure(c), schema.metadata) == []
    engine.dispose()


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed):
        SqliteStore(tmp_path / "file" / "state.db")


def test_the_journal_of_a_tenant_has_the_entries_of_its_jobs_alone(opened: Callable[[], Store]) -> None:
    store = opened()
    other = changed(record(2), spec=replace(record(2).spec, tenant="u"))
    jobs = ("n-1", "n-2", "", "n-1", "n-2")
    lines = [Entry(seq=i, at_s=5, kind="k", job=job, body=b"{}", hash=bytes([i])) for i, job in enumerate(jobs, 1)]
    store.commit(Batch(jobs={"n-1": record(1), "n-2": other}, journal=lines))
    assert [e.seq for e in store.journal(tenant="t")] == [1, 4]
    assert [e.seq for e in store.journal(2, 1, tenant="u")] == [5]
    assert [e.seq for e in store.journal(job="n-1", tenant="u")] == []
    assert store.journal(tenant="nobody") == []
