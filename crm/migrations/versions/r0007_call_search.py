"""Calls are found by an account that was rung, by how they ended, and by their kind."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_legs_account"), "legs", ["account"])
    op.create_index(op.f("ix_calls_outcome_started_at"), "calls", ["outcome", "started_at"])
    op.create_index(op.f("ix_calls_kind_started_at"), "calls", ["kind", "started_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_calls_kind_started_at"), "calls")
    op.drop_index(op.f("ix_calls_outcome_started_at"), "calls")
    op.drop_index(op.f("ix_legs_account"), "legs")
