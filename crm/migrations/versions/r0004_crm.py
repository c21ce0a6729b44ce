"""What the CRM keeps beside what calls ask: streets, residents, companies, relays, keys, kinds of block, imports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KINDS = (
    ("debt", "Долг", "blocks.debt"),
    ("request", "По заявлению", "blocks.set"),
    ("technical", "Техническая", "blocks.technical"),
    ("admin", "Администратором", "blocks.admin"),
)
COLUMNS: tuple[tuple[str, sa.Column[Any]], ...] = (
    ("houses", sa.Column("own_id", sa.String(length=64), nullable=True)),
    ("houses", sa.Column("time_zone", sa.String(length=64), nullable=True)),
    ("flats", sa.Column("contract", sa.String(length=64), nullable=False, server_default="")),
    ("flats", sa.Column("code", sa.String(length=16), nullable=False, server_default="")),
    ("entrance_flats", sa.Column("line_level", sa.Double(), nullable=True)),
    ("flat_blocks", sa.Column("source", sa.String(length=20), nullable=False, server_default="hand")),
    ("domophones", sa.Column("firmware", sa.String(length=64), nullable=False, server_default="")),
    ("domophones", sa.Column("note", sa.Text(), nullable=False, server_default="")),
)
REFERENCES = (
    ("houses", "street_id", "streets"),
    ("houses", "company_id", "companies"),
    ("accounts", "resident_id", "residents"),
)


def upgrade() -> None:
    _tables()
    for table, added in COLUMNS:
        op.add_column(table, added)
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, column, target in REFERENCES:
        name = op.f(f"fk_{table}_{column}")
        key = sa.ForeignKey(f"{target}.id", name=name)
        # SQLite takes the reference with the column or not at all.
        op.add_column(table, sa.Column(column, sa.Integer(), key, nullable=True), inline_references=sqlite)
    _indexes()
    op.execute(
        "INSERT INTO streets (city_id, name) SELECT DISTINCT city_id, street FROM houses ORDER BY city_id, street"
    )
    op.execute(
        "UPDATE houses SET street_id = (SELECT id FROM streets"
        " WHERE streets.city_id = houses.city_id AND streets.name = houses.street)"
    )
    kinds = sa.table(
        "block_kinds",
        *map(sa.column, ("code", "name", "right", "prompt", "stops_calls", "stops_app")),
        *map(sa.column, ("stops_keys", "built_in")),
    )
    rest = {"prompt": "", "stops_calls": True, "stops_app": False, "stops_keys": False, "built_in": True}
    op.bulk_insert(
        kinds, [{"code": code, "name": name, "right": right} | rest for code, name, right in KINDS]
    )


def _tables() -> None:
    op.create_table(
        "streets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("city_id", sa.Integer(), nullable=False),
        sa.Column("fias", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_streets_city_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streets")),
        sa.UniqueConstraint("city_id", "name", name=op.f("uq_streets_city_id_name")),
        sa.UniqueConstraint("fias", name=op.f("uq_streets_fias")),
    )
    op.create_table(
        "block_kinds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("stops_calls", sa.Boolean(), nullable=False),
        sa.Column("stops_app", sa.Boolean(), nullable=False),
        sa.Column("stops_keys", sa.Boolean(), nullable=False),
        sa.Column("prompt", sa.String(length=64), nullable=False),
        sa.Column("right", sa.String(length=32), nullable=False),
        sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_kinds")),
        sa.UniqueConstraint("code", name=op.f("uq_block_kinds_code")),
    )
    op.create_table(
        "code_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("week", sa.String(length=10), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_runs")),
        sa.UniqueConstraint("week", name=op.f("uq_code_runs_week")),
    )
    op.create_table(
        "companies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("inn", sa.String(length=12), nullable=False),
        sa.Column("contact", sa.String(length=255), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("billing_id", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("code_at", sa.Double(), nullable=True),
        sa.Column("billing_at", sa.Double(), nullable=True),
        sa.Column("billing_error", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_companies")),
        sa.UniqueConstraint("billing_id", name=op.f("uq_companies_billing_id")),
        sa.UniqueConstraint("name", name=op.f("uq_companies_name")),
    )
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=20), nullable=False),
        sa.Column(
            "technology",
            sa.Enum("em_marin", "mifare", "unknown", name="technology", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("given", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("note", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("lost_at", sa.Double(), nullable=True),
        sa.Column("lost_why", sa.String(length=255), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.Column("seen_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("uid", name=op.f("uq_keys_uid")),
    )
    op.create_table(
        "relays",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("http_user", sa.String(length=64), nullable=False),
        sa.Column("http_password", sa.Text(), nullable=False),
        sa.Column("tls_pin", sa.String(length=128), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relays")),
        sa.UniqueConstraint("mac", name=op.f("uq_relays_mac")),
    )
    op.create_table(
        "residents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_residents")),
    )
    op.create_table(
        "search_words",
        sa.Column(
            "word",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("ref_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("word", "kind", "ref_id", name=op.f("pk_search_words")),
    )
    op.create_table(
        "company_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("made_by", sa.String(length=255), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("billing_at", sa.Double(), nullable=True),
        sa.Column("billing_tries", sa.Integer(), nullable=False),
        sa.Column("billing_error", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_company_codes_company_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["code_runs.id"], name=op.f("fk_company_codes_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_codes")),
        sa.UniqueConstraint("run_id", "company_id", name=op.f("uq_company_codes_run_id_company_id")),
    )
    op.create_table(
        "key_bindings",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column(
            "scope",
            sa.Enum(
                "everywhere",
                "company",
                "house",
                "entrance",
                "flat",
                "resident",
                "employee",
                name="keyscope",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("ref_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["keys.id"], name=op.f("fk_key_bindings_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "scope", "ref_id", name=op.f("pk_key_bindings")),
    )
    op.create_table(
        "key_deliveries",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("domophone_id", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["domophone_id"],
            ["domophones.id"],
            name=op.f("fk_key_deliveries_domophone_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["keys.id"], name=op.f("fk_key_deliveries_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "domophone_id", name=op.f("pk_key_deliveries")),
    )
    op.create_table(
        "relay_channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("relay_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("entrance_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["entrance_id"], ["entrances.id"], name=op.f("fk_relay_channels_entrance_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["relay_id"], ["relays.id"], name=op.f("fk_relay_channels_relay_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_channels")),
        sa.UniqueConstraint("relay_id", "number", name=op.f("uq_relay_channels_relay_id_number")),
    )
    op.create_table(
        "code_deliveries",
        sa.Column("code_id", sa.Integer(), nullable=False),
        sa.Column("domophone_id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["code_id"], ["company_codes.id"], name=op.f("fk_code_deliveries_code_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["domophone_id"],
            ["domophones.id"],
            name=op.f("fk_code_deliveries_domophone_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("code_id", "domophone_id", name=op.f("pk_code_deliveries")),
    )
    op.create_table(
        "resident_flats",
        sa.Column("flat_id", sa.Integer(), nullable=False),
        sa.Column("resident_id", sa.Integer(), nullable=False),
        sa.Column(
            "role", sa.Enum("owner", "resident", name="role", native_enum=False, length=20), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["flat_id"], ["flats.id"], name=op.f("fk_resident_flats_flat_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["resident_id"], ["residents.id"], name=op.f("fk_resident_flats_resident_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flat_id", "resident_id", name=op.f("pk_resident_flats")),
    )


def _indexes() -> None:
    op.create_index(op.f("ix_companies_inn"), "companies", ["inn"])
    op.create_index(op.f("ix_imports_created_at"), "imports", ["created_at"])
    op.create_index(op.f("ix_residents_name"), "residents", ["name"])
    op.create_index(op.f("ix_residents_phone"), "residents", ["phone"])
    op.create_index(op.f("ix_search_words_kind_ref_id"), "search_words", ["kind", "ref_id"])
    op.create_index(op.f("ix_company_codes_code_made_at"), "company_codes", ["code", "made_at"])
    op.create_index(op.f("ix_company_codes_company_id"), "company_codes", ["company_id"])
    op.create_index(op.f("ix_key_bindings_scope_ref_id"), "key_bindings", ["scope", "ref_id"])
    op.create_index(op.f("ix_key_deliveries_domophone_id"), "key_deliveries", ["domophone_id"])
    op.create_index(op.f("ix_key_deliveries_done_at_due_at"), "key_deliveries", ["done_at", "due_at"])
    op.create_index(op.f("ix_relay_channels_entrance_id"), "relay_channels", ["entrance_id"])
    op.create_index(op.f("ix_code_deliveries_domophone_id"), "code_deliveries", ["domophone_id"])
    op.create_index(op.f("ix_code_deliveries_done_at_due_at"), "code_deliveries", ["done_at", "due_at"])
    op.create_index(op.f("ix_resident_flats_resident_id"), "resident_flats", ["resident_id"])
    op.create_index(op.f("ix_accounts_resident_id"), "accounts", ["resident_id"])
    op.create_index(op.f("ix_flats_contract"), "flats", ["contract"])
    op.create_index(op.f("ix_houses_company_id"), "houses", ["company_id"])
    op.create_index(op.f("ix_houses_own_id"), "houses", ["own_id"], unique=True)
    op.create_index(op.f("ix_houses_street_id"), "houses", ["street_id"])


def downgrade() -> None:
    raise NotImplementedError(
        "what the CRM keeps has no place in the schema before: restore a copy of the database"
    )
