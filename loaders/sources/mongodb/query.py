"""From the JSON text of a query to a `find` or an `aggregate` that only reads one database.

Parameters take the place of whole values of the parsed query, so nothing is ever pasted into text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from loaders.errors import QueryError
from loaders.source import Parameter
from loaders.sources.mongodb.binding import Binder, collection_name, said
from loaders.sources.mongodb.extended_json import typed_object

QUERY_CHARS_MAX = 100_000

_FIND = frozenset({"projection", "sort", "skip", "limit"})
_BOTH = frozenset({"hint", "collation", "let", "allowDiskUse"})
_FILTERS = ("find", "filter", "query")
_PIPELINES = ("aggregate", "pipeline")


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
    try:
        return _parsed(_read(text), parameters)
    except RecursionError:
        raise QueryError("the query is nested too deeply") from None


def _parsed(asked: dict[str, Any], parameters: Mapping[str, Parameter]) -> Query:
    collection = collection_name(asked.pop("collection", None), "collection")
    bind = Binder(parameters)
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
        raise QueryError(f"{name!r} is {said(wanted)}: it takes an object, such as {{}} for all documents")
    for counted in ("skip", "limit"):
        if not isinstance(options.get(counted, 0), int) or options.get(counted, 0) < 0:
            raise QueryError(f"{counted!r} is {said(options[counted])}: it takes a whole number from 0")
    return Query(collection, None, bind(wanted, name), options)


def _read(text: str) -> dict[str, Any]:
    if len(text) > QUERY_CHARS_MAX:
        raise QueryError(f"the query has {len(text)} characters: at most {QUERY_CHARS_MAX}")
    try:
        asked = json.loads(text, object_pairs_hook=typed_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise QueryError(
            f"the query is no JSON: {error.msg} at line {error.lineno}, column {error.colno}; "
            'it takes an object such as {"collection": "orders", "aggregate": […]}'
        ) from None
    if not isinstance(asked, dict):
        raise QueryError('the query is no object: it takes one such as {"collection": "orders", "aggregate": […]}')
    return asked


def _no_constant(name: str) -> NoReturn:
    raise QueryError(f"the query is no JSON: it has {name}")
