"""Read JSON strictly and without a float: the reading that judges events one by one.

Malformed is what RFC 8259 does not allow, and here also duplicate keys at any level (compared after their escapes are
resolved), lone surrogates, and nesting deeper than 200. Numbers with a fraction or an exponent keep their text
(`jiter.LosslessFloat`), others become int.
"""

import re
from typing import Any

import jiter

from metering.http.json import MalformedJsonError

_DIGITS_KEPT = 1000
_LONG_DIGITS = re.compile(rb"[0-9]{%d,}" % (_DIGITS_KEPT + 1))


def read_strictly(text: bytes) -> Any:
    """Read one JSON value; the caller has bounded its size.

    Whole numbers of more than 1000 digits, which are too large for any field, are read as their first 1000.

    Raises:
        MalformedJsonError: with what is wrong and where.
    """
    try:
        return _read(text)
    except ValueError as error:
        shortened = _LONG_DIGITS.sub(lambda digits: digits.group()[:_DIGITS_KEPT], text)
        if len(shortened) == len(text):
            raise MalformedJsonError(str(error)) from None
    try:
        return _read(shortened)
    except ValueError as error:
        raise MalformedJsonError(str(error)) from None


def _read(text: bytes) -> Any:
    return jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="lossless-float")
