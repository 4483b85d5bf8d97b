"""The groups of a price in a form: what is kept comes back as it was, and buttons do what they say."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.catalog.rows import read_filter
from deploy.pages.matrix_form import GROUPS_MAX, conditions_text, fits_form, kept_groups, new_groups, typed_groups
from metering.filters import LIST_OPERATORS, NULL_OPERATORS, Operator
from metering.http.json import dumps

ROWS = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
COMPARED = [Operator.GT, Operator.GTE, Operator.LT, Operator.LTE]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
numbers = st.one_of(st.integers(-(10**9), 10**9), st.decimals(-100, 100, places=3).map(lambda one: one.normalize() + 0))
scalars = st.one_of(texts, numbers, st.booleans(), st.sampled_from(["5", "true", "[1]", '"x"', " a", "1e3", "-"]))


def a_condition(operator, value):
    return {"property": "model", "operator": operator.value, **({} if operator in NULL_OPERATORS else {"value": value})}


conditions = st.one_of(
    st.builds(a_condition, st.sampled_from([Operator.EQUALS, Operator.NOT_EQUAL, *NULL_OPERATORS]), scalars),
    st.builds(a_condition, st.sampled_from(COMPARED), numbers),
    st.builds(a_condition, st.sampled_from(sorted(LIST_OPERATORS)), st.lists(scalars, min_size=1, max_size=3)),
)
filters = st.builds(
    lambda name, conditional, fields: {"name": name, "configuration": {"conditional": conditional, "fields": fields}},
    st.one_of(st.none(), st.just("visa")),
    st.sampled_from(["and", "or"]),
    st.lists(conditions, min_size=1, max_size=3),
)


def sent(groups):
    """Give the fields of a form as a browser sends them."""
    fields = {}
    for group in groups.groups:
        place = group.place
        fields |= {f"{place}.id": group.id, f"{place}.name": group.name, f"{place}.conditional": group.conditional}
        for number, one in enumerate(group.conditions):
            fields |= {f"{place}.conditions.{number}.{name}": text for name, text in one.items()}
        fields[f"{group.rows.prefix}.model"] = group.rows.model
        for number, row in enumerate(group.rows.rows):
            fields |= {f"{group.rows.prefix}.{number}.{name}": text for name, text in row.items()}
    return {name: text.strip() for name, text in fields.items()}


@given(st.lists(filters, min_size=1, max_size=3))
def test_what_is_kept_comes_back_as_it_was(documents):
    """Numbers as numbers, texts as texts, lists as lists: a form that is saved unchanged changes nothing."""
    faults = []
    kept = [PriceGroup(read_filter(one, (), faults), ROWS) for one in documents]
    assert faults == []
    assert fits_form(kept)
    groups = kept_groups("groups", [(f"pri_{at}", group) for at, group in enumerate(kept)])
    again = typed_groups(sent(groups), "groups")
    assert [group.id for group in again.groups] == [f"pri_{at}" for at in range(len(kept))]
    read = [read_filter(group.metering_filter(), (), faults) for group in again.groups]
    assert dumps(read) == dumps([group.metering_filter for group in kept])


def test_what_a_form_would_change_is_not_edited_in_it():
    """Spaces around a name are trimmed, and there is an end to what it holds."""
    spaced = {"name": None, "configuration": {"conditional": "and", "fields": [a_condition(Operator.GT, 1)]}}
    spaced["configuration"]["fields"][0]["property"] = " model"
    assert not fits_form([PriceGroup(spaced, ROWS)])
    assert not fits_form([PriceGroup(None, ROWS)] * (GROUPS_MAX + 1))
    assert not fits_form([PriceGroup(None, ROWS * 41)])


def test_a_new_group_stands_before_the_one_that_takes_what_is_left():
    """An event belongs to the first group that takes it."""
    groups = new_groups("groups").acted({"do": "add_group groups"})
    assert [len(group.conditions) for group in groups.groups] == [1, 0]
    assert groups.focus == "groups.0.name"
    groups = groups.acted({"do": "add_condition groups.1"}).acted({"do": "add_group groups"})
    assert [len(group.conditions) for group in groups.groups] == [1, 1, 1]
    assert groups.focus == "groups.2.name"
    assert [group.place for group in groups.acted({"do": "remove_group groups 0"}).groups] == ["groups.0", "groups.1"]


@pytest.mark.parametrize(
    "do", ["remove_group groups 7", "remove_condition groups.0 x", "add_row", "x", "add_group other"]
)
def test_a_button_that_there_is_not_changes_nothing(do):
    """Whatever a form is sent with."""
    groups = new_groups("groups")
    assert sent(groups.acted({"do": do})) == sent(groups)


def test_conditions_are_said_in_words():
    """With the word that joins them."""
    fields = [
        a_condition(Operator.EQUALS, "visa"),
        a_condition(Operator.IS_NULL, None),
        a_condition(Operator.GT, Decimal("1.5")),
    ]
    group = PriceGroup({"name": None, "configuration": {"conditional": "or", "fields": fields}}, ROWS)
    assert conditions_text(group) == "model equals visa or model is null or model gt 1.5"
