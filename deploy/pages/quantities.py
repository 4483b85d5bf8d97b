"""Write quantities and money for people: every digit that there is, grouped, and never through a float."""

from decimal import ROUND_HALF_UP, Context, Decimal

from babel.numbers import format_currency, get_currency_symbol

from metering.decimals import plain

_LOCALE = "en"
_SCALES = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))
_SHORT = Context(prec=3, rounding=ROUND_HALF_UP)
_MINUS = "\N{MINUS SIGN}"


def quantity(number: Decimal | int | None) -> str:
    """Give all digits, grouped by thousands; a dash for None, which is no figure at all."""
    if number is None:
        return "\N{EN DASH}"
    digits, dot, fraction = plain(Decimal(number)).partition(".")
    sign, digits = (_MINUS, digits[1:]) if digits.startswith("-") else ("", digits)
    return f"{sign}{_grouped(digits)}{dot}{fraction}"


def compact(number: Decimal | int) -> str:
    """Give about three digits, `12.5k`: for the axis of a chart, where the exact figure stands elsewhere."""
    value = Decimal(number)
    for scale, letter in _SCALES:
        if abs(value) >= scale:
            # Beyond the last letter the digits stay whole: 12,500T says more than an exponent.
            return quantity(Decimal(plain(_SHORT.divide(value, scale)))) + letter
    return quantity(_SHORT.plus(value))


def money(minor_units: int, currency: str, exponent: int) -> str:
    """Give an amount as `€1,234.50`, from integers of the minor unit.

    `exponent` is the number of digits that ISO 4217 gives the currency; what CLDR thinks of it is not asked, because
    the two differ, and an invoice follows the first.
    """
    amount = Decimal(minor_units).scaleb(-exponent)
    symbol = get_currency_symbol(currency, _LOCALE)
    gap = "\N{NO-BREAK SPACE}" if symbol[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0{'.' if exponent else ''}{'0' * exponent}"
    return format_currency(amount, currency, f"{pattern};{_MINUS}{pattern}", _LOCALE, currency_digits=False)


def minor_money(minor_units: Decimal | int, currency: str, exponent: int) -> str:
    """Give the price of a unit as `money` does, with more decimals where it is finer: `€0.0025`."""
    number = Decimal(minor_units)
    if number == number.to_integral_value():
        return money(int(number), currency, exponent)
    amount = number.scaleb(-exponent)
    symbol = get_currency_symbol(currency, _LOCALE)
    gap = "\N{NO-BREAK SPACE}" if symbol[-1].isalpha() else ""
    return f"{_MINUS if amount < 0 else ''}{symbol}{gap}{quantity(abs(amount))}"


def _grouped(digits: str) -> str:
    head = len(digits) % 3 or 3
    return ",".join([digits[:head], *(digits[at : at + 3] for at in range(head, len(digits), 3))])
