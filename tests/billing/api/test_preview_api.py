"""`POST /v1/prices/preview` over HTTP."""

import pytest

V1 = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4000},
    {"type": "volume", "from": 50, "to": None, "amount": 2000},
]


async def test_quantities_are_rated_tier_by_tier(api):
    """The documented 63 units are 2360 EUR; digits of a quantity stay."""
    answer = await api.post("/v1/prices/preview", {"currency": "EUR", "prices": V1, "quantities": [0, 63, 63.5]})
    assert answer.status == 200
    amounts = answer.json["amounts"]
    assert [one["amount"] for one in amounts] == [0, 236000, 237000]
    assert amounts[1]["tiers"][0] == {"from": 0, "to": 10, "quantity": 10, "amount": 50000}
    assert '"quantity":63.5' in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"currency": "EUR", "prices": V1[:2], "quantities": [1]}, 400),
        ({"currency": "EUR", "prices": V1, "quantities": [1], "min_amount": 2, "max_amount": 1}, 400),
        ({"currency": "EURO", "prices": V1, "quantities": [1]}, 400),
        ({"currency": "EUR", "price_groups": [{"prices": V1, "quantity": 1}], "min_committed_count": 1}, 422),
        ({"currency": "EUR", "prices": [{**V1[2], "from": 0, "amount": 10**18}], "quantities": [1000]}, 422),
        ([], 400),
        ({}, 400),
    ],
)
async def test_what_cannot_be_rated_is_refused(api, body, status):
    """400 for what breaks a rule, with the places; 422 for what is refused for its meaning."""
    answer = await api.post("/v1/prices/preview", body)
    assert answer.status == status, answer.text
    assert answer.json["message"]
