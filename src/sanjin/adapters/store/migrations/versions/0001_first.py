"""The first schema: jobs, journal, outbox, peers, ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "job",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("owned_key", sa.String),
        sa.Column("state", sa.String, nullable=False),
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
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("journal_job", "journal", ["job", "seq"])
    op.create_table(
        "outbox",
        sa.Column("peer", sa.String, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "peer",
        sa.Column("peer", sa.String, primary_key=True),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("received", sa.Integer, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("entry", sa.Integer, primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("fen", sa.BigInteger, nullable=False),
    )
    op.create_index("ledger_tenant", "ledger", ["tenant"])
    op.create_table(
        "tip",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop them all."""
    for name in ("tip", "ledger", "peer", "outbox", "journal", "job"):
        op.drop_table(name)
