"""JSON Schema fragments for the route tables.

A fragment with a `title` is a shape of its own: the API's description lists it once and refers to it by that name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
OPTIONAL_TEXT: Shape = {"type": ["string", "null"]}
INTEGER: Shape = {"type": "integer"}
NUMBER: Shape = {"type": "number"}
BOOLEAN: Shape = {"type": "boolean"}
INSTANT: Shape = {"type": "string", "format": "date-time"}
OPTIONAL_INSTANT: Shape = {"type": ["string", "null"], "format": "date-time"}
ANY_OBJECT: Shape = {"type": "object", "additionalProperties": True}


def described(shape: Mapping[str, Any], description: str) -> Shape:
    """Give a shape with a sentence about it."""
    return {**shape, "description": description}


def one_of(values: Sequence[str], *, optional: bool = False) -> Shape:
    """Give the shape of a closed set of texts."""
    return {"type": ["string", "null"] if optional else "string", "enum": [*values, *([None] if optional else [])]}


def array_of(items: Mapping[str, Any]) -> Shape:
    """Give the shape of an array."""
    return {"type": "array", "items": dict(items)}


def object_of(
    properties: Mapping[str, Mapping[str, Any]], *, title: str | None = None, required: Sequence[str] | None = None
) -> Shape:
    """Give the shape of an object; every property is there unless `required` says which are."""
    named = {"title": title} if title else {}
    always = list(properties) if required is None else list(required)
    return {**named, "type": "object", "properties": dict(properties), **({"required": always} if always else {})}


META = object_of({"total": INTEGER, "taken": INTEGER, "skipped": INTEGER}, title="Meta")


def page_of(items: Mapping[str, Any]) -> Shape:
    """Give the shape of one page of a list."""
    return object_of({"meta": META, "data": array_of(items)})
