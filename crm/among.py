"""Many values that a column may have, as one condition.

A thousand of them by `IN` are a thousand parameters, which take longer to be put together than the database takes to look
them all up; PostgreSQL takes them as one array.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa


def among(connection: sa.Connection, column: Any, values: Iterable[Any]) -> sa.ColumnElement[bool]:
    """The condition that `column` has one of these values; with none of them, it holds nowhere."""
    every = list(values)
    if connection.dialect.name != "postgresql":
        return column.in_(every)  # type: ignore[no-any-return]
    array = sa.literal(every, sa.ARRAY(column.type))
    return column == sa.any_(array)  # type: ignore[no-any-return]
