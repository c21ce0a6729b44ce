"""What forms about keys have in common: what a key opens, chosen by its kind and then by what is typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar.enums import RequestEncodingType
from litestar.params import Body

from crm.keys.reach import Binding
from crm.rights import Right
from crm.sections.keys import SCOPES
from crm.site import Site
from crm.tables.keys import KeyScope
from crm.web.forms import read_reference
from crm.who import Invalid, Refused, Who

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]


def text_of(data: Mapping[str, Any], name: str) -> str:
    """What was typed or chosen; "" for nothing."""
    value = data.get(name, "")
    return str(value[-1] if isinstance(value, list) and value else value)


def scopes_for(site: Site, who: Who) -> list[tuple[str, str]]:
    """The kinds of thing to which `who` may bind a key, with their labels."""
    everywhere = who.rights.may_everywhere(Right.KEYS_EDIT)
    wide = (KeyScope.EVERYWHERE, KeyScope.EMPLOYEE)
    return [
        (scope.value, label)
        for scope, (label, name) in SCOPES.items()
        if (everywhere or scope not in wide) and (not name or who.rights.may(site.desk.resource(name).view))
    ]


def binding_of(data: Mapping[str, Any]) -> list[Binding]:
    """What was chosen, none or one. Raises Invalid."""
    scope, ref = text_of(data, "scope"), text_of(data, "ref").strip()
    if scope not in [each.value for each in KeyScope]:
        return []
    if scope == KeyScope.EVERYWHERE.value:
        return [Binding(KeyScope.EVERYWHERE)]
    if not ref:
        raise Invalid({"ref": "choose what the key is to open"})
    try:
        return [Binding(KeyScope(scope), read_reference(ref))]
    except ValueError as error:
        raise Invalid({"ref": str(error)}) from error


def binding_text(site: Site, who: Who, scope: str, ref: str) -> str:
    """What an id in the address means, as it stands in the form; "" for what is not within sight."""
    known = {each.value: name for each, (_, name) in SCOPES.items() if name}
    if scope not in known or not ref.isdigit():
        return ""
    try:
        row = site.desk.get(who, site.desk.resource(known[scope]), int(ref))
    except Refused:
        return ""
    return f"{row.title} #{row.id}"


def options_for(site: Site, who: Who, asked: Mapping[str, str]) -> list[tuple[int, str]]:
    """Ids and titles of what is typed, among the things of the chosen kind."""
    known = {each.value: name for each, (_, name) in SCOPES.items() if name}
    name = known.get(asked.get("scope", ""))
    if name is None:
        return []
    text = asked.get("ref", "")
    text = text.rpartition(" #")[0] if " #" in text else text
    return list(site.desk.pick(who, site.desk.resource(name), text))


def errors_of(error: Refused) -> dict[str, str]:
    """What is wrong, by field; "" for the whole."""
    return dict(error.errors) if isinstance(error, Invalid) else {"": str(error)}
