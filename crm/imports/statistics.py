"""What the database knows of tables after much was written: how many rows there are, and of which values.

PostgreSQL plans by that, and makes it anew by itself only a minute later: until then it reads whole tables, where an
index would do. SQLite plans by the indexes alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from crm.store import Store, StoreError

log = logging.getLogger("imports")  # to the standard error: the standard output is for how far an import is


def refresh_statistics(store: Store, tables: Iterable[str]) -> None:
    """Have PostgreSQL look at these tables now, each in a transaction of its own. What it refuses is logged: it does so
    by itself before long."""
    if store.is_sqlite:
        return
    for name in tables:
        try:
            refused = _analyze(store, name)
        except (StoreError, sa.exc.DBAPIError) as error:
            log.warning("the statistics of %s and others stay old for a while: %s", name, error)
            return
        if refused:
            log.warning("the statistics of %s stay old for a while: %s", name, "; ".join(refused))


def _analyze(store: Store, name: str) -> list[str]:
    """What PostgreSQL says against it: who does not own a table is told so, by no error. Raises StoreError,
    DBAPIError."""
    said: list[str] = []

    def hear(notice: Any) -> None:
        said.append(str(notice.message_primary))

    with store.transaction() as connection:
        driver: Any = connection.connection.driver_connection
        driver.add_notice_handler(hear)
        try:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # it takes as long as it takes
            connection.exec_driver_sql(f"ANALYZE {name}")
        finally:
            driver.remove_notice_handler(hear)
    return said
