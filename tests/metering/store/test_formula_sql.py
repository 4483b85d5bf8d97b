"""The SQL of a formula gives what the Python of it gives, on whatever a record may hold."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.aggregation import Aggregator, Operation
from metering.decimals import plain
from metering.formulas import evaluate, parse_formula
from metering.formulas.parser import DEPTH_MAX, SIZE_MAX
from metering.ids import new_id
from metering.store.expressions import Expressions
from metering.store.formula_sql import worth
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY
from metering.world import Mode, World
from tests.histories import START_US, History
from tests.metering.store.test_expressions import evaluate as ask
from tests.metering.store.test_expressions import values

NAMES = ["a", "b", '"q""u"', "`x y`", "id"]

literals = st.one_of(
    st.integers(0, 10**20 - 1).map(str),
    st.decimals(0, 10**19, places=18).map(plain),
    st.sampled_from(["0", "1", "2", "0.5", ".1", "3.", "1e3", "1E-18", "99999999999999999999.999999999999999999"]),
)
quoted = st.sampled_from(["'a'", "'5'", "''", "'it''s'", "true", "FALSE"])
properties = st.sampled_from(NAMES)


def deeper(numbers):
    pairs = st.tuples(numbers, numbers)
    conditions = st.one_of(
        st.builds("{0[0]} {1} {0[1]}".format, pairs, st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])),
        st.builds("{} {} {}".format, properties, st.sampled_from(["=", "<>"]), quoted),
        st.builds("{} {}IN ({}, {}, -2)".format, properties, st.sampled_from(["", "NOT "]), literals, quoted),
        st.builds("{} IS {}NULL".format, numbers, st.sampled_from(["", "NOT "])),
    )
    joined = st.one_of(
        conditions,
        st.builds("NOT {}".format, conditions),
        st.builds("({} {} {})".format, conditions, st.sampled_from(["AND", "or"]), conditions),
    )
    return st.one_of(
        st.builds("({0[0]} {1} {0[1]})".format, pairs, st.sampled_from("+-*/")),
        st.builds("-{}".format, numbers),
        st.builds("{}({})".format, st.sampled_from(["abs", "ceil", "floor", "round", "CEILING"]), numbers),
        st.builds("round({}, {})".format, numbers, st.integers(0, 18)),
        st.builds("{1}({0[0]}, {0[1]})".format, pairs, st.sampled_from(["least", "greatest", "coalesce"])),
        st.builds("if({1}, {0[0]}, {0[1]})".format, pairs, joined),
        st.builds("CASE WHEN {1} THEN {0[0]} WHEN {2} THEN {0[1]} END".format, pairs, joined, joined),
    )


formulas = st.recursive(st.one_of(literals, properties), deeper, max_leaves=8)
records = st.builds(
    lambda record, identity: {**record, "id": identity},
    st.dictionaries(st.sampled_from(["a", "b", 'q"u', "x y"]), values),
    st.sampled_from(["5", "r1", "-2.50"]),
)


@pytest.mark.slow
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=6), formulas)
def test_a_formula_is_worth_the_same_in_the_store_and_in_memory(store, rows, text):
    """To the last of 18 decimals, and nothing in both where it is no number."""
    formula = parse_formula(text)
    assert told(store, formula, rows) == [evaluate(formula, row) for row in rows]


def told(store, formula, rows):
    expressions = Expressions()
    found = ask(store, expressions, f"toString({worth(formula, expressions)})", rows)
    return [None if text is None else Decimal(text) for (text,) in found]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        " * ".join(["1.000000000000000001"] * (SIZE_MAX // 2)),
        " + ".join(["a"] * (SIZE_MAX // 2)),
        "/".join(["7"] + ["3"] * (SIZE_MAX // 2 - 1)),
        "(" * (DEPTH_MAX - 1) + "a" + ")" * (DEPTH_MAX - 1),
        "abs(" * (DEPTH_MAX - 1) + "a" + ")" * (DEPTH_MAX - 1),
        "round(" * (DEPTH_MAX - 1) + "a / 3" + ", 9)" * (DEPTH_MAX - 1),
        "if(a > 0, a, " * 18 + "1" + ")" * 18,
        " + ".join(["if(a = 'x', b, 2)"] * 12),
    ],
)
def test_the_largest_formulas_are_asked_of_the_store(store, text):
    """What the parser lets through the store can read, and gives the same."""
    formula = parse_formula(text)
    rows = [{"id": "1", "a": Decimal("1.5"), "b": Decimal(3)}, {"id": "2", "a": "x"}, {"id": "3"}]
    assert told(store, formula, rows) == [evaluate(formula, row) for row in rows]
    world = World(new_id("acc"), Mode.TEST)
    scope = Scope(world, History([]).cutoff((30, 30)), START_US, START_US + DAY)
    every = [Aggregator("call", operation, formula=formula) for operation in Operation]
    assert [usage.count for usage in UsageReader(store).totals(scope, every * 3)] == [0] * len(every) * 3


@pytest.mark.parametrize(
    "text",
    [
        "99999999999999999999.999999999999999999",
        "a",
        "-a",
        "if(a IN (1, -99999999999999999999.999999999999999999), 1, 0)",
    ],
)
def test_no_digit_is_lost(store, text):
    """Thirty-eight digits, written in the formula or held by the record."""
    formula = parse_formula(text)
    rows = [{"id": "1", "a": Decimal("-99999999999999999999.999999999999999999")}]
    (worth_of,) = told(store, formula, rows)
    assert worth_of == evaluate(formula, rows[0])
    assert worth_of in {1, Decimal("99999999999999999999.999999999999999999"), rows[0]["a"]}
