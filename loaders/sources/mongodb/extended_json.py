"""Extended JSON, as MongoDB writes what JSON has no form for, with parameters among it: `{"$oid": "{{cursor}}"}`."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any

from bson import Decimal128, Int64, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from loaders.errors import QueryError
from loaders.source import Parameter

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_TYPES = frozenset(
    {
        "$binary",
        "$code",
        "$date",
        "$dbPointer",
        "$maxKey",
        "$minKey",
        "$numberDecimal",
        "$numberDouble",
        "$numberInt",
        "$numberLong",
        "$oid",
        "$regularExpression",
        "$symbol",
        "$timestamp",
        "$undefined",
        "$uuid",
    }
)
"""The wrappers of extended JSON: objects of this one key. `$regex` stays an operator."""
_JSON = json_util.JSONOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)


@dataclass(frozen=True, slots=True)
class Typed:
    """A wrapper of extended JSON around a parameter: `{"$oid": "{{cursor}}"}`."""

    wrapper: str
    name: str


def typed_object(pairs: list[tuple[str, Any]]) -> Any:
    """Give an object of JSON as what it stands for.

    Raises:
        QueryError: it has a name twice, or a wrapper around what it cannot wrap.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise QueryError(f"the query has {twice!r} twice in one object")
    if len(found) == 1 and pairs[0][0] in _TYPES:
        wrapper, value = pairs[0]
        if isinstance(value, str) and PLACEHOLDER.search(value):
            return Typed(wrapper, value)
        try:
            return json_util.object_hook(found, _JSON)
        except (BSONError, PyMongoError, TypeError, ValueError, ArithmeticError, AttributeError, KeyError) as error:
            raise QueryError(f"{wrapper!r} cannot be read: {error}") from None
    return found


def bound_plainly(value: Parameter, path: str) -> Any:
    """Give a parameter as the driver takes it."""
    if isinstance(value, Decimal):
        try:
            return Decimal128(value)
        except DecimalException:
            raise QueryError(f"{path}: {value} has more digits than MongoDB's decimals hold (34)") from None
    return value


def bound_as(wrapper: str, value: Parameter, path: str) -> Any:
    """Give a parameter as the type that a wrapper names."""
    try:
        if wrapper == "$oid":
            return ObjectId(str(value))
        if wrapper == "$date" and isinstance(value, datetime):
            return value
        if wrapper == "$numberDecimal":
            return Decimal128(str(value))
        if wrapper in {"$numberLong", "$numberInt"}:
            return Int64(str(value))
        if wrapper == "$numberDouble":
            return float(str(value))
        if wrapper in {"$date", "$uuid"}:
            return json_util.object_hook({wrapper: value}, _JSON)
    except (BSONError, PyMongoError, DecimalException, TypeError, ValueError) as error:
        raise QueryError(f"{path}: the parameter cannot be a {wrapper}: {error}") from None
    raise QueryError(f"{path}: a parameter cannot be a {wrapper}")
