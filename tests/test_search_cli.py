"""`teledom crm reindex`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

import teledom
from crm.model import City, House
from crm.search.search import Found, search
from crm.store import Store
from crm.tables.search import SearchWord
from crm.who import SYSTEM
from testbed.databases import new_database


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = new_database(tmp_path / "crm.db")
    (tmp_path / "config.toml").write_text(f'[crm]\nurl = "{url}"\n')
    with Store(url) as store, store.session() as session:
        city = City(region="Область", name="Копейск", time_zone="Asia/Yekaterinburg")
        session.add(city)
        session.flush()
        session.add(House(city_id=city.id, street="ул. Мира", number="7"))
        session.add(SearchWord(word="следа", kind="house", ref_id=99))
    return url


def test_reindex_makes_the_words_anew(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert teledom.main(["crm", "reindex", "--config", str(tmp_path / "config.toml")]) == 0

    assert capsys.readouterr().out.startswith("1 houses, people, companies and keys can be found")
    with Store(url) as store:
        assert search(store, SYSTEM, "мира 7", deadline_s=30)[0].kind is Found.HOUSE
        with store.reading() as connection:
            gone = sa.select(sa.func.count()).where(SearchWord.ref_id == 99)
            assert connection.scalar(gone) == 0


def test_reindex_prints_json(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert teledom.main(["crm", "reindex", "--json", "--config", str(tmp_path / "config.toml")]) == 0

    assert json.loads(capsys.readouterr().out)["records"] == 1


def test_reindex_of_a_database_without_tables_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text(f'[crm]\nurl = "sqlite:///{tmp_path}/none.db"\n')

    assert teledom.main(["crm", "reindex", "--config", str(tmp_path / "config.toml")]) == 1
    assert "teledom db upgrade" in capsys.readouterr().err
