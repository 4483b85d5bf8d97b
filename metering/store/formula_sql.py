"""Say in SQL what a formula is worth: the store's half of `metering.formulas.evaluation`.

Numbers are Int256 of the 18th decimal, NULL for none: every step fits, so none is rounded but where it is said. A part
that is needed twice is handed to a lambda, because the store copies what a name stands for wherever the name stands: a
statement would double with every step. What clients wrote is bound, never pasted.
"""

from collections.abc import Callable, Mapping
from functools import partial

from metering.decimals import DECIMALS_MAX, EXACT
from metering.formulas.evaluation import LIMIT, UNIT
from metering.formulas.parser import Formula
from metering.formulas.syntax import (
    Arithmetic,
    Both,
    Call,
    Compare,
    Comparison,
    Conditional,
    Function,
    Meets,
    Missing,
    Negative,
    Not,
    Number,
    Numeric,
    Property,
    Round,
    Sign,
)
from metering.store.expressions import Expressions

_NONE = "CAST(NULL AS Nullable(Int256))"
_UNIT = f"toInt256('{UNIT}')"
_LIMIT = f"toInt256('{LIMIT}')"
_FLOOR = f"(intDiv(n, {_UNIT}) - if(n % {_UNIT} < 0, 1, 0)) * {_UNIT}"
_CEIL = f"(intDiv(n, {_UNIT}) + if(n % {_UNIT} > 0, 1, 0)) * {_UNIT}"
_FUNCTIONS: Mapping[Function, Callable[[str], str]] = {
    Function.ABS: lambda joined: f"toInt256(abs({joined}))",
    Function.FLOOR: lambda joined: _limited(_of(joined, _FLOOR)),
    Function.CEIL: lambda joined: _limited(_of(joined, _CEIL)),
    Function.LEAST: lambda joined: f"arrayReduce('min', [{joined}])",
    Function.GREATEST: lambda joined: f"arrayReduce('max', [{joined}])",
    Function.COALESCE: lambda joined: f"coalesce({joined})",
}


def worth(formula: Formula, expressions: Expressions) -> str:
    """Give the name of what a row is worth: Nullable(Decimal256(18)), NULL for no number."""
    return expressions.named(
        "worth", formula.text, lambda: f"reinterpret({_units(expressions, formula.root)}, 'Decimal256({DECIMALS_MAX})')"
    )


def _units(expressions: Expressions, node: Numeric) -> str:
    units = partial(_units, expressions)
    if isinstance(node, Number):
        return expressions.bind("Nullable(Int256)", str(_units_of(node)))
    if isinstance(node, Property):
        return f"reinterpret({expressions.number(node.name)}, 'Int256')"
    if isinstance(node, Negative):
        return f"negate({units(node.of)})"
    if isinstance(node, Arithmetic):
        if node.sign is Sign.OVER and isinstance(node.right, Number):
            return _over(units(node.left), _units_of(node.right))
        return _put_together(node.sign, units(node.left), units(node.right))
    if isinstance(node, Round):
        step = 10 ** (DECIMALS_MAX - node.decimals)
        return _rounded(units(node.of), step, times=step) if step > 1 else units(node.of)
    if isinstance(node, Call):
        return _FUNCTIONS[node.function](", ".join(map(units, node.arguments)))
    branches = [f"{_met(expressions, condition)}, {units(then)}" for condition, then in node.branches]
    otherwise = _NONE if node.otherwise is None else units(node.otherwise)
    return f"multiIf({', '.join(branches)}, {otherwise})"


def _met(expressions: Expressions, node: Conditional) -> str:
    met, units = partial(_met, expressions), partial(_units, expressions)
    if isinstance(node, Meets):
        return f"({expressions.one_condition(node.condition)})"
    if isinstance(node, Missing):
        return f"isNull({units(node.of)})"
    if isinstance(node, Not):
        return f"(NOT {met(node.of)})"
    if isinstance(node, Both):
        return f"({met(node.left)} {'OR' if node.either else 'AND'} {met(node.right)})"
    assert isinstance(node, Compare)
    if node.comparison is Comparison.UNEQUAL:
        return f"(NOT ifNull({units(node.left)} = {units(node.right)}, 0))"
    return f"ifNull({units(node.left)} {node.comparison.value} {units(node.right)}, 0)"


def _units_of(number: Number) -> int:
    return int(EXACT.scaleb(number.value, DECIMALS_MAX))


def _put_together(sign: Sign, left: str, right: str) -> str:
    if sign is Sign.TIMES:
        return _rounded(f"{left} * {right}", UNIT)
    if sign is Sign.OVER:
        half_up = "intDivOrZero(abs(n) * 2 + abs(d), abs(d) * 2)"
        quotient = f"if(d = 0, NULL, toInt256({half_up}) * sign(n) * sign(d))"
        return _limited(f"arrayMap((n, d) -> {quotient}, [{left} * {_UNIT}], [{right}])[1]")
    return _limited(f"({left} {sign.value} {right})")


def _over(units: str, divisor: int) -> str:
    """Divide by a number of the formula; twice of both, so that the half of an odd one is whole."""
    if divisor == 0:
        return _NONE
    twice = 2 * UNIT if divisor > 0 else -2 * UNIT
    return _rounded(f"{units} * toInt256('{twice}')", 2 * abs(divisor))


def _rounded(units: str, step: int, *, times: int = 1) -> str:
    """Divide by an even step, half away from zero, and multiply; NULL when it comes to the limit."""
    half = f"toInt256('{step // 2}')"
    # The first that would be rounded up to the limit.
    beyond = f"toInt256('{LIMIT // times * step - step // 2}')"
    back = "" if times == 1 else f" * toInt256('{times}')"
    rounded = f"intDiv(n + sign(n) * {half}, toInt256('{step}')){back}"
    return _of(units, f"if(n > -{beyond} AND n < {beyond}, {rounded}, NULL)")


def _limited(units: str) -> str:
    return _of(units, f"if(n > -{_LIMIT} AND n < {_LIMIT}, n, NULL)")


def _of(units: str, expression: str) -> str:
    return f"arrayMap(n -> {expression}, [{units}])[1]"
