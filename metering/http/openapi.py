"""Describe a table of routes as an OpenAPI 3.1 document.

Shapes with a `title` are listed once under `components` and referred to; two different shapes of one title are a
mistake in the table.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metering.http.idempotency import HEADER, KEY_CHARACTERS_MAX, KEY_CHARACTERS_MIN, REPLAYED_HEADER, heeds_key
from metering.http.route import Route
from metering.http.shapes import TEXT, Shape, array_of, object_of, one_of

_PATH_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")

ERROR = object_of(
    {
        "message": TEXT,
        "errors": array_of(
            object_of({"code": TEXT, "path": array_of({"type": ["string", "integer"]}), "message": TEXT}, title="Fault")
        ),
    },
    title="Error",
)

_INTRODUCTION = (
    "Lists take `take` (50, at most 100) and `skip`, and filters as `field__operator=value`. Times go out in RFC 3339, "
    "UTC, milliseconds. Numbers keep all their digits."
)
_FAILURES: Mapping[str, str] = {
    "400": "Malformed, or breaks a rule: `errors` says what to change.",
    "401": "No key, or none that is good.",
    "403": "The key lacks the scope.",
    "404": "No such thing in this account and mode: what the path or the body names.",
    "408": "The body did not come in time.",
    "409": "What is there already stands against it.",
    "413": "Larger than a limit.",
    "415": "A content type or encoding that is not read.",
    "417": "The Idempotency-Key belongs to another method, URL or body.",
    "422": "Well-formed, and refused for what it means.",
    "429": "Too many requests: wait for `Retry-After` seconds.",
    "503": "Not now: the same request may be sent again after `Retry-After` seconds.",
}
_KEY_DESCRIPTION = (
    "A new UUIDv4 for each write. Sent again with the same key within 24 hours, the write is not carried out again: "
    "its first answer is given once more."
)
_RETRY_AFTER = {
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before the same request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}
_FAILURE_HEADERS: Mapping[str, Any] = {
    "401": {"WWW-Authenticate": {"required": True, "description": "How to tell the key.", "schema": TEXT}},
    "429": _RETRY_AFTER,
    "503": _RETRY_AFTER,
}
_MINIMAL = "`return=minimal`: the answer counts the events that were taken instead of giving them back (RFC 7240)."
AS_OF = "as_of"
CUTOFF_HEADER = "X-Usage-Cutoff"
_CUTOFF_DESCRIPTION = "What was counted: sent as `as_of`, it gives the same figure again."
_REPLAYED_DESCRIPTION = (
    "That the write was carried out before under this Idempotency-Key, and this is its first answer."
)
_WITH_KEY = ("401", "403", "429")
_WITH_BODY = ("404", "409", "413", "415", "422")


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Give the document of these routes."""
    shapes: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, shapes)
    error = _hoisted(ERROR, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Meterline", "version": version, "description": _INTRODUCTION},
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(shapes.items())),
            "responses": {
                f"Error{status}": {
                    "description": text,
                    "headers": _FAILURE_HEADERS.get(status, {}),
                    "content": {"application/json": {"schema": error}},
                }
                for status, text in _FAILURES.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `test_...` or `prod_...`."},
                "basic": {"type": "http", "scheme": "basic", "description": "The key as user, no password."},
            },
        },
    }


def operation_id(route: Route) -> str:
    """Name a route: `get_v1_customers_id`."""
    path = _PATH_PARAMETER.sub(r"\1", route.path)
    return re.sub(r"\W+", "_", f"{route.method.lower()}_{path}").strip("_")


def _operation(route: Route, shapes: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, shapes),
        "security": [] if route.scope is None else [{"bearer": []}, {"basic": []}],
    }
    if route.scope is not None:
        operation["description"] = f"Needs a key with the scope `{route.scope.value}` (or `admin`)."
    if route.body is not None:
        schema = _hoisted(route.body, shapes)
        operation["requestBody"] = {"required": True, "content": {route.body_type: {"schema": schema}}}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in _PATH_PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "required": False,
            "description": parameter.description,
            "schema": _or_empty(parameter.shape),
        }
        for parameter in route.parameters
    ]


def _or_empty(shape: Shape) -> Shape:
    """An empty text is the same as none."""
    return {"anyOf": [shape, {"type": "string", "maxLength": 0}]} if shape.keys() - {"type", "description"} else shape


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.minimal_answer:
        return [{"name": "Prefer", "in": "header", "required": False, "description": _MINIMAL, "schema": TEXT}]
    if not heeds_key(route):
        return []
    schema = {"type": "string", "minLength": KEY_CHARACTERS_MIN, "maxLength": KEY_CHARACTERS_MAX}
    return [{"name": HEADER, "in": "header", "required": False, "description": _KEY_DESCRIPTION, "schema": schema}]


def _responses(route: Route, shapes: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        success["content"] = {route.answer_type: {"schema": _hoisted(route.answer, shapes)}}
        success["content"] |= {kind: {"schema": TEXT} for kind in route.other_answer_types}
    headers = _answer_headers(route)
    if headers:
        success["headers"] = headers
    failures = _failures(route) if route.failures is None else set(map(str, route.failures))
    references = {status: {"$ref": f"#/components/responses/Error{status}"} for status in sorted(failures)}
    return {str(route.status): success, **references}


def _answer_headers(route: Route) -> dict[str, Any]:
    found = {}
    if any(parameter.name == AS_OF for parameter in route.parameters):
        found[CUTOFF_HEADER] = {"required": True, "description": _CUTOFF_DESCRIPTION, "schema": TEXT}
    if heeds_key(route):
        found[REPLAYED_HEADER] = {"description": _REPLAYED_DESCRIPTION, "schema": one_of(("true",))}
    return found


def _failures(route: Route) -> set[str]:
    """Give the statuses that a route of this kind may fail with."""
    failures = {"400", "503"}
    failures |= set(_WITH_KEY) if route.scope is not None else set()
    failures |= {"404"} if _PATH_PARAMETER.search(route.path) else set()
    failures |= set(_WITH_BODY) if route.body is not None else set()
    failures |= {"409"} if route.method == "DELETE" else set()
    failures |= {"409", "417"} if heeds_key(route) else set()
    return failures


def _hoisted(shape: Any, shapes: dict[str, Any]) -> Any:
    """Replace shapes that have a title by references, and collect them."""
    if isinstance(shape, list | tuple):
        return [_hoisted(inner, shapes) for inner in shape]
    if not isinstance(shape, Mapping):
        return shape
    inner = {key: _hoisted(value, shapes) for key, value in shape.items()}
    title = shape.get("title")
    if not isinstance(title, str):
        return inner
    known = shapes.setdefault(title, inner)
    assert known == inner, f"two different shapes are called {title}"
    return {"$ref": f"#/components/schemas/{title}"}
