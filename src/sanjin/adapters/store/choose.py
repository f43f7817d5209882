"""Which store a state is in, by how it is written."""

from __future__ import annotations

from pathlib import Path

from sanjin.adapters.store.sql import SqlStore
from sanjin.model.errors import SanjinError


def store_of(url_or_path: str | Path, node: str = "") -> SqlStore:
    """The store of a node: PostgreSQL for ``postgresql://...``, else SQLite in the file of that path.

    ``node`` is the schema in PostgreSQL where the address says none. Who writes calls
    :meth:`~sanjin.adapters.store.sql.SqlStore.claim` first, and loads after it. Raises SanjinError
    for another kind of address or without psycopg, StoreFailed where the store cannot be opened.
    """
    text = str(url_or_path)
    kind = text.partition("://")[0] if isinstance(url_or_path, str) and "://" in text else ""
    if kind in ("postgresql", "postgres"):
        from sanjin.adapters.store.postgres import PostgresStore  # psycopg only where it is used

        return PostgresStore(text, node)
    if kind:
        raise SanjinError(f"{kind}: state is in a file or at postgresql://USER@HOST:PORT/DATABASE?schema=NAME")
    from sanjin.adapters.store.sqlite import SqliteStore

    return SqliteStore(Path(url_or_path))
