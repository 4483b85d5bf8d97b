"""Credit products: what they hold, and the credits that usage has drawn."""

from decimal import Decimal

import pytest

from tests.metering.api.conftest import Api

MARCH = "start_date=2026-03-01&end_date=2026-04-01"


@pytest.fixture
async def three(shop):
    """Aggregators of three kinds: a count, a sum and a maximum."""
    return [
        (await shop.aggregator(name="calls"))["id"],
        (await shop.aggregator(name="tokens", operation="sum", property="n"))["id"],
        (await shop.aggregator(name="peak", operation="max", property="n"))["id"],
    ]


def a_credit_product(ids, *weights, **more):
    pairs = [{"aggregator_id": one, "weight": weight} for one, weight in zip(ids, weights, strict=True)]
    return {"name": "Credits", "type": "credit", "credit_aggregators": pairs, **more}


async def used(shop, customer, product, query=MARCH):
    answer = await shop.api.get(f"/v1/customers/{customer['id']}/credits/{product['id']}/usage?{query}")
    assert answer.status == 200, answer.text
    return answer


async def test_credits_used_are_usage_by_weight(shop, three):
    """Each aggregator's figure times its weight, to the last digit; what there is none of draws nothing."""
    customer = await shop.customer(external_id="acme")
    product = await shop.made("/v1/products", a_credit_product(three, 5, 0.1, 10))
    idle = (await used(shop, customer, product)).json
    assert (idle["credits_used"], [row["total"] for row in idle["aggregators"]]) == (0, [0, 0, None])
    await shop.use("acme", "2026-03-02T00:00+00:00", "2026-03-03T00:00+00:00", n="1.000000000000000001")
    await shop.use(customer["id"], "2026-03-04T00:00+00:00", n="2")
    await shop.use("acme", "2026-04-01T00:00+00:00", n="100")
    answer = await used(shop, customer, product)
    rows = answer.json["aggregators"]
    assert [(row["weight"], row["count"]) for row in rows] == [(5, 3), (Decimal("0.1"), 3), (10, 3)]
    assert [str(row["credits_used"]) for row in rows] == ["15", "0.4000000000000000002", "20"]
    assert str(answer.json["credits_used"]) == "35.4000000000000000002"
    assert answer.json["period_end"] == "2026-04-01T00:00:00.000Z"


@pytest.mark.slow
async def test_credits_as_of_before_are_drawn_by_the_definitions_of_then(shop, three):
    """As every other figure."""
    customer = await shop.customer()
    product = await shop.made("/v1/products", a_credit_product(three[1:2], 2))
    await shop.use(customer["id"], "2026-03-02T00:00+00:00", n=3)
    before = await used(shop, customer, product)
    await shop.api.put(f"/v1/aggregators/{three[1]}", {"property": None, "formula_sql": "n * 10"})
    assert (await used(shop, customer, product)).json["credits_used"] == 60
    query = f"{MARCH}&as_of={before.headers['X-Usage-Cutoff']}"
    assert (await used(shop, customer, product, query)).json == before.json


async def test_a_credit_product_comes_back_as_it_was_sent(shop, three):
    """With its packs, or without; a change of its name leaves its weights."""
    packs = [{"currency": "EUR", "prices": [{"type": "bundle", "amount": 1000, "unit_count": 100}]}]
    more = {"low_credits_threshold": 10, "credits_grant_mode": "prorated", "price_configurations": packs}
    sent = a_credit_product(three, 1, 2.5, 10, **more)
    made = await shop.made("/v1/products", sent)
    kept = set(sent) - {"price_configurations"}
    assert {name: made[name] for name in kept} == {name: sent[name] for name in kept}
    assert str(made["credit_aggregators"][1]["weight"]) == "2.5"
    changed = await shop.api.put(f"/v1/products/{made['id']}", {"name": "AI credits"})
    assert changed.json == {**made, "name": "AI credits", "updated_at": changed.json["updated_at"]}
    pairs = [{"aggregator_id": three[0], "weight": 7}]
    again = await shop.api.put(f"/v1/products/{made['id']}", {"credit_aggregators": pairs})
    assert [one["weight"] for one in again.json["credit_aggregators"]] == [7]


@pytest.mark.parametrize(
    ("pairs", "status", "path"),
    [
        (None, 400, ["credit_aggregators"]),
        ([], 400, ["credit_aggregators"]),
        ([{"weight": 1}], 400, ["credit_aggregators", 0, "aggregator_id"]),
        ([{"aggregator_id": "0"}], 400, ["credit_aggregators", 0, "weight"]),
        ([{"aggregator_id": "0", "weight": 0}], 400, ["credit_aggregators", 0, "weight"]),
        ([{"aggregator_id": "0", "weight": -1}], 400, ["credit_aggregators", 0, "weight"]),
        ([{"aggregator_id": "0", "weight": 1e-19}], 400, ["credit_aggregators", 0, "weight"]),
        ([{"aggregator_id": "0", "weight": 1e20}], 400, ["credit_aggregators", 0, "weight"]),
        ([{"aggregator_id": "0", "weight": 1}] * 2, 400, ["credit_aggregators", 1, "aggregator_id"]),
        ([{"aggregator_id": "nothing", "weight": 1}], 404, ["credit_aggregators", 0, "aggregator_id"]),
        ([7], 400, ["credit_aggregators", 0]),
        ("x", 400, ["credit_aggregators"]),
    ],
)
async def test_bad_weights_are_named_by_their_path(shop, three, pairs, status, path):
    """And nothing is kept."""
    sent = (
        [
            {**one, "aggregator_id": three[0]} if isinstance(one, dict) and one.get("aggregator_id") == "0" else one
            for one in pairs
        ]
        if isinstance(pairs, list)
        else pairs
    )
    refused = await shop.api.post("/v1/products", {"name": "x", "type": "credit", "credit_aggregators": sent})
    assert (refused.status, refused.paths[0]) == (status, path), refused.text
    assert (await shop.api.get("/v1/products")).json["meta"]["total"] == 0


async def test_an_aggregator_that_draws_on_credits_is_not_deleted(shop, three):
    """409 names the product."""
    product = await shop.made("/v1/products", a_credit_product(three, 1, 1, 1))
    refused = await shop.api("DELETE", f"/v1/aggregators/{three[2]}")
    assert refused.status == 409
    assert product["id"] in refused.json["message"]


async def test_who_or_what_holds_no_credits_is_not_found(shop, three, new_world):
    """An unknown customer, a product of another type, and another world's; a subscription to credits is refused."""
    customer, product = await shop.customer(), await shop.made("/v1/products", a_credit_product(three, 1, 1, 1))
    metered = await shop.product()
    for path in (f"nobody/credits/{product['id']}", f"{customer['id']}/credits/{metered['id']}"):
        assert (await shop.api.get(f"/v1/customers/{path}/usage")).status == 404
    world, key = new_world("other")
    stranger = Api(shop.api.client, key, world)
    own = (await stranger.post("/v1/customers", {"name": "x", "currency": "EUR"})).json
    for who in (own, customer):
        assert (await stranger.get(f"/v1/customers/{who['id']}/credits/{product['id']}/usage")).status == 404
    assert (await stranger.post("/v1/products", a_credit_product(three, 1, 1, 1))).status == 404
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01"}
    body["products"] = [{"id": product["id"], "payment_interval": {"period": "months", "count": 1}}]
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422
