"""The worked cases of the pricing specification, as they stand."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing.pricing import (
    EventPrices,
    Terms,
    UnitPrices,
    bill_difference,
    line_total,
    rate,
    rate_events,
    rate_groups,
    read_prices,
)
from billing.pricing.preview import preview

EXAMPLES = json.loads(Path(__file__).with_name("pricing_examples.json").read_text(), parse_float=Decimal)
TERMS = ("min_committed_count", "min_amount", "max_amount", "allow_negative_values")


def named(example: dict[str, Any]) -> str:
    return str(example["id"])


def terms_of(params: dict[str, Any]) -> Terms:
    return Terms(**{name: params[name] for name in TERMS if name in params})


def rated(example: dict[str, Any]) -> int:
    params, units = example["params"], Decimal(example["units"])
    if example["model"] == "fee":
        prices = read_prices([{"type": "fee", "amount": params["amount"]}])
        assert isinstance(prices, UnitPrices)
        return rate(prices, Decimal(0), Terms(count=units)).signed_amount
    if example["model"] == "line_total":
        return line_total(params["amount_excluding_tax"], tax_rate=Decimal(params["tax_rate"])).total
    if example["model"] == "matrix":
        groups = []
        for group in params["price_groups"]:
            prices = read_prices(group["prices"])
            assert isinstance(prices, UnitPrices)
            groups.append((prices, Decimal(group["units"])))
        return rate_groups(groups, terms_of(params)).signed_amount
    prices = read_prices(params["prices"])
    if isinstance(prices, EventPrices):
        return rate_events(prices, params["events"]).signed_amount
    line = rate(prices, units, terms_of(params))
    if params.get("bill_usage_difference"):
        line = bill_difference(line, params["previous_amount"])
    return line.signed_amount


def test_all_of_them_are_here():
    """A case that is lost with the file would not be missed otherwise."""
    assert len(EXAMPLES) == 109


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_an_example_comes_out_as_written(example: dict[str, Any]):
    """The functions give the amount of the specification."""
    assert rated(example) == example["expected_minor_units"]


def request_of(example: dict[str, Any]) -> dict[str, Any] | None:
    params = example["params"]
    if example["model"] == "line_total" or "bill_usage_difference" in params:
        return None
    request = {"currency": example["currency"], **{name: params[name] for name in TERMS if name in params}}
    if example["model"] == "fee":
        row = {"type": "fee", "amount": params["amount"], "count": example["units"]}
        return {**request, "prices": [row], "quantities": [0]}
    if example["model"] == "matrix":
        groups = [{"prices": group["prices"], "quantity": group["units"]} for group in params["price_groups"]]
        return {**request, "price_groups": groups}
    if "events" in params:
        return {**request, "prices": params["prices"], "events": params["events"]}
    return {**request, "prices": params["prices"], "quantities": [example["units"]]}


@pytest.mark.parametrize("example", [e for e in EXAMPLES if request_of(e) is not None], ids=named)
def test_an_example_comes_out_of_a_preview_as_written(example: dict[str, Any]):
    """A preview gives the same amount, credits below 0, and tiers that add up to it."""
    request = request_of(example)
    (entry,) = preview(request)["amounts"]
    assert entry["amount"] == example["expected_minor_units"]
    assert sum(tier["amount"] for tier in entry["tiers"]) == entry["amount"]


def test_a_fraction_of_a_discount_is_exact_until_it_is_rounded():
    """A third of a percent is no decimal, so discounts may be fractions."""
    assert line_total(100, discount=Fraction(1, 3)).discount == 0
    assert line_total(100, discount=Fraction(1, 2)).discount == 1
