"""Read exact numbers from text, and write them in the one plain form they have.

A quantity is a decimal with |x| < 10^20 and at most 18 decimals. Within these limits every value is kept as it was
sent, and a sum over any number of events that a store can hold fits 76 digits: it never wraps and is never rounded.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation

INTEGER_DIGITS_MAX = 20
DECIMALS_MAX = 18

NUMBER_TEXT = r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,36})?([eE][+-]?[01]?[0-9])?"
"""JSON's grammar of numbers, of a length that never costs a digit: a regular expression in Python and in the store."""

EXACT = Context(prec=76, traps=[Inexact, InvalidOperation])
"""As many digits as the store's widest decimal has; to lose one is an error."""

_NUMBER_TEXT = re.compile(NUMBER_TEXT)
_LIMIT = Decimal(10**20)
_LAST_DECIMAL = Decimal("1e-18")


def exact_number(text: str) -> Decimal | None:
    """Give the value of text that is a JSON number within the limits, None for any other text.

    What counts is the value, not how it is written: 1.50 and 15e-1 are 1.5. Text that goes on for more than 20 digits
    before the point, 36 after it, or an exponent beyond 19 is no number.
    """
    if _NUMBER_TEXT.fullmatch(text) is None:
        return None
    number = Decimal(text)
    return number if within_limits(number) else None


def within_limits(number: Decimal) -> bool:
    """Tell whether a number is one that events and filters may hold."""
    if not number.is_finite() or number.copy_abs() >= _LIMIT:
        return False
    try:
        number.quantize(_LAST_DECIMAL, context=EXACT)
    except Inexact:
        return False
    return True


def quotient(numerator: Decimal, divisor: int) -> Decimal:
    """Divide to 18 decimals, half away from zero. `numerator` has at most 18 decimals, `divisor` is above 0."""
    assert divisor > 0
    scaled = int(EXACT.scaleb(numerator, DECIMALS_MAX))
    units = (2 * abs(scaled) + divisor) // (2 * divisor)
    return EXACT.scaleb(Decimal(-units if scaled < 0 else units), -DECIMALS_MAX)


def plain(number: Decimal) -> str:
    """Give a number's digits without an exponent, trailing zeros or a negative zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
