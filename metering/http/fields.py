"""Read the fields of a JSON object one by one, and tell everything that is wrong with them at once.

A reader asks for each field it knows, so unknown ones are ignored. A bad field gives None and is remembered;
`refuse_faults` raises at the end. None of these methods makes a difference between absent and null, `has` does.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from metering.http.problem import ApiError, Fault, PathPart

CHARACTERS_MAX = 255
TEXT_CHARACTERS_MAX = 5_000
ITEMS_MAX = 100

Choice = TypeVar("Choice", bound=Enum)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def holds_control(text: str) -> bool:
    """Tell whether a text holds control characters, which no id or name may."""
    return _CONTROL.search(text) is not None


class Fields:
    """The fields of one object; `path` leads to it from the body."""

    def __init__(
        self, body: Mapping[str, Any], path: Sequence[PathPart] = (), faults: list[Fault] | None = None
    ) -> None:
        """Faults are gathered in `faults`, so that the readers of one body share a list."""
        self._body = body
        self._path = tuple(path)
        self.faults: list[Fault] = [] if faults is None else faults

    def has(self, name: str) -> bool:
        """Tell whether the field is there, be it null."""
        return name in self._body

    def raw(self, name: str) -> Any:
        """Give the field as it was sent, None when it is absent."""
        return self._body.get(name)

    def fault(self, name: str, code: str, message: str) -> None:
        """Remember what is wrong with a field."""
        self.faults.append(Fault(code, (*self._path, name), f"{name}: {message}"))

    def refuse_faults(self) -> None:
        """Stop when anything was wrong.

        Raises:
            ApiError: 400 with every fault.
        """
        if not self.faults:
            return
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        raise ApiError(400, self.faults[0].message + more, self.faults)

    def name(self, name: str, *, required: bool = False, characters_max: int = CHARACTERS_MAX) -> str | None:
        """Give a name or id: 1 to `characters_max` characters, none of them a control character."""
        value: str | None = self._typed(name, str, "a string", required)
        if value is None:
            return None
        if not 1 <= len(value) <= characters_max:
            self.fault(name, "length", f"must have 1 to {characters_max} characters, this has {len(value)}")
        elif holds_control(value):
            self.fault(name, "control_character", "must not hold control characters")
        else:
            return value
        return None

    def text(self, name: str, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
        """Give free text: line breaks and tabs may be in it, and it may be empty."""
        value: str | None = self._typed(name, str, "a string", required=False)
        if value is None:
            return None
        if len(value) > characters_max:
            self.fault(name, "length", f"must have at most {characters_max} characters, this has {len(value)}")
        elif _CONTROL_IN_TEXT.search(value):
            self.fault(name, "control_character", "must not hold control characters other than line breaks and tabs")
        else:
            return value
        return None

    def email(self, name: str) -> str | None:
        """Give an e-mail address, checked for its shape alone; an empty text is none."""
        value = self.text(name, characters_max=254)
        if value and not _EMAIL.fullmatch(value):
            self.fault(name, "email", f"{value[:60]!r} is no e-mail address")
            return None
        return value or None

    def emails(self, name: str, *, items_max: int = ITEMS_MAX) -> list[str]:
        """Give an array of e-mail addresses, each as `email` has it; none when it is absent or null."""
        values = self.array(name, items_max=items_max) or []
        for index, value in enumerate(values):
            if not isinstance(value, str) or len(value) > 254 or not _EMAIL.fullmatch(value) or holds_control(value):
                message = f"{name}[{index}]: must be an e-mail address"
                self.faults.append(Fault("email", (*self._path, name, index), message))
        return values

    def choice(self, name: str, choices: type[Choice], *, required: bool = False) -> Choice | None:
        """Give the member of a closed set."""
        value = self._typed(name, str, "a string", required)
        if value is None:
            return None
        try:
            return choices(value)
        except ValueError:
            known = ", ".join(str(choice.value) for choice in choices)
            self.fault(name, "unknown_value", f"{value[:40]!r} is not one of {known}")
            return None

    def boolean(self, name: str) -> bool | None:
        """Give true or false."""
        value: bool | None = self._typed(name, bool, "true or false", required=False)
        return value

    def integer(self, name: str, *, least: int, most: int, required: bool = False) -> int | None:
        """Give a whole number of a range that includes both ends; 3.0 is as good as 3."""
        value = self._number(name, required)
        if value is None:
            return None
        if value != int(value) or not least <= value <= most:
            self.fault(name, "out_of_range", f"must be a whole number from {least} to {most}")
            return None
        return int(value)

    def number(self, name: str, *, least: int, most: int, required: bool = False) -> int | Decimal | None:
        """Give a number of a range that includes both ends, with its digits."""
        value = self._number(name, required)
        if value is not None and not least <= value <= most:
            self.fault(name, "out_of_range", f"must be a number from {least} to {most}")
            return None
        return value

    def object(self, name: str) -> "Fields | None":
        """Give a reader of an inner object, whose faults are gathered here."""
        value = self._typed(name, dict, "an object", required=False)
        return None if value is None else Fields(value, (*self._path, name), self.faults)

    def within(self, name: str, values: Mapping[str, Any]) -> "Fields":
        """Give a reader of values that stand for an inner object; its faults are gathered here, by their names."""
        return Fields(values, (*self._path, name), self.faults)

    def array(self, name: str, *, items_max: int = ITEMS_MAX) -> list[Any] | None:
        """Give an array, its items unread."""
        value: list[Any] | None = self._typed(name, list, "an array", required=False)
        if value is not None and len(value) > items_max:
            self.fault(name, "length", f"must have at most {items_max} items, this has {len(value)}")
            return None
        return value

    def items(self, name: str, *, items_max: int = ITEMS_MAX) -> "list[Fields] | None":
        """Give a reader for each object of an array; one that is no object is a fault."""
        values = self.array(name, items_max=items_max)
        if values is None:
            return None
        readers = []
        for index, value in enumerate(values):
            path = (*self._path, name, index)
            if isinstance(value, dict):
                readers.append(Fields(value, path, self.faults))
            else:
                self.faults.append(Fault("type", path, f"{name}[{index}]: must be an object"))
        return readers

    def names(self, name: str, *, items_max: int = ITEMS_MAX) -> list[str] | None:
        """Give an array of names, each as `name` has it."""
        values = self.array(name, items_max=items_max)
        if values is None:
            return None
        for index, value in enumerate(values):
            if not isinstance(value, str) or not 1 <= len(value) <= CHARACTERS_MAX or holds_control(value):
                message = (
                    f"{name}[{index}]: must be a string of 1 to {CHARACTERS_MAX} characters, no control characters"
                )
                self.faults.append(Fault("type", (*self._path, name, index), message))
        return values

    def _number(self, name: str, required: bool) -> int | Decimal | None:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self._typed(name, Decimal, "a number", required)
            return None
        return value

    def _typed(self, name: str, wanted: type[Any], description: str, required: bool) -> Any:
        value = self.raw(name)
        if value is None:
            if required:
                self.fault(name, "required", f"is needed: send {description}")
            return None
        if not isinstance(value, wanted):
            self.fault(name, "type", f"must be {description}")
            return None
        return value
