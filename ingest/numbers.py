"""Judge a number in JSON by its value, however it is written, and give its plain form.

The limits are those of `metering.decimals`: below 10^20 either side of zero, at most 18 decimals. They hold once the
exponent is applied and zeros that say nothing are dropped, so 1.50, 15e-1 and 0e99 are within them. The work is bounded
by the length of the text, whatever its exponent says.
"""

import re

from metering.decimals import DECIMALS_MAX, INTEGER_DIGITS_MAX

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_BEYOND_ANY_EVENT = 10**9


def plain_number(text: str) -> str | None:
    """Give a JSON number without an exponent, needless zeros or a negative zero.

    None when it is beyond the limits, or no JSON number at all.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, power = match.groups("")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "0"
    exponent = _exponent(power) - len(fraction) + len(digits) - len(significant)
    if len(significant) + exponent > INTEGER_DIGITS_MAX or -exponent > DECIMALS_MAX:
        return None
    if exponent >= 0:
        return sign + significant + "0" * exponent
    padded = significant.rjust(1 - exponent, "0")
    return f"{sign}{padded[:exponent]}.{padded[exponent:]}"


def _exponent(power: str) -> int:
    """Read an exponent; those that no number of digits could make up for become one that is beyond all."""
    size = power.lstrip("+-").lstrip("0")
    number = int(size or "0") if len(size) < 10 else _BEYOND_ANY_EVENT
    return -number if power.startswith("-") else number
