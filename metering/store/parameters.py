"""Bind lists of any length: a server takes no parameter beyond 128 KiB, wherever it stands in a request.

A list that is longer is bound in pieces, which the statement puts together again: so values are bound, never pasted,
and statements are the same for the engine in this process and for a server. A limit on the server's side could be
raised there, but not by the session that runs into it (`http_max_field_value_size`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from metering.errors import QueryLimitError

PIECE_BYTES_MAX = 30_000
"""A quarter of what a server takes: quoting may make four bytes of one."""
PARAMETERS_MAX = 900
"""A server takes 1000 fields in a request (`http_max_fields`)."""

_AROUND_BYTES = 3


def in_pieces(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the statement and its parameters with each long list cut into pieces.

    Raises:
        QueryLimitError: these are more values than one statement may carry.
    """
    out: dict[str, Any] = {}
    for name, value in parameters.items():
        pieces = _pieces(value) if isinstance(value, list) else [value]
        if len(pieces) == 1:
            out[name] = value
            continue
        cut = {f"{name}_{index}": piece for index, piece in enumerate(pieces)}
        sql = re.sub(rf"\{{{name}:([^{{}}]+)\}}", partial(_together, list(cut)), sql)
        out |= cut
    if len(out) > PARAMETERS_MAX:
        raise QueryLimitError(f"a statement of {len(out)} parameters is too long")
    return sql, out


def _together(names: Sequence[str], placeholder: re.Match[str]) -> str:
    return f"arrayConcat({', '.join(f'{{{name}:{placeholder[1]}}}' for name in names)})"


def _pieces(values: Sequence[Any]) -> list[Sequence[Any]]:
    pieces: list[Sequence[Any]] = []
    begin = size = 0
    for index, value in enumerate(values):
        added = len(str(value).encode()) + _AROUND_BYTES
        if size + added > PIECE_BYTES_MAX and index > begin:
            pieces.append(values[begin:index])
            begin, size = index, 0
        size += added
    return [*pieces, values[begin:]]
