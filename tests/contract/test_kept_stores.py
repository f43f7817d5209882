"""Skipping ahead, in both kinds of database; and what can be asked of PostgreSQL without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.postgres import dump_command, schema_revision
from sanjin.adapters.store.sql import HEAD, SqlStore
from sanjin.model.errors import StoreFailed
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch, Mail, PeerMark
from tests.postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    where = request.getfixturevalue("postgres").url() if request.param == "postgresql" else tmp_path / "state.db"
    found = store_of(where)
    assert found.claim(0.0)
    yield found
    found.close()


def test_numbers_skip_and_nothing_else_changes(store: SqlStore) -> None:
    spec = JobSpec(name="x", command=("true",), tenant="t")
    here = JobRecord(id="n-1", key="a", spec=spec, state=JobState.QUEUED, epoch=3)
    away = changed(here, id="n-2", key="b", sent_to="up")
    other = changed(here, id="m-9", key="c", came_from="up")
    over = changed(here, id="n-4", key="d", state=JobState.SUCCEEDED)
    jobs = {r.id: r for r in (here, away, other, over)}
    mail = [Mail(peer="up", seq=7, kind="report", body=b"{}")]
    store.commit(Batch(jobs=jobs, outbox=mail, marks={"up": PeerMark(peer="up", sent=7, received=5)}))
    before = store.load()
    assert before.next_number == 5
    store.skip_ahead(["up", "below"], 1000)
    after = store.load()
    assert after.next_number == 1005
    assert after.marks == {
        "up": PeerMark(peer="up", sent=1007, received=5), "below": PeerMark(peer="below", sent=1000, received=0),
    }  # fmt: skip
    assert after.outbox == before.outbox and (after.tip_seq, after.tip_hash) == (before.tip_seq, before.tip_hash)
    assert {r.id: r.epoch for r in after.live} == {"n-1": 1003, "n-2": 3, "m-9": 3}
    new = changed(here, id="n-1005", key="e")
    store.commit(Batch(jobs={new.id: new}))
    assert store.load().next_number == 1006 and store.active()


def test_a_schema_is_looked_at_without_making_or_changing_it(postgres: PostgresServer) -> None:
    url = postgres.url("looked-at")
    assert schema_revision(url) == ("", True)
    store = store_of(url)
    assert schema_revision(url) == (HEAD, True)
    store.claim(0.0)
    assert schema_revision(url) == (HEAD, False)  # somebody writes it
    store.close()
    assert schema_revision(url) == (HEAD, True)
    command = dump_command("postgresql://u:secret@h:5/d?schema=s&password=secret&sslmode=require", "n")
    assert "secret" not in command and "--schema='s'" in command and "sslmode=require" in command
    with pytest.raises(StoreFailed, match="cannot read"):
        schema_revision("postgresql://nobody@/none?host=/nonexistent")
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg").difference_update_query(["schema"]))
    with engine.connect() as c:
        assert not sa.inspect(c).has_schema("looked_at")
    engine.dispose()
