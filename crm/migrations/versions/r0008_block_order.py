"""Blocks are listed by when they began."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_flat_blocks_from_id"), "flat_blocks", ["from", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_flat_blocks_from_id"), "flat_blocks")
