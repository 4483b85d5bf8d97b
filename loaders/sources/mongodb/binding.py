"""Put parameters in their places in a parsed query, and refuse what does more than read: one walk over all of it.

Stages come from a list of those that read; what writes, runs code or tells of the server is not on it, and a stage that
a later MongoDB brings is refused until it is put there. Operators are too many for such a list, and pure but for those
that run JavaScript, which are refused by name wherever they stand.
"""

from collections.abc import Mapping
from typing import Any

from bson import Code

from loaders.errors import QueryError
from loaders.source import PARAMETERS, Parameter
from loaders.sources.mongodb.extended_json import PLACEHOLDER, Typed, bound_as, bound_plainly

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


class Binder:
    """Puts parameters in their places and refuses what does more than read, in one walk."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = parameters

    def pipeline(self, stages: Any, path: str) -> list[dict[str, Any]]:
        """Give the stages of a pipeline, nested ones too."""
        if not isinstance(stages, list):
            raise QueryError(f"{path!r} is {said(stages)}: it takes a list of stages")
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
            return collection_name(value, path)
        source = "coll" if name == "$unionWith" else "from"
        parts: dict[str, Any] = {}
        for key, one in _fields(value, path):
            if key == source:
                parts[key] = collection_name(one, f"{path}.{key}")
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
        if isinstance(value, Typed):
            bound = bound_as(value.wrapper, self._named(value.name, path), path)
        elif isinstance(value, str) and PLACEHOLDER.search(value):
            bound = bound_plainly(self._named(value, path), path)
        else:
            return value
        return {"$literal": bound} if expression else bound

    def _named(self, text: str, path: str) -> Parameter:
        whole = PLACEHOLDER.fullmatch(text.strip())
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
    if PLACEHOLDER.search(key):
        raise QueryError(f"{path}.{key}: a parameter stands in place of a value, not of a name")
    return key


def _fields(value: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise QueryError(f"{path} is {said(value)}: it takes an object")
    return [(_key(key, path), one) for key, one in value.items()]


def collection_name(value: Any, path: str) -> str:
    """Give the name of a collection of the connection's database; no other passes."""
    if not isinstance(value, str) or not value:
        raise QueryError(f"{path!r} is {said(value)}: it takes the name of a collection of the connection's database")
    if value.startswith("system.") or "$" in value or "\0" in value or PLACEHOLDER.search(value):
        raise QueryError(f"{path!r} is {value!r}, which is no collection of users' data")
    return value


def said(value: Any) -> str:
    """Give the beginning of what was written, for a message."""
    return "missing" if value is None else f"{str(value)[:80]!r}"
