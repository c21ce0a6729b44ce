"""What alembic runs: the revisions, on the connection that `crm.store.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from crm.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by copying it
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
