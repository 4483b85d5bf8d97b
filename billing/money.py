"""Exact amounts: one Decimal context, one rounding, one way to split, and the currencies.

Nothing here rounds except `round_half_away`, which the price pipeline calls once a product line. Everything else
is exact or fails: under `MONEY` a result that does not fit traps instead of losing a digit, and so does a float.

`+`, `-` and `*` on Decimals follow the thread's ambient context, which loses digits beyond 28. So whoever computes
with amounts does it inside `with localcontext(MONEY):`. The functions of this module need no such care.
"""

from collections.abc import Sequence
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from fractions import Fraction
from itertools import repeat
from types import MappingProxyType

from billing.errors import AmountTooLargeError, InvalidPriceError
from metering.decimals import DECIMALS_MAX
from metering.http.problem import Fault, PathPart

PRECISION_DIGITS = 5_000
"""A quantity and an amount have 38 digits each at most; the rest is for the common denominator of a price's rates,
which `billing.pricing.rates` keeps below 10^4000."""

MONEY = Context(
    prec=PRECISION_DIGITS,
    rounding=ROUND_HALF_UP,
    traps=[DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow],
)


class Exactly:
    """Compute under `MONEY` within a block, as `localcontext(MONEY)` does, without making a copy of it first.

    To be used where nothing in the block changes the context: `MONEY` itself is the one that is set.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = getcontext()
        setcontext(MONEY)

    def __exit__(self, *_: object) -> None:
        setcontext(self._before)


AMOUNT_MAX = 2**63 - 1
"""The largest amount in minor units; a credit reaches as far below zero."""


def round_half_away(value: Decimal | Fraction | int, denominator: int = 1) -> int:
    """Round `value / denominator` to a whole number, a half away from zero: 0.5 to 1, -0.5 to -1."""
    if denominator == 1 and isinstance(value, Decimal):
        return int(value.to_integral_value(ROUND_HALF_UP))  # "Half up" is decimal's name for half away from zero.
    if isinstance(value, Decimal):
        whole, rest = MONEY.divmod(value.copy_abs(), denominator)
        rounded = int(whole) + (MONEY.add(rest, rest) >= denominator)
        return -rounded if value.is_signed() else rounded
    above, below = value.as_integer_ratio()
    below *= denominator
    rounded = (2 * abs(above) + below) // (2 * below)
    return -rounded if above < 0 else rounded


def to_decimal(value: Fraction) -> Decimal:
    """Give a number to 18 decimals, half away from zero: exactly, but where its decimals go on."""
    return MONEY.scaleb(Decimal(round_half_away(value * 10**DECIMALS_MAX)), -DECIMALS_MAX)


def within_int64(amount: int) -> int:
    """Give the amount back if it can be stored.

    Raises:
        AmountTooLargeError: it lies beyond a signed 64-bit integer.
    """
    if -AMOUNT_MAX <= amount <= AMOUNT_MAX:
        return amount
    raise AmountTooLargeError(
        f"an amount reaches 10^{_digits(amount) - 1} minor units, beyond the {AMOUNT_MAX} that can be billed: "
        "lower the price or the quantity"
    )


def allocate(total: int, shares: Sequence[Decimal], denominator: int = 1) -> list[int]:
    """Split a total into whole numbers, each next to its exact share: the largest remainders take the difference.

    The exact shares are `shares[i] / denominator`, and their sum must round to `total`. To split in proportion to
    weights, give `[total * weight]` over `sum(weights)`. Equal remainders are served in order, and a negative total
    is split as the mirror of the positive one.
    """
    if len(shares) == 1:
        return [total]
    nearly = _allocate_nearly(total, shares, denominator)
    if nearly is not None:
        return nearly
    if total < 0:
        return [-part for part in allocate(-total, [share.copy_negate() for share in shares], denominator)]
    parts: list[int] = []
    remainders: list[Decimal] = []
    for share in shares:
        quotient, remainder = MONEY.divmod(share, denominator)
        part = int(quotient)
        if remainder < 0:  # Decimal's division cuts towards zero; what is left must not be negative.
            part -= 1
            remainder = MONEY.add(remainder, denominator)
        parts.append(part)
        remainders.append(remainder)
    left = total - sum(parts)
    assert 0 <= left <= len(parts), "the shares do not round to the total"
    if left:
        for index in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:left]:
            parts[index] += 1
    return parts


def _allocate_nearly(total: int, shares: Sequence[Decimal], denominator: int) -> list[int] | None:
    """Split as `allocate` where at most one more unit has to be placed, as with most prices; else None."""
    if any(map(Decimal.is_signed, shares)):
        return None
    cut = shares if denominator == 1 else map(MONEY.divide_int, shares, repeat(denominator))
    parts = list(map(int, cut))
    left = total - sum(parts)
    if left > 1:
        return None
    if left:
        cut_off = [part * denominator for part in parts]
        remainders = list(map(MONEY.subtract, shares, cut_off))
        parts[remainders.index(max(remainders))] += 1
    return parts


def minor_digits(currency: str) -> int:
    """Tell how many decimals a currency is written with. Rating never asks: amounts are minor units throughout.

    Raises:
        KeyError: the code is not one of `MINOR_DIGITS`.
    """
    return MINOR_DIGITS[currency]


def read_currency(value: object, path: Sequence[PathPart] = ("currency",)) -> str:
    """Give a currency code as a client sent it, once it is known to be one.

    Raises:
        InvalidPriceError: it is missing, not text, or not an ISO 4217 code in capitals.
    """
    if value is None:
        raise InvalidPriceError([Fault("required", path, 'currency is missing: send an ISO 4217 code such as "EUR"')])
    if isinstance(value, str) and value in MINOR_DIGITS:
        return value
    shown = f"{value[:10]!r}" if isinstance(value, str) else "not text"
    message = f'currency is {shown}, which is no currency: send an ISO 4217 code in capitals, such as "EUR"'
    raise InvalidPriceError([Fault("unknown", path, message)])


def _digits(amount: int) -> int:
    """Count decimal digits without writing them out, which Python refuses for very long numbers."""
    amount = abs(amount)
    digits = amount.bit_length() * 30103 // 100000
    return digits + 1 if amount >= 10**digits else digits


_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"
_WITH_FOUR = "CLF UYW"
_WITH_TWO = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF
IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV
MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD
SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ZWL
"""

MINOR_DIGITS = MappingProxyType(
    {
        code: digits
        for digits, codes in ((0, _WITHOUT_DECIMALS), (2, _WITH_TWO), (3, _WITH_THREE), (4, _WITH_FOUR))
        for code in codes.split()
    }
)
"""Decimals of each currency by its code: ISO 4217's list of money in use, and the codes it withdrew since 2020,
which stand on older invoices. Metals, baskets and test codes are no money to bill in."""
