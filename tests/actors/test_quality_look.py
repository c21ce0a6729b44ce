"""What a panel is asked before one of its flats is called, by what the CRM has of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from actors.quality_look import Look, PanelInCall, PanelLooks
from crm.model import Domophone, table
from crm.quality.campaigns import find_flat
from crm.quality.tasks import add_test, get_task
from crm.sealed import Seal, new_key
from crm.store import Store
from crm.values.quality import Task
from telephony.panels.interface import LineState
from testbed.databases import write_town
from testbed.panel_state import PanelState, new_certificate
from testbed.panels import open_panel_server

KEY = new_key()
DEADLINE_S = 0.5
PANEL, FLAT = "500001", "Челябинск, ул. Ленина 5, 2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    write_town(tmp_path / "crm.db")
    with Store(f"sqlite:///{tmp_path}/crm.db") as store:
        yield store


def set_panel(store: Store, **values: object) -> None:
    with store.transaction() as connection:
        mine = sa.update(table(Domophone)).where(table(Domophone).c.sip_user == PANEL)
        connection.execute(mine.values(**values))


def pin(store: Store) -> str | None:
    with store.reading() as connection:
        return connection.scalar(sa.select(Domophone.tls_pin).where(Domophone.sip_user == PANEL))


def task_at(store: Store, url: str, panel: PanelState, *, key: str = KEY) -> Task:
    """A test of a flat behind a panel that the CRM knows by this URL."""
    set_panel(
        store,
        url=url,
        vendor=panel.vendor,
        http_user=panel.user,
        http_password=Seal(key).seal(panel.password),
    )
    task = get_task(store, add_test(store, find_flat(store, FLAT), 0.0))
    assert task is not None
    assert task.panel == PANEL
    return task


def looks(store: Store, key: str = KEY) -> PanelLooks:
    return PanelLooks(store, key, DEADLINE_S)


async def test_the_line_is_tested_where_the_vendor_has_a_test(store: Store) -> None:
    panel = PanelState("qtech", lines={"2": LineState.SHORT})
    async with open_panel_server(panel) as url:
        look = await looks(store).look(task_at(store, url, panel))

    assert look.line is not None
    assert look.line.state is LineState.SHORT


async def test_a_panel_that_says_that_it_has_a_call_is_left_alone(store: Store) -> None:
    for vendor in ("hikvision", "beward"):
        panel = PanelState(vendor, in_call=True)
        async with open_panel_server(panel) as url:
            with pytest.raises(PanelInCall):
                await looks(store).look(task_at(store, url, panel))


async def test_a_vendor_without_a_line_test_is_called_without_one(store: Store) -> None:
    panel = PanelState("hikvision")
    async with open_panel_server(panel) as url:
        assert (await looks(store).look(task_at(store, url, panel))).line is None


async def test_a_panel_that_is_not_to_be_asked_is_called_all_the_same(store: Store) -> None:
    silent = PanelState("qtech", delay_s=5)
    async with open_panel_server(silent) as url:
        assert await looks(store).look(task_at(store, url, silent)) == Look()
        assert await looks(store, key="").look(task_at(store, url, silent)) == Look()
        assert await looks(store).look(task_at(store, url, silent, key=new_key())) == Look()
    assert await looks(store).look(task_at(store, url, silent)) == Look()
    assert await looks(store).look(task_at(store, "", silent)) == Look()
    assert await looks(store).look(task_at(store, "ftp://10.1.2.3", silent)) == Look()


async def test_a_certificate_is_pinned_when_it_is_first_seen_and_another_one_is_not_trusted(
    store: Store,
) -> None:
    panel = PanelState("qtech", lines={"2": LineState.ON_HOOK}, certificate=new_certificate())
    assert panel.certificate is not None
    async with open_panel_server(panel) as url:
        task = task_at(store, url, panel)
        assert (await looks(store).look(task)).line is not None
        assert pin(store) == panel.certificate.sha256
        panel.certificate = new_certificate()
        seen = len(panel.seen)
        assert await looks(store).look(task) == Look()
        assert len(panel.seen) == seen, "it was told the password"
