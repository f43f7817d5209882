"""Alembic's entry: runs the migrations on the connection that the store hands over."""

from alembic import context

from sanjin.adapters.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
