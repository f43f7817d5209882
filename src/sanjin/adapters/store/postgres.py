"""The PostgreSQL store: a schema a node, in a database that several nodes and replicas may share.

One commit is one transaction, synchronised to the server's disk before it counts. Rows go over as
arrays, a statement a table. Every commit first finds its writer's epoch in the table ``writer`` and
holds that row to its end, so that of two processes over one schema only one can write; see
:mod:`sanjin.adapters.store.seat`. Anybody may read at any time; a read sees one instant.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateSchema

from sanjin.adapters.store.seat import Seat
from sanjin.adapters.store.sql import SqlStore, job_row, ledger_rows, listing_row, share_rows, upgrade
from sanjin.model.errors import NotActive, SanjinError, StoreFailed
from sanjin.ports import Batch, Stored

log = logging.getLogger(__name__)

SCHEMA = "sanjin"
"""Where a node's tables are, unless its address says ``?schema=``."""

_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_-]{0,62}")
_ADDRESS = "postgresql://USER@HOST:PORT/DATABASE?schema=NAME"

_SESSION = "-c synchronous_commit=on -c tcp_keepalives_idle=3 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"
_READER = "-c default_transaction_read_only=on"
# a writer that freezes inside a commit must not keep the row of the seat from who takes over
_WRITER = "-c idle_in_transaction_session_timeout=4000"
_CONNECT: dict[str, Any] = {
    "client_encoding": "utf8",
    "connect_timeout": 5,
    # a line that was cut is noticed within about ten seconds, and not after hours
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class PostgresStore(SqlStore):
    """A node's state at ``url``: ``postgresql://USER@HOST:PORT/DATABASE?schema=NAME``, made and upgraded as needed.

    ``node`` is the schema where the address names none (and ``sanjin`` where neither does): small
    letters, digits, ``_`` and ``-``. Other parameters of the address are libpq's (``sslmode``,
    ``passfile``, ``host`` for a folder of sockets). Raises SanjinError for an address that is none
    or where psycopg is missing, StoreFailed where the database cannot be opened.
    """

    def __init__(self, url: str, node: str = "") -> None:
        address, self.schema = _read_address(url, node)
        self._secrets = [s for s in (address.password, address.query.get("password")) if isinstance(s, str) and s]
        self._writer = self._connecting(address, _WRITER, 1, "READ COMMITTED")
        # most reads are one question, which sees one instant by itself: no words to begin and end it
        super().__init__(_place(address, self.schema), self._connecting(address, _READER, 4, "AUTOCOMMIT"))
        self._seat: Seat | None = None
        self._claiming = threading.Lock()
        self._doubt = False
        try:
            self._open()
        except DBAPIError as fault:
            self.close()
            raise StoreFailed(f"{self.place}: cannot open the store: {self._said(fault)}") from None
        except BaseException:
            self.close()
            raise

    def _connecting(self, address: sa.URL, options: str, connections: int, isolation: Any) -> sa.Engine:
        ours = {"application_name": f"sanjin {self.schema}", **_CONNECT}
        said = address.query
        asked = said.get("options", "")
        always = f'{asked if isinstance(asked, str) else " ".join(asked)} {_SESSION} {options}'
        try:
            return sa.create_engine(
                address,
                pool_size=connections,
                isolation_level=isolation,
                pool_pre_ping=True,  # a connection that died while nobody used it is replaced, not handed out
                hide_parameters=True,
                connect_args={
                    **{name: value for name, value in ours.items() if name not in said},
                    "options": f'{always} -c search_path="{self.schema}"'.strip(),
                },
            )
        except ImportError as fault:
            raise SanjinError(
                f"state in PostgreSQL needs psycopg ({fault}); run: pip install 'sanjin[postgres]'"
            ) from fault

    def _open(self) -> None:
        with self._writer.begin() as c:
            version, encoding, fsync = c.exec_driver_sql(
                "select current_setting('server_version_num')::int, current_setting('server_encoding'), "
                "current_setting('fsync')"
            ).one()
            if version < 140_000:
                raise StoreFailed(f"{self.place}: PostgreSQL 14 or later is needed, this is {version // 10_000}")
            if encoding != "UTF8":
                raise StoreFailed(f"{self.place}: the database has the encoding {encoding}; create it with UTF8")
            if fsync != "on":
                log.warning("%s: the server runs with fsync = %s: a power cut can lose commits", self.place, fsync)
            # two replicas that start at once must not both make the tables; the first may take its time
            c.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")
            c.exec_driver_sql("select pg_advisory_xact_lock(%s)", (_lock_number("tables", self.schema),))
            if not sa.inspect(c).has_schema(self.schema):
                c.execute(CreateSchema(self.schema))
            upgrade(c)

    def _said(self, fault: BaseException) -> str:
        text = " ".join(super()._said(fault).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    # -- who writes

    def claim(self, wait_s: float | None = None, lost: Callable[[], None] | None = None) -> bool:
        """Become the one process that writes this schema, waiting up to ``wait_s`` wall seconds (None: for ever).

        True once it is; false where another still writes. Load after it: what was read before may be
        old. ``lost`` is called once, in another thread, when another process has taken over; a node
        whose store was lost should end, and start again as the one that waits. Raises StoreFailed
        where the database does not answer; who waits for ever waits for it too.
        """
        with self._claiming:
            if self._seat and self._seat.held():
                return True
            seat = self._seat = Seat(self._writer, _lock_number("writer", self.schema), self._said, lost)
            try:
                if seat.take(wait_s):
                    return True
            except StoreFailed as fault:
                self._seat = None
                raise StoreFailed(f"{self.place}: {fault}") from fault
            self._seat = None
            seat.close()
            return False

    def active(self) -> bool:
        """Whether this process writes the schema, as far as is known here; only a commit is sure of it."""
        return self._seat is not None and self._seat.held()

    def epoch(self) -> int:
        """Which writer this process is of those that there have been, from 1; 0 before it is one."""
        return self._seat.epoch if self._seat else 0

    def _own(self) -> Seat:
        """The seat of this process; who never claimed takes it where it is free. Raises NotActive."""
        seat = self._seat
        if seat is None or seat.epoch == 0:
            self.claim(wait_s=0)
            seat = self._seat
        if seat is None or not seat.held():
            raise NotActive(f"{self.place}: another process writes this state")
        return seat

    def _fence(self, c: sa.Connection, seat: Seat) -> int:
        """Hold the row of the seat to the end of this transaction; the number of this commit. Raises NotActive."""
        turn = c.exec_driver_sql(_TURN, (seat.epoch,)).scalar()
        if turn is None:
            seat.gone.set()
            raise NotActive(f"{self.place}: another process has taken over; this one writes no more")
        return int(turn)

    # -- reading and writing

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        self._own()
        return self._writer.begin()

    @contextmanager
    def _read_all(self) -> Generator[sa.Connection]:
        with self._read() as c:
            yield c.execution_options(isolation_level="REPEATABLE READ")

    def load(self) -> Stored:
        """Everything that a starting node needs."""
        if self._doubt:
            # a commit whose answer was lost may still be at work on the server: it ends before we read
            try:
                with self._writer.begin() as c:
                    c.exec_driver_sql(_LAST)
            except DBAPIError as fault:
                raise StoreFailed(f"{self.place}: cannot read: {self._said(fault)}") from fault
            self._doubt = False
        return super().load()

    def commit(self, batch: Batch) -> None:
        """Write ``batch`` in one transaction. Raises StoreFailed; then nothing was written.

        Where the line is cut just while the server commits, the store asks it again; where it does not
        answer then, StoreFailed says so, and what :meth:`load` gives is true. NotActive, a StoreFailed,
        where another process writes this state. Who never claimed does so with its first commit.
        """
        seat = self._own()
        statements = list(_statements(batch))  # before the transaction begins: it is short
        turn = 0
        try:
            with self._writer.begin() as c:
                turn = self._fence(c, seat)
                for statement, rows in statements:
                    c.exec_driver_sql(statement, tuple([list(column) for column in zip(*rows, strict=True)]))
        except DBAPIError as fault:
            if fault.connection_invalidated and turn and self._written(seat, turn):
                return
            if seat.gone.is_set():
                raise NotActive(f"{self.place}: another process took over while this one wrote") from fault
            doubt = "; whether it was written will show when the store is loaded again" if self._doubt else ""
            raise StoreFailed(f"{self.place}: cannot write: {self._said(fault)}{doubt}") from fault

    def _written(self, seat: Seat, turn: int) -> bool:
        """Whether the commit of that number is in the database; waits for its end."""
        self._doubt = True
        try:
            with self._writer.begin() as c:
                last = c.exec_driver_sql(_LAST).one()
        except DBAPIError:
            return False
        self._doubt = False
        if int(last.epoch) != seat.epoch:
            seat.gone.set()
        return int(last.epoch) == seat.epoch and int(last.turn) == turn

    def close(self) -> None:
        """Let go of the database, and of the right to write."""
        if seat := self._seat:
            seat.close()
        self._writer.dispose()
        super().close()


def schema_revision(url: str, node: str = "") -> tuple[str, bool]:
    """(revision of the schema, empty where there is none; whether nobody writes it now). Changes nothing.

    Raises SanjinError for a wrong address or without psycopg, StoreFailed where the database does not answer.
    """
    address, schema = _read_address(url, node)
    try:
        engine = sa.create_engine(address, connect_args={"connect_timeout": 5, "options": _READER})
    except ImportError as fault:
        raise SanjinError(f"PostgreSQL needs psycopg ({fault}); run: pip install 'sanjin[postgres]'") from fault
    try:
        with engine.connect() as c:
            lock = _lock_number("writer", schema)
            # of this transaction, which ends before this returns: a session ends when the server comes to it
            free = bool(c.exec_driver_sql("select pg_try_advisory_xact_lock(%s)", (lock,)).scalar())
            if not sa.inspect(c).has_table("alembic_version", schema):
                return "", free
            return str(c.exec_driver_sql(f'select version_num from "{schema}".alembic_version').scalar()), free  # noqa: S608
    except DBAPIError as fault:
        raise StoreFailed(f"{_place(address, schema)}: cannot read: {getattr(fault, 'orig', '')}") from None
    finally:
        engine.dispose()


def dump_command(url: str, node: str) -> str:
    """How to back up the schema with PostgreSQL's own program; without the password."""
    address, schema = _read_address(url, node)
    where = address._replace(drivername="postgresql", password=None).difference_update_query(["password"])
    return f"pg_dump --format=custom --schema='{schema}' --file={schema}.dump '{where.render_as_string()}'"


def _read_address(url: str, node: str) -> tuple[sa.URL, str]:
    """The address for the driver, and the schema. Raises SanjinError, without the address: it may hold a password."""
    try:
        address = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SanjinError(f"the state's address cannot be read; write {_ADDRESS}") from None
    if address.drivername not in ("postgresql", "postgres"):
        raise SanjinError(f"{address.drivername}: the state's address begins with postgresql://")
    schema = address.query.get("schema", node or SCHEMA)
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise SanjinError(f"{schema}: a schema's name is of small letters, digits, _ and -, at most 63")
    return address.set(drivername="postgresql+psycopg").difference_update_query(["schema"]), schema


def _place(address: sa.URL, schema: str) -> str:
    """The address for people, without user and password."""
    host = f"{address.host or ''}{f':{address.port}' if address.port else ''}"
    return f"postgresql://{host}/{address.database or ''}?schema={schema}"


def _lock_number(what: str, schema: str) -> int:
    """The number of an advisory lock: the same in every process and version."""
    return int.from_bytes(hashlib.sha256(f"sanjin {what} {schema}".encode()).digest()[:8], signed=True)


_TURN = "update writer set turn = turn + 1 where id = 1 and epoch = %s returning turn"
_LAST = "select epoch, turn from writer where id = 1 for update"

# numbers go on without gaps, which a sequence would not do: there is one writer
_PUT_JOBS = """
with given as (
  select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::bigint[],
    %s::bigint[], %b::bytea[]) with ordinality
    as given (id, tenant, owned_key, state, live, fen, facility_mwh, carbon_mg, body, place)
), changed as (
  update job set state = given.state, live = given.live, fen = given.fen, facility_mwh = given.facility_mwh,
    carbon_mg = given.carbon_mg, body = given.body
  from given where job.id = given.id returning job.id
)
insert into job (number, id, tenant, owned_key, state, live, fen, facility_mwh, carbon_mg, body)
select (select coalesce(max(number), 0) from job) + row_number() over (order by place),
  id, tenant, owned_key, state, live, fen, facility_mwh, carbon_mg, body
from given where id not in (select id from changed)
"""
_LIST_JOBS = """
insert into listing (number, id, node, tenant, owned, state, site, submitted_s, start_s, end_s, fen, name, words)
select job.number, given.* from unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[],
  %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
  as given (id, node, tenant, owned, state, site, submitted_s, start_s, end_s, fen, name, words)
join job on job.id = given.id
on conflict (number) do update set state = excluded.state, site = excluded.site, start_s = excluded.start_s,
  end_s = excluded.end_s, fen = excluded.fen, words = excluded.words
"""
_ADD_JOURNAL = """
insert into journal (seq, at_s, kind, job, body, hash)
select * from unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %b::bytea[], %b::bytea[])
"""
_PUT_TIP = """
insert into tip (id, seq, hash) select 1, * from unnest(%s::bigint[], %b::bytea[])
on conflict (id) do update set seq = excluded.seq, hash = excluded.hash
"""
_ADD_MAIL = """
insert into outbox (peer, seq, kind, body) select * from unnest(%s::text[], %s::bigint[], %s::text[], %b::bytea[])
"""
_DROP_MAIL = """
delete from outbox using unnest(%s::text[], %s::bigint[]) as acked (peer, upto)
where outbox.peer = acked.peer and outbox.seq <= acked.upto
"""
_PUT_MARKS = """
insert into peer (peer, sent, received) select * from unnest(%s::text[], %s::bigint[], %s::bigint[])
on conflict (peer) do update set sent = excluded.sent, received = excluded.received
"""
_PUT_SHARES = """
insert into share (tenant, peer, cores, fen, until_s, ask_s)
select * from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
on conflict (tenant, peer) do update set cores = excluded.cores, fen = excluded.fen, until_s = excluded.until_s,
  ask_s = excluded.ask_s
"""
_ADD_LEDGER = """
insert into ledger (entry, line, job, tenant, at_s, account, fen)
select * from unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[])
"""


def _statements(batch: Batch) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
    """What a batch comes to: statements in their order, each with its rows."""
    if batch.jobs:
        yield _PUT_JOBS, [job_row(r) for r in batch.jobs.values()]
        yield _LIST_JOBS, [listing_row(r) for r in batch.jobs.values()]
    if batch.journal:
        yield _ADD_JOURNAL, [(e.seq, e.at_s, e.kind, e.job, e.body, e.hash) for e in batch.journal]
        yield _PUT_TIP, [(batch.journal[-1].seq, batch.journal[-1].hash)]
    if batch.outbox:
        yield _ADD_MAIL, [(m.peer, m.seq, m.kind, m.body) for m in batch.outbox]
    if batch.acked:
        yield _DROP_MAIL, list(batch.acked.items())
    if batch.marks:
        yield _PUT_MARKS, [(m.peer, m.sent, m.received) for m in batch.marks.values()]
    if batch.shares:
        yield _PUT_SHARES, share_rows(batch.shares.values())
    if batch.ledger:
        yield _ADD_LEDGER, list(ledger_rows(batch.ledger))
