"""The one place where records are read and changed by their descriptions (resource.py): rights, reach, checks, history.

Pages, the API and imports of single records come through here, so that none of them can forget one of these. All
functions are synchronous and safe from several threads. Raises crm.who's Refused errors and crm.store's StoreError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from crm.among import among
from crm.changes import SECRET, note_change
from crm.desk import links as desk_links
from crm.desk import lists as desk_lists
from crm.desk.resource import Kind, Link, Page, Query, Resource, Row, Values
from crm.desk.values import check_values, column_values
from crm.model import table
from crm.rights import Right
from crm.sealed import Seal
from crm.store import Store
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

EXPORT_CHUNK = 5000


@frozen
class Desk:
    """`resources` by their names; `secret_key` seals what must not be read in the database."""

    store: Store
    resources: Mapping[str, Resource]
    secret_key: str = ""

    def resource(self, name: str) -> Resource:
        """Raises NotFound."""
        try:
            return self.resources[name]
        except KeyError:
            raise NotFound(f"there are no {name}") from None

    def seal(self) -> Seal:
        """Raises SealError: no key is set."""
        return Seal(self.secret_key)

    # --- reading ---------------------------------------------------------------------------------------------------

    def list(self, who: Who, resource: Resource, query: Query, *, count: bool = True) -> Page:
        """A part of the list of what `who` may see. Raises Forbidden, Invalid (a filter, sort or cursor)."""
        who.need(resource.view)
        with self.store.reading() as connection:
            seen = self._seen(who, resource)
            page = desk_lists.page(connection, seen, self._within(who, resource), query, count=count)
            return evolve(page, rows=self._veiled(connection, who, resource, page.rows))

    def every(self, who: Who, resource: Resource, query: Query) -> Iterator[Row]:
        """All rows of a list, read in portions."""
        after = ""
        while True:
            portion = Query(query.filters, query.sort, after, EXPORT_CHUNK)
            who.need(resource.view)
            with self.store.reading() as connection:
                seen = self._seen(who, resource)
                page = desk_lists.page(connection, seen, self._within(who, resource), portion, count=False)
                rows = self._veiled(connection, who, resource, page.rows)
            yield from rows
            if not page.next:
                return
            after = page.next

    def get(self, who: Who, resource: Resource, id: int) -> Row:
        """Raises Forbidden, NotFound."""
        who.need(resource.view)
        with self.store.reading() as connection:
            row = self._get(connection, who, resource, id, resource.view)
            return self._veiled(connection, who, resource, (row,))[0]

    def get_in(
        self, connection: sa.Connection, who: Who, resource: Resource, id: int, right: Right | None = None
    ) -> Row:
        """The same within a transaction of the caller's; with `right` instead of that to see it."""
        who.need(right or resource.view)
        return self._get(connection, who, resource, id, right or resource.view)

    def reaches(self, who: Who, resource: Resource, id: int, *rights: Right) -> bool:
        """Whether a record that `who` may see is within the reach of one of these other rights, too."""
        reaches = [(each, who.rights.reach(each)) for each in rights if who.rights.may(each)]
        if any(reach.everywhere for _, reach in reaches):
            return True
        with self.store.reading() as connection:
            return any(
                desk_lists.row(connection, resource, self._within(who, resource, right), id) is not None
                for right, _ in reaches
            )

    def pick(self, who: Who, resource: Resource, text: str, limit: int = 20) -> tuple[tuple[int, str], ...]:
        """Records whose title has `text` in it, as (id, title): for choosing one in a form."""
        who.need(resource.view)
        with self.store.reading() as connection:
            seen = self._seen(who, resource)
            return desk_lists.pick(connection, seen, self._within(who, resource), text, limit)

    def titles(self, who: Who, resource: Resource, ids: Collection[int]) -> dict[int, str]:
        """The titles of those of these records that `who` may see; none without the right."""
        if not ids or not who.rights.may(resource.view):
            return {}
        with self.store.reading() as connection:
            return self._titles(connection, who, resource, ids)

    # --- changing --------------------------------------------------------------------------------------------------

    def create(self, who: Who, resource: Resource, values: Values) -> int:
        """Make a record; its id. Raises Forbidden, Invalid, Conflict."""
        right = self._edit_right(resource, resource.creates)
        who.need(right)
        with self.store.transaction() as connection:
            return self.create_in(connection, who, resource, values)

    def create_in(self, connection: sa.Connection, who: Who, resource: Resource, values: Values) -> int:
        """The same within a transaction of the caller's."""
        right = self._edit_right(resource, True)
        who.need(right)
        values = check_values(resource, values, creating=True)
        self._check(connection, who, resource, values, None)
        columns = column_values(self, connection, resource, values, None)
        made = self._execute(connection, sa.insert(table(resource.model)).values(columns))
        assert made.inserted_primary_key is not None
        id = int(made.inserted_primary_key[0])
        after = self._get(connection, who, resource, id, right)
        note_change(connection, who, resource.entity, id, "create", None, _noted(resource, values, after))
        if resource.written is not None:
            resource.written(connection, who, id, None, after)
        return id

    def update(self, who: Who, resource: Resource, id: int, values: Values) -> None:
        """Change what `values` has. Raises Forbidden, NotFound, Invalid, Conflict."""
        right = self._edit_right(resource, True)
        who.need(right)
        with self.store.transaction() as connection:
            before = self._get(connection, who, resource, id, right)
            values = check_values(resource, values, creating=False)
            self._check(connection, who, resource, {**before.values, **values}, before)
            columns = column_values(self, connection, resource, values, before)
            of = table(resource.model)
            if columns:
                self._execute(connection, sa.update(of).where(of.c.id == id).values(columns))
            after = self._get(connection, who, resource, id, right)
            was, now = dict(before.values), _noted(resource, values, after)
            note_change(connection, who, resource.entity, id, "update", was, now)
            if resource.written is not None:
                resource.written(connection, who, id, before, after)

    def delete(self, who: Who, resource: Resource, id: int) -> None:
        """Raises Forbidden, NotFound, Conflict (something still needs it)."""
        right = self._edit_right(resource, resource.deletes)
        who.need(right)
        with self.store.transaction() as connection:
            before = self._get(connection, who, resource, id, right)
            if resource.written is not None:
                resource.written(connection, who, id, before, None)
            of = table(resource.model)
            self._execute(connection, sa.delete(of).where(of.c.id == id))
            note_change(connection, who, resource.entity, id, "delete", before.values, None)

    # --- links -----------------------------------------------------------------------------------------------------

    def links(self, who: Who, resource: Resource, id: int, link: Link, limit: int = 200) -> tuple[Row, ...]:
        """What hangs on a record by `link`: the other's id and title, with the link's own values."""
        other = self.resource(link.to)
        if not who.rights.may(other.view):
            return ()
        with self.store.reading() as connection:
            self._get(connection, who, resource, id, resource.view)
            seen = self._seen(who, other)
            return desk_links.rows(connection, seen, link, id, self._within(who, other), limit)

    def set_link(
        self, who: Who, resource: Resource, id: int, link: Link, other_id: int, values: Values
    ) -> None:
        """Hang a record on this one, or change what the link says. Raises Forbidden, NotFound, Invalid."""
        right = self._edit_right(resource, link.written)
        other = self.resource(link.to)
        who.need(right)
        with self.store.transaction() as connection:
            self._get(connection, who, resource, id, right)
            self._get(connection, who, other, other_id, link.other_right or other.view)
            desk_links.put(connection, who, resource, link, id, other_id, values)
            if link.changed is not None:
                link.changed(connection, id, other_id)

    def remove_link(self, who: Who, resource: Resource, id: int, link: Link, other_id: int) -> None:
        """Raises Forbidden, NotFound."""
        right = self._edit_right(resource, link.written)
        other = self.resource(link.to)
        who.need(right)
        with self.store.transaction() as connection:
            self._get(connection, who, resource, id, right)
            self._get(connection, who, other, other_id, link.other_right or other.view)
            desk_links.take(connection, who, resource, link, id, other_id)
            if link.changed is not None:
                link.changed(connection, id, other_id)

    # --- within ----------------------------------------------------------------------------------------------------

    def _edit_right(self, resource: Resource, allowed: bool) -> Right:
        if resource.edit is None or not allowed:
            raise Forbidden(f"this cannot be done to {resource.name} here")
        return resource.edit

    def _within(self, who: Who, resource: Resource, right: Right | None = None) -> sa.ColumnElement[bool]:
        reach = who.rights.reach(right or resource.view)
        if resource.reach is not None:
            return sa.true() if reach.everywhere else resource.reach(reach)
        # What hangs on no house is seen by whoever may see it anywhere, and changed by who may everywhere.
        return sa.true() if right in (None, resource.view) and reach else _truth(reach.everywhere)

    def _seen(self, who: Who, resource: Resource, right: Right | None = None) -> Resource:
        reach = who.rights.reach(right or resource.view)
        return resource if resource.seen is None or reach.everywhere else resource.seen(reach)

    def _get(self, connection: sa.Connection, who: Who, resource: Resource, id: int, right: Right) -> Row:
        seen_so = self._seen(who, resource, right)
        found = desk_lists.row(connection, seen_so, self._within(who, resource, right), id)
        if found is not None:
            return found
        if right is not resource.view and who.rights.may(resource.view):
            seen = desk_lists.row(connection, resource, self._within(who, resource), id)
            if seen is not None:
                raise Forbidden(f"{who.name} may see this {resource.entity}, not change it")
        raise NotFound(f"there is no {resource.entity} {id}")

    def _titles(
        self, connection: sa.Connection, who: Who, resource: Resource, ids: Collection[int]
    ) -> dict[int, str]:
        title = self._seen(who, resource).title
        within = sa.and_(among(connection, resource.id, ids), self._within(who, resource))
        statement = sa.select(resource.id, title).select_from(resource.source).where(within)
        return {int(id): str(title) for id, title in connection.execute(statement)}

    def _veiled(
        self, connection: sa.Connection, who: Who, resource: Resource, rows: tuple[Row, ...]
    ) -> tuple[Row, ...]:
        """The same, without the titles of what they were made to refer to beyond what `who` may see."""
        if resource.edit is None:
            return rows
        for each in resource.fields:
            if each.kind is not Kind.REFERENCE or not each.written or each.shown is None:
                continue
            other, name = self.resource(each.refers_to), each.name
            ids = {row.values[name] for row in rows if row.values[name] is not None}
            if ids and not who.rights.may_everywhere(other.view):
                beyond = ids - self._titles(connection, who, other, ids).keys()
                rows = tuple(_without(row, name) if row.values[name] in beyond else row for row in rows)
        return rows

    def _check(
        self, connection: sa.Connection, who: Who, resource: Resource, values: Values, before: Row | None
    ) -> None:
        """What was there `before` may refer to what `who` does not see, and goes on to; nothing is made to."""
        errors: dict[str, str] = {}
        for each in resource.fields:
            id = values.get(each.name)
            if each.kind is not Kind.REFERENCE or not each.written or id is None:
                continue
            if before is not None and before.values[each.name] == id:
                continue
            other = self.resource(each.refers_to)
            if desk_lists.row(connection, other, self._within(who, other), id) is None:
                errors[each.name] = f"there is no such {other.entity}"
        if not errors and resource.check is not None:
            errors.update(resource.check(connection, who, None if before is None else before.id, values))
        if errors:
            raise Invalid(errors)

    def _execute(self, connection: sa.Connection, statement: Any) -> sa.CursorResult[Any]:
        try:
            return connection.execute(statement)
        except sa.exc.IntegrityError as error:
            text = str(error.orig)
            if "UNIQUE" in text.upper():
                raise Conflict("there is one with the same name, number or id already") from error
            raise Conflict("something else still needs this, or it needs something that is gone") from error


def _truth(value: bool) -> sa.ColumnElement[bool]:
    return sa.true() if value else sa.false()


def _without(row: Row, name: str) -> Row:
    return evolve(row, shown={**row.shown, name: ""}, beyond=row.beyond | {name})


def _noted(resource: Resource, values: Values, after: Row) -> dict[str, Any]:
    """What the history keeps of a record: what can be read, and that a secret was set."""
    secrets = {f.name: SECRET for f in resource.fields if f.kind is Kind.SECRET and values.get(f.name)}
    return {**after.values, **secrets}
