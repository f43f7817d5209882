"""Tables of a node's store. The migrations in ``migrations/`` create them; a test keeps both equal."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

job = Table(
    "job",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant", String, nullable=False),
    # set only where the job was submitted at this node: a relayed job keeps its key elsewhere
    Column("owned_key", String, nullable=True),
    Column("state", String, nullable=False),
    Column("live", Integer, nullable=False),
    Column("fen", BigInteger, nullable=False),
    Column("facility_mwh", BigInteger, nullable=False),
    Column("carbon_mg", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("job_key", "tenant", "owned_key", unique=True),
    Index("job_live", "live"),
    Index("job_state", "state"),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_s", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("job", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("journal_job", "job", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("peer", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

peer = Table(
    "peer",
    metadata,
    Column("peer", String, primary_key=True),
    Column("sent", Integer, nullable=False),
    Column("received", Integer, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("job", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("account", String, nullable=False),
    Column("fen", BigInteger, nullable=False),
    Index("ledger_tenant", "tenant"),
)

tip = Table(
    "tip",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
