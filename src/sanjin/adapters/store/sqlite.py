"""The SQLite store: one file a node, write-ahead log with full synchronisation.

One commit is one transaction and one sync to disk; the loop gathers many commands into one commit.
Readers have connections of their own and never block the writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from sanjin.adapters.store import schema
from sanjin.adapters.store.sql import SqlStore, job_row, ledger_rows, listing_row, share_rows, upgrade
from sanjin.model.errors import StoreFailed
from sanjin.ports import Batch


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("begin")


def _pragmas(connection: Any, _: Any) -> None:
    # the driver must not begin transactions by itself: SQLAlchemy's begin event does
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "wal_autocheckpoint=8000"):
        connection.execute(f"pragma {pragma}")


def _hasty(connection: Any, _: Any) -> None:
    connection.execute("pragma synchronous=OFF")


class SqliteStore(SqlStore):
    """A node's state in the file ``path``, created and upgraded as needed.

    Raises StoreFailed where the file cannot be opened. Not ``durable``: commits do not wait for the disk; for copies
    that are thrown away.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        self.path = path
        engine = sa.create_engine(
            f"sqlite:///{path}", poolclass=sa.QueuePool, pool_size=4, connect_args={"check_same_thread": False}
        )
        event.listen(engine, "connect", _pragmas)
        if not durable:
            event.listen(engine, "connect", _hasty)
        event.listen(engine, "begin", _begin)
        super().__init__(str(path), engine)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with engine.begin() as connection:
                upgrade(connection)
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            raise StoreFailed(f"{path}: cannot open the store: {fault}") from fault

    def commit(self, batch: Batch) -> None:
        """Write ``batch`` in one transaction. Raises StoreFailed; then nothing was written."""
        try:
            with self._engine.begin() as c:
                self._write(c, batch)
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            said = self._said(fault)
            raise StoreFailed(f"{self.path}: cannot write: {said}. Free space or repair, then retry") from fault

    def _write(self, c: sa.Connection, batch: Batch) -> None:
        # rows in bulk go to the driver as they are: SQLAlchemy's work a row costs more than SQLite's
        if batch.jobs:
            c.exec_driver_sql(_UPSERT_JOB, [job_row(r) for r in batch.jobs.values()])
            c.exec_driver_sql(_LIST_JOB, [(r.id, *listing_row(r)) for r in batch.jobs.values()])
        if batch.journal:
            rows = [(e.seq, e.at_s, e.kind, e.job, e.body, e.hash) for e in batch.journal]
            c.exec_driver_sql("insert into journal (seq, at_s, kind, job, body, hash) values (?, ?, ?, ?, ?, ?)", rows)
            last = batch.journal[-1]
            c.execute(
                sa.text("insert or replace into tip (id, seq, hash) values (1, :seq, :hash)"),
                {"seq": last.seq, "hash": last.hash},
            )
        if batch.outbox:
            mail = [(m.peer, m.seq, m.kind, m.body) for m in batch.outbox]
            c.exec_driver_sql("insert into outbox (peer, seq, kind, body) values (?, ?, ?, ?)", mail)
        for name, upto in batch.acked.items():
            c.execute(sa.delete(schema.outbox).where(schema.outbox.c.peer == name, schema.outbox.c.seq <= upto))
        if batch.marks:
            c.execute(
                sa.text("insert or replace into peer (peer, sent, received) values (:peer, :sent, :received)"),
                [{"peer": m.peer, "sent": m.sent, "received": m.received} for m in batch.marks.values()],
            )
        if batch.shares:
            shares = share_rows(batch.shares.values())
            c.exec_driver_sql("insert or replace into share values (?, ?, ?, ?, ?, ?)", shares)
        if batch.ledger:
            c.exec_driver_sql("insert into ledger values (?, ?, ?, ?, ?, ?, ?)", list(ledger_rows(batch.ledger)))


_UPSERT_JOB = (
    "insert into job (id, tenant, owned_key, state, live, fen, facility_mwh, carbon_mg, body) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (id) do update set state = excluded.state, live = excluded.live, fen = excluded.fen, "
    "facility_mwh = excluded.facility_mwh, carbon_mg = excluded.carbon_mg, body = excluded.body"
)

_LIST_JOB = (
    "insert into listing (number, id, node, tenant, owned, state, site, submitted_s, start_s, end_s, fen, name, words) "
    "values ((select number from job where id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (number) do update set state = excluded.state, site = excluded.site, start_s = excluded.start_s, "
    "end_s = excluded.end_s, fen = excluded.fen, words = excluded.words"
)


def snapshot(path: Path, to: Path) -> None:
    """Copy the store at ``path``, which another process may be writing, as it is at one instant; nothing is written
    to it. Raises StoreFailed."""
    log = path.with_name(f"{path.name}-wal")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        unused = not log.exists()  # nobody has it open: then it is read without files beside it
        _copy(path, to, "mode=ro&immutable=1" if unused else "mode=ro")
        if unused and log.exists():  # somebody has opened it meanwhile
            _copy(path, to, "mode=ro")
    except (OSError, sqlite3.Error) as fault:
        raise StoreFailed(f"{path}: cannot copy the store: {fault}") from fault


def _copy(path: Path, to: Path, how: str) -> None:
    address = f"{path.absolute().as_uri()}?{how}"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def snapshots(copies: Mapping[Path, Path]) -> None:
    """Copy stores (path to copy) as all of them are at one instant, while processes write them. Raises StoreFailed.

    For some milliseconds every one of them is kept from committing, and a commit waits: so no copy knows of mail from
    another that the other's copy has not sent. Then the copies are made, and work goes on meanwhile.
    """
    at = Path()
    try:
        with ExitStack() as copying:
            sources: dict[Path, sqlite3.Connection] = {}
            with ExitStack() as frozen:
                for at in copies:
                    writer = frozen.enter_context(closing(_opened(at)))
                    writer.execute("begin immediate")
                for at in copies:
                    sources[at] = copying.enter_context(closing(_opened(at)))
                    sources[at].execute("begin")
                    sources[at].execute("select seq from tip").fetchall()  # from here on it sees this instant
            for at, to in copies.items():
                to.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(to)) as target:
                    sources[at].backup(target)
    except (OSError, sqlite3.Error) as fault:
        raise StoreFailed(f"{at}: cannot copy the store: {fault}") from fault


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30.0, isolation_level=None)


def revision(path: Path) -> str:
    """The revision of a file's schema, which is left as it is; empty where it has none. Raises StoreFailed."""
    try:
        with closing(_opened(path)) as store:
            there = store.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone()
            found = store.execute("select version_num from alembic_version").fetchone() if there else None
            return str(found[0]) if found else ""
    except sqlite3.Error as fault:
        raise StoreFailed(f"{path}: cannot read the store: {fault}") from fault


def tip_of(path: Path) -> tuple[int, bytes]:
    """Number and hash of the last journal entry in a copy that nobody writes. Raises StoreFailed."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as store:
            found = store.execute("select seq, hash from tip").fetchone()
            return (int(found[0]), bytes(found[1])) if found else (0, b"")
    except sqlite3.Error as fault:
        raise StoreFailed(f"{path}: cannot read the store: {fault}") from fault
