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
OPTIONAL_NUMBER: Shape = {"type": ["number", "null"]}
BOOLEAN: Shape = {"type": "boolean"}
INSTANT: Shape = {"type": "string", "format": "date-time"}
DAY_OR_INSTANT: Shape = {"anyOf": [{"type": "string", "format": "date"}, INSTANT]}
OPTIONAL_INSTANT: Shape = {"type": ["string", "null"], "format": "date-time"}
NAME: Shape = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}
"""A name or an id: 1 to 255 characters, none of them a control character."""
OPTIONAL_NAME: Shape = {**NAME, "type": ["string", "null"]}
LINE: Shape = {"type": "string", "pattern": NAME["pattern"]}
"""What a query may hold: no control characters."""
OPTIONAL_LONG_TEXT: Shape = {"type": ["string", "null"], "maxLength": 5000}
ANY_OBJECT: Shape = {"type": "object", "additionalProperties": True}


def described(shape: Mapping[str, Any], description: str) -> Shape:
    """Give a shape with a sentence about it; one with a title stays the one of that title."""
    if "title" in shape:
        return {"anyOf": [dict(shape)], "description": description}
    return {**shape, "description": description}


def one_of(values: Sequence[str], *, optional: bool = False) -> Shape:
    """Give the shape of a closed set of texts."""
    return {"type": ["string", "null"] if optional else "string", "enum": [*values, *([None] if optional else [])]}


def array_of(items: Mapping[str, Any], *, least: int = 0, most: int | None = None) -> Shape:
    """Give the shape of an array, of any length unless bounds are given."""
    bounds = {**({"minItems": least} if least else {}), **({} if most is None else {"maxItems": most})}
    return {"type": "array", "items": dict(items), **bounds}


def bounded(shape: Mapping[str, Any], least: int, most: int) -> Shape:
    """Give the shape of numbers of a range that includes both ends."""
    return {**shape, "minimum": least, "maximum": most}


def nullable(shape: Mapping[str, Any]) -> Shape:
    """Give a shape that may also be null."""
    kind = shape.get("type")
    if "anyOf" in shape:
        known = [*shape["anyOf"]]
        return {**shape, "anyOf": known if {"type": "null"} in known else [*known, {"type": "null"}]}
    if "title" in shape or kind is None:
        return {"anyOf": [dict(shape), {"type": "null"}]} if shape else {}
    kinds = [kind] if isinstance(kind, str) else [*kind]
    choices = {"enum": list(dict.fromkeys([*shape["enum"], None]))} if "enum" in shape else {}
    return {**shape, "type": list(dict.fromkeys([*kinds, "null"])), **choices}


def request_of(
    properties: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    required: Sequence[str] = (),
    never_null: Sequence[str] = (),
) -> Shape:
    """Give the shape of an object that clients send: null is the same as absent, unless one is `never_null`."""
    kept = {*required, *never_null}
    sent = {name: shape if name in kept else nullable(shape) for name, shape in properties.items()}
    return object_of(sent, title=title, required=required)


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
