"""Read exact numbers from text, and write them in the one plain form they have.

A quantity is a decimal with |x| < 10^20 and at most 18 decimals. Within these limits every value is kept as it was
sent, and a sum over any number of events that a store can hold fits 76 digits: it never wraps and is never rounded.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation

INTEGER_DIGITS_MAX = 20
DECIMALS_MAX = 18

_JSON_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")

EXACT = Context(prec=76, traps=[Inexact, InvalidOperation])
"""As many digits as the store's widest decimal has; to lose one is an error."""


def exact_number(text: str) -> Decimal | None:
    """Give the value of a JSON number within the limits, None for any other text.

    What counts is the value, not how it is written: 1.50 and 15e-1 are 1.5.
    """
    match = _JSON_NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, integer, fraction, exponent = match.groups(default="")
    digits = (integer + fraction).lstrip("0")
    shift = (int(exponent) if exponent and len(exponent) <= 18 else 0) - len(fraction)
    significant = digits.rstrip("0")
    shift += len(digits) - len(significant)
    if not significant:
        return Decimal(0)
    if len(exponent) > 18 or shift < -DECIMALS_MAX or len(significant) + shift > INTEGER_DIGITS_MAX:
        return None
    return Decimal((int(sign == "-"), tuple(map(int, significant)), shift))


def within_limits(number: Decimal) -> bool:
    """Tell whether a number is one that events and filters may hold."""
    return number.is_finite() and exact_number(str(number)) is not None


def plain(number: Decimal) -> str:
    """Give a number's digits without an exponent, trailing zeros or a negative zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
