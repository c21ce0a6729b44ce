"""Indexes for lists: blocks by when they end (those that are not to end are the last), lost keys, the history by time.

All entries of an import have one time, so that the history's index needs the id as well.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_flat_blocks_ends_id"), "flat_blocks", [sa.text("coalesce(until, 1e15)"), "id"])
    lost = sa.text("lost_at IS NOT NULL")
    op.create_index("ix_keys_lost", "keys", ["id"], postgresql_where=lost, sqlite_where=lost)
    op.create_index(op.f("ix_changes_at_id"), "changes", ["at", "id"])
    op.drop_index(op.f("ix_changes_at"), "changes")


def downgrade() -> None:
    op.create_index(op.f("ix_changes_at"), "changes", ["at"])
    op.drop_index(op.f("ix_changes_at_id"), "changes")
    op.drop_index("ix_keys_lost", "keys")
    op.drop_index(op.f("ix_flat_blocks_ends_id"), "flat_blocks")
