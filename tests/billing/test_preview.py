import json
import math
from decimal import Decimal
from typing import Any

import pytest

from billing.errors import AmountTooLargeError, InvalidPriceError, RefusedPriceError
from billing.pricing.preview import EVENTS_MAX, QUANTITIES_MAX, preview
from metering.http.json import dumps, loads

V1 = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4000},
    {"type": "volume", "from": 50, "to": None, "amount": 2000},
]
PER_EVENT = [{"type": "bps", "from": 0, "to": None, "percentage": 1, "per_unit_floor": 20, "per_unit_cap": 500}]


def a_request(**fields: Any) -> dict[str, Any]:
    return {"currency": "EUR", "prices": V1, "quantities": [63], **fields}


def a_matrix(**fields: Any) -> dict[str, Any]:
    groups = [{"prices": V1, "quantity": 11}, {"prices": [{"type": "bulk", "amount": 30}], "quantity": Decimal("0.5")}]
    return {"currency": "EUR", "price_groups": groups, **fields}


def faults_of(request: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    with pytest.raises(InvalidPriceError) as caught:
        preview(request)
    return [(fault.code, tuple(fault.path)) for fault in caught.value.faults]


def test_each_quantity_has_its_entry():
    """In order, with the tiers it reaches and integer amounts that add up."""
    assert preview(a_request(quantities=[63, 0, Decimal("0.50")])) == {
        "amounts": [
            {
                "quantity": 63,
                "amount": 236000,
                "tiers": [
                    {"from": 0, "to": 10, "quantity": 10, "amount": 50000},
                    {"from": 10, "to": 50, "quantity": 40, "amount": 160000},
                    {"from": 50, "to": None, "quantity": 13, "amount": 26000},
                ],
            },
            {"quantity": 0, "amount": 0, "tiers": []},
            {
                "quantity": Decimal("0.5"),
                "amount": 2500,
                "tiers": [{"from": 0, "to": 10, "quantity": Decimal("0.5"), "amount": 2500}],
            },
        ]
    }


def test_an_answer_is_json_with_plain_numbers():
    """Whole quantities are written without a point, small ones without an exponent."""
    body = b'{"currency":"EUR","prices":[{"type":"volume","from":0,"amount":1e2}],"quantities":[2.0,1e-7,1e3]}'
    written = dumps(preview(loads(body)))
    assert b'"quantity":2,"amount":200' in written
    assert b'"quantity":0.0000001' in written
    assert b'"quantity":1000,"amount":100000' in written


def test_a_credit_is_below_zero():
    """Its tiers too; without the flag the quantity counts as none."""
    (entry,) = preview(a_request(quantities=[-5], allow_negative_values=True))["amounts"]
    assert entry == {
        "quantity": -5,
        "amount": -25000,
        "tiers": [{"from": 0, "to": 10, "quantity": -5, "amount": -25000}],
    }
    (clamped,) = preview(a_request(quantities=[-5]))["amounts"]
    assert clamped == {"quantity": -5, "amount": 0, "tiers": []}


@pytest.mark.parametrize(
    ("quantity", "clamp"),
    [
        (1, {"adjustment": "minimum", "amount": 5000}),
        (63, {"adjustment": "maximum", "amount": -36000}),
    ],
)
def test_a_clamp_is_the_last_entry(quantity: int, clamp: dict[str, Any]):
    """The tiers with it add up to the amount."""
    (entry,) = preview(a_request(quantities=[quantity], min_amount=10000, max_amount=200000))["amounts"]
    assert entry["tiers"][-1] == clamp
    assert sum(tier["amount"] for tier in entry["tiers"]) == entry["amount"]


def test_a_clamp_that_changes_nothing_is_not_shown():
    """48 units are the maximum to the cent with another cap."""
    (entry,) = preview(a_request(quantities=[48], max_amount=202000))["amounts"]
    assert [set(tier) for tier in entry["tiers"]] == [{"from", "to", "quantity", "amount"}] * 2


def test_a_commitment_is_billed_and_the_quantity_is_the_one_asked_for():
    """The tiers show what is billed."""
    (entry,) = preview(a_request(quantities=[5], min_committed_count=20))["amounts"]
    assert (entry["quantity"], entry["amount"]) == (5, 90000)
    assert sum(tier["quantity"] for tier in entry["tiers"]) == 20


def test_thirds_add_up_by_largest_remainder():
    """0.3 + 0.3 + 0.4 of a unit are shared out as whole minor units."""
    rows = [
        {"type": "volume", "from": 0, "to": 1, "amount": Decimal("0.3")},
        {"type": "volume", "from": 1, "to": 2, "amount": Decimal("0.3")},
        {"type": "volume", "from": 2, "to": None, "amount": Decimal("0.4")},
    ]
    (entry,) = preview(a_request(prices=rows, quantities=[3]))["amounts"]
    assert [tier["amount"] for tier in entry["tiers"]] == [0, 0, 1]


def test_a_fee_takes_a_count():
    """In its row; quantities do not matter to it."""
    rows = [{"type": "fee", "amount": 20000, "count": 3}]
    entries = preview(a_request(prices=rows, quantities=[0, 7]))["amounts"]
    assert [entry["amount"] for entry in entries] == [60000, 60000]
    assert entries[0]["tiers"] == [{"from": 0, "to": None, "quantity": 3, "amount": 60000}]


def test_groups_make_one_entry():
    """Its quantity is their sum, its tiers theirs in order."""
    assert preview(a_matrix()) == {
        "amounts": [
            {
                "quantity": Decimal("11.5"),
                "amount": 54015,
                "tiers": [
                    {"from": 0, "to": 10, "quantity": 10, "amount": 50000},
                    {"from": 10, "to": 50, "quantity": 1, "amount": 4000},
                    {"from": 0, "to": None, "quantity": Decimal("0.5"), "amount": 15},
                ],
            }
        ]
    }


def test_events_make_one_entry():
    """With limits for each event, and for plain percentages by their sum."""
    (entry,) = preview({"currency": "EUR", "prices": PER_EVENT, "events": [1000, 5000, 100000]})["amounts"]
    assert (entry["quantity"], entry["amount"]) == (106000, 20 + 50 + 500)
    plain = [{"type": "bps", "from": 0, "to": None, "percentage": Decimal("0.5")}]
    (entry,) = preview({"currency": "EUR", "prices": plain, "events": [100, 100, 100]})["amounts"]
    assert (entry["quantity"], entry["amount"]) == (300, 2)
    (entry,) = preview({"currency": "EUR", "prices": PER_EVENT, "events": []})["amounts"]
    assert entry == {"quantity": 0, "amount": 0, "tiers": []}


def test_no_quantities_have_no_entries():
    """An empty list asks for nothing."""
    assert preview(a_request(quantities=[])) == {"amounts": []}


def test_null_is_absent_and_unknown_fields_are_ignored():
    """As everywhere in this API."""
    extra = {"events": None, "price_groups": None, "min_amount": None, "allow_negative_values": None, "note": [{}]}
    assert preview(a_request(**extra)) == preview(a_request())


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (None, ("invalid_type", ())),
        ([], ("invalid_type", ())),
        ("EUR", ("invalid_type", ())),
        (a_request(currency=None), ("required", ("currency",))),
        (a_request(currency="euro"), ("unknown", ("currency",))),
        (a_request(quantities=None), ("required", ("quantities",))),
        (a_request(quantities=63), ("invalid_type", ("quantities",))),
        (a_request(quantities={"a": 1}), ("invalid_type", ("quantities",))),
        (a_request(quantities=[63, "63"]), ("invalid_type", ("quantities", 1))),
        (a_request(quantities=[None]), ("required", ("quantities", 0))),
        (a_request(quantities=[True]), ("invalid_type", ("quantities", 0))),
        (a_request(quantities=[10**20]), ("out_of_range", ("quantities", 0))),
        (a_request(quantities=[-(10**20)]), ("out_of_range", ("quantities", 0))),
        (a_request(quantities=[Decimal("1e-19")]), ("out_of_range", ("quantities", 0))),
        (a_request(quantities=[0] * (QUANTITIES_MAX + 1)), ("too_many", ("quantities",))),
        (a_request(events=[1]), ("contradiction", ("events",))),
        (a_request(price_groups=[{"prices": V1, "quantity": 1}]), ("contradiction", ("price_groups",))),
        (a_matrix(prices=V1), ("contradiction", ("prices",))),
        (a_matrix(price_groups=[]), ("invalid_type", ("price_groups",))),
        (a_matrix(price_groups={"prices": V1}), ("invalid_type", ("price_groups",))),
        (a_matrix(price_groups=[V1]), ("invalid_type", ("price_groups", 0))),
        (a_matrix(price_groups=[{"prices": V1}]), ("required", ("price_groups", 0, "quantity"))),
        (a_matrix(price_groups=[{"quantity": 1}]), ("required", ("price_groups", 0, "prices"))),
        (
            a_matrix(price_groups=[{"prices": V1[:1], "quantity": 1}]),
            ("last_tier_not_open", ("price_groups", 0, "prices", 0, "to")),
        ),
        (
            a_matrix(price_groups=[{"prices": PER_EVENT, "quantity": 1}]),
            ("events_needed", ("price_groups", 0, "prices")),
        ),
        (a_matrix(price_groups=[{"prices": V1, "quantity": 1}] * 1001), ("too_many", ("price_groups",))),
        (a_matrix(price_groups=[{"prices": V1, "quantity": 1}] * 334), ("too_many", ("price_groups",))),
        (a_request(prices=None), ("required", ("prices",))),
        (a_request(prices=V1[:2]), ("last_tier_not_open", ("prices", 1, "to"))),
        (a_request(prices=PER_EVENT), ("events_needed", ("quantities",))),
        (a_request(quantities=None, events=[1]), ("not_per_event", ("events",))),
        (
            {"currency": "EUR", "prices": PER_EVENT, "events": [1] * (EVENTS_MAX + 1)},
            ("too_many", ("events",)),
        ),
        ({"currency": "EUR", "prices": PER_EVENT, "events": 5}, ("invalid_type", ("events",))),
        (a_request(min_amount=2, max_amount=1), ("min_above_max", ("min_amount",))),
        (a_request(min_amount=-1), ("out_of_range", ("min_amount",))),
        (a_request(max_amount=Decimal("0.5")), ("out_of_range", ("max_amount",))),
        (a_request(max_amount=2**63), ("out_of_range", ("max_amount",))),
        (a_request(min_committed_count=-1), ("out_of_range", ("min_committed_count",))),
        (a_request(min_committed_count="1"), ("invalid_type", ("min_committed_count",))),
        (a_request(allow_negative_values="yes"), ("invalid_type", ("allow_negative_values",))),
        (a_request(allow_negative_values=1), ("invalid_type", ("allow_negative_values",))),
    ],
)
def test_a_broken_rule_is_one_fault_at_its_place(request_: Any, fault: tuple[str, tuple[str | int, ...]]):
    """One cause, one fault."""
    assert faults_of(request_) == [fault]


def test_rows_times_quantities_are_limited():
    """Each limit alone would pass."""
    rows = [
        {"type": "volume", "from": index, "to": index + 1 if index < 299 else None, "amount": 1} for index in range(300)
    ]
    assert faults_of(a_request(prices=rows, quantities=[1] * 1000)) == [("too_many", ("quantities",))]


def test_faults_of_all_parts_are_told_at_once():
    """Currency, terms, rows and quantities."""
    request = a_request(currency="?", min_amount="1", prices=[{"type": "?"}], quantities=["?"])
    assert [path[0] for _, path in faults_of(request)] == ["currency", "min_amount", "prices", "quantities"]


def test_a_commitment_for_a_matrix_is_refused():
    """It can be read, so it is no invalid request; a request that is invalid too is answered as that."""
    with pytest.raises(RefusedPriceError, match="min_committed_count"):
        preview(a_matrix(min_committed_count=20))
    assert faults_of(a_matrix(min_committed_count=20, currency="?")) == [("unknown", ("currency",))]


def test_an_amount_beyond_64_bits_is_refused():
    """Never wrapped, and never a server's fault."""
    with pytest.raises(AmountTooLargeError):
        preview(a_request(quantities=[10**19]))
    entry = preview(a_request(prices=[{"type": "volume", "from": 0, "amount": 1}], quantities=[2**63 - 1]))
    assert entry["amounts"][0]["amount"] == 2**63 - 1


def test_a_float_is_a_bug_of_the_caller():
    """JSON must be read without floats; the standard reader's default is wrong here."""
    with pytest.raises(TypeError, match=r"quantities\[0\] is a float"):
        preview(json.loads('{"currency": "EUR", "prices": [{"type": "fee", "amount": 1}], "quantities": [0.5]}'))


def test_shared_denominators_of_a_matrix_are_limited():
    """Groups that pass one by one can be refused together."""

    def group(start: int) -> dict[str, Any]:
        rows = [
            {
                "type": "volume",
                "from": index,
                "to": index + 1 if index < 99 else None,
                "amount": 1,
                "unit_count": start + 2 * index + 1,
            }
            for index in range(100)
        ]
        return {"prices": rows, "quantity": 1}

    groups = [group(10**19 + 1000 * number) for number in range(10)]
    assert preview(a_matrix(price_groups=groups[:1]))["amounts"][0]["amount"] == 0
    assert faults_of(a_matrix(price_groups=groups)) == [("out_of_range", ("price_groups",))]


def test_lcm_of_small_unit_counts_is_far_from_the_limit():
    """Every number of units up to a hundred may stand in one price."""
    rows = [
        {
            "type": "packaged",
            "from": index,
            "to": index + 1 if index < 99 else None,
            "amount": 1,
            "unit_count": index + 1,
        }
        for index in range(100)
    ]
    harmonic = sum(math.lcm(*range(1, 101)) // number for number in range(1, 101))
    (entry,) = preview(a_request(prices=rows, quantities=[100]))["amounts"]
    assert entry["amount"] == (2 * harmonic + math.lcm(*range(1, 101))) // (2 * math.lcm(*range(1, 101)))
