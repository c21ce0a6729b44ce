"""One lookup by a flat's id: its address, the blocks that stop its calls, and whose phones ring, whatever the panels.

For what is asked beside visitors' calls; what a panel dials is looked up in lookup.py.
"""

from __future__ import annotations

import sqlalchemy as sa

from crm.directory.lookup import FlatInfo, accounts_of
from crm.model import City, Flat, FlatBlock, House
from crm.statement import Statement
from crm.store import Store
from crm.tables.blocks import BlockKindRow


def find_flat(store: Store, flat_id: int, now: float) -> FlatInfo | None:
    """The flat at `now` (UTC); None: there is no such flat. Raises StoreError."""
    with store.reading() as connection:
        rows = _FLAT.rows(connection, flat=flat_id)
        if not rows:
            return None
        id, number, auto_open_until, street, house, city = rows[0]
        blocks = tuple(dict.fromkeys(kind for (kind,) in _BLOCKS.rows(connection, flat=flat_id, now=now)))
        opens = auto_open_until is not None and now < auto_open_until
        address = ", ".join(part for part in (city, f"{street} {house}") if part)
        return FlatInfo(
            id=id,
            number=number,
            address=address,
            blocks=blocks,
            auto_open=opens,
            accounts=accounts_of(connection, flat_id),
        )


_FLAT = Statement(
    sa.select(Flat.id, Flat.number, Flat.auto_open_until, House.street, House.number, City.name)
    .select_from(Flat)
    .join(House, House.id == Flat.house_id)
    .outerjoin(City, City.id == House.city_id)
    .where(Flat.id == sa.bindparam("flat", type_=sa.Integer()))
)
_NOW: sa.BindParameter[float] = sa.bindparam("now", type_=sa.Double())
_BLOCKS = Statement(
    sa.select(FlatBlock.kind)
    .outerjoin(BlockKindRow, BlockKindRow.code == FlatBlock.kind)
    .where(
        sa.or_(BlockKindRow.id.is_(None), BlockKindRow.stops_calls),
        FlatBlock.flat_id == sa.bindparam("flat", type_=sa.Integer()),
        FlatBlock.since <= _NOW,
        sa.or_(FlatBlock.until.is_(None), FlatBlock.until > _NOW),
    )
    .order_by(FlatBlock.id)
)
