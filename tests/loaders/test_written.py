"""Columns of a database's own text become JSON, whatever is in them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from loaders.source import BadValue
from loaders.sources import written
from loaders.sources.documents import documents

LIMIT = 40
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=8)


@given(TEXTS)
def test_text_is_what_it_was_or_told_to_be_too_long(values):
    """The quick way for a whole column and the slow one for a value agree."""
    for value, cell in zip(values, written.texts(LIMIT)(values), strict=True):
        if value is not None and len(value.encode()) > LIMIT:
            assert isinstance(cell, BadValue)
            assert str(LIMIT) in cell.message
        else:
            assert json.loads(cell) == value


@given(TEXTS)
def test_a_column_says_the_same_as_its_values_one_by_one(values):
    """What stands beside a value does not matter."""
    convert = written.texts(LIMIT)
    assert convert(values) == [convert([value])[0] for value in values]


def test_numbers_keep_their_digits_and_their_faults_stay_apart():
    """NaN is one value's fault and not its column's."""
    cells = written.numbers(["1.50", None, "NaN", "-Infinity", "1e+20"])
    assert cells[:2] == ["1.50", "null"]
    assert [isinstance(cell, BadValue) for cell in cells] == [False, False, True, True, False]
    assert written.numbers(["1", "2"]) == ["1", "2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(JSON, st.booleans())
def test_json_is_kept_when_it_is_flat_and_a_fault_when_not(value, ascii_only):
    """Plain values and arrays of them are properties."""
    (cell,) = documents(100_000)([json.dumps(value, ensure_ascii=ascii_only, indent=1)])
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, (list, dict)) for one in value)
    )
    assert isinstance(cell, BadValue) if nested else json.loads(cell) == value
