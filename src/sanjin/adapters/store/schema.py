"""Tables of a node's store. The migrations in ``migrations/`` create them; a test keeps both equal."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

# In PostgreSQL text is compared by its bytes, as SQLite and Python do: the same order everywhere, and no index
# that breaks when the system's locales change; counters have 64 bits, as in SQLite.
Text = String().with_variant(String(collation="C"), "postgresql")
Number = BigInteger().with_variant(Integer(), "sqlite")

job = Table(
    "job",
    metadata,
    # the order of coming, without gaps: SQLite gives the next one by itself, PostgreSQL is told it
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    # set only where the job was submitted at this node: a relayed job keeps its key elsewhere
    Column("owned_key", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("live", Integer, nullable=False),
    Column("fen", BigInteger, nullable=False),
    Column("facility_mwh", BigInteger, nullable=False),
    Column("carbon_mg", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("job_key", "tenant", "owned_key", unique=True),
    Index("job_live", "live"),
    Index("job_state", "state"),
)

listing = Table(
    "listing",
    metadata,
    # of each job what lists are filtered, searched and sorted by: a hundredth of its body, so that a page from deep in
    # a long list reads no bodies but its own
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("owned", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("submitted_s", BigInteger, nullable=False),
    Column("start_s", BigInteger, nullable=False),
    Column("end_s", BigInteger, nullable=False),
    Column("fen", BigInteger, nullable=False),
    # in one case, as in sanjin.model.listing.folded
    Column("name", Text, nullable=False),
    Column("words", Text, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("at_s", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("journal_job", "job", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

peer = Table(
    "peer",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("sent", Number, nullable=False),
    Column("received", Number, nullable=False),
)

share = Table(
    "share",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("peer", Text, primary_key=True),
    Column("cores", BigInteger, nullable=False),
    Column("fen", BigInteger, nullable=False),
    Column("until_s", BigInteger, nullable=False),
    Column("ask_s", BigInteger, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("entry", Number, primary_key=True, autoincrement=False),
    Column("line", Number, primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("fen", BigInteger, nullable=False),
    Index("ledger_tenant", "tenant"),
)

tip = Table(
    "tip",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Number, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

writer = Table(
    "writer",
    metadata,
    # one row, where several processes may share a database: the epoch grows when another becomes the
    # writer, the turn with every commit, whose transaction holds the row. A file leaves it empty.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Number, nullable=False),
    Column("turn", Number, nullable=False),
)
