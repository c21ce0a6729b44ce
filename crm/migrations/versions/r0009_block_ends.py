"""Blocks are listed by when they end; those that are not to end are the last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_flat_blocks_ends_id"), "flat_blocks", [sa.text("coalesce(until, 1e15)"), "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_flat_blocks_ends_id"), "flat_blocks")
