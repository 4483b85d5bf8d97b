"""From pages of a query's result to events for the log: the bytes that a client would have sent, judged by its rules.

The columns of a page are poured into one text by one format, and `ingest.quick_batch` proves the whole good. Only where
it does not, each row is looked at: what is faulty is told with its row and column, the rest goes on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from ingest.quick_batch import count_if_proven_good
from ingest.requests import Failure, check_batch
from loaders.columns import Layout, layout_of
from loaders.met_ids import MetIds
from loaders.source import ABSENT, REQUIRED_COLUMNS, BadValue, Cell, Column, Page
from metering.http.problem import ApiError

NAME_CHARACTERS_MAX = 255
_ID_SHOWN_MAX = 255
_NULL = "null"

_WHOLE = re.compile(r"-?\d+", re.ASCII).fullmatch
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_encode = msgspec.json.Encoder().encode
_text_of = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that was rejected. Rows are counted from 1 over the whole run; `column` None: not one column's fault."""

    row: int
    id: str | None
    column: str | None
    message: str

    def document(self) -> dict[str, Any]:
        """Give it as it goes out."""
        return {"row": self.row, "id": self.id, "column": self.column, "message": self.message}


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a page: `events` good ones as the JSON array `body`, None when there is none.

    `names` are those of customers by the customer's id as events have it, as far as the rows gave any.
    """

    rows: int
    events: int
    body: bytes | None
    faults: Sequence[RowFault]
    names: Mapping[str, str]


class EventMaker:
    """Makes events of the pages of one run, in order. For one thread."""

    def __init__(self, event_type: str, quote: str, met: MetIds | None = None) -> None:
        """`quote` as `Source.quote`. `met` tells ids that come under two customers; without it nobody does."""
        self._event_type = _encode(event_type).decode()
        self._quote = quote
        self._met = met
        self._layout: Layout | None = None
        self._format = ""
        self._formats: dict[int, str] = {}
        self._rows = 0

    def made(self, page: Page) -> Made:
        """Make events of the next page.

        Raises:
            QueryError: no row of such columns can be an event.
            OSError: the disk is full.
        """
        layout = self._layout_of(page.columns)
        before, self._rows = self._rows, self._rows + page.rows
        if not page.rows:
            return Made(0, 0, None, (), {})
        parts = _parts(layout, page)
        try:
            body = (self._of_rows(page.rows) % tuple(chain.from_iterable(zip(*parts, strict=True)))).encode()
            if count_if_proven_good(body) == page.rows:
                return self._all_good(layout, page, parts, body, before)
        except (UnicodeEncodeError, TypeError):
            pass  # A value that is no text: it is told below.
        return self._by_row(layout, page, parts, before)

    def _all_good(self, layout: Layout, page: Page, parts: Sequence[Sequence[str]], body: bytes, before: int) -> Made:
        wrong = self._meet(parts[2], parts[0])
        if not wrong:
            return Made(page.rows, page.rows, body, (), _names(layout, page, parts[0]))
        kept = sorted({*range(page.rows)} - {*wrong})
        names = _names(layout, page, parts[0], kept)
        rows = list(zip(*parts, strict=True))
        texts = [self._format % rows[index] for index in kept]
        faults = [_of_two(before, index, parts[2][index]) for index in wrong]
        return Made(page.rows, len(texts), _array(texts), faults, names)

    def _by_row(self, layout: Layout, page: Page, parts: Sequence[Sequence[Cell]], before: int) -> Made:
        faults: dict[int, RowFault] = {}
        texts: list[str] = []
        at: list[int] = []
        for index, row in enumerate(zip(*parts, strict=True)):
            fault = self._fault_of(layout, row)
            if fault is None:
                texts.append(self._text_of(layout, row))
                at.append(index)
            else:
                faults[index] = RowFault(before + index + 1, _shown_id(row[2]), *fault)
        good, failures = _judged(texts)
        for failed, (column, message) in failures.items():
            index = at[failed]
            faults[index] = RowFault(before + index + 1, _shown_id(parts[2][index]), column, message)
        kept = [at[place] for place in good]
        ids, customers = ([str(parts[which][index]) for index in kept] for which in (2, 0))
        wrong = set(self._meet(ids, customers))
        for place in wrong:
            faults[kept[place]] = _of_two(before, kept[place], ids[place])
        chosen = [texts[place] for which, place in enumerate(good) if which not in wrong]
        names = _names(layout, page, parts[0], [index for which, index in enumerate(kept) if which not in wrong])
        told = [faults[index] for index in sorted(faults)]
        return Made(page.rows, len(chosen), _array(chosen), told, names)

    def _meet(self, ids: Sequence[str], customers: Sequence[str]) -> list[int]:
        if self._met is None or not ids:
            return []
        return self._met.meet(ids, customers)

    def _fault_of(self, layout: Layout, row: Sequence[Cell]) -> tuple[str, str] | None:
        """Give the column and the reason of a fault that can be told without the rules of events."""
        customer, timestamp, identity, *_ = row
        for name, cell in zip(REQUIRED_COLUMNS, (identity, customer, timestamp), strict=True):
            if cell in (_NULL, ABSENT):
                return name, f"{name} is null: each row needs one"
        if isinstance(customer, str) and customer[0] != '"':
            return "customerId", f"customerId is {customer[:64]}: it must be text or a whole number, so cast it to text"
        places = (layout.customer, layout.timestamp, layout.id, *layout.properties)
        for place, cell in zip(places, row, strict=True):
            if isinstance(cell, BadValue):
                return layout.columns[place].name, f"{layout.columns[place].name} {cell.message}"
        return None

    def _text_of(self, layout: Layout, row: Sequence[Cell]) -> str:
        """Give a row's event, without the properties that it has not."""
        if ABSENT not in row:
            return self._format % tuple(row)
        customer, timestamp, identity, *values = row
        record = [f'"id":{identity}']
        for place, cell in zip(layout.properties, values, strict=True):
            if cell != ABSENT:
                record.append(f"{_encode(layout.columns[place].name).decode()}:{cell}")
        head = f'{{"customer_id":{customer},"event_type":{self._event_type},"timestamp":{timestamp},"record":{{'
        return f"{head}{','.join(record)}}}}}"

    def _layout_of(self, columns: Sequence[Column]) -> Layout:
        if self._layout is None or columns != self._layout.columns:
            self._layout = layout_of(columns, self._quote)
            names = [columns[place].name for place in self._layout.properties]
            keys = ['"id"', *(_encode(name).decode().replace("%", "%%") for name in names)]
            record = ",".join(f"{key}:%s" for key in keys)
            event_type = self._event_type.replace("%", "%%")
            head = f'{{"customer_id":%s,"event_type":{event_type},"timestamp":%s,'
            self._format = f'{head}"record":{{{record}}}}}'
            self._formats.clear()
        return self._layout

    def _of_rows(self, rows: int) -> str:
        """Give the format of a whole array of so many events."""
        found = self._formats.get(rows)
        if found is None:
            self._formats.clear()
            found = self._formats[rows] = "[" + ",".join([self._format] * rows) + "]"
        return found


def _parts(layout: Layout, page: Page) -> list[Sequence[Any]]:
    """Give the columns in the order in which an event has them."""
    cells = page.cells
    customers = _as_texts(cells[layout.customer])
    return [customers, cells[layout.timestamp], cells[layout.id], *(cells[place] for place in layout.properties)]


def _as_texts(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Put whole numbers in quotes: a customer's id is text, a source's may be a number."""
    try:
        return [cell if cell[:1] == '"' else _quoted(cell) for cell in cells]  # type: ignore[index,arg-type]  # See below.
    except TypeError:  # Bad values among them.
        return [_quoted(cell) if isinstance(cell, str) else cell for cell in cells]


def _quoted(cell: str) -> str:
    return f'"{cell}"' if _WHOLE(cell) else cell


def _judged(texts: Sequence[str]) -> tuple[Sequence[int], dict[int, tuple[str | None, str]]]:
    """Tell the places of good events from the faults of the others, each with its column."""
    if not texts:
        return (), {}
    try:
        failures = check_batch(_encoded(texts)).failures
    except ApiError:
        return _judged_alone(texts)
    faults = {failure.index: _told(failure) for failure in failures}
    return [place for place in range(len(texts)) if place not in faults], faults


def _judged_alone(texts: Sequence[str]) -> tuple[Sequence[int], dict[int, tuple[str | None, str]]]:
    """Judge each event by itself, where one of them spoils the whole."""
    good: list[int] = []
    faults: dict[int, tuple[str | None, str]] = {}
    for place, text in enumerate(texts):
        try:
            failures = check_batch(_encoded([text])).failures
        except ApiError as error:
            faults[place] = (None, error.message)
            continue
        if failures:
            faults[place] = _told(failures[0])
        else:
            good.append(place)
    return good, faults


def _told(failure: Failure) -> tuple[str | None, str]:
    """Give a fault's column, by the name that the query gives it, and its message."""
    path = failure.fault.path
    if path[:1] == ("record",) and len(path) > 1:
        return str(path[1]), failure.fault.message
    column = {"customer_id": "customerId", "timestamp": "timestamp"}.get(str(path[0])) if path else None
    return column, failure.fault.message


def _of_two(before: int, index: int, identity: Cell) -> RowFault:
    message = (
        "this id came under another customer earlier in this run: an id has one customer, so select an id that tells "
        "the rows apart"
    )
    return RowFault(before + index + 1, _shown_id(identity), "id", message)


def _shown_id(cell: Cell) -> str | None:
    if not isinstance(cell, str) or cell in (_NULL, ABSENT):
        return None
    return (_text_of(cell) if cell[0] == '"' else cell)[:_ID_SHOWN_MAX]


def _names(
    layout: Layout, page: Page, customers: Sequence[Cell], rows: Sequence[int] | None = None
) -> Mapping[str, str]:
    """Give the names of customers; a name is cut to what a customer may be called."""
    if layout.customer_name is None:
        return {}
    cells = page.cells[layout.customer_name]
    chosen = zip(customers, cells, strict=True) if rows is None else ((customers[row], cells[row]) for row in rows)
    names: dict[str, str] = {}
    for customer, cell in dict(chosen).items():
        if isinstance(cell, str) and cell not in (_NULL, ABSENT):
            text = _text_of(cell) if cell[0] == '"' else cell
            name = _CONTROL.sub(" ", text).strip()[:NAME_CHARACTERS_MAX]
            if name:
                names[_text_of(str(customer))] = name
    return names


def _array(texts: Sequence[str]) -> bytes | None:
    return _encoded(texts) if texts else None


def _encoded(texts: Sequence[str]) -> bytes:
    return f"[{','.join(texts)}]".encode()
