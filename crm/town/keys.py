"""The demo town's keys and blocks: a key for each flat, some for doors and houses, one lost; a block of each kind."""

from __future__ import annotations

import time

import sqlalchemy as sa

from crm.housing.blocks import NewBlock, block_flats
from crm.keys.formats import KeyFormat
from crm.keys.keys import find_keys, key_seen, lose_key
from crm.keys.many import import_keys
from crm.keys.reach import Binding
from crm.model import BlockKind, Entrance, Flat, FlatBlock, House, table
from crm.store import Store
from crm.tables.keys import Key, KeyScope
from crm.who import SYSTEM

DAY_S = 86_400.0
_KEYS, _BLOCKS, _FLATS = table(Key), table(FlatBlock), table(Flat)


def fill_keys(store: Store) -> None:
    """Once. Nobody who is called in the town is blocked: flat 3, which owes, has the blocks of the other kinds, too."""
    with store.reading() as connection:
        if connection.scalar(sa.select(_KEYS.c.id).limit(1)) is not None:
            return
        flats = connection.execute(sa.select(_FLATS.c.id, _FLATS.c.number).order_by(_FLATS.c.id)).all()
        doors = connection.scalars(sa.select(Entrance.id).order_by(Entrance.id)).all()
        houses = connection.scalars(sa.select(House.id).order_by(House.id)).all()
        owing = connection.scalar(sa.select(_BLOCKS.c.flat_id).order_by(_BLOCKS.c.id).limit(1))
    now = time.time()
    opens = [
        *(Binding(KeyScope.FLAT, flat.id) for flat in flats),
        *(Binding(KeyScope.ENTRANCE, id) for id in doors),
        *(Binding(KeyScope.HOUSE, id) for id in houses),
    ]
    lines = [(f"{1_234_567 + 7919 * n:010}", [each]) for n, each in enumerate(opens)]
    import_keys(store, SYSTEM, lines, KeyFormat.DECIMAL, now)
    import_keys(store, SYSTEM, [("04A1B2C3D4E5F6", [])], KeyFormat.HEX, now, note="запасной, в офисе")
    seen, lost = (find_keys(store, SYSTEM, text)[0] for text, _ in (lines[0], lines[-1]))
    key_seen(store, seen.uid, "500001", now - 3600)
    lose_key(store, SYSTEM, lost.id, "потеряли дети", now)
    if owing is None:
        return
    for kind in (BlockKind.REQUEST, BlockKind.TECHNICAL, BlockKind.ADMIN):
        block_flats(store, SYSTEM, [owing], NewBlock(kind.value, now, None, "для показа"), now)
    first, second = (flat.id for flat in flats[:2])
    ago = NewBlock(BlockKind.REQUEST.value, now - 20 * DAY_S, now - 10 * DAY_S, "отпуск")
    ahead = NewBlock(BlockKind.REQUEST.value, now + 20 * DAY_S, now + 30 * DAY_S, "отпуск")
    block_flats(store, SYSTEM, [first], ago, now)
    block_flats(store, SYSTEM, [second], ahead, now)
