"""Subscriptions over HTTP: what is agreed, what is refused, and that it does not move afterwards."""

from datetime import UTC, datetime

import pytest

from billing.subscriptions.credit_terms import CREDIT_SHOWN
from billing.subscriptions.seats import FIELDS

FEE = [{"type": "fee", "amount": 20000}]
VOLUME = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}


async def test_a_subscription_comes_back_with_what_was_agreed(shop):
    """Under both versions of the path, its status by the clock."""
    customer, product = await shop.customer(external_id="acme"), await shop.product(FEE, kind="flat_fee")
    body = {
        "customer_id": "acme",
        "starts_at": "2026-03-01",
        "activation_strategy": "start_date",
        "products": [{"id": product["id"], "payment_interval": MONTH, "count": 2, "min_amount": 100}],
    }
    made = await shop.made("/v2/subscriptions", body)
    assert made["products"] == [
        {
            "id": product["id"],
            "name": "Calls",
            "aggregator_id": None,
            "payment_interval": MONTH,
            "count": 2,
            "min_amount": 100,
            "max_amount": None,
            "min_committed_count": None,
            "metering_interval_type": "payment_interval",
            "metering_interval": None,
            "metering_interval_start_at": None,
            "bill_usage_difference": False,
            "payment_schedule": "start",
            "price_book_id": None,
            "price_configuration_ids": [product["price_configurations"][0]["id"]],
            "prices": FEE,
            "price_groups": None,
            **dict.fromkeys((*FIELDS, *CREDIT_SHOWN)),
        }
    ]
    assert (made["status"], made["customer_id"], made["currency"]) == ("active", customer["id"], "EUR")
    assert made["billing_cycle_alignment"] == "calendar_period"
    assert (made["starts_at"], made["timezone"], made["cancelled_at"]) == ("2026-03-01T00:00:00.000Z", "UTC", None)
    for version in ("v1", "v2"):
        assert (await shop.api.get(f"/{version}/subscriptions/{made['id']}")).json == made
        assert (await shop.api.get(f"/{version}/subscriptions")).json["data"] == [made]


async def test_without_a_currency_there_is_no_subscription(shop):
    """The documented refusal, until the customer has one or the request brings one."""
    customer, product = await shop.customer(currency=None), await shop.product(FEE, kind="flat_fee")
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [_of(product)]}
    answer = await shop.api.post("/v2/subscriptions", body)
    assert answer.status == 400
    assert answer.json["message"] == "Cannot assign a subscription to a customer without a currency set"
    assert (await shop.made("/v2/subscriptions", {**body, "currency": "EUR"}))["currency"] == "EUR"
    await shop.api.put(f"/v1/customers/{customer['id']}", {"currency": "EUR"})
    assert (await shop.made("/v2/subscriptions", body))["currency"] == "EUR"


async def test_the_documented_prices_are_chosen(shop):
    """200 EUR a month, 220 GBP in the UK, 2200 EUR a year, 2000 EUR a year when committed for two."""
    rows = [{"type": "fee", "amount": 0}]

    def priced(amount, currency="EUR", **parameters):
        return {"currency": currency, "prices": [{**rows[0], "amount": amount}], **parameters}

    two_years = {"period": "years", "count": 2}
    configurations = [
        priced(20000, billing_interval=MONTH),
        priced(22000, "GBP", countries=["GB"], billing_interval=MONTH),
        priced(220000, billing_interval=YEAR),
        priced(200000, billing_interval=YEAR, commitment_interval=two_years),
    ]
    product = await shop.product(kind="flat_fee", configurations=configurations)
    french, british = await shop.customer(country="FR"), await shop.customer(country="GB", currency="GBP")

    async def amount(customer, interval, **more):
        made = await shop.subscription(customer, (product, {"payment_interval": interval}), **more)
        return made["products"][0]["prices"][0]["amount"]

    assert await amount(french, MONTH) == 20000
    assert await amount(british, MONTH) == 22000
    assert await amount(french, YEAR) == 220000
    assert await amount(french, {"period": "months", "count": 12}) == 220000
    assert await amount(french, YEAR, commitment_interval=two_years) == 200000
    body = {"customer_id": british["id"], "starts_at": "2026-03-01"}
    answer = await shop.api.post(
        "/v2/subscriptions", {**body, "products": [{"id": product["id"], "payment_interval": YEAR}]}
    )
    assert answer.status == 422
    assert "GBP, GB, every 1 year" in answer.json["message"]


async def test_what_was_agreed_does_not_move_with_the_catalog(shop):
    """New prices are for new subscriptions; an override is for this one alone."""
    product = await shop.product(FEE, kind="flat_fee")
    customer = await shop.customer()
    override = [{"type": "fee", "amount": 1}]
    await shop.subscription(customer, product)
    await shop.subscription(customer, (product, {"prices": override}))
    configuration = product["price_configurations"][0]["id"]
    await shop.api.put(f"/v1/price-configurations/{configuration}/prices", [{"type": "fee", "amount": 30000}])
    await shop.api.put(f"/v1/products/{product['id']}", {"name": "Renamed"})
    await shop.subscription(customer, product)
    invoices = await shop.invoices()
    assert sorted(one["total_amount"] for one in invoices) == [1, 20000, 30000]
    assert {one["line_items"][0]["name"] for one in invoices} == {"Renamed"}


async def test_a_date_is_a_day_of_the_customers_calendar(shop):
    """Midnight in New York; a date-time without an offset is its clock, one with an offset says it all."""
    customer, product = await shop.customer(timezone="America/New_York"), await shop.product(FEE, kind="flat_fee")
    starts = {
        "2026-03-01": "2026-03-01T05:00:00.000Z",
        "2026-03-08T03:30:00": "2026-03-08T07:30:00.000Z",
        "2026-03-01T00:00:00Z": "2026-03-01T00:00:00.000Z",
    }
    for sent, kept in starts.items():
        assert (await shop.subscription(customer, product, starts_at=sent))["starts_at"] == kept


async def test_its_status_follows_the_clock(shop, clock):
    """Pending, then active, then cancelled; each can be asked for."""
    customer, product = await shop.customer(external_id="acme"), await shop.product(FEE, kind="flat_fee")
    made = await shop.subscription(customer, product, starts_at="2026-04-01")

    async def with_status(status):
        return [one["id"] for one in (await shop.api.get(f"/v2/subscriptions?status={status}")).json["data"]]

    assert made["status"] == "pending"
    assert await with_status("pending") == [made["id"]]
    clock.moment = datetime(2026, 4, 1, tzinfo=UTC)
    assert await with_status("active") == [made["id"]]
    assert await with_status("pending") == await with_status("cancelled") == []
    cancelled = await shop.api.put(f"/v1/subscriptions/{made['id']}/cancel", {})
    assert cancelled.json["cancelled_at"] == "2026-04-01T00:00:00.000Z"
    clock.moment = datetime(2026, 5, 1, tzinfo=UTC)
    assert (await shop.api.post(f"/v1/subscriptions/{made['id']}/cancel", {})).json == cancelled.json
    assert await with_status("cancelled") == [made["id"]]
    assert (await shop.api.get("/v2/subscriptions?status=paused")).status == 400
    assert (await shop.api.get("/v2/subscriptions?customer_id=acme")).json["meta"]["total"] == 1
    assert (await shop.api.get("/v2/subscriptions?customer_id=other")).json["meta"]["total"] == 0


async def test_a_customer_with_a_subscription_is_not_deleted(shop):
    """And usage by customer names its subscriptions."""
    customer, product = await shop.customer(), await shop.product()
    made = await shop.subscription(customer, product)
    await shop.api.put(f"/v1/customers/{customer['id']}/archive", {})
    answer = await shop.api("DELETE", f"/v1/customers/{customer['id']}")
    assert answer.status == 409
    assert made["id"] in answer.json["message"]
    await shop.use(customer["id"], "2026-03-05T10:00:00+00:00")
    path = f"/v1/aggregators/{product['aggregator_id']}/usage/group-by-customer"
    rows = (await shop.api.get(f"{path}?start_date=2026-03-01&end_date=2026-04-01")).json["data"]
    assert rows[0]["subscription_ids"] == [made["id"]]


@pytest.mark.parametrize(
    ("change", "status", "path"),
    [
        ({"customer_id": None}, 400, ["customer_id"]),
        ({"customer_id": "nobody"}, 404, ["customer_id"]),
        ({"currency": "EURO"}, 400, ["currency"]),
        ({"starts_at": None}, 400, ["starts_at"]),
        ({"starts_at": "soon"}, 400, ["starts_at"]),
        ({"starts_at": "1971-01-01"}, 400, ["starts_at"]),
        ({"starts_at": 1700000000000}, 400, ["starts_at"]),
        ({"activation_strategy": "manually"}, 422, None),
        ({"billing_cycle_alignment": "monthly"}, 400, ["billing_cycle_alignment"]),
        ({"products": []}, 400, ["products"]),
        ({"products": None}, 400, ["products"]),
        ({"products": ["itm"]}, 400, ["products", 0]),
        ({"products": [{"id": "itm_x"}]}, 400, ["products", 0, "payment_interval"]),
    ],
)
async def test_a_bad_subscription_is_refused_with_the_place(shop, change, status, path):
    """And nothing is kept of it."""
    customer, product = await shop.customer(), await shop.product(FEE, kind="flat_fee")
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [_of(product)], **change}
    answer = await shop.api.post("/v2/subscriptions", body)
    assert answer.status == status, answer.text
    assert path is None or path in answer.paths
    assert (await shop.api.get("/v2/subscriptions")).json["meta"]["total"] == 0


@pytest.mark.parametrize(
    ("terms", "status", "path"),
    [
        ({"id": "itm_x"}, 404, ["products", 0, "id"]),
        ({"payment_interval": {"period": "months", "count": 0}}, 400, ["products", 0, "payment_interval", "count"]),
        ({"payment_interval": {"count": 1}}, 400, ["products", 0, "payment_interval", "period"]),
        ({"count": -1}, 400, ["products", 0, "count"]),
        ({"min_amount": 1.5}, 400, ["products", 0, "min_amount"]),
        ({"min_amount": 2, "max_amount": 1}, 400, ["products", 0, "min_amount"]),
        ({"min_committed_count": 10**20}, 400, ["products", 0, "min_committed_count"]),
        ({"prices": []}, 400, ["products", 0, "prices"]),
        ({"prices": FEE}, 400, ["products", 0, "prices", 0, "type"]),
        ({"metering_interval_type": "subscription_commitment"}, 422, None),
        ({"metering_interval_type": "yearly"}, 400, ["products", 0, "metering_interval_type"]),
        ({"metering_interval_type": "custom"}, 400, ["products", 0, "metering_interval"]),
        ({"metering_interval": MONTH}, 400, ["products", 0, "metering_interval"]),
        ({"metering_interval_start_at": "2026-01-01"}, 400, ["products", 0, "metering_interval_start_at"]),
        (
            {
                "metering_interval_type": "custom",
                "metering_interval": MONTH,
                "metering_interval_start_at": "1970-01-01",
            },
            400,
            ["products", 0, "metering_interval_start_at"],
        ),
        ({"bill_usage_difference": True}, 422, None),
        ({"bill_usage_difference": "yes"}, 400, ["products", 0, "bill_usage_difference"]),
        ({"children_usage_aggregation": "sum"}, 422, None),
        ({"metering_interval_type": {}}, 400, ["products", 0, "metering_interval_type"]),
    ],
)
async def test_bad_terms_are_refused_with_the_place(shop, terms, status, path):
    """What would change the amount and is not reckoned with is refused, never passed over."""
    customer, product = await shop.customer(), await shop.product()
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [{**_of(product), **terms}]}
    answer = await shop.api.post("/v2/subscriptions", body)
    assert answer.status == status, answer.text
    assert path is None or path in answer.paths


async def test_a_product_stands_once_in_a_subscription(shop):
    """Twice would bill its usage twice."""
    customer, product = await shop.customer(), await shop.product()
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [_of(product)] * 2}
    assert (await shop.api.post("/v2/subscriptions", body)).paths == [["products", 1, "id"]]


async def test_a_commitment_needs_usage_that_is_not_divided(shop):
    """422 with a matrix, and for what is not counted from events."""
    fields = [{"property": "plan", "operator": "equals", "value": "pro"}]
    filtered = {"currency": "EUR", "prices": VOLUME, "metering_filter": {"configuration": {"fields": fields}}}
    matrix = await shop.product(configurations=[filtered, {"currency": "EUR", "prices": VOLUME}])
    fee = await shop.product(FEE, kind="flat_fee")
    customer = await shop.customer()
    for product in (matrix, fee):
        one = {**_of(product), "min_committed_count": 5}
        body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [one]}
        assert (await shop.api.post("/v2/subscriptions", body)).status == 422
    made = await shop.subscription(customer, matrix)
    assert made["products"][0]["prices"] is None
    assert len(made["products"][0]["price_groups"]) == 2


async def test_an_archived_customer_gets_no_subscription(shop):
    """Until it is taken out of the archive."""
    customer, product = await shop.customer(), await shop.product()
    await shop.api.put(f"/v1/customers/{customer['id']}/archive", {})
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [_of(product)]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422


def _of(product):
    return {"id": product["id"], "payment_interval": MONTH}
