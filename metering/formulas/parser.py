"""Read a formula: a small part of what SQL writes, with the values of one event and nothing else within reach.

    CASE WHEN model = 'large' THEN (input + 3 * output) / 1000 ELSE coalesce(tokens, 0) / 1000 END

- Numbers, properties (bare, or in double quotes or backticks), `+ - * /`, parentheses.
- `abs ceil floor round(x, decimals) least greatest coalesce if(condition, then, else)`,
  `CASE WHEN … THEN … ELSE … END`.
- Conditions: `= <> != < <= > >=` of numbers; `= <> IN NOT IN` of a property and texts, true or false; `IS [NOT] NULL`;
  `AND OR NOT`.

It is read by recursive descent, one method a level of binding, so what is not read here is not in the language. Depth
and size have limits, so that no text can keep this process or the store busy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from metering.decimals import exact_number
from metering.filters import VALUES_MAX, Condition, Operator, Scalar
from metering.formulas.syntax import (
    Arithmetic,
    Both,
    Call,
    Case,
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
from metering.formulas.tokens import FormulaError, Kind, Token, tokens

__all__ = ["DEPTH_MAX", "SIZE_MAX", "Formula", "FormulaError", "parse_formula"]

DEPTH_MAX = 24
"""So many parentheses, functions and cases may stand within each other."""
SIZE_MAX = 100
"""So many numbers, properties, signs, functions and conditions may a formula have."""
DECIMALS_MAX = 18
NAME_CHARACTERS_MAX = 255
_RESERVED = frozenset(["AND", "CASE", "ELSE", "END", "IN", "IS", "NOT", "NULL", "OR", "THEN", "WHEN"])


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, as it was written and as it was read. `size` is the number of its nodes."""

    text: str
    root: Numeric
    size: int


@dataclass(frozen=True, slots=True)
class _Literal:
    """A text, true or false: good for being compared with a property alone."""

    value: str | bool


_Node = Numeric | Conditional | _Literal
_NUMERIC = (Number, Property, Negative, Arithmetic, Round, Call, Case)
_COMPARISONS = {**{comparison.value: comparison for comparison in Comparison}, "!=": Comparison.UNEQUAL}
_COMPARISONS["=="] = Comparison.EQUAL
_EQUALITIES = {Comparison.EQUAL: Operator.EQUALS, Comparison.UNEQUAL: Operator.NOT_EQUAL}
_SIGNS = {sign.value: sign for sign in Sign}
_FUNCTIONS = {**{function.value: function for function in Function}, "ceiling": Function.CEIL}
_SEVERAL = frozenset({Function.LEAST, Function.GREATEST, Function.COALESCE})


def parse_formula(text: str) -> Formula:
    """Read a formula.

    Raises:
        FormulaError: it is none; the message says where and what is expected there.
    """
    reader = _Reader(list(tokens(text)))
    root = reader.number()
    reader.expect_end()
    return Formula(text, root, reader.size)


class _Reader:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0
        self.size = 0

    def number(self) -> Numeric:
        """Read an expression that has to be a number."""
        begin = self._next
        return _numeric(self._expression(), begin)

    def expect_end(self) -> None:
        """Refuse whatever is left."""
        if self._next.kind is not Kind.END:
            raise FormulaError(
                self._next.position, f"{self._next.shown} is one too many: the formula is over before it"
            )

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind is not Kind.END
        return token

    def _expect(self, *, sign: str = "", word: str = "") -> None:
        if not (self._next.is_sign(sign) if sign else self._next.is_word(word)):
            raise FormulaError(self._next.position, f"{sign or word} is expected, not {self._next.shown}")
        self._take()

    def _count(self) -> None:
        self.size += 1
        if self.size > SIZE_MAX:
            raise FormulaError(self._next.position, f"a formula has at most {SIZE_MAX} parts: make several of it")

    def _deeper(self, read: Callable[[], _Node]) -> _Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise FormulaError(self._next.position, f"parts stand within each other at most {DEPTH_MAX} deep")
        node = read()
        self._depth -= 1
        return node

    def _condition(self) -> Conditional:
        begin = self._next
        return _conditional(self._expression(), begin)

    def _expression(self) -> _Node:
        return self._deeper(lambda: self._joined(self._all_of, "OR"))

    def _all_of(self) -> _Node:
        return self._joined(self._negated, "AND")

    def _joined(self, read: Callable[[], _Node], word: str) -> _Node:
        begin = self._next
        node = read()
        while self._next.is_word(word):
            self._take()
            self._count()
            following = self._next
            left = _conditional(node, begin)
            node = Both(left, _conditional(read(), following), either=word == "OR")
        return node

    def _negated(self) -> _Node:
        if not self._next.is_word("NOT"):
            return self._comparison()
        self._take()
        self._count()
        begin = self._next
        return Not(_conditional(self._deeper(self._negated), begin))

    def _comparison(self) -> _Node:
        begin = self._next
        node = self._sum()
        token = self._next
        if token.is_word("IS"):
            return self._is_null(node, begin)
        if token.is_word("IN", "NOT"):
            return self._among(node, begin)
        comparison = _COMPARISONS.get(token.text) if token.kind is Kind.SIGN else None
        if comparison is None:
            return node
        self._take()
        self._count()
        following = self._next
        return _compared(comparison, (node, begin), (self._sum(), following))

    def _is_null(self, node: _Node, begin: Token) -> Conditional:
        self._take()
        self._count()
        negative = self._next.is_word("NOT")
        if negative:
            self._take()
        self._expect(word="NULL")
        met: Conditional
        if isinstance(node, Property):
            met = Meets(Condition(node.name, Operator.IS_NULL))
        else:
            met = Missing(_numeric(node, begin))
        return Not(met) if negative else met

    def _among(self, node: _Node, begin: Token) -> Conditional:
        negative = self._take().is_word("NOT")
        if negative:
            self._expect(word="IN")
        self._count()
        if not isinstance(node, Property):
            raise FormulaError(begin.position, "IN is asked of a property alone: compare what was worked out with =")
        self._expect(sign="(")
        values = [self._value()]
        while self._next.is_sign(","):
            self._take()
            values.append(self._value())
        self._expect(sign=")")
        assert len(values) <= VALUES_MAX, "a formula is too short for more"
        return Meets(Condition(node.name, Operator.NOT_IN if negative else Operator.IN, tuple(values)))

    def _value(self) -> Scalar:
        begin = self._next
        node = self._unary()
        if isinstance(node, _Literal):
            return node.value
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Negative) and isinstance(node.of, Number):
            return node.of.value.copy_negate()  # Minus would round it.
        raise FormulaError(begin.position, "a list holds numbers, texts in single quotes, true and false")

    def _sum(self) -> _Node:
        return self._chain(self._product, "+", "-")

    def _product(self) -> _Node:
        return self._chain(self._unary, "*", "/")

    def _chain(self, read: Callable[[], _Node], *signs: str) -> _Node:
        begin = self._next
        node = read()
        while self._next.is_sign(*signs):
            sign = _SIGNS[self._take().text]
            self._count()
            following = self._next
            left = _numeric(node, begin)
            node = Arithmetic(sign, left, _numeric(read(), following))
        return node

    def _unary(self) -> _Node:
        if not self._next.is_sign("-", "+"):
            return self._primary()
        negative = self._take().is_sign("-")
        self._count()
        begin = self._next
        node = _numeric(self._deeper(self._unary), begin)
        return Negative(node) if negative else node

    def _primary(self) -> _Node:
        self._count()
        token = self._take()
        if token.kind is Kind.NUMBER:
            return Number(_read_number(token))
        if token.kind is Kind.TEXT:
            return _Literal(token.text)
        if token.kind is Kind.NAME:
            return _property(token)
        if token.is_sign("("):
            node = self._expression()
            self._expect(sign=")")
            return node
        if token.is_word("CASE"):
            return self._case()
        if token.kind is not Kind.WORD or token.text.upper() in _RESERVED:
            raise FormulaError(token.position, f"a number, a property or ( is expected, not {token.shown}")
        if self._next.is_sign("("):
            return self._call(token)
        if token.is_word("TRUE", "FALSE"):
            return _Literal(token.is_word("TRUE"))
        return _property(token)

    def _case(self) -> Case:
        if not self._next.is_word("WHEN"):
            raise FormulaError(self._next.position, f"WHEN is expected after CASE, not {self._next.shown}")
        branches = []
        while self._next.is_word("WHEN"):
            self._take()
            self._count()
            condition = self._condition()
            self._expect(word="THEN")
            branches.append((condition, self.number()))
        otherwise = None
        if self._next.is_word("ELSE"):
            self._take()
            otherwise = self.number()
        self._expect(word="END")
        return Case(tuple(branches), otherwise)

    def _call(self, name: Token) -> Numeric:
        self._take()
        if name.is_word("IF"):
            return self._if()
        if name.is_word("ROUND"):
            return self._round()
        function = _FUNCTIONS.get(name.text.lower())
        if function is None:
            known = ", ".join(sorted({"if", "round", *_FUNCTIONS}))
            raise FormulaError(name.position, f"there is no function {name.shown}: there are {known}")
        arguments = [self.number()]
        while self._next.is_sign(",") and function in _SEVERAL:
            self._take()
            arguments.append(self.number())
        self._expect(sign=")")
        return Call(function, tuple(arguments))

    def _if(self) -> Case:
        condition = self._condition()
        self._expect(sign=",")
        then = self.number()
        otherwise = None
        if self._next.is_sign(","):
            self._take()
            otherwise = self.number()
        self._expect(sign=")")
        return Case(((condition, then),), otherwise)

    def _round(self) -> Round:
        number = self.number()
        decimals = 0
        if self._next.is_sign(","):
            self._take()
            token = self._take()
            known = token.kind is Kind.NUMBER and token.text.isdecimal()
            if not known or len(token.text) > 2 or int(token.text) > DECIMALS_MAX:
                raise FormulaError(token.position, f"0 to {DECIMALS_MAX} decimals are expected, not {token.shown}")
            decimals = int(token.text)
        self._expect(sign=")")
        return Round(number, decimals)


def _compared(comparison: Comparison, left: tuple[_Node, Token], right: tuple[_Node, Token]) -> Conditional:
    literal, other = (left, right) if isinstance(left[0], _Literal) else (right, left)
    if not isinstance(literal[0], _Literal):
        return Compare(comparison, _numeric(*left), _numeric(*right))
    if not isinstance(other[0], Property) or comparison not in _EQUALITIES:
        position = literal[1].position
        raise FormulaError(position, "texts, true and false are compared with a property alone, by =, <> and IN")
    return Meets(Condition(other[0].name, _EQUALITIES[comparison], (literal[0].value,)))


def _numeric(node: _Node, begin: Token) -> Numeric:
    if isinstance(node, _NUMERIC):
        return node
    if isinstance(node, _Literal):
        raise FormulaError(begin.position, f"a number is expected, not {begin.shown}")
    raise FormulaError(begin.position, "a number is expected here, not a condition: CASE WHEN … THEN 1 ELSE 0 END")


def _conditional(node: _Node, begin: Token) -> Conditional:
    if isinstance(node, (*_NUMERIC, _Literal)):
        raise FormulaError(begin.position, f"a condition is expected at {begin.shown}: compare it, such as x > 0")
    return node


def _property(token: Token) -> Property:
    if len(token.text) > NAME_CHARACTERS_MAX:
        raise FormulaError(token.position, f"a property's name has at most {NAME_CHARACTERS_MAX} characters")
    return Property(token.text)


def _read_number(token: Token) -> Decimal:
    text = token.text.lstrip("0") or "0"
    text = f"0{text}" if text[0] in ".eE" else text
    number = exact_number(text.replace(".e", ".0e").replace(".E", ".0e") if not text.endswith(".") else text[:-1])
    if number is None:
        raise FormulaError(token.position, f"{token.text[:40]} is not below 10^20 with at most 18 decimals")
    return number
