"""What the SQL stores share: the schema's revision, every question, and how a record becomes a row.

How rows are written in bulk, and how a connection is made durable, differs from one database to the
other and stands in :mod:`sanjin.adapters.store.sqlite` and :mod:`sanjin.adapters.store.postgres`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sanjin.adapters.store import schema
from sanjin.model.errors import StoreFailed
from sanjin.model.job import JobOrder
from sanjin.model.listing import JobQuery, folded, sort_name, words_of
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Batch, Entry, LedgerLine, Mail, PeerMark, Share, Stored, Totals

HEAD = "0004"
"""The schema revision that this code works with."""

_record = msgspec.json.Decoder(JobRecord)
_encode = msgspec.json.Encoder().encode
_ints = msgspec.json.Decoder(list[int])
_KEYS_A_QUERY = 500


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema to HEAD; Alembic is imported only where there is something to do.

    Raises StoreFailed where the schema is of a later version than this code.
    """
    if sa.inspect(connection).has_table("alembic_version"):
        found = connection.scalar(sa.text("select version_num from alembic_version"))
        if found == HEAD:
            return
        if found and str(found) > HEAD:
            raise StoreFailed(f"the schema is at {found}, this version of Sanjin knows {HEAD}: use a later one")
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    scripts = _migrations()

    def steps(found: Any, _: object) -> Any:
        return scripts._upgrade_revs(HEAD, found)  # as Alembic's own command does

    migration = MigrationContext.configure(connection, opts={"fn": steps, "script": scripts})
    with migration.begin_transaction(), Operations.context(migration):
        migration.run_migrations()


@cache
def _migrations() -> Any:
    """The steps from one schema to the next, read once for all the stores of a process."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


class SqlStore:
    """The questions that a node asks of its state, the same in every SQL database.

    ``place`` names the database in the texts of errors, without secrets; reads take their connections
    from ``engine``, where each question sees one instant.
    """

    def __init__(self, place: str, engine: sa.Engine) -> None:
        self.place = place
        self._engine = engine

    @contextmanager
    def _read(self) -> Generator[sa.Connection]:
        """A connection to ask. Raises StoreFailed where the database does not answer."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            raise StoreFailed(f"{self.place}: cannot read: {self._said(fault)}") from fault

    def _read_all(self) -> AbstractContextManager[sa.Connection]:
        """A connection for several questions that must see one instant."""
        return self._read()

    def _said(self, fault: BaseException) -> str:
        """What the database said, without the statement and its values."""
        return str(getattr(fault, "orig", None) or fault).strip()

    def claim(self, wait_s: float | None = None, lost: Callable[[], None] | None = None) -> bool:
        """Become the one that writes; true once it is. A file belongs to whoever holds its folder: true at once.

        See :meth:`sanjin.adapters.store.postgres.PostgresStore.claim` for the meaning where nodes share a database.
        """
        return True

    def active(self) -> bool:
        """Whether this process writes the state, as far as is known here."""
        return True

    def epoch(self) -> int:
        """Which writer this is of those that there have been, from 1; 0 where a store has one writer for good."""
        return 0

    def skip_ahead(self, peers: Sequence[str], count: int) -> None:
        """Let the numbers of mail to ``peers``, of jobs and of leases go on ``count`` further than they would.

        For a state that was set back, so that no number is given twice: what was numbered since is not known here. Of
        leases only those of jobs that are here and were submitted here: others' are given by others.
        """
        try:
            with self._writing() as c:
                _skip_ahead(c, peers, count)
        except (DBAPIError, OSError, sqlite3.Error) as fault:
            raise StoreFailed(f"{self.place}: cannot write: {self._said(fault)}") from fault

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that writes."""
        return self._engine.begin()

    def commit(self, batch: Batch) -> None:
        """Each kind of database writes in its own way; see :meth:`sanjin.ports.Store.commit`."""
        raise NotImplementedError

    def load(self) -> Stored:
        """Everything that a starting node needs."""
        with self._read_all() as c:
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
            share = schema.share.c
            shares = c.execute(sa.select(schema.share).order_by(share.tenant, share.peer))
            return Stored(
                live=records,
                outbox=mail,
                marks=marks,
                tip_seq=seq,
                tip_hash=tip_hash,
                next_number=number + 1,
                spent_fen={tenant: int(fen) for tenant, fen in spent},
                shares=[
                    Share(tenant=s.tenant, peer=s.peer, cores=s.cores, fen=s.fen, until_s=s.until_s, ask_s=s.ask_s)
                    for s in shares
                ],
            )

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

    def find(self, jobs: Sequence[str]) -> dict[str, JobRecord]:
        """Those of these jobs that are known here, live or ended."""
        found: dict[str, JobRecord] = {}
        with self._read() as c:
            for at in range(0, len(jobs), _KEYS_A_QUERY):
                some = schema.job.c.id.in_(jobs[at : at + _KEYS_A_QUERY])
                found.update({id: _record.decode(body) for id, body in c.execute(
                    sa.select(schema.job.c.id, schema.job.c.body).where(some))})  # fmt: skip
        return found

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
        if _narrowed(query):
            rows = rows.where(schema.job.c.number.in_(self._matching(sa.select(schema.listing.c.number), query)))
        whole = sa.select(schema.job.c.body).where(schema.job.c.number.in_(rows)).order_by(schema.job.c.number.desc())
        with self._read() as c:
            return [_record.decode(body) for body in c.execute(whole).scalars()]

    def keys(self, query: JobQuery) -> tuple[list[int] | list[str], list[str]]:
        """Sort keys and ids of the jobs that match, in the order in which they came."""
        # two long texts: a row for each of 100,000 jobs takes four times as long to read, and sorted twenty times
        line = schema.listing.c
        told = [sa.func.aggregate_strings(sa.cast(column, sa.Text), "\n") for column in (_key(query), line.id)]
        if self._engine.dialect.name == "sqlite":  # it reads the table in the order of its numbers
            texts = self._matching(sa.select(*told).select_from(schema.listing), query)
        else:
            texts = self._matching(sa.select(*(each.aggregate_order_by(line.number) for each in told)), query)
        with self._read() as c:
            keys, ids = c.execute(texts).one()
        if keys is None:
            return [], []
        if query.order is JobOrder.NAME:
            return keys.split("\n"), ids.split("\n")
        return _ints.decode(f"[{keys.replace(chr(10), ',')}]"), ids.split("\n")

    def count(self, query: JobQuery) -> int:
        """How many jobs match in all."""
        with self._read() as c:
            return c.scalar(self._matching(sa.select(sa.func.count()).select_from(schema.listing), query)) or 0

    def _matching(self, rows: sa.Select[Any, *tuple[Any, ...]], query: JobQuery) -> sa.Select[Any, *tuple[Any, ...]]:
        line = schema.listing.c
        wanted = {line.state: query.state, line.tenant: query.tenant, line.node: query.node, line.site: query.site}
        rows = rows.where(*(column == value for column, value in wanted.items() if value))
        if query.other_than:
            rows = rows.where(line.tenant != query.other_than)
        if query.owned:
            rows = rows.where(line.owned == 1)
        if query.ended_from_s:
            rows = rows.where(line.end_s >= query.ended_from_s)
        if query.search:
            place = sa.func.instr if self._engine.dialect.name == "sqlite" else sa.func.strpos
            rows = rows.where(place(line.words, folded(query.search)) > 0)
        return rows

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
        """Let go of the database."""
        self._engine.dispose()


def _narrowed(query: JobQuery) -> bool:
    """Whether it asks for what the table of jobs alone does not say."""
    return bool(query.other_than or query.node or query.site or query.search or query.ended_from_s)


def _key(query: JobQuery) -> sa.ColumnElement[Any]:
    """As :func:`sanjin.model.listing.key_of`."""
    line = schema.listing.c
    match query.order:
        case JobOrder.STARTED:
            return sa.case((line.start_s == 0, query.missing), else_=line.start_s)
        case JobOrder.ENDED:
            return sa.case((line.end_s == 0, query.missing), else_=line.end_s)
        case JobOrder.WAIT:
            until_s = sa.case((line.start_s > 0, line.start_s), (line.end_s > 0, line.end_s), else_=query.now_s)
            return until_s - line.submitted_s
        case JobOrder.SUBMITTED:
            return line.submitted_s
        case JobOrder.COST:
            return line.fen
        case JobOrder.NAME:
            return line.name


def _skip_ahead(c: sa.Connection, peers: Sequence[str], count: int) -> None:
    job, peer = schema.job, schema.peer
    known = set(c.execute(sa.select(peer.c.peer)).scalars())
    c.execute(sa.update(peer).values(sent=peer.c.sent + count))
    for name in set(peers) - known:
        c.execute(sa.insert(peer).values(peer=name, sent=count, received=0))
    live = c.execute(sa.select(job.c.number, job.c.body).where(job.c.live == 1, job.c.owned_key.is_not(None))).all()
    for number, body in live:
        record = _record.decode(_bytes(body))
        if not record.sent_to:
            body = _encode(changed(record, epoch=record.epoch + count))
            c.execute(sa.update(job).where(job.c.number == number).values(body=body))
    c.execute(sa.update(schema.share).values(ask_s=0))  # whether it was answered since is not known here either
    # the next job's number follows the greatest that there is
    last = c.scalar(sa.select(sa.func.max(job.c.number)))
    for table in (job, schema.listing):
        c.execute(sa.update(table).where(table.c.number == last).values(number=table.c.number + count))


def _bytes(value: Any) -> bytes:
    """A stored blob; who edits the file by hand may leave text, which must not stop an audit."""
    return value.encode() if isinstance(value, str) else bytes(value)


def job_row(record: JobRecord) -> tuple[Any, ...]:
    """Columns of ``job`` but its number, as the table has them."""
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


def listing_row(record: JobRecord) -> tuple[Any, ...]:
    """Columns of ``listing`` but its number, as the table has them."""
    return (
        record.id,
        record.id.rpartition("-")[0],
        record.spec.tenant,
        int(record.owned),
        record.state.value,
        record.site,
        record.submitted_s,
        record.start_s,
        record.end_s,
        record.fen,
        sort_name(record),
        words_of(record),
    )


def share_rows(shares: Iterable[Share]) -> list[tuple[Any, ...]]:
    """Columns of ``share`` as the table has them."""
    return [(s.tenant, s.peer, s.cores, s.fen, s.until_s, s.ask_s) for s in shares]


def ledger_rows(lines: Sequence[LedgerLine]) -> Iterator[tuple[Any, ...]]:
    """Columns of ``ledger`` as the table has them; lines of one entry are numbered from 0."""
    entry, number = -1, 0
    for line in lines:
        number = number + 1 if line.entry == entry else 0
        entry = line.entry
        yield (entry, number, line.job, line.tenant, line.at_s, line.account, line.fen)
