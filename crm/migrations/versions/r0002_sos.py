"""112: numbers of a city's pool, leases, test calls; where at its entrance a panel is; what a call's record adds.

Kamailio is told a panel's city, so that a 112 call finds its way while no node is there, and what the panel dials for
112: the number it is set to, or 112 itself where no flat behind it has that number.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SIP_CREDENTIALS = """
CREATE VIEW sip_credentials AS
SELECT sip_user AS username, domain, ha1, 'account' AS kind, '' AS city, '' AS sos FROM accounts
UNION ALL
SELECT sip_user AS username, domain, ha1, 'panel' AS kind, COALESCE((
    SELECT MIN(cities.fias) FROM domophone_entrances
    JOIN house_entrances ON house_entrances.entrance_id = domophone_entrances.entrance_id
    JOIN houses ON houses.id = house_entrances.house_id
    JOIN cities ON cities.id = houses.city_id
    WHERE domophone_entrances.domophone_id = domophones.id
), '') AS city, COALESCE(sos_dials, CASE WHEN EXISTS (
    SELECT 1 FROM domophone_entrances
    JOIN entrance_flats ON entrance_flats.entrance_id = domophone_entrances.entrance_id
    JOIN flats ON flats.id = entrance_flats.flat_id
    WHERE domophone_entrances.domophone_id = domophones.id
    AND (flats.number = '112' OR entrance_flats.panel_number = '112')
) THEN '' ELSE '112' END) AS sos FROM domophones WHERE active
"""
BEFORE = """
CREATE VIEW sip_credentials AS
SELECT sip_user AS username, domain, ha1, 'account' AS kind FROM accounts
UNION ALL
SELECT sip_user AS username, domain, ha1, 'panel' AS kind FROM domophones WHERE active
"""


def upgrade() -> None:
    op.create_table(
        "sos_numbers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("event_time", sa.Double(), nullable=True),
        sa.Column("domophone", sa.String(length=12), nullable=True),
        sa.Column("lease", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sos_numbers")),
        sa.UniqueConstraint("number", name=op.f("uq_sos_numbers_number")),
    )
    op.create_index(op.f("ix_sos_numbers_fias"), "sos_numbers", ["fias"], unique=False)
    op.create_table(
        "sos_pools",
        sa.Column("fias", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fias", name=op.f("pk_sos_pools")),
    )
    op.create_table(
        "sos_leases",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("panel", sa.Text(), nullable=False),
        sa.Column("domophone", sa.String(length=12), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("why", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("held_until", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sos_leases")),
    )
    for column in ("fias", "number", "panel"):
        op.create_index(op.f(f"ix_sos_leases_{column}_started_at"), "sos_leases", [column, "started_at"])
    op.create_table(
        "sos_tests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("panel", sa.String(length=64), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sos_tests")),
    )
    op.create_index(op.f("ix_sos_tests_panel_due_at"), "sos_tests", ["panel", "due_at"])
    op.create_index(op.f("ix_sos_tests_started_at_due_at"), "sos_tests", ["started_at", "due_at"])
    op.execute("DROP VIEW sip_credentials")
    with op.batch_alter_table("domophones") as domophones:
        domophones.add_column(sa.Column("floor", sa.Integer(), nullable=True))
        domophones.add_column(sa.Column("place", sa.String(length=64), nullable=False, server_default=""))
        domophones.add_column(sa.Column("sos_number", sa.String(length=32), nullable=True))
        domophones.add_column(sa.Column("sos_dials", sa.String(length=32), nullable=True))
        domophones.create_unique_constraint(op.f("uq_domophones_sos_number"), ["sos_number"])
    op.execute(SIP_CREDENTIALS)
    op.add_column("calls", sa.Column("number", sa.String(length=32), nullable=False, server_default=""))
    op.add_column("calls", sa.Column("recording", sa.String(length=255), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("calls", "recording")
    op.drop_column("calls", "number")
    op.execute("DROP VIEW sip_credentials")
    with op.batch_alter_table("domophones") as domophones:
        domophones.drop_constraint(op.f("uq_domophones_sos_number"), type_="unique")
        for column in ("sos_dials", "sos_number", "place", "floor"):
            domophones.drop_column(column)
    op.execute(BEFORE)
    for table in ("sos_tests", "sos_leases", "sos_pools", "sos_numbers"):
        op.drop_table(table)
