"""Identifiers that tell their kind, sort by time of making, and are never guessed."""

import secrets
import time

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 9
_RANDOM_DIGITS = 15


def new_id(prefix: str) -> str:
    """Make an id like `cus_0mhx2k9f4h3k1v0c9x7w2q5t`: the prefix, milliseconds since 1970 and 77 random bits."""
    return f"{prefix}_{_digits(time.time_ns() // 1_000_000, _TIME_DIGITS)}{_random()}"


def _digits(number: int, width: int) -> str:
    out = []
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_DIGITS))
