"""What billing has told, and when it is next told of a code."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "billing_feeds",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("cursor", sa.String(length=255), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("read_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.Column("anew_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_billing_feeds")),
    )
    op.create_table(
        "debts",
        sa.Column("contract", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("amount", sa.String(length=32), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("contract", name=op.f("pk_debts")),
    )
    op.create_table(
        "unknown_contracts",
        sa.Column("contract", sa.String(length=64), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=False),
        sa.Column("own_id", sa.String(length=64), nullable=False),
        sa.Column("flat", sa.String(length=20), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("contract", name=op.f("pk_unknown_contracts")),
    )
    op.add_column("company_codes", sa.Column("billing_due_at", sa.Double(), nullable=True))
    op.create_index(op.f("ix_company_codes_billing_due_at"), "company_codes", ["billing_due_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_company_codes_billing_due_at"), "company_codes")
    op.drop_column("company_codes", "billing_due_at")
    for table in ("unknown_contracts", "debts", "billing_feeds"):
        op.drop_table(table)
