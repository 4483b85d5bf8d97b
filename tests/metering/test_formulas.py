"""What a formula is, what it is worth, and what is refused."""

from decimal import Decimal

import pytest

from metering.formulas import FormulaError, evaluate, parse_formula
from metering.formulas.parser import DEPTH_MAX, SIZE_MAX

RECORD = {
    "id": "7",
    "input": Decimal(1000),
    "output": "250",
    "model": "large",
    "live": True,
    "none": None,
    "tags": ["a", "b"],
    "case": Decimal(3),
    "my price": Decimal("1.50"),
    "huge": Decimal(99999999999999999999),
}


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("input + 4 * output", "2000"),
        ("(input + output) / 1000", "1.25"),
        ("input - output - 1", "749"),
        ("-input + +1", "-999"),
        ("2 / 3", "0.666666666666666667"),
        ("-2 / 3", "-0.666666666666666667"),
        ("1 / 3 * 3", "0.999999999999999999"),
        ("0.000000000000000001 / 2", "0.000000000000000001"),
        ("input / 0", None),
        ("input / (output - 250)", None),
        ("input + absent", None),
        ("input + none", None),
        ("input + model", None),
        ("input + tags", None),
        ("huge + 1", None),
        ("huge * huge", None),
        ("huge * 0.5", "49999999999999999999.5"),
        ("coalesce(absent, none, output, 1)", "250"),
        ("coalesce(input / 0, -1)", "-1"),
        ("abs(output - input)", "750"),
        ("round(2.5) + round(-2.5)", "0"),
        ("round(1.005, 2)", "1.01"),
        ("ceil(1.2) * 100 + floor(-1.2)", "198"),
        ("ceiling(-1.2)", "-1"),
        ("least(3, absent, 2) + greatest(1, none)", "3"),
        ("least(absent, none)", None),
        ("if(model = 'large', 3, 1)", "3"),
        ("if(model <> 'large', 3)", None),
        ("CASE WHEN model IN ('small', 'tiny') THEN 1 when model = 'large' then 2 ELSE 3 END * 10", "20"),
        ("case when model not in ('x') and live = true then 1 else 0 end", "1"),
        ("if(live = 'true' AND NOT live = FALSE, 1, 0)", "1"),
        ("if(tags = 'b', 1, 0)", "1"),
        ("if(absent IS NULL AND none IS NULL AND model IS NOT NULL, 1, 0)", "1"),
        ("if(input / 0 IS NULL, 1, 0)", "1"),
        ("if(absent > 0 OR absent <= 0, 1, 0)", "0"),
        ("if(absent <> 0, 1, 0)", "1"),
        ("if(output = 250.0, 1, 0)", "1"),
        ("if(1 < 2 and (2 >= 2 or 1 / 0 > 1), 1, 0)", "1"),
        ('"my price" * 2 + "case" + `my price`', "7.5"),
        ("id + 1", "8"),
        ("1e3 + .5 + 2.", "1002.5"),
    ],
)
def test_what_a_formula_is_worth(text, worth):
    """Each step is exact to 18 decimals; what cannot be worked out is no number."""
    found = evaluate(parse_formula(text), RECORD)
    assert found == (None if worth is None else Decimal(worth))


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 1, "a number, a property or ( is expected, not the end"),
        ("input +", 8, "not the end"),
        ("input output", 7, "'output' is one too many"),
        ("(input", 7, ") is expected, not the end"),
        ("input)", 6, "')' is one too many"),
        ("input ; DROP TABLE events", 7, "';' means nothing here"),
        ("input -- 1 #", 12, "'#' means nothing here"),
        ("sleep(10)", 1, "there is no function 'sleep'"),
        ("toString(input)", 1, "there are abs, ceil, ceiling, coalesce"),
        ("input > 1", 1, "not a condition"),
        ("if(input, 1, 2)", 4, "a condition is expected at 'input'"),
        ("'text'", 1, "a number is expected, not 'text'"),
        ("input + 'text'", 9, "a number is expected"),
        ("if(input + 1 = 'x', 1, 2)", 16, "compared with a property alone"),
        ("if(model > 'x', 1, 2)", 12, "by =, <> and IN"),
        ("if(input + 1 IN (1), 1, 2)", 4, "IN is asked of a property alone"),
        ("if(input IN (model), 1, 2)", 14, "a list holds numbers"),
        ("if(input NOT 1, 1, 2)", 14, "IN is expected"),
        ("if(input IS 1, 1, 2)", 13, "NULL is expected"),
        ("case input when 1 then 2 end", 6, "WHEN is expected after CASE"),
        ("case when input > 1 then 2", 27, "END is expected"),
        ("abs(1, 2)", 6, ") is expected"),
        ("round(1, 19)", 10, "0 to 18 decimals"),
        ("round(1, input)", 10, "0 to 18 decimals"),
        ("100000000000000000000", 1, "below 10^20"),
        ("1e99999", 1, "below 10^20"),
        ("'open", 1, "does not end"),
        ('""', 1, "is empty"),
        ('"' + "x" * 256 + '"', 1, "255 characters"),
        ("if(input > 1 > 0, 1, 2)", 14, ", is expected"),
        ("\N{FULLWIDTH DIGIT ONE}", 1, "means nothing here"),
        ("a\x00", 2, "means nothing here"),
    ],
)
def test_a_fault_says_where_it_is(text, at, says):
    """The character, counted from 1, and what is expected there."""
    with pytest.raises(FormulaError) as refusal:
        parse_formula(text)
    assert f"at character {at}: " in str(refusal.value)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000 + "1" + ")" * 100_000,
        "-" * 100_000 + "1",
        "abs(" * 1_000,
        "-" * 1_500 + "1",
        "(" * 1_000,
        "if(not " * 200,
        "if(" + "not " * 400 + "a = 1, 1, 2)",
        "case when " * 190,
        "1" + "+1" * 999,
        "if(a" + " or a" * 300 + ", 1, 2)",
        "if(a in (" + "1," * 600 + "1), 1, 2)",
        "(" * DEPTH_MAX + "1" + ")" * DEPTH_MAX,
        "+".join("1" * (SIZE_MAX // 2 + 1)),
        "'" * 2_000,
        "1" * 2_000,
    ],
)
def test_hostile_formulas_are_refused_at_once(text):
    """However deep, long or wide: no recursion runs out, and nothing grows with the text but the time to look at it."""
    with pytest.raises(FormulaError):
        parse_formula(text)
