"""What only a shared database has: schemas, lines that are cut, and one writer among several processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sanjin.adapters.store import schema
from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.postgres import PostgresStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.flow.audit import chain
from sanjin.model.errors import NotActive, SanjinError, StoreFailed
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch, Entry, JobQuery
from tests.postgres_server import PostgresServer
from tests.support import until

Opened = Callable[..., PostgresStore]


@pytest.fixture
def opened(postgres: PostgresServer) -> Iterator[Opened]:
    """Opens stores, of one schema that nobody used where no address is given."""
    made: list[PostgresStore] = []
    own = postgres.url()

    def new(url: str = own) -> PostgresStore:
        made.append(PostgresStore(url))
        return made[-1]

    yield new
    for store in made:
        store.close()


def record(number: int, **fields: Any) -> JobRecord:
    spec = JobSpec(name="x", command=("true",), tenant="t")
    return changed(JobRecord(id=f"n-{number}", key=f"k{number}", spec=spec, state=JobState.QUEUED), **fields)


def line(seq: int) -> Batch:
    return Batch(journal=[Entry(seq=seq, at_s=5, kind="k", job="", body=b"", hash=chain(b"", seq, 5, "k", "", b""))])


def ask(store: PostgresStore, question: str) -> Any:
    """One question on a connection of no store."""
    with sa.create_engine(store._writer.url, poolclass=sa.NullPool).connect() as c:
        c.exec_driver_sql(f'set search_path = "{store.schema}"')
        return c.exec_driver_sql(question).scalar()


def cut(store: PostgresStore, which: str = "true") -> None:
    """End the sessions of a schema, as a fault of the line or of the server does; returns once they are gone."""
    mine = f"pg_stat_activity where application_name = 'sanjin {store.schema}' and {which}"
    ask(store, f"select count(pg_terminate_backend(pid, 10000)) from {mine}")


def cut_seat(store: PostgresStore) -> None:
    """End the session that holds the lock, and leave the others."""
    cut(store, "pid in (select pid from pg_locks where locktype = 'advisory')")


def test_migrations_make_the_schema_that_the_code_uses(opened: Opened) -> None:
    store = opened()
    with store._engine.connect() as c:
        assert compare_metadata(MigrationContext.configure(c), schema.metadata) == []


def test_commits_wait_for_the_disk_and_reads_see_one_instant(opened: Opened) -> None:
    store = opened()
    with store._writer.connect() as c:
        assert c.exec_driver_sql("show synchronous_commit").scalar() == "on"
        assert c.exec_driver_sql("show fsync").scalar() == "on"
    with store._read_all() as c:
        assert c.exec_driver_sql("show transaction_isolation").scalar() == "repeatable read"
        assert c.exec_driver_sql("show transaction_read_only").scalar() == "on"


def test_jobs_are_numbered_without_gaps_in_the_order_of_coming(opened: Opened) -> None:
    store = opened()
    store.commit(Batch(jobs={f"n-{n}": record(n) for n in (2, 1)}))
    store.commit(Batch(jobs={"n-1": record(1, fen=1), "n-3": record(3, came_from="p"), "n-2": record(2, fen=2)}))
    store.commit(Batch(jobs={"n-4": record(4)}))
    assert [r.id for r in store.jobs(JobQuery())] == ["n-4", "n-3", "n-1", "n-2"]
    assert store.load().next_number == 5
    assert ask(store, "select max(number) from job") == 4


def test_two_schemas_in_one_database_do_not_see_each_other(postgres: PostgresServer, opened: Opened) -> None:
    one, other = opened(postgres.url("yang-quan")), opened(postgres.url("datong"))
    one.commit(Batch(jobs={"n-1": record(1)}))
    assert (other.job("n-1"), other.load().next_number) == (None, 1)
    other.commit(Batch(jobs={"n-1": record(1, key="else")}))  # both write: each has a seat of its own
    assert one.find_keys("t", ["else"]) == {}
    assert "datong" in other.place


def test_two_processes_may_make_the_tables_at_once(postgres: PostgresServer, opened: Opened) -> None:
    url = postgres.url()
    threads = [threading.Thread(target=opened, args=(url,)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [opened(url).tip() for _ in range(3)] == [(0, b"")] * 3


def test_a_line_that_is_cut_in_a_commit_leaves_nothing_and_the_next_call_connects(opened: Opened) -> None:
    store = opened()
    store.commit(line(1))
    turns = store._fence

    def cut_after_the_fence(*given: Any) -> int:
        turn = turns(*given)
        cut(store)
        return turn

    store._fence = cut_after_the_fence  # type: ignore[method-assign]
    with pytest.raises(StoreFailed):
        store.commit(Batch(jobs={"n-1": record(1)}, journal=line(2).journal))
    store._fence = turns  # type: ignore[method-assign]
    assert (store.tip()[0], store.job("n-1")) == (1, None)
    store.commit(line(2))
    assert store.load().tip_seq == 2
    until(store.active, "seat again")


def test_connections_that_died_in_the_pool_are_not_noticed(opened: Opened) -> None:
    store = opened()
    store.commit(line(1))
    cut(store)
    assert store.tip()[0] == 1
    store.commit(line(2))


def test_a_commit_whose_answer_was_lost_is_asked_for(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    store.commit(line(1))
    dialect = store._writer.dialect
    commit = dialect.do_commit

    def lose_the_answer(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        commit(connection)
        cut(store)
        connection.execute("select 1")

    monkeypatch.setattr(dialect, "do_commit", lose_the_answer)
    store.commit(line(2))  # it was written, and so it is said
    assert store.tip()[0] == 2
    store.commit(line(3))


def test_a_server_that_is_away_and_comes_back(postgres: PostgresServer, opened: Opened) -> None:
    store = opened()
    store.commit(line(1))
    postgres.stop()
    try:
        with pytest.raises(StoreFailed, match="cannot write"):
            store.commit(line(2))
        with pytest.raises(StoreFailed, match="cannot read"):
            store.load()
        with pytest.raises(StoreFailed, match="cannot open"):
            PostgresStore(postgres.url())
    finally:
        postgres.start()
    assert store.load().tip_seq == 1
    store.commit(line(2))
    until(store.active, "seat again")


def test_one_of_two_processes_writes_and_the_other_reads(opened: Opened) -> None:
    first, second = opened(), opened()
    assert first.claim(wait_s=0) and first.claim(wait_s=0)
    assert not second.claim(wait_s=0)
    with pytest.raises(NotActive):
        second.commit(line(1))
    first.commit(line(1))
    assert second.tip()[0] == 1
    first.close()  # leaves the seat at once
    assert second.claim(wait_s=0)
    second.commit(line(2))
    with pytest.raises(NotActive):
        first.commit(line(3))


def test_who_was_taken_over_cannot_write_and_is_told(opened: Opened) -> None:
    first, second, told = opened(), opened(), threading.Event()
    assert first.claim(wait_s=0, lost=told.set)
    first.commit(line(1))

    def takes_over() -> bool:  # the first may sit down again before the second comes
        cut_seat(first)
        return second.claim(wait_s=0)

    until(takes_over, "taking over")
    with pytest.raises(NotActive):
        first.commit(line(2))
    assert first.tip()[0] == 1
    second.commit(line(2))
    with pytest.raises(NotActive):  # and for good
        first.commit(line(3))
    until(told.is_set, "word of the loss")
    assert not first.active()
    second.close()
    assert first.claim(wait_s=0)  # unless it asks again, to begin anew from what is there
    assert first.load().tip_seq == 2
    first.commit(line(3))


def test_a_commit_in_the_making_ends_before_another_takes_over(opened: Opened) -> None:
    first, second = opened(), opened()
    first.commit(line(1))
    seat = first._seat
    assert seat
    taken: list[bool] = []
    with first._writer.begin() as c:
        first._fence(c, seat)

        def take() -> None:
            taken.append(second.claim(wait_s=30))

        cut_seat(first)
        thread = threading.Thread(target=take)
        thread.start()
        until(lambda: bool(ask(first, _ROW_AWAITED)), "second that waits", within_s=3)
        assert not taken
        c.exec_driver_sql("insert into peer values ('p', 1, 1)")
    thread.join()
    assert taken == [True]
    assert second.load().marks["p"].sent == 1


_ROW_AWAITED = "select count(*) from pg_locks where locktype = 'transactionid' and not granted"


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SanjinError, match=r"pip install 'sanjin\[postgres\]'"):
        PostgresStore("postgresql://u@h/d")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@localhost:port/d",
        "mysql://u:geheim@localhost/d",
        "postgresql://u:geheim@localhost/d?schema=a;drop",
        "postgresql://u:geheim@localhost/d?schema=pg_x",
        "postgresql://u:geheim@localhost:1/d?schema=a",
        "postgresql://u@localhost:1/d?password=geheim",
        "postgresql://u:geheim@localhost:1/d?nonsense=1",
    ],
)
def test_an_address_that_is_wrong_is_said_without_its_password(url: str) -> None:
    with pytest.raises(SanjinError) as fault:
        store_of(url)
    assert "geheim" not in str(fault.value)


def test_the_kind_of_store_follows_from_how_it_is_written(postgres: PostgresServer, tmp_path: Any) -> None:
    store = store_of(tmp_path / "state.db")
    assert isinstance(store, SqliteStore) and store.claim(wait_s=0)
    store.close()
    url = postgres.url("x", "geheim").replace("&schema=x", "")
    store = store_of(url, node="luliang")
    assert isinstance(store, PostgresStore) and store.schema == "luliang"
    assert "geheim" not in store.place
    store.close()
