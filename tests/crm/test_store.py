"""The door to the database: schema and migrations, transactions, and errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from crm.model import SCHEMA, Base, City, Dialling, Domophone, Vendor, table
from crm.store import MIGRATIONS, BadUrl, DatabaseAway, SchemaMismatch, Store, upgrade
from tests.crm.houses import Houses

NOBODY_LISTENS = "postgresql://teledom:secret@127.0.0.1:1/crm"


def count_cities(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table(City))).scalar_one())


def add_city(connection: sa.Connection, name: str) -> None:
    connection.execute(sa.insert(table(City)), {"region": "", "name": name, "time_zone": "UTC"})


class TestSchema:
    @pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
    @pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
    def test_migrations_make_what_the_model_says(self, store: Store) -> None:
        with store.reading() as connection:
            # What an index of an expression is made of cannot be compared: see the test of blocks' plans.
            options = {
                "compare_type": True,
                "include_name": lambda name, *_: name != "ix_flat_blocks_ends_id",
            }
            options["include_object"] = lambda _, name, *__: name != "ix_flat_blocks_ends_id"
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, Base.metadata) == []
            names = set(sa.inspect(connection).get_table_names())
        assert names == {*Base.metadata.tables, "alembic_version"}

    def test_the_newest_revision_is_the_one_that_the_model_names(self) -> None:
        assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [SCHEMA]

    def test_upgrading_twice_changes_nothing(self, url: str, store: Store) -> None:
        with store.transaction() as connection:
            add_city(connection, "Копейск")
        upgrade(url)
        assert count_cities(store) == 1

    def test_upgrading_makes_the_file_and_its_folder(self, tmp_path: Path) -> None:
        upgrade(f"sqlite:///{tmp_path}/new/folder/crm.db")
        with Store(f"sqlite:///{tmp_path}/new/folder/crm.db") as store:
            store.check()

    @pytest.mark.parametrize(
        ("version", "says"),
        [("0000", "teledom db upgrade"), ("9999", "newer than"), (None, "teledom db upgrade")],
    )
    def test_another_schema_is_named_with_what_to_do(
        self, store: Store, version: str | None, says: str
    ) -> None:
        with store.transaction() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version or ""})
            if version is None:
                connection.execute(sa.text("DELETE FROM alembic_version"))
        with pytest.raises(SchemaMismatch, match=says):
            store.check()

    def test_a_database_without_tables_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "crm.db").touch()
        with Store(f"sqlite:///{tmp_path}/crm.db") as store:
            with pytest.raises(SchemaMismatch, match="no tables of ours yet: run `teledom db upgrade`"):
                count_cities(store)
            with pytest.raises(SchemaMismatch, match="teledom db upgrade"), store.transaction():
                pass

    def test_a_newer_database_is_not_upgraded(self, url: str, store: Store) -> None:
        with store.transaction() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SchemaMismatch, match="run the teledom that goes with it"):
            upgrade(url)

    def test_a_store_that_was_refused_works_once_the_schema_is_there(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/crm.db"
        (tmp_path / "crm.db").touch()
        with Store(url) as store:
            with pytest.raises(SchemaMismatch):
                count_cities(store)
            upgrade(url)
            assert count_cities(store) == 0

    def test_kamailio_sees_accounts_and_active_panels(self, houses: Houses) -> None:
        houses.account("acc1")
        houses.panel("p1")
        houses.panel("p2", active=False)
        with houses.store.reading() as connection:
            rows = connection.execute(
                sa.text("SELECT username, domain, ha1, kind FROM sip_credentials ORDER BY kind")
            ).all()
        assert [tuple(row) for row in rows] == [
            ("acc1", "teledom", "b" * 32, "account"),
            ("p1", "teledom", "a" * 32, "panel"),
        ]

    def test_kamailios_question_reads_no_whole_table(self, store: Store) -> None:
        if not store.is_sqlite:
            pytest.skip("a small PostgreSQL table is rightly read as a whole")
        question = "SELECT ha1 FROM sip_credentials WHERE username = 'p1' AND domain = 'teledom'"
        with store.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}").all()
        assert not [row[3] for row in plan if row[3].startswith("SCAN")]

    def test_an_enum_column_refuses_what_is_no_value(self, store: Store) -> None:
        row = {"mac": "1", "sip_user": "p", "ha1": "", "vendor": "acme", "dialling": Dialling.FLAT}
        with pytest.raises(sa.exc.StatementError, match="acme"), store.transaction() as connection:
            connection.execute(sa.insert(table(Domophone)), row)

    def test_enums_are_kept_by_their_values(self, houses: Houses) -> None:
        houses.panel("p1")
        with houses.store.reading() as connection:
            kept = connection.execute(sa.text("SELECT vendor, dialling FROM domophones")).one()
        assert tuple(kept) == (Vendor.SOKOL.value, Dialling.FLAT.value)


class TestReading:
    def driver(self, store: Store) -> object:
        with store.reading() as connection:
            return connection.connection.driver_connection

    def test_goes_on_with_the_connection_of_the_last_time(self, store: Store) -> None:
        assert self.driver(store) is self.driver(store)

    def test_within_a_reading_has_a_connection_of_its_own(self, store: Store) -> None:
        with store.reading() as outer:
            assert self.driver(store) is not outer.connection.driver_connection
        assert count_cities(store) == 0

    def test_that_fails_leaves_no_connection_behind(self, store: Store) -> None:
        with pytest.raises(SchemaMismatch), store.reading() as connection:
            connection.exec_driver_sql("SELECT * FROM nonesuch")
        assert store._kept == []
        assert count_cities(store) == 0

    def test_sees_what_was_written_since(self, store: Store) -> None:
        assert count_cities(store) == 0
        with store.transaction() as connection:
            add_city(connection, "Копейск")
        assert count_cities(store) == 1


class TestTransactions:
    def test_an_error_takes_everything_back(self, store: Store) -> None:
        def fail_half_way() -> None:
            with store.transaction() as connection:
                add_city(connection, "Копейск")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_half_way()
        assert count_cities(store) == 0

    def test_what_is_not_committed_is_seen_by_nobody(self, store: Store) -> None:
        with store.transaction() as connection:
            add_city(connection, "Копейск")
            assert count_cities(store) == 0
        assert count_cities(store) == 1

    def test_a_flat_takes_what_hangs_on_it_along(self, houses: Houses) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        flat = houses.flat(house, "42", entrance)
        houses.phone(houses.account("acc1", flat), "a", off_for=flat)
        with houses.store.transaction() as connection:
            connection.execute(sa.text("DELETE FROM flats"))
            left = [
                connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one()
                for name in ("entrance_flats", "account_flats", "phone_flats", "accounts", "phones")
            ]
        assert left == [0, 0, 0, 1, 1]

    def test_what_refers_to_nothing_is_refused(self, store: Store) -> None:
        with pytest.raises(sa.exc.IntegrityError), store.transaction() as connection:
            connection.execute(sa.text("INSERT INTO houses (city_id, street, number) VALUES (77, '', '')"))

    def test_two_writers_take_turns(self, store: Store) -> None:
        def write(name: str) -> None:
            for n in range(10):
                with store.transaction() as connection:
                    add_city(connection, f"{name}{n}")

        threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count_cities(store) == 20


class TestAway:
    def test_a_missing_file_is_named_and_none_is_made(self, tmp_path: Path) -> None:
        with Store(f"sqlite:///{tmp_path}/gone.db") as store:
            with pytest.raises(DatabaseAway, match=r"gone\.db.*teledom db upgrade"):
                count_cities(store)
        assert not (tmp_path / "gone.db").exists()

    def test_a_file_that_is_no_database_is_said_to_be_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "crm.db").write_text("no database at all\n" * 500)
        with Store(f"sqlite:///{tmp_path}/crm.db") as store, pytest.raises(DatabaseAway, match="damaged"):
            count_cities(store)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(DatabaseAway, match="right to write"):
            upgrade(f"sqlite:///{tmp_path}/sub/crm.db")

    def test_a_lock_that_is_held_too_long_is_named_and_readers_do_not_wait_for_it(
        self, empty_copy: Path
    ) -> None:
        with Store(f"sqlite:///{empty_copy}", busy_s=0.05) as store, locked(empty_copy):
            assert count_cities(store) == 0
            with pytest.raises(DatabaseAway, match=r"locked.*another program holds its lock"):
                with store.transaction():
                    pass

    def test_a_server_that_is_away_is_named_without_its_password(self) -> None:
        with Store(NOBODY_LISTENS) as store, pytest.raises(DatabaseAway) as error:
            store.check()
        assert "127.0.0.1:1/crm" in str(error.value)
        assert "see that the server runs" in str(error.value)
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize("url", ["", "crm.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
    def test_a_url_that_cannot_be_used_says_what_to_write(self, url: str) -> None:
        with pytest.raises(BadUrl, match="sqlite:///FILE"):
            Store(url)


@pytest.fixture
def empty_copy(empty_file: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.db"
    copy.write_bytes(empty_file.read_bytes())
    return copy


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program's write transaction."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE").close()
        yield
        other.execute("ROLLBACK").close()
