"""Who may write, where several processes share a database."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table; its row comes with the first writer."""
    op.create_table(
        "writer",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", number, nullable=False),
        sa.Column("turn", number, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("writer")
