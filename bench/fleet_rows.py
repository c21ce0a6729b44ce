"""The rows of a made-up fleet, table by table, and what its panels dial: all reckoned from numbers, nothing is stored.

Houses have four entrances; flats are dealt out evenly. Panels stand at the first entrances, which leaves entrances
without one. Of every 20 panels one is a gate that serves its own house and the next by prefixes, and one dials numbers
that are stored in it. Residents live behind panels, in every second flat while accounts last.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from crm import model

HOUSE_ENTRANCES = 4
FIRST_ID = 100_001  # below it is the demo town
DOMAIN = "teledom"
HA1 = "0" * 32  # nobody registers
FAMILY = (1, 2, 1, 3, 2, 1, 4, 2)  # accounts of the flats that have any, in turn: the town's mixture
CITIES = 20

Row = dict[str, Any]


class Fleet:
    """`panels` panels, `flats` flats and `accounts` accounts; entrances as an operator has, 30 to 11 panels.

    Raises ValueError when there are too few flats behind the panels for the accounts.
    """

    def __init__(self, panels: int, flats: int, accounts: int) -> None:
        self.panels, self.flats, self.accounts = panels, flats, accounts
        self.entrances = max(HOUSE_ENTRANCES, panels * 30 // 11)
        self.houses = -(-self.entrances // HOUSE_ENTRANCES)
        self.per_entrance = max(2, -(-flats // self.entrances))
        behind_panels = min(flats, panels * self.per_entrance)
        self.homes = list(self._homes(behind_panels))
        if sum(size for _, size in self.homes) != accounts:
            raise ValueError(
                f"{accounts} accounts do not fit into the {behind_panels} flats behind {panels} panels: "
                "ask for more panels or flats, or for fewer accounts"
            )

    def _homes(self, behind_panels: int) -> Iterator[tuple[int, int]]:
        """Flats with residents, and how many accounts each has: every second one behind panels."""
        left = self.accounts
        for n in range(behind_panels // 2):
            size = min(FAMILY[n % len(FAMILY)], left)
            if size == 0:
                return
            left -= size
            yield 2 * n, size

    def tables(self) -> Iterator[tuple[type[model.Base], Iterator[Row]]]:
        """Each table's rows, in an order in which they may be inserted."""
        yield model.City, self._cities()
        yield model.House, self._houses()
        yield model.Entrance, self._entrances()
        yield model.HouseEntrance, self._house_entrances()
        yield model.Domophone, self._domophones()
        yield model.DomophoneEntrance, self._domophone_entrances()
        yield model.Flat, self._flats()
        yield model.EntranceFlat, self._entrance_flats()
        yield model.FlatBlock, self._blocks()
        yield model.Account, self._accounts()
        yield model.AccountFlat, self._account_flats()
        yield model.Phone, self._phones()

    def dial(self, chance: random.Random) -> tuple[str, str]:
        """A random panel's SIP user, and what it dials for a random flat with residents behind it."""
        flat = chance.choice(self.homes)[0]
        entrance = flat // self.per_entrance
        number = self._number(flat)
        match self._dialling(entrance):
            case model.Dialling.STORED:
                return self._user(entrance), f"9{number:05}"
            case model.Dialling.PREFIX_FLAT:
                return self._user(entrance), chance.choice((f"1{number:04}", f"1#{number}"))
            case model.Dialling.FLAT:
                return self._user(entrance), str(number)

    def _user(self, panel: int) -> str:
        return f"9{panel:06}"

    def _house(self, entrance: int) -> int:
        return entrance // HOUSE_ENTRANCES

    def _number(self, flat: int) -> int:
        """Flats are numbered through each house."""
        return flat % (self.per_entrance * HOUSE_ENTRANCES) + 1

    def _dialling(self, panel: int) -> model.Dialling:
        match panel % 20:
            case 7:
                return model.Dialling.PREFIX_FLAT
            case 13:
                return model.Dialling.STORED
            case _:
                return model.Dialling.FLAT

    def _gates(self) -> Iterator[tuple[int, int]]:
        """Entrance, and the second house that is served there."""
        for panel in range(self.panels):
            if self._dialling(panel) is model.Dialling.PREFIX_FLAT and self._house(panel) + 1 < self.houses:
                yield panel, self._house(panel) + 1

    def _cities(self) -> Iterator[Row]:
        for n in range(CITIES):
            yield {
                "id": FIRST_ID + n,
                "region": "Область",
                "name": f"Город {n}",
                "time_zone": "Asia/Yekaterinburg",
            }

    def _houses(self) -> Iterator[Row]:
        for n in range(self.houses):
            street = f"ул. {n // 50}-я"
            yield {
                "id": FIRST_ID + n,
                "city_id": FIRST_ID + n % CITIES,
                "street": street,
                "number": str(n % 50 + 1),
            }

    def _entrances(self) -> Iterator[Row]:
        for n in range(self.entrances):
            yield {"id": FIRST_ID + n, "name": f"п. {n % HOUSE_ENTRANCES + 1}"}

    def _house_entrances(self) -> Iterator[Row]:
        gates = dict(self._gates())
        for n in range(self.entrances):
            row = {"entrance_id": FIRST_ID + n, "house_id": FIRST_ID + self._house(n)}
            is_gate = n < self.panels and self._dialling(n) is model.Dialling.PREFIX_FLAT
            yield row | {"prefix": "1" if is_gate else ""}
            if n in gates:
                yield row | {"house_id": FIRST_ID + gates[n], "prefix": "2"}

    def _domophones(self) -> Iterator[Row]:
        vendors = list(model.Vendor)
        for n in range(self.panels):
            yield {
                "id": FIRST_ID + n,
                "mac": f"02f0{n:08x}",
                "sip_user": self._user(n),
                "domain": DOMAIN,
                "ha1": HA1,
                "vendor": vendors[n % len(vendors)],
                "model": "",
                "door_dtmf": "5",
                "dialling": self._dialling(n),
                "active": True,
            }

    def _domophone_entrances(self) -> Iterator[Row]:
        for n in range(self.panels):
            yield {"domophone_id": FIRST_ID + n, "entrance_id": FIRST_ID + n}

    def _flats(self) -> Iterator[Row]:
        for n in range(self.flats):
            house = self._house(n // self.per_entrance)
            yield {"id": FIRST_ID + n, "house_id": FIRST_ID + house, "number": str(self._number(n))}

    def _entrance_flats(self) -> Iterator[Row]:
        gates: dict[int, list[int]] = {}
        for gate, second in self._gates():
            gates.setdefault(self._house(gate), []).append(gate)
            gates.setdefault(second, []).append(gate)
        for n in range(self.flats):
            own = n // self.per_entrance
            stored = own < self.panels and self._dialling(own) is model.Dialling.STORED
            number = f"9{self._number(n):05}" if stored else None
            yield {"flat_id": FIRST_ID + n, "entrance_id": FIRST_ID + own, "panel_number": number}
            for gate in gates.get(self._house(own), ()):
                if gate != own:
                    yield {"flat_id": FIRST_ID + n, "entrance_id": FIRST_ID + gate, "panel_number": None}

    def _blocks(self) -> Iterator[Row]:
        """One flat in 20 is blocked, and was so before."""
        for n in range(0, self.flats, 20):
            row = {"flat_id": FIRST_ID + n, "kind": model.BlockKind.DEBT.value, "reason": "долг"}
            yield row | {"id": FIRST_ID + 2 * n, "from": 0.0, "until": 1.0}
            yield row | {"id": FIRST_ID + 2 * n + 1, "from": 2.0, "until": None}

    def _accounts(self) -> Iterator[Row]:
        for n in range(self.accounts):
            yield {"id": FIRST_ID + n, "sip_user": f"8{n:09}", "domain": DOMAIN, "ha1": HA1}

    def _account_flats(self) -> Iterator[Row]:
        account = FIRST_ID
        for flat, size in self.homes:
            for n in range(size):
                role = model.Role.RESIDENT if n else model.Role.OWNER
                yield {"flat_id": FIRST_ID + flat, "account_id": account, "role": role, "rings": True}
                account += 1

    def _phones(self) -> Iterator[Row]:
        """Five accounts in six have a phone."""
        platforms = list(model.Platform)
        for n in range(self.accounts):
            if n % 6:
                platform = platforms[n % len(platforms)]
                token = "voip_token" if platform is model.Platform.IOS else "push_token"
                row = {"push_token": "", "voip_token": "", "language": "ru", "bundle": "ru.example.teledom"}
                row[token] = f"fleet-{n:064}"
                yield row | {"id": FIRST_ID + n, "account_id": FIRST_ID + n, "platform": platform}
