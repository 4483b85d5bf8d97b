"""Which fields the documents of a query have, as far as the query alone tells: for a result without documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from loaders.sources.mongodb.query import Query

_KEEPING = frozenset({"$match", "$sort", "$limit", "$skip", "$sample", "$redact", "$unwind"})


def named_fields(query: Query) -> Sequence[str] | None:
    """Give the fields in their order; None where they depend on what is stored."""
    if query.pipeline is None:
        return _projected(query.options.get("projection"), None)
    names: Sequence[str] | None = None
    for stage in query.pipeline:
        ((name, value),) = stage.items()
        names = _after(name, value, names)
    return names


def _after(stage: str, value: Any, names: Sequence[str] | None) -> Sequence[str] | None:
    if stage in _KEEPING:
        return names
    if stage == "$project":
        return _projected(value, names)
    if stage == "$group" and isinstance(value, dict):
        return list(value)
    if stage in {"$addFields", "$set"} and isinstance(value, dict):
        return None if names is None else _tops([*names, *value])
    if stage in {"$lookup", "$graphLookup"}:
        return None if names is None else _tops([*names, str(value.get("as"))])
    if stage == "$count":
        return [str(value)]
    return None


def _projected(projection: Any, names: Sequence[str] | None) -> Sequence[str] | None:
    if not isinstance(projection, Mapping):
        return names
    kept = [name for name, value in projection.items() if not _excludes(value)]
    if not kept:  # It names only what is left out.
        return None if names is None else [name for name in names if name not in projection]
    if "_id" not in projection:
        kept.insert(0, "_id")
    return _tops(kept)


def _excludes(value: Any) -> bool:
    return isinstance(value, bool | int | float) and not value


def _tops(names: Sequence[str]) -> Sequence[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in names))
