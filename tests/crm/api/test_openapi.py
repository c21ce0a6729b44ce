"""The API's description is complete: each operation says what it is, takes and gives, with examples that hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from litestar.routes import HTTPRoute

from crm.api.document import Json, described, operations
from crm.api.problems import MEDIA_TYPE
from crm.app import make_app
from crm.store import Store
from tests.crm.web.site import TestSite

ALWAYS = {"400", "401", "403", "429", "503"}


@pytest.fixture(scope="module")
def document() -> Json:
    from config import WebConfig

    with Store("sqlite:///unused.db") as store:
        return described(make_app(store, WebConfig(cookies="plain")))


def test_it_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    jsonschema_rs.meta.validate(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole(document)}
    )
    ids = [each["operationId"] for _, _, each in operations(document)]
    assert len(ids) == len(set(ids)) > 150


def test_every_operation_says_what_it_is(document: Json) -> None:
    lacking = []
    for path, method, each in operations(document):
        where = f"{method.upper()} {path}"
        lacking += [f"{where}: {name}" for name in ("summary", "operationId", "tags") if not each.get(name)]
        for parameter in each.get("parameters", []):
            if not parameter.get("description"):
                lacking.append(f"{where}: what {parameter['name']} is")
        errors = {code for code in each["responses"] if code >= "400"}
        lacking += [f"{where}: error {code}" for code in sorted(ALWAYS - errors)]
        if "{" in path and "404" not in errors:
            lacking.append(f"{where}: error 404")
        if "requestBody" in each:
            lacking += [f"{where}: error {code}" for code in ("413", "415") if code not in errors]
    assert not lacking, "\n".join(lacking)


def test_every_error_is_a_problem(document: Json) -> None:
    for path, method, each in operations(document):
        for code, answer in each["responses"].items():
            if code >= "400":
                (media,) = answer["content"]
                assert media == MEDIA_TYPE, (method, path, code)
                assert answer["content"][media]["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert answer["content"][media]["example"]["status"] == int(code)


def test_every_example_is_what_it_is_an_example_of(document: Json) -> None:
    lacking = []
    for where, media, content in contents(document):
        if media not in ("application/json", MEDIA_TYPE):
            continue
        if "example" not in content:
            lacking.append(f"{where}: no example")
            continue
        check = jsonschema_rs.validator_for({**content["schema"], **whole(document)}, validate_formats=True)
        lacking += [f"{where}: {error.message}" for error in check.iter_errors(content["example"])]
    assert not lacking, "\n".join(lacking)


def test_every_field_that_is_needed_has_an_example(document: Json) -> None:
    lacking = []
    for where, media, content in contents(document):
        if "requestBody" in where and media == "application/json":
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            texts = (schema["properties"][name] for name in schema.get("required", []))
            if any(plain(each) for each in texts):
                lacking.append(f"{where}: {content['example']}")
    assert not lacking, "\n".join(lacking)


def test_what_makes_something_takes_a_key_and_nothing_else_does(site: TestSite, document: Json) -> None:
    takes = {
        each["operationId"]
        for _, _, each in operations(document)
        if any(parameter["name"] == "Idempotency-Key" for parameter in each.get("parameters", []))
    }
    asks = {
        handler.operation_id
        for route in site.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1/")
        for handler, _ in route.route_handler_map.values()
        if "once" in getattr(handler.fn, "func", handler.fn).__code__.co_names
    }
    assert takes == asks


def contents(document: Json) -> Iterator[tuple[str, str, Json]]:
    """All bodies and answers: where, the media type, what is said of it."""
    for path, method, each in operations(document):
        where = f"{method.upper()} {path}"
        for media, content in each.get("requestBody", {}).get("content", {}).items():
            yield f"{where}: requestBody", media, content
        for code, answer in each["responses"].items():
            for media, content in answer.get("content", {}).items():
                yield f"{where}: {code}", media, content


def plain(schema: Json) -> bool:
    """Whether it is a text of which nobody said an example."""
    return schema.get("type") == "string" and not any(
        name in schema for name in ("examples", "enum", "format", "const", "default")
    )


def whole(document: Json) -> dict[str, Any]:
    """The schemas, where references find them."""
    return {"components": document["components"]}
