"""Say in SQL what `metering.filters` means, over the `properties` of `events`.

`properties` is minimal canonical JSON, one level deep, so a property's raw text can be cut out of it without parsing:
a quoted name followed by a colon is that property, and its value begins behind it. There are three exceptions, which
take a slower way. The quoted name may begin at the closing quote of a text, which only a name that begins with one of
`:,]}` can do; it may be the end of a longer name, from an escaped quote on; and the store's own reading of a value
passes over a closing quote behind an escaped backslash.

What clients send is bound as parameters, never pasted. Expressions are named, each once. The store copies what a name
of a WITH clause stands for wherever the name stands, and planning takes longer the longer the statement: so where a
name stands several times, names are columns of a subquery (`Expressions.over`), and planned once.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from metering.decimals import plain
from metering.filters import (
    COMPARISONS,
    NEGATIONS,
    Condition,
    Conditional,
    Filter,
    Operator,
    Scalar,
    number_of,
    text_of,
)
from metering.store.numbers import number_of_raw, number_of_text

_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}
_STRING = r'"(?:[^"\\]|\\.)*"'
_ARRAY = rf"\[(?:{_STRING}|[^\]\x22])*\]"
_VALUE = rf"(?:{_STRING}|{_ARRAY}|[^\[\]\x22,}}]+)"
_ELEMENT = rf"{_STRING}|[^\[\],\x22]+"
_COMMA = ",\n    "
_OVER = """
FROM (
    SELECT event_type, customer_id, timestamp, record_id, position,
        {definitions}
    {current})
"""


class Expressions:
    """The named expressions of one statement, and the parameters they are bound to."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[tuple[str, Hashable], str] = {}
        self._definitions: list[str] = []

    def clause(self) -> str:
        """Give the WITH clause that defines every name handed out so far; empty when there is none."""
        return "WITH\n    " + _COMMA.join(self._definitions) if self._definitions else ""

    def over(self, current: str) -> str:
        """Give FROM in which every name handed out so far is a column, beside those that tell an event's place.

        `current` is FROM and WHERE of the events. What is not asked for is not worked out.
        """
        return (
            _OVER.format(definitions=_COMMA.join(self._definitions), current=current) if self._definitions else current
        )

    def bind(self, kind: str, value: Any) -> str:
        """Bind a value and give its placeholder."""
        name = f"value_{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def named(self, kind: str, what: Hashable, define: Callable[[], str]) -> str:
        """Give the name of an expression, which `define` gives the first time that it is asked for.

        `what` tells it apart from others of its kind. It may stand on names that were handed out before.
        """
        name = self._names.get((kind, what))
        if name is None:
            definition = define()
            name = self._names[kind, what] = f"{kind}_{len(self._names)}"
            self._definitions.append(f"{definition} AS {name}")
        return name

    def raw(self, prop: str) -> str:
        """Give the name of a property's raw JSON text, empty when the property is absent."""
        return self.named("raw", prop, partial(self._cut_out, prop))

    def _cut_out(self, prop: str) -> str:
        escaped = _json(prop)[1:-1]
        pattern = rf'^\{{(?:{_STRING}:{_VALUE},)*?"{re.escape(escaped)}":({_VALUE})'
        definition = f"extract(properties, {self.bind('String', pattern)})"
        if prop[0] not in ":,]}":
            exceptions = self.bind("Array(String)", ['\\"' + escaped + '":', '\\\\"'])
            cut_out = f"simpleJSONExtractRaw(properties, {self.bind('String', escaped)})"
            definition = f"if(multiSearchAny(properties, {exceptions}), {definition}, {cut_out})"
        return definition

    def number(self, prop: str) -> str:
        """Give the name of a property's exact number, NULL for what is none."""
        return self.named(
            "number", prop, lambda: number_of_text("record_id") if prop == "id" else number_of_raw(self.raw(prop))
        )

    def distinct(self, prop: str) -> str:
        """Give the name of the text that tells a property's value from others, NULL for null, an array and nothing.

        It is the text as JSON has it, without quotes: minimal JSON writes a text in one way only.
        """
        return self.named("distinct", prop, partial(self._told_apart, prop))

    def _told_apart(self, prop: str) -> str:
        if prop == "id":
            return "toNullable(record_id)"
        raw = self.raw(prop)
        text = f"if(startsWith({raw}, '\"'), substring({raw}, 2, length({raw}) - 2), {raw})"
        return f"if({raw} IN ('', 'null') OR startsWith({raw}, '['), NULL, {text})"

    @staticmethod
    def encoded(text: str) -> str:
        """Give a text as JSON has it, without quotes."""
        return _json(text)[1:-1]

    def condition(self, where: Filter) -> str:
        """Give the condition that the filter puts on a row: 0 or 1, never NULL."""
        if not where.conditions:
            return "1"
        word = " AND " if where.conditional is Conditional.AND else " OR "
        return "(" + word.join(map(self.one_condition, where.conditions)) + ")"

    def one_condition(self, condition: Condition) -> str:
        """Give what one condition of a filter puts on a row: 0 or 1, never NULL."""
        prop, operator, values = condition.property, condition.operator, condition.values
        if operator in NEGATIONS:
            return f"NOT {self.one_condition(Condition(prop, NEGATIONS[operator], values))}"
        if operator is Operator.IS_NULL:
            return "(0)" if prop == "id" else f"({self.raw(prop)} IN ('', 'null'))"
        if operator in COMPARISONS:
            return f"ifNull({self.number(prop)} {_SIGNS[operator]} {self._decimal(values[0])}, 0)"
        if prop == "id":
            return f"has({self.bind('Array(String)', [text_of(value) for value in values])}, record_id)"
        return self._equals(prop, values)

    def _equals(self, prop: str, values: Sequence[Scalar]) -> str:
        """Compare raw texts with every raw text that is equal to a wanted value, and numbers where these are endless.

        Only a wanted number equals texts without end (5 is "5", "5.0", "50e-1"); only then are texts read as numbers.
        """
        raw = self.raw(prop)
        same = self.bind("Array(String)", sorted({text for value in values for text in _raw_texts(value)}))
        numbers = [self._decimal(value) for value in values if isinstance(value, Decimal)]
        one = f"has({same}, {raw})"
        any_element = f"hasAny({same}, extractAll({raw}, {self.bind('String', _ELEMENT)}))"
        if numbers:
            wanted = f"[{', '.join(numbers)}]"
            one += f" OR ifNull(has({wanted}, {self.number(prop)}), 0)"
            element = f"ifNull(has({wanted}, {number_of_raw('element')}), 0)"
            elements = f"extractAll({raw}, {self.bind('String', _ELEMENT)})"
            any_element += f" OR arrayExists(element -> {element}, {elements})"
        return f"if(startsWith({raw}, '['), {any_element}, {one})"

    def _decimal(self, value: Scalar) -> str:
        assert isinstance(value, Decimal)
        return f"toDecimal256({self.bind('String', plain(value))}, 18)"


def _raw_texts(value: Scalar) -> list[str]:
    """Give the raw JSON texts of the scalars that equal a wanted value; of numbers, the number alone."""
    if isinstance(value, Decimal):
        return [plain(value)]
    text = text_of(value)
    texts = [_json(text)]
    if text in {"true", "false"}:
        texts.append(text)
    number = number_of(text)
    if number is not None:
        texts.append(plain(number))
    return texts


def _json(text: str) -> str:
    """Give a text as JSON, encoded as the stored records are."""
    return msgspec.json.encode(text).decode()
