"""The town of two companies as a site: with nodes that have the recordings, a call and the panels of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from crm.imports.worker import ImportWorker
from crm.rights import Reach
from crm.store import Store
from live import LiveBoard, PanelLock
from telephony.registrations import SipRegistered, SipRegistration, SipState
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import KEY, TestSite, open_site
from tests.crm.web.test_board_pages import board, call
from tests.crm.web.two_companies import FOREIGN, OWN, fill

REACH = Reach(companies=frozenset({OWN.id}))
ENDS = ("wav", "png")


@frozen
class TownNodes(RecordedNodes):
    """The recordings of both companies, and a call of each that goes on."""

    def board(self) -> LiveBoard:
        calls = [call(f"live-{side.word}", side.panel, address=side.word) for side in (OWN, FOREIGN)]
        return board(*calls)

    async def lock_of(self, sip_user: str) -> PanelLock:
        return PanelLock(panel=sip_user)

    async def registration_of(self, sip_user: str) -> SipRegistration:
        return SipRegistration(panel=sip_user, state=SipState.NOT_REGISTERED)

    async def registered_of(self, sip_users: Sequence[str]) -> SipRegistered:
        return SipRegistered(state=SipState.REGISTERED)

    @contextmanager
    def subscribe(self) -> Iterator[TownNodes]:
        yield self

    def __aiter__(self) -> TownNodes:
        return self

    async def __anext__(self) -> LiveBoard:
        return self.board()


@contextmanager
def open_town(store: Store, url: str, folder: Path) -> Iterator[TestSite]:
    """Somebody "bounded" in it has all rights within the own company's houses."""
    worker = ImportWorker(store, url, KEY, folder / "imports")
    nodes = TownNodes({f"{side.word}.{end}": side.word.encode() for side in (OWN, FOREIGN) for end in ENDS})
    fill(store)
    with open_site(store, imports=worker, nodes=nodes) as site:
        site.employee("bounded", reach=REACH)
        yield site
