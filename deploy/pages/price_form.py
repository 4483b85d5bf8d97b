"""Price rows as a plain form holds them: texts, one field each, from what was typed to what the API takes and back.

Nothing is checked here. What reads as a JSON number goes on as one, all else as text, so that the readers of the API
refuse it with their own words; these are put beside the field that they speak of.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from billing.pricing.rows import named
from metering.decimals import plain
from metering.http.problem import Fault

ROWS_MAX = 40
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,60})(\.\d{1,60})?")

_TIERED = ("from", "to", "amount", "unit_count", "mode")
COLUMNS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "volume": _TIERED,
        "packaged": _TIERED,
        "bulk": _TIERED,
        "bps": ("from", "to", "percentage", "per_unit_floor", "per_unit_cap", "per_unit_fee"),
        "bundle": ("amount", "unit_count"),
        "fee": ("amount", "count"),
    }
)
"""Which fields the rows of a model have."""
NAMES = tuple(dict.fromkeys(name for names in COLUMNS.values() for name in names))
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "from": "From",
        "to": "To, empty for the last",
        "amount": "Amount, minor units",
        "unit_count": "For so many units",
        "mode": "Incomplete tier or pack",
        "percentage": "Per cent",
        "per_unit_floor": "Least per event, minor units",
        "per_unit_cap": "Most per event, minor units",
        "per_unit_fee": "Fee per event, minor units",
        "count": "Times",
    }
)
MODES = ("pro_rata", "pay_in_full", "do_not_charge")
_MODE_FIELDS = {"volume": "on_tier_incomplete", "bulk": "on_tier_incomplete", "packaged": "on_bucket_incomplete"}


@dataclass(frozen=True, slots=True)
class PriceRows:
    """The rows of one price; `prefix` begins the names of their fields, `prices` in `prices.0.from`."""

    prefix: str
    model: str
    rows: Sequence[Mapping[str, str]]

    @property
    def columns(self) -> Sequence[str]:
        """Give the fields that are seen; the others are kept for when the model is changed back."""
        return COLUMNS[self.model]

    def document(self) -> list[dict[str, Any]]:
        """Give the rows as the API takes them: an empty field is absent, but `to`, which is null."""
        return [self._row(row) for row in self.rows]

    def with_row(self) -> "PriceRows":
        """Add an open row that begins where the last one ends, priced alike."""
        if len(self.rows) >= ROWS_MAX:
            return self
        last = self.rows[-1] if self.rows else {}
        return PriceRows(self.prefix, self.model, [*self.rows, {**last, "from": last.get("to") or "", "to": ""}])

    def without_row(self, index: int) -> "PriceRows":
        """Remove a row; the last one that is left stays."""
        left = [row for number, row in enumerate(self.rows) if number != index]
        return PriceRows(self.prefix, self.model, left or self.rows)

    def names(self) -> set[str]:
        """Give the names beside which something can be said."""
        shown = {f"{self.prefix}.{number}.{name}" for number in range(len(self.rows)) for name in self.columns}
        return shown | {f"{self.prefix}.{number}" for number in range(len(self.rows))} | {self.prefix}

    def _row(self, row: Mapping[str, str]) -> dict[str, Any]:
        out: dict[str, Any] = {"type": self.model}
        for name in self.columns:
            text = row.get(name, "")
            if name == "mode":
                out[_MODE_FIELDS[self.model]] = text or MODES[0]
            elif text or name == "to":
                out[name] = as_number(text) if text else None
        return out


def new_rows(prefix: str) -> PriceRows:
    """Give what an empty form begins with."""
    return PriceRows(prefix, "volume", [{"from": "0", "to": "", "amount": "", "unit_count": "1", "mode": MODES[0]}])


def typed_rows(fields: Mapping[str, str], prefix: str) -> PriceRows:
    """Give the rows that were typed, in the order of their numbers."""
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d{{1,4}})\.(\w+)")
    found: dict[int, dict[str, str]] = {}
    for field_name, value in fields.items():
        matched = pattern.fullmatch(field_name)
        if matched and matched[2] in NAMES:
            found.setdefault(int(matched[1]), {})[matched[2]] = value
    model = fields.get(f"{prefix}.model", "")
    rows = [found[number] for number in sorted(found)][:ROWS_MAX]
    begun = new_rows(prefix)
    return PriceRows(prefix, model if model in COLUMNS else begun.model, rows or begun.rows)


def kept_rows(prefix: str, rows: Sequence[Mapping[str, Any]]) -> PriceRows:
    """Give the rows of a price that is kept, as texts."""
    return PriceRows(prefix, rows[0]["type"], [_texts(row) for row in rows])


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: text_of(row.get(name)) for name in NAMES}
    return {**texts, "mode": row.get("on_tier_incomplete") or row.get("on_bucket_incomplete") or MODES[0]}


def text_of(value: Any) -> str:
    """Write a number into a field, all its digits; nothing for null."""
    return "" if value is None else plain(value) if isinstance(value, Decimal) else str(value)


def as_number(text: str) -> int | Decimal | str:
    """Give the number that a text is, and any other text as it is."""
    matched = _NUMBER.fullmatch(text)
    if matched is None:
        return text
    return Decimal(text) if matched[2] else int(text)


@dataclass(frozen=True, slots=True)
class Beside:
    """What is wrong: by the name of a field, and what belongs to none that is seen."""

    by_name: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rest: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.by_name or self.rest)

    def of(self, name: str) -> Sequence[str]:
        """Give what is wrong with a field."""
        return self.by_name.get(name, ())


def beside(faults: Iterable[Fault], message: str, known: set[str], renamed: Mapping[str, str]) -> Beside:
    """Put faults beside the fields they speak of, or the nearest that holds them.

    `renamed` gives the beginning of a name here for that of a path there; `message` is for an error without faults.
    """
    by_name: dict[str, list[str]] = {}
    rest: list[str] = []
    told = list(faults)
    for fault in told:
        name = _name(fault.path, renamed)
        while name not in known and "." in name:
            name = name.rpartition(".")[0]
        if name in known:
            said = by_name.setdefault(name, [])
            said += {_without_path(fault)}.difference(said)  # What groups have in common is told of each.
        else:
            rest.append(fault.message)
    return Beside(by_name, rest if told else [message])


def _without_path(fault: Fault) -> str:
    """Give the message without the name that stands above the field anyway."""
    words = fault.message.removeprefix(named(tuple(fault.path))).lstrip(": ").removeprefix("metering_filter: ")
    words = words.removesuffix(": send a string")
    return words[:1].upper() + words[1:]


def _name(path: Sequence[str | int], renamed: Mapping[str, str]) -> str:
    parts = ["mode" if part in _MODE_FIELDS.values() else str(part) for part in path]
    name = ".".join(parts)
    for there, here in renamed.items():
        if name == there or name.startswith(there + "."):
            return (here + name[len(there) :]).removeprefix(".")
    return name
