"""Quality calls: campaigns, tasks, results, each flat's last verdict; how a panel is reached over HTTP."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = {
    "quality_tasks": (
        ("campaign_id", "state", "time_zone", "due_at", "id"),
        ("domophone_id", "state", "due_at", "id"),
        ("state", "house_id"),
        ("flat_id",),
    ),
    "quality_results": (("task_id",), ("flat_id", "started_at"), ("started_at",)),
}


def upgrade() -> None:
    op.create_table(
        "quality_campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("only", sa.String(length=20), nullable=False),
        sa.Column("hours", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("spacing_s", sa.Double(), nullable=False),
        sa.Column("per_house", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempt_spacing_s", sa.Double(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_campaigns")),
    )
    op.create_table(
        "quality_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("domophone_id", sa.Integer(), nullable=False),
        sa.Column("entrance_id", sa.Integer(), nullable=False),
        sa.Column("house_id", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=op.f(f"fk_quality_tasks_{column}"), ondelete="CASCADE"
            )
            for column, table in (
                ("campaign_id", "quality_campaigns"),
                ("flat_id", "flats"),
                ("domophone_id", "domophones"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_tasks")),
        sa.UniqueConstraint("campaign_id", "flat_id", name=op.f("uq_quality_tasks_campaign_id_flat_id")),
    )
    op.create_table(
        "quality_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=True),
        sa.Column("flat_id", sa.Integer(), nullable=True),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("measures", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("line_level", sa.Double(), nullable=True),
        sa.Column("recording", sa.String(length=255), nullable=False),
        sa.Column("picture", sa.String(length=255), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("panel", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_results")),
    )
    op.create_table(
        "quality_flats",
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_quality_flats_flat_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flat_id", name=op.f("pk_quality_flats")),
    )
    for table, indexes in INDEXES.items():
        for columns in indexes:
            op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, [*columns])
    for name, length in (("url", 255), ("http_user", 64)):
        column = sa.Column(name, sa.String(length=length), nullable=False, server_default="")
        op.add_column("domophones", column)
    op.add_column("domophones", sa.Column("http_password", sa.Text(), nullable=False, server_default=""))
    op.add_column("domophones", sa.Column("tls_pin", sa.String(length=128), nullable=True))


def downgrade() -> None:
    for column in ("tls_pin", "http_password", "http_user", "url"):
        op.drop_column("domophones", column)
    for table in ("quality_flats", "quality_results", "quality_tasks", "quality_campaigns"):
        op.drop_table(table)
