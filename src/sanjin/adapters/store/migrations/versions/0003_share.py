"""Parts of tenants' envelopes that parents reserved for children."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

text = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, empty: nothing was lent before."""
    op.create_table(
        "share",
        sa.Column("tenant", text, primary_key=True),
        sa.Column("peer", text, primary_key=True),
        sa.Column("cores", sa.BigInteger, nullable=False),
        sa.Column("fen", sa.BigInteger, nullable=False),
        sa.Column("until_s", sa.BigInteger, nullable=False),
        sa.Column("ask_s", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("share")
