"""The groups of a price as a form holds them: which events each takes, and its rows. Texts only, nothing is checked.

A price is one group that takes all events, or a matrix: groups with conditions, each with rows of its own. What was
typed goes on as the API takes it, so its readers refuse it with their own words; these are put beside the field.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from billing.catalog.model import PriceGroup
from deploy.pages.price_form import ROWS_MAX, PriceRows, as_number, kept_rows, new_rows, text_of, typed_rows
from metering.decimals import plain
from metering.filters import NULL_OPERATORS, Conditional, Operator
from metering.http.json import MalformedJsonError, loads

GROUPS_MAX = 8
CONDITIONS_MAX = 10
"""A form holds so many groups, and each so many conditions; the API takes more."""
CONDITIONALS = tuple(one.value for one in Conditional)
OPERATORS = tuple(one.value for one in Operator)
_FIELDS = ("property", "operator", "value")
_NO_CONDITION = {"property": "", "operator": Operator.EQUALS.value, "value": ""}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class GroupTyped:
    """One group: `place` begins the names of its fields. `id` is that of the price it is kept as, else empty."""

    place: str
    rows: PriceRows
    id: str = ""
    name: str = ""
    conditional: str = CONDITIONALS[0]
    conditions: Sequence[Mapping[str, str]] = ()

    def metering_filter(self) -> dict[str, Any] | None:
        """Give which events it takes as the API takes it; None where it takes what is left."""
        if not self.conditions:
            return None
        fields = [_condition(one) for one in self.conditions]
        named = {"name": self.name} if self.name else {}
        return {**named, "configuration": {"conditional": self.conditional, "fields": fields}}

    def names(self) -> set[str]:
        """Give the names beside which something can be said."""
        places = [f"{self.place}.conditions.{number}" for number in range(len(self.conditions))]
        each = {f"{place}.{name}" for place in places for name in _FIELDS}
        return {self.place, f"{self.place}.name", f"{self.place}.conditional", *places, *each, *self.rows.names()}

    def with_condition(self) -> "GroupTyped":
        """Add an empty condition."""
        if len(self.conditions) >= CONDITIONS_MAX:
            return self
        return replace(self, conditions=[*self.conditions, _NO_CONDITION])

    def without_condition(self, index: int) -> "GroupTyped":
        """Remove a condition."""
        return replace(self, conditions=[one for number, one in enumerate(self.conditions) if number != index])

    def placed(self, place: str) -> "GroupTyped":
        """Give it another place."""
        return replace(self, place=place, rows=replace(self.rows, prefix=f"{place}.prices"))


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one price; `prefix` begins the names of their fields. `focus` is the field to go on with."""

    prefix: str
    groups: Sequence[GroupTyped]
    focus: str = ""

    @property
    def is_plain(self) -> bool:
        """Tell whether all events are priced alike."""
        return len(self.groups) == 1 and not self.groups[0].conditions

    def names(self) -> set[str]:
        """Give the names beside which something can be said."""
        return {self.prefix}.union(*(group.names() for group in self.groups))

    def renamed(self, there: str, *, at: int = 0) -> dict[str, str]:
        """Say which fields are meant by what the API says of `there`, an array whose number `at` is the first group."""
        out: dict[str, str] = {}
        for number, group in enumerate(self.groups, at):
            where = f"{there}.{number}.metering_filter"
            out |= {
                f"{where}.configuration.fields": f"{group.place}.conditions",
                f"{where}.configuration.conditional": f"{group.place}.conditional",
                f"{where}.name": f"{group.place}.name",
                where: group.place,
                f"{there}.{number}.prices": group.rows.prefix,
            }
        return out

    def acted(self, sent: Mapping[str, str]) -> "Groups":
        """Do what the button asks that the form was sent with."""
        verb, _, rest = sent.get("do", "").partition(" ")
        place, _, text = rest.partition(" ")
        number = int(text[:4]) if text.isascii() and text.isdigit() else -1
        if place == self.prefix and verb == "add_group":
            return self._with_group()
        if place == self.prefix and verb == "remove_group":
            return _placed(self.prefix, [group for at, group in enumerate(self.groups) if at != number] or self.groups)
        groups, focus = list(self.groups), ""
        for at, group in enumerate(groups):
            if place == group.place and verb == "add_condition":
                groups[at] = group.with_condition()
                focus = f"{place}.conditions.{len(groups[at].conditions) - 1}.property"
            elif place == group.place and verb == "remove_condition":
                groups[at] = group.without_condition(number)
            elif place == group.rows.prefix and verb in {"add_row", "remove_row"}:
                rows = group.rows.with_row() if verb == "add_row" else group.rows.without_row(number)
                groups[at] = replace(group, rows=rows)
                row = len(rows.rows) - 1 if verb == "add_row" else max(0, number - 1)
                focus = f"{place}.{row}.{rows.columns[0]}"
            elif place == group.rows.prefix and verb == "show":
                focus = f"{place}.model"
        return replace(self, groups=groups, focus=focus)

    def placed(self, prefix: str) -> "Groups":
        """Give them another place."""
        return _placed(prefix, self.groups)

    def _with_group(self) -> "Groups":
        """Add a group of events: before the one that takes what is left, which must be the last; else at the end."""
        if len(self.groups) >= GROUPS_MAX:
            return self
        last = self.groups[-1]
        at = len(self.groups) - (not last.conditions)
        new = GroupTyped("", last.rows, conditions=[_NO_CONDITION])
        groups = _placed(self.prefix, [*self.groups[:at], new, *self.groups[at:]])
        return replace(groups, focus=f"{self.prefix}.{at}.name")


def new_groups(prefix: str) -> Groups:
    """Give what an empty form begins with."""
    return Groups(prefix, [GroupTyped(f"{prefix}.0", new_rows(f"{prefix}.0.prices"))])


def typed_groups(fields: Mapping[str, str], prefix: str) -> Groups:
    """Give the groups that were typed, in the order of their numbers."""
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d{{1,2}})\..+")
    numbers = sorted({int(matched[1]) for name in fields if (matched := pattern.fullmatch(name))})[:GROUPS_MAX]
    if not numbers:
        return new_groups(prefix)
    return _placed(prefix, [_typed_group(fields, f"{prefix}.{number}") for number in numbers])


def kept_groups(prefix: str, groups: Sequence[tuple[str, PriceGroup]]) -> Groups:
    """Give the groups of a price that is kept, each with the id of its configuration, as texts."""
    return Groups(prefix, [_kept_group(f"{prefix}.{at}", *each) for at, each in enumerate(groups)])


def fits_form(groups: Sequence[PriceGroup]) -> bool:
    """Tell whether a form holds them all, and gives each condition back as it is."""
    return len(groups) <= GROUPS_MAX and all(
        len(group.prices) <= ROWS_MAX and len(_fields_of(group)) <= CONDITIONS_MAX and _comes_back(group)
        for group in groups
    )


def conditions_text(group: PriceGroup) -> str:
    """Say in words which events a group takes."""
    word = f" {(group.metering_filter or {})['configuration'].get('conditional') or CONDITIONALS[0]} "
    kept = _kept_group("", "", group)
    shown = (f"{one['property']} {one['operator'].replace('_', ' ')} {one['value']}" for one in kept.conditions)
    return word.join(text.strip() for text in shown)


def _placed(prefix: str, groups: Sequence[GroupTyped]) -> Groups:
    return Groups(prefix, [group.placed(f"{prefix}.{at}") for at, group in enumerate(groups)])


def _typed_group(fields: Mapping[str, str], place: str) -> GroupTyped:
    pattern = re.compile(rf"{re.escape(place)}\.conditions\.(\d{{1,2}})\.(\w+)")
    found: dict[int, dict[str, str]] = {}
    for field_name, value in fields.items():
        matched = pattern.fullmatch(field_name)
        if matched and matched[2] in _FIELDS:
            found.setdefault(int(matched[1]), dict(_NO_CONDITION))[matched[2]] = value
    return GroupTyped(
        place,
        typed_rows(fields, f"{place}.prices"),
        fields.get(f"{place}.id", ""),
        fields.get(f"{place}.name", ""),
        fields.get(f"{place}.conditional", "") or CONDITIONALS[0],
        [found[number] for number in sorted(found)][:CONDITIONS_MAX],
    )


def _kept_group(place: str, identifier: str, group: PriceGroup) -> GroupTyped:
    where = group.metering_filter or {"name": None, "configuration": {}}
    conditions = [
        {
            "property": one["property"],
            "operator": Operator(_snake(one["operator"])).value,
            "value": _shown(one.get("value")),
        }
        for one in _fields_of(group)
    ]
    conditional = where["configuration"].get("conditional") or CONDITIONALS[0]
    rows = kept_rows(f"{place}.prices", group.prices)
    return GroupTyped(place, rows, identifier, where.get("name") or "", conditional, conditions)


def _comes_back(group: PriceGroup) -> bool:
    """Tell whether what is shown of a filter is read as that filter again: fields are trimmed, for one."""
    shown = _kept_group("", "", group)
    texts = [shown.name, *(text for one in shown.conditions for text in one.values())]
    again = [_condition(one).get("value") for one in shown.conditions]
    return again == [one.get("value") for one in _fields_of(group)] and all(text == text.strip() for text in texts)


def _fields_of(group: PriceGroup) -> Sequence[Mapping[str, Any]]:
    return [] if group.metering_filter is None else group.metering_filter["configuration"].get("fields") or []


def _snake(operator: str) -> str:
    """Give an operator's name in the one spelling that is shown; it was read before it was kept."""
    return next(one for one in OPERATORS if one.replace("_", "") == operator.replace("_", "").lower())


def _condition(typed: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {"property": typed["property"], "operator": typed["operator"]}
    if typed["operator"] not in NULL_OPERATORS:
        out["value"] = _value(typed["value"])
    return out


def _value(text: str) -> Any:
    """Read a value: true, false, a number, a text or a list in the signs of JSON; all else is a text as it stands."""
    if text[:1] in {'"', "["}:
        try:
            return loads(text.encode())
        except MalformedJsonError:
            return text
    return _WORDS.get(text, as_number(text))


def _shown(value: Any) -> str:
    """Write a value so that it is read as the same again."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if value == value.strip() and _value(value) == value and value else _in_json(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_in_json(one) for one in value)}]"
    return text_of(value)


def _in_json(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
