"""Filters by an index that knows the ids of what it finds, and not whose they are: the words of names, telephone numbers.

Of a common name ("Мария": one of thirty people) neither all who have it are read for a page of fifty, nor are all
people asked for it one by one. The first of them are looked at; where too few of those are within reach, few are at all,
and both sets are put together as a whole: of the ids alone this is quick.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.among import among
from crm.desk.resource import Resource

LOOKED = 1000  # ids of the index that are looked at first
MOST = 1001  # ids that are given back at most


def first_ids(
    connection: sa.Connection,
    resource: Resource,
    base: list[sa.ColumnElement[bool]],
    ids: sa.Select[Any],
    after: int,
    least: int,
) -> tuple[list[int], bool]:
    """At least so many of the records that meet `base` and are of `ids`, those behind `after`, by their ids; whether
    there are more."""
    id = ids.selected_columns[0]
    behind = ids.where(id > after) if after else ids
    some = connection.scalars(behind.distinct().order_by(id).limit(LOOKED + 1)).all()
    of_these = sa.select(resource.id).select_from(resource.source).where(*base)
    near = connection.scalars(
        of_these.where(among(connection, resource.id, some)).order_by(resource.id)
    ).all()
    if len(some) <= LOOKED or len(near) >= least:
        return list(near), len(some) > LOOKED
    both = sa.intersect(behind, of_these.where(resource.id > after)).subquery()
    here = both.c[0]
    found = list(connection.scalars(sa.select(here).order_by(here).limit(MOST + 1)))
    return found[:MOST], len(found) > MOST
