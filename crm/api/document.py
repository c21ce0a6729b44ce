"""The API's description as OpenAPI 3.1, completed: what Litestar reads off the handlers, and what it leaves out.

Left out are what msgspec refuses beyond the types (unknown fields, the bounds of a list's items), the header
Idempotency-Key, errors that any body can have, and examples of bodies and answers, made from those of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.enums import OpenAPIMediaType
from litestar.openapi.plugins import YamlRenderPlugin
from litestar.routes import HTTPRoute
from litestar.serialization import get_serializer
from litestar.types import ControllerRouterHandler
from litestar.typing import FieldDefinition

from crm.api.problems import MEDIA_TYPE, TITLES, Problem

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
# A token is given once, and kept nowhere to be given again; an import is written or checked as its state allows.
NOT_ONCE = frozenset({"create_tokens", "write_import", "check_import"})
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same request with the same key is done once, and answered alike for a day",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "5f0c6f1e-4d5e-4a52-9d0e-0f2b1c7a9e11",
}
_OF_BODIES = {413: "the body is too large", 415: "the body is of another type"}
_OF_KEYS = {"409": "a request with this key is in progress", "422": "the key cannot be taken"}
_DEEPEST = 8
_made: dict[int, Json] = {}


class NoRouter(Router):
    """In place of Litestar's own pages of the description: it is given by our requests, in worker threads."""

    def register(self, value: ControllerRouterHandler) -> Any:
        return []


@get("/openapi.json", sync_to_thread=True, include_in_schema=False, media_type=OpenAPIMediaType.OPENAPI_JSON)
def as_json(request: Request[Any, Any, Any]) -> bytes:
    return msgspec.json.encode(described(request.app))


@get("/openapi.yaml", sync_to_thread=True, include_in_schema=False, media_type=OpenAPIMediaType.OPENAPI_YAML)
def as_yaml(request: Request[Any, Any, Any]) -> bytes:
    return YamlRenderPlugin().render(request, described(request.app))


def described(app: Litestar) -> Json:
    """The description of an application's API; made at the first question."""
    found = _made.get(id(app.openapi_schema))
    if found is None:
        given = app.openapi_schema.to_schema()
        plain: Json = msgspec.to_builtins(given, enc_hook=get_serializer(app.type_encoders), str_keys=True)
        plain["components"]["schemas"] |= _schemas(app)
        found = complete(plain)
        _made.clear()
        _made[id(app.openapi_schema)] = found
    return found


def _schemas(app: Litestar) -> Json:
    """What bodies and answers are, by msgspec's own word: it is what reads and refuses them."""
    found: list[Any] = [Problem]
    for route in app.routes:
        for handler, _ in route.route_handler_map.values() if isinstance(route, HTTPRoute) else ():
            if handler.resolve_include_in_schema():
                found += [*_type(handler.parsed_data_field), *_type(handler.parsed_return_field)]
    _, schemas = msgspec.json.schema_components(found, ref_template="#/components/schemas/{name}")
    return schemas


def _type(of: FieldDefinition | None) -> list[Any]:
    """The type that a handler takes or gives, unless it is a file."""
    if of is not None and of.is_subclass_of(Response):
        of = next(iter(of.inner_types), None)
    if of is None:
        return []
    try:
        msgspec.json.schema_components([of.annotation])
    except TypeError:
        return []
    return [of.annotation]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Each operation with its path and method."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def complete(document: Json) -> Json:
    """The same description, with what was left out."""
    schemas = document["components"]["schemas"]
    for _, method, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content.setdefault("example", example_of(content["schema"], schemas, asked=True))
        if "requestBody" in operation:
            problem = operation["responses"]["400"]["content"]
            for code, why in _OF_BODIES.items():
                operation["responses"][str(code)] = {"description": why, "content": {**problem}}
        if method == "post" and makes_once(operation):
            operation.setdefault("parameters", []).append(KEY)
            for status, why in _OF_KEYS.items():
                content = operation["responses"]["400"]["content"]
                operation["responses"].setdefault(status, {"description": why, "content": {**content}})
        for code, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                if media == MEDIA_TYPE:
                    operation["responses"][code]["content"] = {
                        media: {**content, "example": _problem(code, answer)}
                    }
                elif media == "application/json":
                    content.setdefault("example", example_of(content["schema"], schemas))
    return document


def makes_once(operation: Json) -> bool:
    """Whether it takes an Idempotency-Key: whatever makes something does."""
    makes = not {"201", "202"}.isdisjoint(operation["responses"])
    return makes and operation["operationId"] not in NOT_ONCE


def example_of(schema: Json, schemas: Json, *, asked: bool = False, depth: int = 0) -> Any:
    """A value of a schema, out of the examples that its parts have. `asked`: of a body, so only what says something."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, asked=asked, depth=depth + 1)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("example", "const", "default"):
        if name in schema and schema[name] is not None:
            return schema[name]
    for each in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if each.get("type") != "null":
            return example_of(each, schemas, asked=asked, depth=depth + 1)
    match schema.get("type"):
        case "object":
            return _object(schema, schemas, asked, depth)
        case "array":
            items = schema.get("items", {})
            return [] if depth > _DEEPEST else [example_of(items, schemas, asked=asked, depth=depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "string" if schema.get("format") == "date-time":
            return "2026-11-24T09:03:22Z"
        case "string" if schema.get("format") == "binary":
            return "(the file)"
        case "string":
            return "x" * schema.get("minLength", 0) or "text"
    return None


def _object(schema: Json, schemas: Json, asked: bool, depth: int) -> Json:
    found = {}
    needed = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        if depth <= _DEEPEST and (not asked or name in needed or says_something(each, schemas)):
            found[name] = example_of(each, schemas, asked=asked, depth=depth + 1)
    return found


def says_something(schema: Json, schemas: Json) -> bool:
    """Whether somebody has thought of an example of it."""
    ways = (*schema.get("oneOf", ()), *schema.get("anyOf", ()))
    return "examples" in schema or "example" in schema or any(says_something(each, schemas) for each in ways)


def _problem(code: str, answer: Json) -> Json:
    name, title = TITLES[int(code)]
    said = {"type": f"/problems/{name}", "title": title, "status": int(code), "detail": answer["description"]}
    return {**said, "errors": {"name": "this is needed"} if code == "422" else {}}
