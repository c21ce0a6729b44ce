"""What forms about staff have in common: fields, boxes that are ticked, and how errors are told beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar.enums import RequestEncodingType
from litestar.params import Body

from crm.desk.resource import Field, Kind
from crm.rights import Right, parse_rights
from crm.sections.staff import LANGUAGES
from crm.site import Site
from crm.staff.passwords import LONGEST, Passwords, TooBusy
from crm.who import Conflict, Forbidden, Invalid, Refused

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
REFUSED = (Invalid, Conflict, Forbidden, TooBusy)  # what is said beside the form instead of a page of its own

LOGIN = Field(
    name="login", label="Login", optional=False, longest=64, hint="Latin letters, digits and . _ @ + -"
)
NAME = Field(name="name", label="Full name", optional=False, longest=100)
PASSWORD = Field(
    name="password",
    label="Password",
    kind=Kind.SECRET,
    optional=False,
    longest=LONGEST,
    hint="10 characters at least; several words are easy to keep in mind",
)
LANGUAGE = Field(
    name="language", label="Language", kind=Kind.CHOICE, choices=LANGUAGES, optional=False, default="ru"
)


def passwords_of(site: Site) -> Passwords:
    """What hashes the passwords of employees."""
    passwords: Passwords = site.parts["passwords"]
    return passwords


def text_of(data: Mapping[str, Any], name: str) -> str:
    """What was typed into a field; "" for nothing."""
    values = many(data, name)
    return values[-1] if values else ""


def many(data: Mapping[str, Any], name: str) -> list[str]:
    """All that was ticked or typed under a name."""
    value = data.get(name, [])
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def ids(data: Mapping[str, Any], name: str) -> list[int]:
    """The ids among that."""
    numbers = [each for each in many(data, name) if each.isascii() and each.isdigit() and len(each) < 11]
    return [int(each) for each in numbers if int(each) < 2**31]


def ticked_rights(data: Mapping[str, Any]) -> frozenset[Right]:
    return parse_rights(" ".join(many(data, "rights")))


def errors_of(error: Refused) -> dict[str, str]:
    """What is wrong, by field; "" for the whole."""
    return dict(error.errors) if isinstance(error, Invalid) else {"": str(error)}


def status_of(errors: Mapping[str, str]) -> int:
    """Of a form that is shown."""
    return 422 if errors else 200
