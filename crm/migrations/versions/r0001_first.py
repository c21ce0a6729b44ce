"""The first schema: houses, flats, accounts, phones, panels, calls, and the view that Kamailio reads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SIP_CREDENTIALS = """
CREATE VIEW sip_credentials AS
SELECT sip_user AS username, domain, ha1, 'account' AS kind FROM accounts
UNION ALL
SELECT sip_user AS username, domain, ha1, 'panel' AS kind FROM domophones WHERE active
"""


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sip_user", sa.String(length=64), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("ha1", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("sip_user", "domain", name=op.f("uq_accounts_sip_user_domain")),
    )
    op.create_table(
        "calls",
        sa.Column(
            "call_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("panel", sa.Text(), nullable=False),
        sa.Column("dialled", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domophone", sa.String(length=12), nullable=False),
        sa.Column("flat", sa.String(length=20), nullable=False),
        sa.Column("flat_id", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("answered_by", sa.String(length=64), nullable=False),
        sa.Column("door_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_flat_id_started_at"), "calls", ["flat_id", "started_at"], unique=False)
    op.create_index(op.f("ix_calls_flat_started_at"), "calls", ["flat", "started_at"], unique=False)
    op.create_index(op.f("ix_calls_panel_started_at"), "calls", ["panel", "started_at"], unique=False)
    op.create_index(op.f("ix_calls_started_at"), "calls", ["started_at"], unique=False)
    op.create_table(
        "cities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=True),
        sa.Column("region", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cities")),
        sa.UniqueConstraint("fias", name=op.f("uq_cities_fias")),
    )
    op.create_table(
        "domophones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("sip_user", sa.String(length=64), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("ha1", sa.String(length=32), nullable=False),
        sa.Column("vendor", sa.String(length=20), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("door_dtmf", sa.String(length=16), nullable=False),
        sa.Column("dialling", sa.String(length=20), nullable=False),
        sa.Column("ringing", sa.String(length=20), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domophones")),
        sa.UniqueConstraint("mac", name=op.f("uq_domophones_mac")),
        sa.UniqueConstraint("sip_user", name=op.f("uq_domophones_sip_user")),
    )
    op.create_table(
        "entrances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entrances")),
    )
    op.create_table(
        "domophone_entrances",
        sa.Column("domophone_id", sa.Integer(), nullable=False),
        sa.Column("entrance_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["domophone_id"],
            ["domophones.id"],
            name=op.f("fk_domophone_entrances_domophone_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["entrance_id"],
            ["entrances.id"],
            name=op.f("fk_domophone_entrances_entrance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("domophone_id", "entrance_id", name=op.f("pk_domophone_entrances")),
    )
    op.create_index(
        op.f("ix_domophone_entrances_entrance_id"), "domophone_entrances", ["entrance_id"], unique=False
    )
    op.create_table(
        "houses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("city_id", sa.Integer(), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=True),
        sa.Column("street", sa.String(length=255), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_houses_city_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_houses")),
        sa.UniqueConstraint("fias", name=op.f("uq_houses_fias")),
    )
    op.create_index(op.f("ix_houses_city_id"), "houses", ["city_id"], unique=False)
    op.create_table(
        "legs",
        sa.Column(
            "call_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("invited_at", sa.Double(), nullable=True),
        sa.Column("ringing_at", sa.Double(), nullable=True),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("end", sa.String(length=20), nullable=True),
        sa.Column("cause", sa.Integer(), nullable=True),
        sa.Column("sip_code", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["call_id"], ["calls.call_id"], name=op.f("fk_legs_call_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("call_id", "position", name=op.f("pk_legs")),
    )
    op.create_table(
        "phones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(length=20), nullable=False),
        sa.Column("bundle", sa.String(length=255), nullable=False),
        sa.Column("push_token", sa.Text(), nullable=False),
        sa.Column("voip_token", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_phones_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phones")),
    )
    op.create_index(op.f("ix_phones_account_id"), "phones", ["account_id"], unique=False)
    op.create_table(
        "flats",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("house_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("floor", sa.Integer(), nullable=True),
        sa.Column("auto_open_until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["house_id"], ["houses.id"], name=op.f("fk_flats_house_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flats")),
        sa.UniqueConstraint("house_id", "number", name=op.f("uq_flats_house_id_number")),
    )
    op.create_table(
        "house_entrances",
        sa.Column("entrance_id", sa.Integer(), nullable=False),
        sa.Column("house_id", sa.Integer(), nullable=False),
        sa.Column("prefix", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(
            ["entrance_id"], ["entrances.id"], name=op.f("fk_house_entrances_entrance_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["house_id"], ["houses.id"], name=op.f("fk_house_entrances_house_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("entrance_id", "house_id", name=op.f("pk_house_entrances")),
    )
    op.create_index(op.f("ix_house_entrances_house_id"), "house_entrances", ["house_id"], unique=False)
    op.create_table(
        "account_flats",
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("rings", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_flats_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_account_flats_flat_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flat_id", "account_id", name=op.f("pk_account_flats")),
    )
    op.create_index(op.f("ix_account_flats_account_id"), "account_flats", ["account_id"], unique=False)
    op.create_table(
        "entrance_flats",
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("entrance_id", sa.Integer(), nullable=False),
        sa.Column("panel_number", sa.String(length=20), nullable=True),
        sa.ForeignKeyConstraint(
            ["entrance_id"], ["entrances.id"], name=op.f("fk_entrance_flats_entrance_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_entrance_flats_flat_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flat_id", "entrance_id", name=op.f("pk_entrance_flats")),
    )
    op.create_index(
        op.f("ix_entrance_flats_entrance_id_panel_number"),
        "entrance_flats",
        ["entrance_id", "panel_number"],
        unique=False,
    )
    op.create_table(
        "flat_blocks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("from", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_flat_blocks_flat_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flat_blocks")),
    )
    op.create_index(op.f("ix_flat_blocks_flat_id"), "flat_blocks", ["flat_id"], unique=False)
    op.create_table(
        "phone_flats",
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("phone_id", sa.Integer(), nullable=False),
        sa.Column("rings", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_phone_flats_flat_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["phone_id"], ["phones.id"], name=op.f("fk_phone_flats_phone_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flat_id", "phone_id", name=op.f("pk_phone_flats")),
    )
    op.create_index(op.f("ix_phone_flats_phone_id"), "phone_flats", ["phone_id"], unique=False)
    op.execute(SIP_CREDENTIALS)


def downgrade() -> None:
    op.execute("DROP VIEW sip_credentials")
    op.drop_index(op.f("ix_phone_flats_phone_id"), table_name="phone_flats")
    op.drop_table("phone_flats")
    op.drop_index(op.f("ix_flat_blocks_flat_id"), table_name="flat_blocks")
    op.drop_table("flat_blocks")
    op.drop_index(op.f("ix_entrance_flats_entrance_id_panel_number"), table_name="entrance_flats")
    op.drop_table("entrance_flats")
    op.drop_index(op.f("ix_account_flats_account_id"), table_name="account_flats")
    op.drop_table("account_flats")
    op.drop_index(op.f("ix_house_entrances_house_id"), table_name="house_entrances")
    op.drop_table("house_entrances")
    op.drop_table("flats")
    op.drop_index(op.f("ix_phones_account_id"), table_name="phones")
    op.drop_table("phones")
    op.drop_table("legs")
    op.drop_index(op.f("ix_houses_city_id"), table_name="houses")
    op.drop_table("houses")
    op.drop_index(op.f("ix_domophone_entrances_entrance_id"), table_name="domophone_entrances")
    op.drop_table("domophone_entrances")
    op.drop_table("entrances")
    op.drop_table("domophones")
    op.drop_table("cities")
    op.drop_index(op.f("ix_calls_started_at"), table_name="calls")
    op.drop_index(op.f("ix_calls_panel_started_at"), table_name="calls")
    op.drop_index(op.f("ix_calls_flat_started_at"), table_name="calls")
    op.drop_index(op.f("ix_calls_flat_id_started_at"), table_name="calls")
    op.drop_table("calls")
    op.drop_table("accounts")
