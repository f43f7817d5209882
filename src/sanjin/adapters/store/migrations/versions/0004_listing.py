"""What lists of jobs are filtered, searched and sorted by, beside the jobs' bodies."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROWS = 5000


def upgrade() -> None:
    """Create the table, and fill it from the jobs that there are."""
    listing = op.create_table(
        "listing",
        sa.Column("number", number, primary_key=True, autoincrement=False),
        sa.Column("id", text, nullable=False),
        sa.Column("node", text, nullable=False),
        sa.Column("tenant", text, nullable=False),
        sa.Column("owned", sa.Integer, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("site", text, nullable=False),
        sa.Column("submitted_s", sa.BigInteger, nullable=False),
        sa.Column("start_s", sa.BigInteger, nullable=False),
        sa.Column("end_s", sa.BigInteger, nullable=False),
        sa.Column("fen", sa.BigInteger, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("words", text, nullable=False),
    )
    job = sa.table("job", *map(sa.column, ("number", "id", "tenant", "owned_key", "state", "fen", "body")))
    connection, last = op.get_bind(), 0
    while True:
        page = connection.execute(sa.select(job).where(job.c.number > last).order_by(job.c.number).limit(ROWS)).all()
        if not page:
            return
        connection.execute(sa.insert(listing), [_row(*each) for each in page])
        last = page[-1][0]


def _row(number: int, id: str, tenant: str, owned_key: str | None, state: str, fen: int, body: bytes) -> dict[str, object]:
    record = json.loads(bytes(body))
    spec, site = record["spec"], record.get("site", "")
    words = "\n".join((id, spec["name"], spec.get("kind", ""), tenant, site))
    return {
        "number": number, "id": id, "node": id.rpartition("-")[0], "tenant": tenant, "owned": int(owned_key is not None),
        "state": state, "site": site, "submitted_s": record.get("submitted_s", 0), "start_s": record.get("start_s", 0),
        "end_s": record.get("end_s", 0), "fen": fen, "name": _folded(spec["name"]).replace("\n", " "),
        "words": _folded(words),
    }  # fmt: skip


def _folded(said: str) -> str:
    return said.casefold().replace("\0", "")


def downgrade() -> None:
    """Drop it."""
    op.drop_table("listing")
