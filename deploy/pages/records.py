"""Turn stored records into rows for a page: names, values as text, and of what kind they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metering.http.json import dumps, loads

PREVIEW_PROPERTIES_MAX = 8
PREVIEW_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a record. `text` is the value as it was sent, numbers digit for digit."""

    name: str
    text: str
    kind: str

    @property
    def brief(self) -> str:
        """Give the beginning of the value; text in quotes, so that "5" is told from 5."""
        text = self.text
        if len(text) > PREVIEW_CHARACTERS_MAX:
            text = text[: PREVIEW_CHARACTERS_MAX - 1] + "…"
        return f'"{text}"' if self.kind == "text" else text


def properties_of(record: bytes) -> list[Property]:
    """Give the properties of a record in the order in which they are kept, the id first."""
    return [property_of(name, value) for name, value in decoded(record).items()]


def decoded(record: bytes) -> Mapping[str, Any]:
    """Give a record's values, numbers exact."""
    value = loads(record)
    assert isinstance(value, dict)
    return value


def property_of(name: str, value: Any) -> Property:
    """Show one value."""
    if isinstance(value, str):
        return Property(name, value, "text")
    text = dumps(value).decode()
    if isinstance(value, bool):
        return Property(name, text, "boolean")
    if value is None:
        return Property(name, text, "null")
    return Property(name, text, "list" if isinstance(value, list) else "number")
