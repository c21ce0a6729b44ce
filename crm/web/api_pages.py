"""The API for those who write programs against it: its operations by section, and each with an example to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from attrs import frozen
from litestar import Response, get

from crm.rights import Right
from crm.sections.staff import SECTION
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render
from crm.who import NotFound

PATH = "/api"
WRITTEN = "application/json"


Json = dict[str, Any]


@frozen
class Operation:
    """An operation as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    about: Json

    @property
    def tag(self) -> str:
        return str(self.about["tags"][0])


@get(PATH, sync_to_thread=True)
def api_page(request: Asked) -> Response[str]:
    """All operations, or the one that `show` names."""
    found = [
        Operation(each["operationId"], method.upper(), path, each["summary"], each)
        for path, method, each in request.app.state.operations(request.app)
    ]
    show = request.query_params.get("show", "")
    if not show:
        sections: dict[str, list[Operation]] = {}
        for each in found:
            sections.setdefault(each.tag, []).append(each)
        return render(request, "api.html", sections=sections)
    try:
        one = next(each for each in found if each.id == show)
    except StopIteration:
        raise NotFound(f"the API has no operation {show}") from None
    return render(
        request,
        "api_operation.html",
        one=one,
        curl=curl_of(one, str(request.base_url).rstrip("/")),
        parameters=one.about.get("parameters", []),
        answers=[_answer(code, each) for code, each in one.about["responses"].items()],
    )


def curl_of(one: Operation, host: str, token: str = "td_…") -> str:
    """A command that asks it, with the examples of its parameters and its body."""
    path, query, headers = one.path, [], {"Authorization": f"Bearer {token}"}
    for each in one.about.get("parameters", []):
        value = quote(str(example_of_parameter(each)), safe=":")
        match each["in"]:
            case "path":
                path = path.replace(f"{{{each['name']}}}", value)
            case "query" if each.get("required"):
                query.append(f"{each['name']}={value}")
            case "header":
                headers[each["name"]] = str(each["example"])
    words = ["curl"] if one.method == "GET" else ["curl", "-X", one.method]
    parts = [shlex.join([*words, host + path + (f"?{'&'.join(query)}" if query else "")])]
    content = one.about.get("requestBody", {}).get("content", {})
    body = content.get(WRITTEN, {}).get("example")
    if body is not None:
        headers["Content-Type"] = WRITTEN
    parts += [f"-H {_quoted(f'{name}: {value}')}" for name, value in headers.items()]
    if body is not None:
        parts.append(f"-d {_quoted(msgspec.json.encode(body).decode())}")
    elif content:
        form = next(iter(content.values()))["example"]
        parts += [f"-F {_quoted(f'{name}={_form_value(value)}')}" for name, value in form.items()]
    return " \\\n  ".join(parts)


def example_of_parameter(parameter: Json) -> Any:
    """A value that it may have."""
    schema = parameter["schema"]
    given = [
        parameter.get("example"),
        *schema.get("examples", ()),
        *schema.get("enum", ()),
        schema.get("minimum"),
    ]
    return next(
        (each for each in given if each is not None), "1" if schema.get("type") == "integer" else "text"
    )


def _form_value(value: Any) -> str:
    return "@file.csv" if value == "(the file)" else value if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _answer(code: str, answer: Json) -> dict[str, Any]:
    contents: dict[str, Json] = answer.get("content", {})
    media = next(iter(contents), "")
    body = contents[media].get("example") if media else None
    shown = "" if body is None else msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    return {"code": code, "about": answer.get("description", ""), "media": media, "body": shown}


PAGES: list[Any] = [api_page]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = (Item("API", PATH, Right.TOKENS_EDIT, "code-bracket", SECTION),)
