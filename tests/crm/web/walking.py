"""All routes of the application with ids filled in, what an answer tells of the other company, and what was changed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import sqlalchemy as sa
from litestar.routes import HTTPRoute

from crm.model import table
from crm.sections import all_resources
from crm.store import Store
from crm.tables import METADATA
from crm.tables.staff import ApiToken
from tests.crm.web.site import TestSite
from tests.crm.web.two_companies import FOREIGN, OWN, Side

# What a request changes that changes nothing else: who asked when.
NOT_COMPARED = frozenset({"sessions", "sign_ins", "idempotency_keys"})


def routes(site: TestSite, *methods: str) -> Iterator[tuple[str, str]]:
    """All (method, path) of the application but static files."""
    for route in sorted(site.app.routes, key=lambda each: each.path):
        if isinstance(route, HTTPRoute) and not route.path.startswith("/static"):
            for handler in route.route_handlers:
                yield from ((m, route.path) for m in sorted(handler.http_methods) if m in methods)


def values_of(name: str, kind: str, path: str, side: Side) -> tuple[str, ...]:
    """What stands for a part of a path."""
    if kind == "int":
        return (str(side.id),)
    if path.endswith("calls/{id:str}") or "/calls/{id:str}/" in path:
        return (side.call,)
    match name:
        case "name":
            names = tuple(all_resources())
            return names + tuple(f"{each}.csv" for each in names) if path == "/{name:str}" else names
        case "sip_user":
            return side.panel, side.account
        case "link":
            return tuple(sorted({each.name for of in all_resources().values() for each in of.links}))
        case "kind" if "unbind" in path:
            return "flat", "house", "company", "resident"
        case "kind":
            return "houses", "flats", "accounts", "panels", "keys"
        case "what":
            return "whole", "picture"
        case "language":
            return ("en",)
    return (side.word,)


def is_id(name: str, kind: str) -> bool:
    """Whether a part of a path says of what it is asked, and so of whom."""
    return kind == "int" or name in ("id", "sip_user")


def parts_of(path: str) -> list[tuple[str, str]]:
    return re.findall(r"\{(\w+):(\w+)\}", path)


def filled(path: str, *sides: Side) -> Iterator[str]:
    """The path in all ways, with ids of these sides: one for each id in turn."""
    ids = iter(sides)
    ways = []
    for name, kind in parts_of(path):
        side = next(ids) if is_id(name, kind) else OWN
        ways.append(values_of(name, kind, path, side))
    for chosen in itertools.product(*ways):
        way = path
        for value in chosen:
            way = re.sub(r"\{\w+:\w+\}", value, way, count=1)
        named = [name for (name, _) in parts_of(path)]
        if "link" not in named or has_link(*chosen[: named.index("link") + 1]):
            yield way


def has_link(name: str, _id: str, link: str) -> bool:
    return any(each.name == link for each in all_resources()[name].links)


def told(answer: httpx.Response) -> list[str]:
    """What of the other company is in an answer."""
    text = answer.text.lower()
    return [mark for mark in FOREIGN.marks if mark in text]


def ways_of_sides(path: str) -> Iterator[tuple[Side, ...]]:
    """Ids of both sides, in all ways."""
    count = sum(is_id(*each) for each in parts_of(path))
    yield from itertools.product((OWN, FOREIGN), repeat=count)


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All that the database holds, but who signs in and asks."""
    found = {}
    with store.reading() as connection:
        for of in METADATA.sorted_tables:
            if of.name in NOT_COMPARED:
                continue
            columns = [each for each in of.c if each is not table(ApiToken).c.used_at]
            found[of.name] = sorted((tuple(row) for row in connection.execute(sa.select(*columns))), key=repr)
    return found


def differing(before: dict[str, Any], after: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}: {[row for row in after[name] if row not in before[name]]}"
        for name in before
        if before[name] != after[name]
    )


# What forms are sent: whatever they refer to is the other company's.
FORM = {
    **dict.fromkeys(
        (
            "flat_id",
            "house_id",
            "resident_id",
            "account_id",
            "entrance_id",
            "company_id",
            "street_id",
            "panel_id",
        ),
        f"x #{FOREIGN.id}",
    ),
    **dict.fromkeys(
        ("house", "other", "flat", "flats", "panel", "panels", "domophone", "ref", "city_id", "entrance"),
        f"x #{FOREIGN.id}",
    ),
    **{
        "name": "n",
        "number": "9",
        "login": "somebody",
        "password": "a long enough password",
        "kind": "by_request",
    },
    **{"prefix": "1", "scope": "house", "role": "owner", "rings": "yes", "state": "paused", "reason": "r"},
    **{"sip_user": "new-user", "language": "en", "why": "lost", "key": "04A1B2C3", "keys": FOREIGN.uid},
}


def body_of(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """A body as the API's description has it, in which every id is the other company's."""
    if "$ref" in schema:
        return body_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for ways in ("oneOf", "anyOf", "allOf"):
        for each in schema.get(ways, ()):
            if each.get("type") != "null":
                return body_of(each, schemas, name)
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {key: body_of(each, schemas, key) for key, each in properties.items()}
    if schema.get("type") == "array":
        return [body_of(schema.get("items", {}), schemas, name)]
    if schema.get("type") == "integer" and re.search(r"(^|_)ids?$|s$|^ref", name):
        return FOREIGN.id
    for examples in (schema.get("examples"), [schema["example"]] if "example" in schema else None):
        if examples:
            return examples[0] if isinstance(examples, list) else next(iter(examples.values()))
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": "x", "integer": 1, "number": 1.0, "boolean": True}.get(schema.get("type", ""), "x")
