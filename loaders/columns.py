"""Which columns of a query are what: the three that are needed, the customer's name, and the properties."""

from collections.abc import Sequence
from dataclasses import dataclass

from loaders.errors import QueryError
from loaders.source import CUSTOMER_NAME_COLUMN, REQUIRED_COLUMNS, Column


@dataclass(frozen=True, slots=True)
class Missing:
    """A column that is needed and not there; `message` says how to name it so that it is."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a page each part of an event lies; `customer_name` is None where there is no such column."""

    columns: Sequence[Column]
    id: int
    customer: int
    timestamp: int
    customer_name: int | None
    properties: Sequence[int]


def missing_columns(columns: Sequence[Column], quote: str) -> list[Missing]:
    """Give what is needed and not there. `quote` is the mark that keeps a name's casing, empty where it is kept."""
    names = [column.name for column in columns]
    return [Missing(name, _missing(name, names, quote)) for name in REQUIRED_COLUMNS if name not in names]


def layout_of(columns: Sequence[Column], quote: str) -> Layout:
    """Find the columns.

    Raises:
        QueryError: one is missing, or two have the same name.
    """
    names = [column.name for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise QueryError(f'the column "{twice}" is there twice: give one of them another name with AS')
    missing = missing_columns(columns, quote)
    if missing:
        raise QueryError("; ".join(one.message for one in missing))
    at = {name: index for index, name in enumerate(names)}
    known = {*REQUIRED_COLUMNS, CUSTOMER_NAME_COLUMN}
    return Layout(
        columns,
        at["id"],
        at["customerId"],
        at["timestamp"],
        at.get(CUSTOMER_NAME_COLUMN),
        [index for name, index in at.items() if name not in known],
    )


def _missing(name: str, names: Sequence[str], quote: str) -> str:
    alike = next((one for one in names if _bare(one) == _bare(name)), None)
    written = f"{quote}{name}{quote}"
    found = "" if alike is None else f' (there is "{alike}")'
    if alike is not None:
        return f'the column "{name}" is missing{found}: names count exactly, write `AS {written}`'
    return f'the column "{name}" is missing: return it in exactly this casing, such as `SELECT … AS {written}`'


def _bare(name: str) -> str:
    return name.replace("_", "").replace(" ", "").casefold()
