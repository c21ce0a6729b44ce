"""Campaigns are made in portions: how far that is; and an index by which their tasks are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quality_campaigns", sa.Column("made_to", sa.Integer(), nullable=True))
    for name in ("houses", "houses_made", "flats_made"):
        op.add_column("quality_campaigns", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("quality_campaigns", sa.Column("why", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        op.f("ix_quality_tasks_campaign_id_state_verdict"),
        "quality_tasks",
        ["campaign_id", "state", "verdict"],
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_quality_tasks_campaign_id_state_verdict"), "quality_tasks")
    for name in ("why", "flats_made", "houses_made", "houses", "made_to"):
        op.drop_column("quality_campaigns", name)
