"""A builder of small towns for tests, in a real database: each method adds one thing and tells its id."""

from __future__ import annotations

from attrs import define, field

from config import Ringing
from crm.model import (
    Account,
    AccountFlat,
    Base,
    BlockKind,
    City,
    Dialling,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    House,
    HouseEntrance,
    Phone,
    PhoneFlat,
    Platform,
    Vendor,
)
from crm.store import Store


@define
class Houses:
    """Builds in `store`; a city is there from the start."""

    store: Store
    city: int = field(init=False)
    _macs: int = 0

    def __attrs_post_init__(self) -> None:
        city = City(
            region="Челябинская область", name="Челябинск", time_zone="Asia/Yekaterinburg", fias="c-1"
        )
        self.city = self._add(city)

    def house(self, number: str) -> int:
        return self._add(House(city_id=self.city, street="ул. Ленина", number=number))

    def entrance(self, name: str, *houses: int, prefixes: tuple[str, ...] = ()) -> int:
        """With `prefixes`, one for each house."""
        id = self._add(Entrance(name=name))
        for n, house in enumerate(houses):
            prefix = prefixes[n] if prefixes else ""
            self._put(HouseEntrance(entrance_id=id, house_id=house, prefix=prefix))
        return id

    def panel(
        self,
        sip_user: str,
        *entrances: int,
        dialling: Dialling = Dialling.FLAT,
        active: bool = True,
        ringing: Ringing | None = None,
    ) -> int:
        self._macs += 1
        id = self._add(
            Domophone(
                mac=f"{self._macs:012x}",
                sip_user=sip_user,
                ha1="a" * 32,
                vendor=Vendor.SOKOL,
                dialling=dialling,
                active=active,
                ringing=ringing,
            )
        )
        for entrance in entrances:
            self._put(DomophoneEntrance(domophone_id=id, entrance_id=entrance))
        return id

    def flat(
        self,
        house: int,
        number: str,
        *entrances: int,
        panel_number: str | None = None,
        auto_open_until: float | None = None,
    ) -> int:
        id = self._add(Flat(house_id=house, number=number, auto_open_until=auto_open_until))
        for entrance in entrances:
            self._put(EntranceFlat(flat_id=id, entrance_id=entrance, panel_number=panel_number))
        return id

    def block(self, flat: int, kind: BlockKind, since: float, until: float | None = None) -> int:
        return self._add(FlatBlock(flat_id=flat, kind=kind.value, since=since, until=until))

    def account(self, sip_user: str, *flats: int, rings: bool = True) -> int:
        id = self._add(Account(sip_user=sip_user, domain="teledom", ha1="b" * 32))
        for flat in flats:
            self._put(AccountFlat(flat_id=flat, account_id=id, rings=rings))
        return id

    def phone(self, account: int, token: str, *, voip_token: str = "", off_for: int | None = None) -> int:
        """`off_for`: a flat for which its switch is off."""
        id = self._add(
            Phone(
                account_id=account,
                platform=Platform.IOS if voip_token else Platform.ANDROID,
                bundle="ru.example.app",
                push_token=token,
                voip_token=voip_token,
                language="ru",
            )
        )
        if off_for is not None:
            self._put(PhoneFlat(phone_id=id, flat_id=off_for, rings=False))
        return id

    def _put(self, row: Base) -> None:
        with self.store.session() as session:
            session.add(row)

    def _add(self, row: Base) -> int:
        with self.store.session() as session:
            session.add(row)
            session.flush()
            id = row.id  # type: ignore[attr-defined]  # those that come here have one
            assert isinstance(id, int)
            return id
