"""Statements that every call needs: compiled once for each kind of database, and run nearly on the driver itself.

SQLAlchemy's own way of executing costs several times what SQLite needs for the answer. Values go to the driver and
come back as they are: an enum is its text, and SQLite's booleans are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from attrs import define, field, frozen


@frozen
class _Compiled:
    """The text, and for a driver that counts places instead of knowing names: whose value each place takes."""

    text: str
    places: tuple[str, ...] | None


@define(eq=False)
class Statement:
    """A statement with named parameters that have no default."""

    clause: sa.ClauseElement
    _compiled: dict[str, _Compiled] = field(factory=dict, init=False)

    def rows(self, connection: sa.Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises what SQLAlchemy does."""
        compiled = self._for(connection)
        places = compiled.places
        given = values if places is None else tuple([values[name] for name in places])
        driver: Any = connection.connection.driver_connection
        try:
            found: list[tuple[Any, ...]] = driver.execute(compiled.text, given).fetchall()
        except connection.dialect.loaded_dbapi.Error:
            # SQLAlchemy knows which errors mean a lost connection, and then makes new ones: the error is to be its.
            return [tuple(row) for row in connection.exec_driver_sql(compiled.text, given).all()]
        return found

    def for_each(self, connection: sa.Connection, values: Sequence[dict[str, Any]]) -> None:
        """Run it once for each of `values`. Raises what SQLAlchemy does."""
        if not values:
            return
        compiled = self._for(connection)
        match compiled.places:
            case None:
                connection.exec_driver_sql(compiled.text, [*values])
            case (name,):
                connection.exec_driver_sql(compiled.text, [(each[name],) for each in values])
            case places:
                connection.exec_driver_sql(compiled.text, [*map(itemgetter(*places), values)])

    def _for(self, connection: sa.Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            made = self.clause.compile(dialect=dialect)
            assert isinstance(made, sa.sql.compiler.SQLCompiler)
            places = tuple(made.positiontup or ()) if made.positional else None
            compiled = self._compiled[dialect.name] = _Compiled(str(made), places)
        return compiled
