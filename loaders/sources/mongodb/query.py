"""From the JSON text of a query to a `find` or an `aggregate` that only reads one database.

Stages come from a list of those that read; what writes, runs code or tells of the server is not on it, and a stage that
a later MongoDB brings is refused until it is put there. Operators are too many for such a list, and pure but for those
that run JavaScript, which are refused by name wherever they stand. Parameters take the place of whole values of the
parsed query, so nothing is ever pasted into text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

from bson import Code, Decimal128, Int64, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from loaders.errors import QueryError
from loaders.source import PARAMETERS, Parameter

QUERY_CHARS_MAX = 100_000

STAGES = frozenset(
    {
        "$addFields",
        "$bucket",
        "$bucketAuto",
        "$count",
        "$densify",
        "$facet",
        "$fill",
        "$geoNear",
        "$graphLookup",
        "$group",
        "$limit",
        "$lookup",
        "$match",
        "$project",
        "$redact",
        "$replaceRoot",
        "$replaceWith",
        "$sample",
        "$set",
        "$setWindowFields",
        "$skip",
        "$sort",
        "$sortByCount",
        "$unionWith",
        "$unset",
        "$unwind",
    }
)
CODE = frozenset({"$where", "$function", "$accumulator"})
"""Operators that run JavaScript at the server."""

_PLAIN_STAGES = frozenset({"$limit", "$skip", "$sample", "$sort", "$densify", "$unset", "$count", "$unwind"})
"""Their values are no expressions."""
_JOINS = {
    "$lookup": frozenset({"localField", "foreignField", "let", "pipeline", "as"}),
    "$graphLookup": frozenset(
        {"startWith", "connectFromField", "connectToField", "as", "maxDepth", "depthField", "restrictSearchWithMatch"}
    ),
    "$unionWith": frozenset({"pipeline"}),
}
"""Stages that read another collection, with what they take beside its name: no other database may be named."""
_FIND = frozenset({"projection", "sort", "skip", "limit"})
_BOTH = frozenset({"hint", "collation", "let", "allowDiskUse"})
_FILTERS = ("find", "filter", "query")
_PIPELINES = ("aggregate", "pipeline")
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
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_JSON = json_util.JSONOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of one collection: a pipeline, or a filter with `options` as `find` names them."""

    collection: str
    pipeline: Sequence[Mapping[str, Any]] | None
    filter: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str, parameters: Mapping[str, Parameter]) -> Query:
    """Read a query and bind its parameters.

    Raises:
        QueryError: it is no query, or none that may run; the message names the place and the remedy.
    """
    asked = _read(text)
    collection = _collection(asked.pop("collection", None), "collection")
    bind = _Binder(parameters)
    stages = {name: asked.pop(name) for name in list(asked) if name.startswith("$")}
    pipelines = [name for name in _PIPELINES if name in asked] + ["stages"] * bool(stages)
    filters = [name for name in _FILTERS if name in asked]
    if len(pipelines) + len(filters) > 1:
        raise QueryError(f"the query has {' and '.join(pipelines + filters)}: one of them says what to read")
    unknown = [name for name in asked if name not in {*_FIND, *_BOTH, *pipelines, *filters}]
    if unknown:
        raise QueryError(
            f"the query has {unknown[0]!r}, which is nothing that can be asked for: "
            f"it takes collection, {', '.join((*_FILTERS[:1], *_PIPELINES[:1], *sorted(_FIND), *sorted(_BOTH)))}"
        )
    options: dict[str, Any] = {}
    for name in (*sorted(_FIND), *sorted(_BOTH)):
        if name in asked:
            options[name] = bind(asked[name], name, expression=name in {"projection", "let"})
    if pipelines:
        misplaced = [name for name in options if name in _FIND]
        if misplaced:
            raise QueryError(f"{misplaced[0]!r} belongs to find: in an aggregate, write a stage ${misplaced[0]}")
        name = pipelines[0]
        written = [{stage: value} for stage, value in stages.items()] if stages else asked[name]
        return Query(collection, bind.pipeline(written, name), options=options)
    name = filters[0] if filters else "find"
    wanted = asked.get(name, {})
    if not isinstance(wanted, dict):
        raise QueryError(f"{name!r} is {_said(wanted)}: it takes an object, such as {{}} for all documents")
    for counted in ("skip", "limit"):
        if not isinstance(options.get(counted, 0), int) or options.get(counted, 0) < 0:
            raise QueryError(f"{counted!r} is {_said(options[counted])}: it takes a whole number from 0")
    return Query(collection, None, bind(wanted, name), options)


def _read(text: str) -> dict[str, Any]:
    if len(text) > QUERY_CHARS_MAX:
        raise QueryError(f"the query has {len(text)} characters: at most {QUERY_CHARS_MAX}")
    try:
        asked = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise QueryError(
            f"the query is no JSON: {error.msg} at line {error.lineno}, column {error.colno}; "
            'it takes an object such as {"collection": "orders", "aggregate": […]}'
        ) from None
    except RecursionError:
        raise QueryError("the query is nested too deeply") from None
    if not isinstance(asked, dict):
        raise QueryError('the query is no object: it takes one such as {"collection": "orders", "aggregate": […]}')
    return asked


@dataclass(frozen=True, slots=True)
class _Typed:
    """A wrapper of extended JSON around a parameter: `{"$oid": "{{cursor}}"}`."""

    wrapper: str
    name: str


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise QueryError(f"the query has {twice!r} twice in one object")
    if len(found) == 1 and pairs[0][0] in _TYPES:
        wrapper, value = pairs[0]
        if isinstance(value, str) and _PLACEHOLDER.search(value):
            return _Typed(wrapper, value)
        try:
            return json_util.object_hook(found, _JSON)
        except (BSONError, PyMongoError, TypeError, ValueError, ArithmeticError, AttributeError, KeyError) as error:
            raise QueryError(f"{wrapper!r} cannot be read: {error}") from None
    return found


def _no_constant(name: str) -> NoReturn:
    raise QueryError(f"the query is no JSON: it has {name}")


class _Binder:
    """Puts parameters in their places and refuses what does more than read, in one walk."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = parameters

    def pipeline(self, stages: Any, path: str) -> list[dict[str, Any]]:
        """Give the stages of a pipeline, nested ones too."""
        if not isinstance(stages, list):
            raise QueryError(f"{path!r} is {_said(stages)}: it takes a list of stages")
        return [self._stage(stage, f"{path}[{place}]") for place, stage in enumerate(stages)]

    def _stage(self, stage: Any, path: str) -> dict[str, Any]:
        if not isinstance(stage, dict) or len(stage) != 1:
            raise QueryError(f'{path} is no stage: it takes an object of one name, such as {{"$match": {{…}}}}')
        ((name, value),) = stage.items()
        if name not in STAGES:
            raise QueryError(
                f"{path} is {name}, which may not run here: only stages that read may ({', '.join(sorted(STAGES))})"
            )
        path = f"{path}.{name}"
        if name == "$match":
            return {name: self(value, path)}
        if name == "$facet":
            return {name: {key: self.pipeline(one, f"{path}.{key}") for key, one in _fields(value, path)}}
        if name in _JOINS:
            return {name: self._joined(name, value, path)}
        if name == "$geoNear":
            parts = {key: self(one, f"{path}.{key}", expression=key != "query") for key, one in _fields(value, path)}
            return {name: parts}
        return {name: self(value, path, expression=name not in _PLAIN_STAGES)}

    def _joined(self, name: str, value: Any, path: str) -> Any:
        if name == "$unionWith" and isinstance(value, str):
            return _collection(value, path)
        source = "coll" if name == "$unionWith" else "from"
        parts: dict[str, Any] = {}
        for key, one in _fields(value, path):
            if key == source:
                parts[key] = _collection(one, f"{path}.{key}")
            elif key == "pipeline" and key in _JOINS[name]:
                parts[key] = self.pipeline(one, f"{path}.{key}")
            elif key in _JOINS[name]:
                parts[key] = self(one, f"{path}.{key}", expression=key in {"let", "startWith"})
            else:
                raise QueryError(f"{path} has {key!r}: it takes {', '.join((source, *sorted(_JOINS[name])))}")
        if source not in parts:
            raise QueryError(f"{path} has no {source!r}: it takes the name of a collection")
        return parts

    def __call__(self, value: Any, path: str, *, expression: bool = False) -> Any:
        """Give a value with its parameters bound.

        In an expression a text that begins with `$` names a field, and a number in a projection is a flag, so a bound
        value is marked as a literal there; in a filter it is one already.
        """
        if isinstance(value, dict):
            return {
                _key(key, path): self(one, f"{path}.{key}", expression=expression or key == "$expr")
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [self(one, f"{path}[{place}]", expression=expression) for place, one in enumerate(value)]
        if isinstance(value, Code):
            raise QueryError(f"{path} is code, which may not run here")
        if isinstance(value, _Typed):
            bound = _typed(value.wrapper, self._named(value.name, path), path)
        elif isinstance(value, str) and _PLACEHOLDER.search(value):
            bound = _plain(self._named(value, path), path)
        else:
            return value
        return {"$literal": bound} if expression else bound

    def _named(self, text: str, path: str) -> Parameter:
        whole = _PLACEHOLDER.fullmatch(text.strip())
        if whole is None:
            raise QueryError(f"{path} is {text!r}: a parameter stands alone in its quotes, with no text around it")
        name = whole[1]
        if name not in PARAMETERS:
            known = " and ".join(f"{{{{{one}}}}}" for one in PARAMETERS)
            raise QueryError(f"{path} is {text!r}: the parameters are {known}")
        if name not in self._parameters:
            raise QueryError(f"{path} is {text!r}, which has no value here")
        return self._parameters[name]


def _key(key: str, path: str) -> str:
    if key in CODE or key.startswith("$_"):
        raise QueryError(f"{path}.{key} may not run here: it is code or internal to the server")
    if _PLACEHOLDER.search(key):
        raise QueryError(f"{path}.{key}: a parameter stands in place of a value, not of a name")
    return key


def _fields(value: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise QueryError(f"{path} is {_said(value)}: it takes an object")
    return [(_key(key, path), one) for key, one in value.items()]


def _collection(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise QueryError(f"{path!r} is {_said(value)}: it takes the name of a collection of the connection's database")
    if value.startswith("system.") or "$" in value or "\0" in value or _PLACEHOLDER.search(value):
        raise QueryError(f"{path!r} is {value!r}, which is no collection of users' data")
    return value


def _plain(value: Parameter, path: str) -> Any:
    if isinstance(value, Decimal):
        try:
            return Decimal128(value)
        except DecimalException:
            raise QueryError(f"{path}: {value} has more digits than MongoDB's decimals hold (34)") from None
    return value


def _typed(wrapper: str, value: Parameter, path: str) -> Any:
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


def _said(value: Any) -> str:
    return "missing" if value is None else f"{str(value)[:80]!r}"
