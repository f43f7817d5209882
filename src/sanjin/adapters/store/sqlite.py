"""The SQLite store: one file a node, write-ahead log with full synchronisation.

One commit is one transaction and one sync to disk; the loop gathers many commands into one commit.
Readers have connections of their own and never block the writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from sanjin.adapters.store import schema
from sanjin.model.errors import StoreFailed
from sanjin.model.record import JobRecord
from sanjin.ports import Batch, Entry, JobQuery, LedgerLine, Mail, PeerMark, Stored, Totals

HEAD = "0001"
"""The schema revision that this code works with."""

_record = msgspec.json.Decoder(JobRecord)
_encode = msgspec.json.Encoder().encode
_KEYS_A_QUERY = 500


def _upgrade(connection: sa.Connection) -> None:
    """Bring the schema to HEAD; Alembic is imported only where there is something to do."""
    if sa.inspect(connection).has_table("alembic_version"):
        found = connection.scalar(sa.text("select version_num from alembic_version"))
        if found == HEAD:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("begin")


def _pragmas(connection: Any, _: Any) -> None:
    # the driver must not begin transactions by itself: SQLAlchemy's begin event does
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "wal_autocheckpoint=8000"):
        connection.execute(f"pragma {pragma}")


class SqliteStore:
    """A node's state in the file ``path``, created and upgraded as needed.

    Raises StoreFailed where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = sa.create_engine(
                f"sqlite:///{path}", poolclass=sa.QueuePool, pool_size=4, connect_args={"check_same_thread": False}
            )
            event.listen(self._engine, "connect", _pragmas)
            event.listen(self._engine, "begin", _begin)
            with self._engine.begin() as connection:
                _upgrade(connection)
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            raise StoreFailed(f"{path}: cannot open the store: {fault}") from fault

    def _read(self) -> sa.Connection:
        return self._engine.connect()

    def load(self) -> Stored:
        """Everything that a starting node needs."""
        with self._read() as c:
            live = c.execute(
                sa.select(schema.job.c.body).where(schema.job.c.live == 1).order_by(schema.job.c.number)
            ).scalars()
            records = [_record.decode(body) for body in live]
            mail = [Mail(peer=m.peer, seq=m.seq, kind=m.kind, body=m.body) for m in c.execute(
                sa.select(schema.outbox).order_by(schema.outbox.c.peer, schema.outbox.c.seq)
            )]
            marks = {
                m.peer: PeerMark(peer=m.peer, sent=m.sent, received=m.received)
                for m in c.execute(sa.select(schema.peer))
            }
            number = c.scalar(sa.select(sa.func.max(schema.job.c.number))) or 0
            spent = c.execute(
                sa.select(schema.job.c.tenant, sa.func.sum(schema.job.c.fen))
                .where(schema.job.c.live == 0, schema.job.c.owned_key.is_not(None))
                .group_by(schema.job.c.tenant)
            )
            seq, tip_hash = self._tip(c)
            return Stored(
                live=records,
                outbox=mail,
                marks=marks,
                tip_seq=seq,
                tip_hash=tip_hash,
                next_number=number + 1,
                spent_fen={tenant: int(fen) for tenant, fen in spent},
            )

    def commit(self, batch: Batch) -> None:
        """Write ``batch`` in one transaction. Raises StoreFailed; then nothing was written."""
        try:
            with self._engine.begin() as c:
                self._write(c, batch)
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            detail = getattr(fault, "orig", None) or fault
            raise StoreFailed(f"{self.path}: cannot write: {detail}. Free space or repair, then retry") from fault

    def _write(self, c: sa.Connection, batch: Batch) -> None:
        # rows in bulk go to the driver as they are: SQLAlchemy's work a row costs more than SQLite's
        if batch.jobs:
            c.exec_driver_sql(_UPSERT_JOB, [_job_row(r) for r in batch.jobs.values()])
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
        if batch.ledger:
            c.execute(sa.insert(schema.ledger), list(_ledger_rows(batch.ledger)))

    def find_keys(self, tenant: str, keys: Sequence[str]) -> dict[str, JobRecord]:
        """Jobs that were submitted here under these client keys."""
        found: dict[str, JobRecord] = {}
        with self._read() as c:
            for at in range(0, len(keys), _KEYS_A_QUERY):
                part = keys[at : at + _KEYS_A_QUERY]
                rows = c.execute(
                    sa.select(schema.job.c.owned_key, schema.job.c.body).where(
                        schema.job.c.tenant == tenant, schema.job.c.owned_key.in_(part)
                    )
                )
                found.update({key: _record.decode(body) for key, body in rows})
        return found

    def job(self, job: str) -> JobRecord | None:
        """One job, live or ended."""
        with self._read() as c:
            body = c.scalar(sa.select(schema.job.c.body).where(schema.job.c.id == job))
            return None if body is None else _record.decode(body)

    def jobs(self, query: JobQuery) -> list[JobRecord]:
        """Jobs that match, newest first."""
        # first the numbers alone, from an index: sorting whole jobs of a large tenant takes a hundred times as long
        rows = sa.select(schema.job.c.number).order_by(schema.job.c.number.desc()).limit(query.limit)
        if query.state:
            rows = rows.where(schema.job.c.state == query.state)
        if query.tenant:
            rows = rows.where(schema.job.c.tenant == query.tenant)
        if query.owned:
            rows = rows.where(schema.job.c.owned_key.is_not(None))
        if query.before:
            number = sa.select(schema.job.c.number).where(schema.job.c.id == query.before).scalar_subquery()
            rows = rows.where(schema.job.c.number < number)
        whole = sa.select(schema.job.c.body).where(schema.job.c.number.in_(rows)).order_by(schema.job.c.number.desc())
        with self._read() as c:
            return [_record.decode(body) for body in c.execute(whole).scalars()]

    def counts(self) -> dict[str, int]:
        """Number of jobs owned here, by state."""
        with self._read() as c:
            rows = c.execute(
                sa.select(schema.job.c.state, sa.func.count())
                .where(schema.job.c.owned_key.is_not(None))
                .group_by(schema.job.c.state)
            )
            return {state: int(count) for state, count in rows}

    def totals(self) -> dict[str, Totals]:
        """What the jobs owned here came to, by tenant."""
        job = schema.job.c
        rows = (
            sa.select(
                job.tenant, sa.func.count(), sa.func.sum(job.fen), sa.func.sum(job.facility_mwh),
                sa.func.sum(job.carbon_mg),
            )
            .where(job.owned_key.is_not(None), job.live == 0)
            .group_by(job.tenant)
        )
        with self._read() as c:
            return {
                tenant: Totals(jobs=int(n), fen=int(fen), facility_mwh=int(mwh), carbon_mg=int(mg))
                for tenant, n, fen, mwh, mg in c.execute(rows)
            }

    def accounts(self) -> dict[tuple[str, str], int]:
        """Balance of each (tenant, account) of the ledger here, fen: debits positive."""
        line = schema.ledger.c
        rows = sa.select(line.tenant, line.account, sa.func.sum(line.fen)).group_by(line.tenant, line.account)
        with self._read() as c:
            return {(tenant, account): int(fen) for tenant, account, fen in c.execute(rows)}

    def journal(self, after: int = 0, limit: int = 1000, job: str = "", tenant: str = "") -> list[Entry]:
        """Journal lines with a number above ``after``, in order, of one job or one tenant's jobs where given."""
        rows = sa.select(schema.journal).where(schema.journal.c.seq > after).order_by(schema.journal.c.seq)
        if job:
            rows = rows.where(schema.journal.c.job == job)
        if tenant:  # numbers first, as in jobs()
            line, own = schema.journal.alias(), sa.select(schema.job.c.id).where(schema.job.c.tenant == tenant)
            numbers = sa.select(line.c.seq).where(line.c.seq > after, line.c.job.in_(own)).order_by(line.c.seq)
            if job:
                numbers = numbers.where(line.c.job == job)
            rows = rows.where(schema.journal.c.seq.in_(numbers.limit(limit)))
        with self._read() as c:
            return [
                # unpacked, not by name: whole journals are read this way, and a name costs as much as the row
                Entry(seq=seq, at_s=at_s, kind=kind, job=name, body=_bytes(body), hash=_bytes(digest))
                for seq, at_s, kind, name, body, digest in c.execute(rows.limit(limit))
            ]

    def tip(self) -> tuple[int, bytes]:
        """Number and hash of the last journal line, as recorded beside the journal."""
        with self._read() as c:
            return self._tip(c)

    @staticmethod
    def _tip(c: sa.Connection) -> tuple[int, bytes]:
        row = c.execute(sa.select(schema.tip.c.seq, schema.tip.c.hash)).first()
        return (0, b"") if row is None else (int(row[0]), bytes(row[1]))

    def ledger(self, tenant: str = "") -> list[LedgerLine]:
        """Postings, in order."""
        rows = sa.select(schema.ledger).order_by(schema.ledger.c.entry, schema.ledger.c.line)
        if tenant:
            rows = rows.where(schema.ledger.c.tenant == tenant)
        with self._read() as c:
            return [
                LedgerLine(entry=r.entry, job=r.job, tenant=r.tenant, at_s=r.at_s, account=r.account, fen=r.fen)
                for r in c.execute(rows)
            ]

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def _bytes(value: Any) -> bytes:
    """A stored blob; who edits the file by hand may leave text, which must not stop an audit."""
    return value.encode() if isinstance(value, str) else bytes(value)


def _job_row(record: JobRecord) -> tuple[Any, ...]:
    return (
        record.id,
        record.spec.tenant,
        record.key if record.owned else None,
        record.state.value,
        int(record.state.live),
        record.fen,
        record.facility_mwh,
        record.carbon_mg,
        _encode(record),
    )


_UPSERT_JOB = (
    "insert into job (id, tenant, owned_key, state, live, fen, facility_mwh, carbon_mg, body) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (id) do update set state = excluded.state, live = excluded.live, fen = excluded.fen, "
    "facility_mwh = excluded.facility_mwh, carbon_mg = excluded.carbon_mg, body = excluded.body"
)


def _ledger_rows(lines: Sequence[LedgerLine]) -> Iterator[dict[str, Any]]:
    entry, number = -1, 0
    for line in lines:
        number = number + 1 if line.entry == entry else 0
        entry = line.entry
        yield {
            "entry": line.entry,
            "line": number,
            "job": line.job,
            "tenant": line.tenant,
            "at_s": line.at_s,
            "account": line.account,
            "fen": line.fen,
        }


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
