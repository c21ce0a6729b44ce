"""The search for houses, streets and flats by their address, and for people, companies by the words of their names.

Every statement here reads a range of an index; `Reach` bounds each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crm.model import City, Flat, House, table
from crm.rights import Reach
from crm.search.hits import Found, Hit, Sure
from crm.search.index import Indexed
from crm.search.text import TAIL, Address, is_kind, number_of, phones_of, street_name, street_words, words_of
from crm.tables.companies import Company
from crm.tables.people import Resident, ResidentFlat
from crm.tables.search import SearchWord

LAST = "\uffff"  # sorts behind every character that is written, in all orders that databases have
SHORTEST = 2  # letters of a word that is looked for
HOUSES, FLATS = 20, 100  # so many houses at most are asked for a flat, and so many of that number taken
FEW_HOUSES, MANY_WORDS = 100, 1000  # see find_residents
CANDIDATES = 60  # rows of which the best are taken
MOST_HOUSES = 3000  # whose streets are told: more have words in common only where it is a city's name

_WORDS = table(SearchWord)
# As the index has them: of equal words always the same come first.
IN_ORDER = (_WORDS.c.word, _WORDS.c.ref_id)


def begins(
    column: sa.ColumnElement[str] | sa.orm.InstrumentedAttribute[str], text: str
) -> sa.ColumnElement[bool]:
    """That a text begins so: as a range, for the index, and exactly, whatever the database's order is."""
    return sa.and_(in_range(column, text), column.startswith(text, autoescape=True))


def in_range(
    column: sa.ColumnElement[str] | sa.orm.InstrumentedAttribute[str], text: str
) -> sa.ColumnElement[bool]:
    """The same of a column whose order is that of its bytes: the range alone is exact, and the planner knows its size."""
    return sa.and_(column >= text, column < text + LAST)


def words_match(kind: Indexed, words: Sequence[str]) -> sa.ColumnElement[bool] | None:
    """The condition that one row of the index has words that begin with each of these; None: too little was typed."""
    able = [word for word in words if not word[0].isdigit() and len(word) >= SHORTEST]
    if not able:
        able = [word for word in words if len(word) >= 4 and len(words) == 1]
    if not able:
        return None
    named = [word for word in able if kind is not Indexed.HOUSE or not is_kind(word)]
    if not named:
        return None
    first = max(named, key=len)
    others = list(words)
    others.remove(first)
    return sa.and_(
        _WORDS.c.kind == kind.value,
        in_range(_WORDS.c.word, first),
        *(_WORDS.c.word.contains(" " + word, autoescape=True) for word in others),
    )


def find_houses(connection: sa.Connection, reach: Reach, asked: Address, limit: int) -> list[Hit]:
    """Houses by the words of their address; those whose number was typed as a whole first."""
    matching = words_match(Indexed.HOUSE, asked.words)
    if matching is None:
        return []
    number = asked.number
    statement = (
        sa.select(House.id, House.street, House.number, City.name)
        .select_from(sa.join(_WORDS, table(House), _WORDS.c.ref_id == House.id).join(table(City)))
        .where(matching, reach.of_houses())
        .limit(limit)
    )
    if number:
        exactly = House.number.in_([number, number.upper()])
        named = (_WORDS.c.word + " ").contains(f" {number} ", autoescape=True)
        statement = statement.order_by(
            sa.case((exactly, 0), (named, 1), else_=2), sa.func.length(House.number)
        )
    statement = statement.order_by(*IN_ORDER)  # by itself it ends the look at the first rows
    return [
        Hit(
            Found.HOUSE,
            id,
            f"{street} {its_number}",
            city,
            ("house", id),
            _sure_of_house(asked, street, its_number, city),
        )
        for id, street, its_number, city in connection.execute(statement)
    ]


def _sure_of_house(asked: Address, street: str, number: str, city: str) -> Sure:
    if not asked.number or number_of(number) != asked.number:
        return Sure.BEGINNING
    typed = Counter(asked.words)
    typed.subtract((*street_name(street), asked.number))
    beside = {*street_words(street), *words_of(street), *words_of(city)}
    whole = all(count == 0 or (count > 0 and word in beside) for word, count in typed.items())
    return Sure.WHOLE if whole else Sure.BEGINNING


def find_streets(connection: sa.Connection, reach: Reach, asked: Address, limit: int) -> list[Hit]:
    """Streets with houses within the reach, by the words of their name and city."""
    matching = words_match(Indexed.HOUSE, asked.words)
    if matching is None or asked.flat:
        return []
    some = sa.select(_WORDS.c.ref_id).where(matching).limit(MOST_HOUSES).subquery()
    count = sa.func.count(sa.distinct(House.id))
    statement = (
        sa.select(House.street_id, House.street, City.name, count)
        .select_from(sa.join(some, table(House), some.c.ref_id == House.id).join(table(City)))
        .where(House.street_id.is_not(None), reach.of_houses())
        .group_by(House.street_id, House.street, City.name)
        .order_by(count.desc(), House.street_id)
        .limit(CANDIDATES)
    )
    hits = []
    for id, street, city, houses in connection.execute(statement):
        assert id is not None
        its_words, its_city = {*street_words(street), *words_of(street)}, set(words_of(city))
        if not all(any(each.startswith(word) for each in its_words | its_city) for word in asked.words):
            continue
        whole = (its_words | its_city).issuperset(asked.words) and not its_city.issuperset(asked.words)
        sure = Sure.WHOLE if whole else Sure.BEGINNING
        hits.append(Hit(Found.STREET, id, street, f"{city}, {houses}", ("street", id), sure))
    return sorted(hits, key=lambda hit: -hit.sure)[:limit]


def find_flats(
    connection: sa.Connection, reach: Reach, readings: Sequence[Address], text: str, limit: int
) -> tuple[list[Hit], list[Hit]]:
    """Flats by house and number, and by the number of their contract; and the houses that they were looked for in."""
    flats, houses = [], []
    for asked in readings:
        if not asked.flat:
            continue
        near = find_houses(connection, reach, asked, HOUSES)
        exact = [house for house in near if _numbered(house, asked.number)]
        houses += exact
        if exact:
            numbers = sorted({asked.flat, asked.flat.upper()})
            which = sa.and_(
                Flat.house_id.in_([house.id for house in exact]), table(Flat).c.number.in_(numbers)
            )
            sure = {house.id: house.sure for house in exact}
            found = _flats(connection, which, FLATS, Flat.id)
            flats += [_flat_hit(row, sure[row.house_id]) for row in found]
    if len(text) >= 4 and not text.isalpha() and len(text.split()) == 1:
        within = sa.and_(begins(Flat.contract, text), reach.of_houses())
        flats += [
            _flat_hit(row, Sure.WHOLE if row.contract == text else Sure.BEGINNING)
            for row in _flats(connection, within, limit + 1, Flat.contract, Flat.id)
        ]
    return flats, houses


def _numbered(house: Hit, number: str) -> bool:
    return bool(number) and f" {number_of(house.title)}".endswith(f" {number}")


def _flats(
    connection: sa.Connection,
    which: sa.ColumnElement[bool],
    limit: int,
    *order: sa.orm.InstrumentedAttribute[Any],
) -> Sequence[sa.Row[int, int, str, str, str, str, str]]:
    statement = (
        sa.select(
            Flat.id,
            Flat.house_id,
            table(Flat).c.number.label("flat"),
            Flat.contract,
            House.street,
            table(House).c.number.label("house"),
            City.name,
        )
        .select_from(sa.join(table(Flat), table(House)).join(table(City)))
        .where(which)
        .order_by(*order)
        .limit(limit)
    )
    return connection.execute(statement).all()


def _flat_hit(row: sa.Row[int, int, str, str, str, str, str], sure: Sure) -> Hit:
    id, _, flat, contract, street, house, city = row
    detail = f"{city}, {contract}" if contract else city
    return Hit(Found.FLAT, id, f"{street} {house}, кв. {flat}", detail, ("flat", id), sure)


def find_residents(connection: sa.Connection, reach: Reach, words: Sequence[str], limit: int) -> list[Hit]:
    """Residents by the words of their names, in any order."""
    if any(word[0].isdigit() for word in words):
        return []
    matching = words_match(Indexed.RESIDENT, words)
    if matching is None:
        return []
    statement = sa.select(_WORDS.c.ref_id).where(matching).order_by(*IN_ORDER).limit(2 * (limit + 1))
    houses = table(House).c.id
    if (
        not reach.everywhere
        and _more(connection, MANY_WORDS, _WORDS.c.ref_id, matching)
        and not _more(connection, FEW_HOUSES, houses, reach.of_houses())
    ):
        # Of a common name most have to be looked at until one lives there: those who live there are fewer.
        homes = sa.join(table(House), table(Flat)).join(table(ResidentFlat))
        near = sa.select(ResidentFlat.resident_id).distinct().select_from(homes).where(reach.of_houses())
        there = near.cte("there").prefix_with("MATERIALIZED")
        statement = statement.join(there, there.c.resident_id == _WORDS.c.ref_id)
    else:
        statement = statement.where(resident_within(_WORDS.c.ref_id, reach))
    ids = connection.scalars(statement).all()
    people = _people(connection, sorted(set(ids), key=ids.index)[: limit + 1], reach)
    return [
        Hit(
            Found.RESIDENT,
            id,
            name,
            " · ".join(filter(None, (phone, home))),
            ("resident", id),
            Sure.WHOLE if set(words_of(name)).issuperset(words) else Sure.BEGINNING,
        )
        for id, name, phone, home in people
    ]


def find_phones(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Residents' phone numbers, by their beginning in any way of writing, or by their last digits."""
    beginning, backwards = phones_of(text)
    ids: list[int] = []
    if beginning:
        statement = sa.select(Resident.id).where(
            begins(Resident.phone, beginning), resident_within(table(Resident).c.id, reach)
        )
        ids += connection.scalars(statement.order_by(Resident.phone, Resident.id).limit(limit + 1)).all()
    if backwards:
        statement = sa.select(_WORDS.c.ref_id).where(
            _WORDS.c.kind == Indexed.RESIDENT.value,
            in_range(_WORDS.c.word, TAIL + backwards),
            resident_within(_WORDS.c.ref_id, reach),
        )
        ids += connection.scalars(statement.order_by(*IN_ORDER).limit(limit + 1)).all()
    return [
        Hit(
            Found.PHONE,
            id,
            phone,
            " · ".join(filter(None, (name, home))),
            ("resident", id),
            Sure.WHOLE
            if phone == beginning
            else Sure.PART
            if phone.endswith(backwards or "?")
            else Sure.BEGINNING,
        )
        for id, name, phone, home in _people(connection, list(dict.fromkeys(ids)), reach)
    ]


def resident_within(id: sa.ColumnElement[int], reach: Reach) -> sa.ColumnElement[bool]:
    """That a resident has a flat within the reach."""
    if reach.everywhere:
        return sa.true()
    homes = sa.join(table(ResidentFlat), table(Flat)).join(table(House))
    return (
        sa.exists()
        .select_from(homes)
        .where(ResidentFlat.resident_id == id, reach.of_houses())
        .correlate(id.table)
    )


def _more(
    connection: sa.Connection, than: int, column: sa.ColumnElement[int], which: sa.ColumnElement[bool]
) -> bool:
    some = sa.select(column).where(which).limit(than + 1).subquery()
    return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) > than


def _people(connection: sa.Connection, ids: Sequence[int], reach: Reach) -> list[tuple[int, str, str, str]]:
    """Id, name, phone, and where they live within the reach, in the order of `ids`."""
    if not ids:
        return []
    rows = connection.execute(
        sa.select(Resident.id, Resident.name, Resident.phone).where(Resident.id.in_(ids))
    )
    people = {id: (name, phone) for id, name, phone in rows}
    homes = homes_of(connection, ids, reach)
    return [(id, *people[id], homes.get(id, "")) for id in ids if id in people]


def homes_of(connection: sa.Connection, residents: Sequence[int], reach: Reach) -> dict[int, str]:
    """The address of a flat within the reach for each resident that has one there."""
    if not residents:
        return {}
    statement = (
        sa.select(ResidentFlat.resident_id, House.street, House.number, table(Flat).c.number)
        .select_from(sa.join(table(ResidentFlat), table(Flat)).join(table(House)))
        .where(ResidentFlat.resident_id.in_(residents), reach.of_houses())
        .order_by(table(ResidentFlat).c.flat_id)
        .limit(20 * len(residents))
    )
    return {id: f"{street} {house}, кв. {flat}" for id, street, house, flat in connection.execute(statement)}


def find_companies(connection: sa.Connection, reach: Reach, words: Sequence[str], limit: int) -> list[Hit]:
    """Companies by the words of their name, or by how their INN begins."""
    matching = words_match(Indexed.COMPANY, words)
    if matching is None:
        return []
    within: sa.ColumnElement[bool] = sa.true()
    if not reach.everywhere:
        house = sa.exists().where(House.company_id == Company.id, reach.of_houses()).correlate(table(Company))
        within = sa.or_(Company.id.in_(sorted(reach.companies)), house)
    statement = (
        sa.select(Company.id, Company.name, Company.inn)
        .select_from(sa.join(_WORDS, table(Company), _WORDS.c.ref_id == Company.id))
        .where(matching, within)
        .order_by(*IN_ORDER)
        .limit(4 * (limit + 1))
    )
    return [
        Hit(
            Found.COMPANY,
            id,
            name,
            inn,
            ("company", id),
            Sure.WHOLE if {*words_of(name), inn}.issuperset(words) else Sure.BEGINNING,
        )
        for id, name, inn in connection.execute(statement)
    ]
