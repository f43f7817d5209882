"""The first schema: jobs, journal, outbox, peers, ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# of SQLite what it always was; for PostgreSQL see schema.py
text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "job",
        sa.Column("number", number, primary_key=True, autoincrement=False),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("tenant", text, nullable=False),
        sa.Column("owned_key", text),
        sa.Column("state", text, nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("fen", sa.BigInteger, nullable=False),
        sa.Column("facility_mwh", sa.BigInteger, nullable=False),
        sa.Column("carbon_mg", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("job_key", "job", ["tenant", "owned_key"], unique=True)
    op.create_index("job_live", "job", ["live"])
    op.create_index("job_state", "job", ["state"])
    op.create_table(
        "journal",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("job", text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("journal_job", "journal", ["job", "seq"])
    op.create_table(
        "outbox",
        sa.Column("peer", text, primary_key=True),
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "peer",
        sa.Column("peer", text, primary_key=True),
        sa.Column("sent", number, nullable=False),
        sa.Column("received", number, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("entry", number, primary_key=True, autoincrement=False),
        sa.Column("line", number, primary_key=True, autoincrement=False),
        sa.Column("job", text, nullable=False),
        sa.Column("tenant", text, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("account", text, nullable=False),
        sa.Column("fen", sa.BigInteger, nullable=False),
    )
    op.create_index("ledger_tenant", "ledger", ["tenant"])
    op.create_table(
        "tip",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", number, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop them all."""
    for name in ("tip", "ledger", "peer", "outbox", "journal", "job"):
        op.drop_table(name)
