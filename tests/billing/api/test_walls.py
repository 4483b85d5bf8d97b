"""No key but the owner's reaches anything of billing, and nothing that is sent ends in a 500."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.http.scope import Scope
from metering.registry.keys import create_key
from metering.world import Mode, World
from tests.metering.api.conftest import Api
from tests.walls import Keys, assert_walls_hold

MONTH = {"period": "months", "count": 1}
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
async def test_another_accounts_key_sees_and_changes_nothing(shop, table, new_world, registry, clock):
    """Another account, the same account's other mode, keys without the scope, and no key at all."""
    customer = await shop.customer(external_id="wall-1")
    product = await shop.product(name="Secret calls")
    seats = await shop.product([VOLUME], kind="seat", name="Secret calls", aggregator_id=product["aggregator_id"])
    subscription = await shop.subscription(customer, product, seats)
    (invoice,) = await shop.invoices()
    drawn = [{"aggregator_id": product["aggregator_id"], "weight": 1}]
    held = await shop.made("/v1/products", {"name": "Secret credits", "type": "credit", "credit_aggregators": drawn})
    await shop.made(f"/v1/customers/{customer['id']}/credits", {"product_id": held["id"]})
    drafts = {"configurations": [{"name": "Secret draft", "prices": [VOLUME]}], "product_id": product["id"]}
    body = {**drafts, "currency": "EUR", "start_date": "2026-01-01", "end_date": "2026-03-01"}
    begun = await shop.api.post("/v1/simulations", body)
    book = await shop.made("/v1/price-books", {"name": "Secret calls"})
    terms = {"id": product["id"], "payment_interval": MONTH}
    plan = await shop.made("/v1/plans", {"name": "Secret calls", "products": [terms]})
    coupon = await shop.made("/v1/coupons", {"name": "Secret calls", "discount_percent": 1, "repeat": "once"})
    samples = {
        "coupons.id": coupon["id"],
        "simulations.id": begun.json["id"],
        "price-books.id": book["id"],
        "plans.id": plan["id"],
        "products.id": product["id"],
        "price-configurations.id": product["price_configurations"][0]["id"],
        "customers.id": customer["id"],
        "credits.product_id": held["id"],
        "subscriptions.id": subscription["id"],
        "invoices.id": invoice["id"],
    }

    def key_of(world, *scopes):
        with registry.writing() as connection:
            return create_key(connection, world, scopes, clock())[1]

    world = shop.api.world
    strangers = [new_world("other")[1], key_of(World(world.account_id, Mode.PROD), Scope.ADMIN)]
    scoped = {
        scope: key_of(world, *({Scope.READ, Scope.WRITE, Scope.INGEST} - {scope}))
        for scope in (Scope.READ, Scope.WRITE)
    }

    async def request(method, path, key):
        answer = await shop.api(method, path, {} if method in {"POST", "PUT"} else None, key=key)
        return answer.status, answer.text, answer.headers

    tags = {"Products", "Price configurations", "Price books", "Plans", "Prices", "Subscriptions", "Invoices"}
    tags |= {"Credits", "Simulations", "Coupons"}
    billing = [route for route in table if route.tag in tags]
    assert len(billing) > 40
    markers = [customer["id"], "wall-1", "Secret calls", "Secret credits", "Secret draft"]
    await assert_walls_hold(request, billing, Keys(shop.api.key, strangers, [], scoped), samples, markers)


async def test_a_strangers_ids_are_unknown_in_a_body(shop, new_world):
    """Neither a customer, nor a product, nor an aggregator of another world can be used."""
    customer, product = await shop.customer(), await shop.product()
    world, key = new_world("other")
    other = Api(shop.api.client, key, world)
    own_customer = (await other.post("/v1/customers", {"name": "x", "currency": "EUR"})).json
    own = {"name": "x", "type": "flat_fee", "price_configurations": [{"currency": "EUR", "prices": [FEE]}]}
    own_product = (await other.post("/v1/products", own)).json
    dynamic = {**own, "type": "dynamic", "aggregator_id": product["aggregator_id"]}
    dynamic["price_configurations"] = [{"currency": "EUR", "prices": [VOLUME]}]
    assert (await other.post("/v1/products", dynamic)).status == 404
    for customer_id, product_id in ((customer["id"], own_product["id"]), (own_customer["id"], product["id"])):
        body = {"customer_id": customer_id, "starts_at": "2026-03-01"}
        body["products"] = [{"id": product_id, "payment_interval": MONTH}]
        assert (await other.post("/v2/subscriptions", body)).status == 404
    book, plan = [await shop.made(path, {"name": "x"}) for path in ("/v1/price-books", "/v1/plans")]
    sold = {"customer_id": own_customer["id"], "starts_at": "2026-03-01", "products": [{"id": own_product["id"]}]}
    sold["products"][0]["payment_interval"] = MONTH
    for named in ({"price_book_id": book["id"]}, {"plan_id": plan["id"]}):
        assert (await other.post("/v2/subscriptions", {**sold, **named})).status == 404
        configuration = {"product_id": own_product["id"], "currency": "USD", "prices": [FEE], **named}
        assert (await other.post("/v1/price-configurations", configuration)).status == 404
    assert (await other.post("/v1/customers", {"name": "y", "price_book_id": book["id"]})).status == 404
    assert (await other.post("/v1/plans", {"name": "y", "products": [{**body["products"][0]}]})).status == 404
    listed = await other.get(f"/v1/invoices?status=open&customer_id={customer['id']}")
    assert listed.json["data"] == []


FEE = {"type": "fee", "amount": 1}
VOLUME = {"type": "volume", "from": 0, "to": None, "amount": 1}
SOUND = {
    "/v1/products": {
        "name": "x",
        "type": "dynamic",
        "aggregator": {"name": "calls", "entity": "call", "operation": "count"},
        "price_configurations": [
            {
                "currency": "EUR",
                "countries": ["FR"],
                "billing_interval": MONTH,
                "metering_filter": {
                    "name": "pro",
                    "configuration": {
                        "conditional": "and",
                        "fields": [{"property": "p", "operator": "in", "value": "a,b"}],
                    },
                },
                "prices": [VOLUME],
            }
        ],
    },
    "/v2/subscriptions": {
        "customer_id": "fuzz",
        "currency": "EUR",
        "starts_at": "2026-03-01",
        "billing_cycle_alignment": "anniversary",
        "products": [
            {
                "id": "",
                "payment_interval": MONTH,
                "count": 1,
                "min_amount": 1,
                "metering_interval_type": "custom",
                "metering_interval": MONTH,
                "metering_interval_start_at": "2026-01-01",
                "bill_usage_difference": True,
                "prices": [VOLUME],
            }
        ],
    },
    "/v1/plans": {
        "name": "x",
        "description": "x",
        "commitment_interval": MONTH,
        "billing_cycle_alignment": "anniversary",
        "properties": {"a": 1},
        "products": [
            {
                "id": "",
                "payment_interval": MONTH,
                "count": 1,
                "seat_refresh_schedule": "periodic",
                "seat_refresh_interval": MONTH,
                "seat_application_schedule": "next_period",
                "seat_invoicing_schedule": "next_invoice",
                "charging_method": "prorata",
                "charging_precision": "milliseconds",
                "charge_highest_value": True,
                "refund_on_decrease": False,
                "price_configurations": [{"currency": "EUR", "prices": [VOLUME]}],
            }
        ],
    },
    "/v1/subscriptions/{id}/update": {
        "application_schedule": "scheduled",
        "apply_at": "2026-03-21",
        "calculation_method": "pro_rata",
        "precision": "milliseconds",
        "type": "add_product",
        "payload": {
            "product_id": "",
            "billing_interval_period": "months",
            "billing_interval_count": 1,
            "count": 1,
            "seat_refresh_schedule": "periodic",
            "seat_refresh_interval": MONTH,
            "charging_method": "prorata",
            "charge_highest_value": True,
            "usage_interval_type": "item_payment_interval",
            "prices": [VOLUME],
        },
    },
    "/v1/price-books": {"name": "x", "description": "x", "user_role_ids": ["r"]},
    "/v1/coupons": {
        "name": "x",
        "description": "x",
        "discount_percent": 5,
        "repeat": "duration",
        "duration_count": 1,
        "duration_period": "months",
        "redemption_limit": 1,
        "expiration_date": "2027-01-01",
    },
    "/v1/price-configurations": {
        "product_id": "",
        "currency": "EUR",
        "country": "FR",
        "billing_interval": MONTH,
        "commitment_interval": {"period": "all"},
        "price_book_id": None,
        "plan_id": None,
        "prices": [VOLUME],
    },
    "/v1/simulations": {
        "product_id": "",
        "currency": "EUR",
        "start_date": "2026-01-01",
        "end_date": "2026-03-01",
        "timezone": "Europe/Paris",
        "customer_ids": ["fuzz"],
        "configurations": [
            {"name": "a", "prices": [VOLUME], "min_amount": 1},
            {"name": "b", "price_groups": [{"metering_filter": None, "prices": [VOLUME]}], "max_amount": 1},
        ],
    },
    "/v1/prices/preview": {"currency": "EUR", "prices": [VOLUME], "quantities": [1], "min_amount": 1},
}


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def with_at(value, path, new):
    if not path:
        return new
    head, *rest = path
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[head] = with_at(value[head], rest, new)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("path", SOUND)
async def test_whatever_stands_in_a_field_is_answered_or_refused(shop, path):
    """Each field of a sound request, replaced by anything that JSON can say: never a 500."""
    await shop.customer(external_id="fuzz")
    product = await shop.product()
    body = SOUND[path]
    if path in {"/v2/subscriptions", "/v1/plans"}:
        body = with_at(body, ("products", 0, "id"), product["id"])
    if path == "/v1/subscriptions/{id}/update":
        other = await shop.product([VOLUME], kind="seat", name="other", aggregator_id=product["aggregator_id"])
        subscription = await shop.subscription(await shop.customer(), product)
        path = path.replace("{id}", subscription["id"])
        body = with_at(body, ("payload", "product_id"), other["id"])
    if path == "/v1/simulations":
        body = with_at(body, ("product_id",), product["id"])
    if path == "/v1/price-configurations":
        body = {**body, "product_id": product["id"]}
    sound = await shop.api.post(path, body)
    assert sound.status in {200, 201, 202}, sound.text

    cases = []
    collect = settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    collect(given(st.sampled_from(list(places(body))), documents)(lambda where, new: cases.append((where, new))))()
    for where, new in cases:
        sent = with_at(body, where, new)
        answer = await shop.api.post(path, sent)
        assert answer.status < 500, (json.dumps(sent), answer.text)
        named = {"customer_id", "products", "aggregator", "aggregator_id", "product_id", "price_book_id", "plan_id"}
        named |= {"customer_ids"}
        assert answer.status != 404 or named.intersection(map(str, where)), json.dumps(sent)
    assert (await shop.api.get("/v1/invoices?status=open")).status in {200, 422}
