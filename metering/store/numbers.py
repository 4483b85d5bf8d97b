"""Say in SQL which value a JSON scalar has as a number: the store's half of `metering.decimals`.

The canonical JSON of `events.properties` holds numbers as plain decimals within the limits, so reading one is reading
its digits. Text that is a JSON number counts too, as clients that build their events from templates quote everything;
it may carry an exponent or more zeros than digits, and is put into plain form first, because the store's own reading
of decimals cuts the digits that it cannot keep where we want to know that it is no number.
"""

_PLAIN = r"'^-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,18})?$'"
_NUMBER = r"'^(-?)(0|[1-9][0-9]*)(?:\\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$'"


def number_of_raw(raw: str) -> str:
    """Give the expression of a raw JSON scalar's number: Nullable(Decimal256(18)), NULL for what is no number.

    `raw` is the name of a String: a number, a quoted text, true, false, null, an array, or empty when absent.
    """
    return f"""multiIf(
        ascii({raw}) BETWEEN 48 AND 57 OR ascii({raw}) = 45, toDecimal256OrNull({raw}, 18),
        ascii({raw}) = 34, {number_of_text(f"substring({raw}, 2, length({raw}) - 2)")},
        NULL)"""


def number_of_text(text: str) -> str:
    """Give the expression of a text's number: NULL unless it is a JSON number within the limits."""
    return f"""multiIf(
            match({text}, {_PLAIN}), toDecimal256OrNull({text}, 18),
            match({text}, {_NUMBER}), {_unusual(text)},
            NULL)"""


def _unusual(text: str) -> str:
    """Read a number with an exponent or with many digits: its significant digits times ten to the `shift`.

    Each `arrayMap` over one element gives names to what the next one needs, which is how an expression of an array's
    own element can have named parts. In the last, the digits are laid out as 21 before the point and 18 after it.
    """
    return f"""arrayElement(
                arrayMap(
                    (sign, digits, shift) -> multiIf(
                        empty(digits), toDecimal256OrNull('0', 18),
                        shift < -18 OR length(digits) + shift > 20, NULL,
                        toDecimal256OrNull(concat(
                            sign,
                            left(leftPad(concat(digits, repeat('0', least(shift + 18, 38))), 39, '0'), 21),
                            '.',
                            right(concat(repeat('0', 18), digits, repeat('0', least(shift + 18, 38))), 18)), 18)),
                    arrayMap(parts -> parts.1, [{_parts(text)}]),
                    arrayMap(parts -> trimRight(parts.2, '0'), [{_parts(text)}]),
                    arrayMap(parts -> parts.3 + length(parts.2) - length(trimRight(parts.2, '0')), [{_parts(text)}])),
                1)"""


def _parts(text: str) -> str:
    """Give (sign, digits without leading zeros, power of ten of the last digit); a vast exponent is a billion."""
    return f"""arrayElement(arrayMap(
                        groups -> (
                            groups[1],
                            trimLeft(concat(groups[2], groups[3]), '0'),
                            if(empty(groups[4]), 0, ifNull(toInt64OrNull(groups[4]), 1000000000)) - length(groups[3])),
                        [extractGroups({text}, {_NUMBER})]), 1)"""
