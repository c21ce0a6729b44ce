"""What alembic runs: the revisions, on the connection that `crm.store.upgrade` hands over."""

from __future__ import annotations

from alembic import context

import crm.quality_model
import crm.sos_model  # noqa: F401
from crm.model import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
