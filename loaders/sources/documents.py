"""Columns of JSON: a plain value or an array of plain values is a property, as it is written; an object is a fault.

Properties are flat, and which fields a document has differs from row to row, while a query's columns do not: so
a user names the fields that count (`data->>'plan' AS plan`).
"""

import msgspec

from loaders.source import BadValue, Cell
from loaders.sources.written import Convert, too_long


def documents(value_bytes_max: int) -> Convert:
    """Give JSON that is a plain value or an array of plain values, as it is written."""

    def one_cell(value: str) -> Cell:
        fault = too_long(value, value_bytes_max)
        if fault is not None:
            return fault
        value = value.strip(" \t\n\r")
        if value[0] == "{":
            return BadValue("is a JSON object: properties cannot be nested, so select its fields one by one")
        try:
            if value[0] == "[":
                parts = [bytes(one).strip() for one in msgspec.json.decode(value, type=list[msgspec.Raw])]
                if any(part[:1] in b"[{" for part in parts):
                    return BadValue(
                        "is a JSON array of arrays or objects: properties hold plain values and arrays of them"
                    )
                for part in parts:
                    msgspec.json.decode(part, type=str | int | float | bool | None, strict=False)
                return f"[{','.join(part.decode() for part in parts)}]"
            if value[0] == '"':
                return msgspec.json.encode(msgspec.json.decode(value)).decode()
        except (msgspec.MsgspecError, UnicodeError, ValueError):
            return BadValue("is JSON that is no valid text: it holds half of a surrogate pair")
        return value

    return lambda values: ["null" if one is None else one_cell(one) for one in values]
