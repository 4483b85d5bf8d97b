r"""Say in SQL which value a JSON scalar has as a number: the store's half of `metering.decimals`.

The canonical JSON of `events.properties` holds numbers as plain decimals within the limits, so reading one is reading
its digits. Text that is a JSON number counts too, as clients that build their events from templates quote everything.
The store's own reading of decimals silently cuts digits that it cannot keep; so text is matched against a grammar that
keeps it to 55 decimals at most, read with 56, and taken only when 18 hold it.
"""

from metering.decimals import NUMBER_TEXT

_TEXT = NUMBER_TEXT.replace("\\", "\\\\")


def number_of_raw(raw: str) -> str:
    """Give the expression of a raw JSON scalar's number: Nullable(Decimal256(18)), NULL for what is no number.

    `raw` is the name of a String: a number, a quoted text, true, false, null, an array, or empty when absent.
    """
    text = f"substring({raw}, 2, length({raw}) - 2)"
    return f"ifNull(toDecimal256OrNull({raw}, 18), if(match({raw}, '^\"{_TEXT}\"$'), {_exact(text)}, NULL))"


def number_of_text(text: str) -> str:
    """Give the expression of a text's number: NULL unless it is a JSON number within the limits."""
    return f"if(match({text}, '^{_TEXT}$'), {_exact(text)}, NULL)"


def _exact(text: str) -> str:
    wide = f"toDecimal256OrNull({text}, 56)"
    return f"if({wide} = truncate({wide}, 18), toDecimal256OrNull({text}, 18), NULL)"
