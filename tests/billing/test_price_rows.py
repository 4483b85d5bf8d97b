"""What is wrong with price rows is told at its place, with the remedy, and all at once."""

from decimal import Decimal
from typing import Any

import pytest

from billing.errors import InvalidPriceError
from billing.pricing import Prices, read_prices
from billing.pricing.bps import BpsEventPrices, BpsPrices
from billing.pricing.fee import FeePrices
from billing.pricing.packaged import PackagedPrices
from billing.pricing.rows import FAULTS_MAX
from billing.pricing.volume import VolumePrices


def a_row(**fields: Any) -> dict[str, Any]:
    return {"type": "volume", "from": 0, "to": None, "amount": 100, **fields}


def two_rows(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [a_row(**{"to": 10, **(first or {})}), a_row(**{"from": 10, **(second or {})})]


def faults_of(rows: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    with pytest.raises(InvalidPriceError) as caught:
        read_prices(rows)
    assert str(caught.value) == caught.value.faults[0].message
    return [(fault.code, tuple(fault.path)) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("rows", "code", "path"),
    [
        (None, "required", ()),
        ([], "required", ()),
        ({}, "required", ()),
        ("volume", "required", ()),
        ([a_row()] * 1001, "too_many", ()),
        ([None], "invalid_type", (0,)),
        ([a_row(), [a_row()]], "invalid_type", (1,)),
        ([a_row(type=None)], "required", (0, "type")),
        ([a_row(type="stairs")], "unknown", (0, "type")),
        ([a_row(type=["volume"])], "unknown", (0, "type")),
        (two_rows(second={"type": "bulk"}), "mixed_types", (1, "type")),
        ([a_row(amount=None)], "required", (0, "amount")),
        ([a_row(amount="100")], "invalid_type", (0, "amount")),
        ([a_row(amount=True)], "invalid_type", (0, "amount")),
        ([a_row(amount={})], "invalid_type", (0, "amount")),
        ([a_row(amount=-1)], "out_of_range", (0, "amount")),
        ([a_row(amount=10**20)], "out_of_range", (0, "amount")),
        ([a_row(amount=10**5000)], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("1e20"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("1e-19"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("1.0000000000000000001"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("1e-999999999"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("1e999999999"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("NaN"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("sNaN"))], "out_of_range", (0, "amount")),
        ([a_row(amount=Decimal("Infinity"))], "out_of_range", (0, "amount")),
        ([a_row(unit_count=0)], "out_of_range", (0, "unit_count")),
        ([a_row(unit_count=Decimal("-0.0"))], "out_of_range", (0, "unit_count")),
        ([a_row(unit_count=-5)], "out_of_range", (0, "unit_count")),
        ([a_row(on_tier_incomplete="half")], "unknown", (0, "on_tier_incomplete")),
        ([a_row(on_bucket_incomplete=1)], "unknown", (0, "on_bucket_incomplete")),
        (
            [a_row(on_tier_incomplete="pro_rata", on_bucket_incomplete="pay_in_full")],
            "contradiction",
            (0, "on_bucket_incomplete"),
        ),
        ([{**a_row(), "from": None}], "required", (0, "from")),
        ([a_row(**{"from": 1})], "first_tier_not_at_zero", (0, "from")),
        (two_rows(second={"from": 11}), "gap", (1, "from")),
        (two_rows(second={"from": 9}), "overlap", (1, "from")),
        (two_rows(first={"to": None}), "open_tier_not_last", (0, "to")),
        ([a_row(to=10)], "last_tier_not_open", (0, "to")),
        (two_rows(second={"to": 20}), "last_tier_not_open", (1, "to")),
        (two_rows(first={"to": 0}), "out_of_range", (0, "to")),
        ([a_row(to=10), a_row(**{"from": 10, "to": 10}), a_row(**{"from": 10})], "empty_tier", (1, "to")),
        ([a_row(to=10), a_row(**{"from": 10, "to": 5}), a_row(**{"from": 5})], "empty_tier", (1, "to")),
        (
            [a_row(type="bulk", to=10, **{"from": 5}), a_row(type="bulk", **{"from": 10})],
            "first_tier_not_at_zero",
            (0, "from"),
        ),
        ([a_row(type="fee"), a_row(type="fee")], "too_many", (1,)),
        ([a_row(type="fee", count=-1)], "out_of_range", (0, "count")),
        ([a_row(type="bundle"), a_row(type="bundle")], "too_many", (1,)),
        ([a_row(type="bps")], "required", (0, "percentage")),
        ([a_row(type="bps", percentage=-1)], "out_of_range", (0, "percentage")),
        ([a_row(type="bps", percentage=1, per_unit_cap=-1)], "out_of_range", (0, "per_unit_cap")),
        ([a_row(type="bps", percentage=1, per_unit_floor="1")], "invalid_type", (0, "per_unit_floor")),
        ([a_row(type="packaged", unit_count=0)], "out_of_range", (0, "unit_count")),
    ],
)
def test_a_broken_rule_is_one_fault_at_its_place(rows: Any, code: str, path: tuple[str | int, ...]):
    """One cause, one fault, for each rule."""
    assert faults_of(rows) == [(code, ("prices", *path))]


def test_every_fault_of_a_price_is_told_at_once():
    """In the order of the rows."""
    rows = [a_row(to=10, amount="free"), a_row(**{"from": 12, "unit_count": 0}), a_row(**{"from": 20})]
    assert sorted(path[1:] for _, path in faults_of(rows)) == [
        (0, "amount"),
        (1, "from"),
        (1, "to"),
        (1, "unit_count"),
    ]


def test_faults_beyond_the_limit_are_noticed_though_not_reported():
    """A row that is no object after a hundred faults does not reach a model."""
    rows: list[Any] = [a_row(amount="free", type="stairs")] * FAULTS_MAX + [None]
    assert len(faults_of(rows)) == FAULTS_MAX
    assert len(faults_of([a_row(amount="free", to=index + 1, **{"from": index}) for index in range(200)])) == FAULTS_MAX


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (two_rows(second={"from": 11}), "prices[1].from is 11, and the tier before ends at 10: set it to 10"),
        ([a_row(to=10)], "prices[0].to is 10: the last tier must be open, so set it to null or add a row"),
        ([a_row(amount="1")], "prices[0].amount is the text '1': send a JSON number"),
        (
            [a_row(type="stairs")],
            "prices[0].type is the text 'stairs': send one of fee, volume, packaged, bulk, bps, bundle",
        ),
        ([a_row(unit_count=0)], "prices[0].unit_count is 0: it must be above 0"),
    ],
)
def test_a_message_names_field_value_and_remedy(rows: Any, message: str):
    """What it says can be acted on without the documentation."""
    with pytest.raises(InvalidPriceError) as caught:
        read_prices(rows)
    assert str(caught.value) == message


def test_a_message_survives_any_text():
    """Lone surrogates and long texts are shown safely."""
    with pytest.raises(InvalidPriceError) as caught:
        read_prices([a_row(amount="\ud800" * 500)])
    assert str(caught.value).encode()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("field", ["amount", "unit_count", "from", "to"])
def test_a_float_is_a_bug_of_the_caller(field: str):
    """Its digits are lost before rating begins."""
    with pytest.raises(TypeError, match=f"prices\\[0\\].{field} is a float"):
        read_prices([a_row(**{field: 0.1})])


def test_rows_by_their_type():
    """Each type has its class, and percentages with limits one of their own."""
    read: dict[type, list[dict[str, Any]]] = {
        FeePrices: [{"type": "fee", "amount": 1}],
        VolumePrices: [a_row()],
        PackagedPrices: [a_row(type="packaged")],
        BpsPrices: [a_row(type="bps", percentage=1)],
        BpsEventPrices: [a_row(type="bps", percentage=1, per_unit_fee=0)],
    }
    for kind, rows in read.items():
        prices: Prices = read_prices(rows)
        assert type(prices) is kind


def test_numbers_are_taken_by_value():
    """1.50, 15e-1 and long zeros are the number they write."""
    plain = read_prices(two_rows(first={"amount": Decimal("1.5")}))
    for text in ("1.50", "15e-1", "1.5" + "0" * 40):
        assert read_prices(two_rows(first={"amount": Decimal(text)})) == plain
    assert read_prices(two_rows(first={"to": Decimal("1e1")})) == read_prices(two_rows())


def test_unit_counts_without_any_common_multiple_worth_computing_are_refused():
    """A few hundred long primes would make numbers of thousands of digits; a dozen are fine."""

    def rows(count: int) -> list[dict[str, Any]]:
        return [
            a_row(
                amount=1,
                unit_count=10**19 + 2 * index + 1,
                to=index + 1 if index < count - 1 else None,
                **{"from": index},
            )
            for index in range(count)
        ]

    assert read_prices(rows(12))
    assert faults_of(rows(900)) == [("out_of_range", ("prices", 0, "unit_count"))]
