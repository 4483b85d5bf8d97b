"""JSON in and out without a float: numbers keep their digits both ways.

Reading is strict: duplicate keys, NaN, lone surrogates and deep nesting are malformed. Numbers with a fraction or an
exponent become `Decimal`. Writing gives a Decimal in plain form (1.5, never 1.50 or 15E-1).
"""

from decimal import Decimal
from typing import Any

import jiter
import msgspec

from metering.decimals import plain

EXPONENT_MAX = 100
"""Numbers beyond 10^±100 are refused where they are read: nothing here means them, and they cost memory."""

_encoder = msgspec.json.Encoder()


class MalformedJsonError(ValueError):
    """The bytes are not JSON as we read it; the message says where."""


def loads(body: bytes) -> Any:
    """Read JSON: objects as dict, numbers as int or Decimal.

    Raises:
        MalformedJsonError: the bytes are not JSON, repeat a key, nest too deep or hold a number beyond all use.
    """
    if not body:
        raise MalformedJsonError("the body is empty: send a JSON document")
    try:
        value = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="decimal")
    except ValueError as error:
        raise MalformedJsonError(str(error)) from None
    _check_numbers(value)
    return value


def _check_numbers(value: Any) -> None:
    """Refuse what would cost memory to write out in full. `loads` has bounded the depth already."""
    if isinstance(value, dict):
        for inner in value.values():
            _check_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner)
    elif isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or abs(exponent) > EXPONENT_MAX or abs(value.adjusted()) > EXPONENT_MAX:
            raise MalformedJsonError(f"the number {str(value)[:40]} is beyond 10^{EXPONENT_MAX}")
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * EXPONENT_MAX:
        raise MalformedJsonError(f"a number has more than {EXPONENT_MAX} digits")


def dumps(value: Any) -> bytes:
    """Write JSON. Decimals are written in plain form, `msgspec.Raw` as it is."""
    return _encoder.encode(_prepared(value))


def _prepared(value: Any) -> Any:
    if isinstance(value, Decimal):
        return msgspec.Raw(plain(value).encode())
    if isinstance(value, dict):
        return {key: _prepared(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_prepared(inner) for inner in value]
    if isinstance(value, msgspec.Struct):
        return {name: _prepared(getattr(value, name)) for name in value.__struct_fields__}
    return value
