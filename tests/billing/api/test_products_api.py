"""The catalog over HTTP."""

import pytest

VOLUME = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
FEE = [{"type": "fee", "amount": 10000}]


def a_filter(name, value="visa"):
    fields = [{"property": "scheme", "operator": "equals", "value": value}]
    return {"name": name, "configuration": {"conditional": "and", "fields": fields}}


def a_product(**more):
    return {
        "name": "Access",
        "type": "flat_fee",
        "price_configurations": [{"currency": "EUR", "prices": FEE}],
        **more,
    }


async def test_a_product_comes_back_as_it_was_made(shop):
    """With ids for itself and its configurations, and null for every parameter that is open."""
    made = await shop.made("/v1/products", a_product(description="Monthly", unknown="x"))
    (configuration,) = made["price_configurations"]
    assert made["id"].startswith("itm_")
    assert (made["type"], made["status"], made["description"]) == ("flat_fee", "active", "Monthly")
    assert "unknown" not in made
    assert configuration == {
        "id": configuration["id"],
        "product_id": made["id"],
        "price_book_id": None,
        "plan_id": None,
        "status": "active",
        "currency": "EUR",
        "countries": None,
        "country": None,
        "archived_at": None,
        "created_at": "2026-03-20T12:00:00.000Z",
        "updated_at": "2026-03-20T12:00:00.000Z",
        "billing_interval": None,
        "commitment_interval": None,
        "type": "fee",
        "metering_filter": None,
        "prices": FEE,
    }
    assert (await shop.api.get(f"/v1/products/{made['id']}")).json == made
    assert (await shop.api.get(f"/v1/price-configurations/{configuration['id']}")).json == configuration


async def test_amounts_keep_their_digits(shop):
    """A price of a third of a cent, to 18 decimals, is the same when it comes back."""
    prices = '[{"type": "fee", "amount": 0.333333333333333333}]'
    body = f'{{"name": "x", "type": "flat_fee", "price_configurations": [{{"currency": "EUR", "prices": {prices}}}]}}'
    headers = {"Authorization": f"Bearer {shop.api.key}", "Content-Type": "application/json"}
    async with shop.api.client.post("/v1/products", data=body, headers=headers) as answer:
        assert '"amount":0.333333333333333333' in await answer.text()


async def test_an_aggregator_is_named_or_made_along(shop):
    """By id, as the object that GET gives, or as the definition of a new one."""
    aggregator = await shop.aggregator()
    rows = [{"currency": "EUR", "prices": VOLUME}]
    for given in ({"aggregator_id": aggregator["id"]}, {"aggregator": aggregator}):
        made = await shop.made("/v1/products", a_product(type="dynamic", price_configurations=rows, **given))
        assert made["aggregator"] == aggregator
    new = {"name": "calls", "entity": "call", "operation": "count"}
    made = await shop.made("/v1/products", a_product(type="dynamic", price_configurations=rows, aggregator=new))
    assert (await shop.api.get(f"/v1/aggregators/{made['aggregator_id']}")).json == made["aggregator"]


async def test_an_aggregator_in_use_is_not_deleted(shop):
    """409 while a product is counted by it, archived or not."""
    product = await shop.product()
    await shop.api.put(f"/v1/products/{product['id']}/archive", {})
    answer = await shop.api("DELETE", f"/v1/aggregators/{product['aggregator_id']}")
    assert answer.status == 409
    assert product["id"] in answer.json["message"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": None}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"type": None}, ["type"]),
        ({"type": "fee"}, ["type"]),
        ({"type": ["flat_fee"]}, ["type"]),
        ({"price_configurations": None}, ["price_configurations"]),
        ({"price_configurations": {}}, ["price_configurations"]),
        ({"price_configurations": [1]}, ["price_configurations", 0]),
        ({"price_configurations": [{"prices": FEE}]}, ["price_configurations", 0, "currency"]),
        ({"price_configurations": [{"currency": "EURO", "prices": FEE}]}, ["price_configurations", 0, "currency"]),
        ({"price_configurations": [{"currency": "EUR"}]}, ["price_configurations", 0, "prices"]),
        ({"price_configurations": [{"currency": "EUR", "prices": []}]}, ["price_configurations", 0, "prices"]),
        (
            {"price_configurations": [{"currency": "EUR", "prices": VOLUME}]},
            ["price_configurations", 0, "prices", 0, "type"],
        ),
        (
            {"price_configurations": [{"currency": "EUR", "prices": [{"type": "fee"}]}]},
            ["price_configurations", 0, "prices", 0, "amount"],
        ),
        (
            {"price_configurations": [{"currency": "EUR", "prices": FEE, "countries": ["France"]}]},
            ["price_configurations", 0, "countries"],
        ),
        (
            {"price_configurations": [{"currency": "EUR", "prices": FEE, "countries": [{}]}]},
            ["price_configurations", 0, "countries", 0],
        ),
        (
            {"price_configurations": [{"currency": "EUR", "prices": FEE, "billing_interval": {"period": "moon"}}]},
            ["price_configurations", 0, "billing_interval", "period"],
        ),
        (
            {"price_configurations": [{"currency": "EUR", "prices": FEE, "metering_filter": a_filter("visa")}]},
            ["price_configurations", 0, "metering_filter"],
        ),
        ({"price_configurations": [{"currency": "EUR", "prices": FEE}] * 2}, ["price_configurations", 1]),
        ({"type": "dynamic", "price_configurations": [{"currency": "EUR", "prices": VOLUME}]}, ["aggregator_id"]),
        ({"type": "dynamic", "aggregator": {"name": "x"}}, ["aggregator", "entity"]),
    ],
)
async def test_a_bad_product_is_refused_with_the_place(shop, change, path):
    """400, and the path of what to change is among the faults."""
    answer = await shop.api.post("/v1/products", a_product(**change))
    assert answer.status == 400, answer.text
    assert path in answer.paths


@pytest.mark.parametrize(
    "change",
    [
        {"aggregator_id": "agg_x"},
    ],
)
async def test_what_is_not_served_is_refused_for_its_meaning(shop, change):
    """422 rather than a product that would be billed in another way than was meant."""
    assert (await shop.api.post("/v1/products", a_product(**change))).status == 422


async def test_rows_of_a_matrix_must_be_reachable_and_rated_by_sums(shop):
    """An unfiltered group stands last, and prices for each event stand alone."""
    aggregator = await shop.aggregator(operation="sum", property="n")
    event_rows = [{"type": "bps", "from": 0, "to": None, "percentage": 1, "per_unit_fee": 2}]

    async def refused(*configurations):
        body = {"type": "dynamic", "aggregator_id": aggregator["id"], "price_configurations": list(configurations)}
        answer = await shop.api.post("/v1/products", a_product(**body))
        assert answer.status == 400, answer.text
        return answer.paths

    rest, visa = {"currency": "EUR", "prices": VOLUME}, {"currency": "EUR", "prices": VOLUME}
    visa["metering_filter"] = a_filter("visa")
    assert await refused(rest, visa) == [["price_configurations", 1]]
    assert await refused({**visa, "prices": event_rows}, rest) == [["price_configurations", 0, "prices"]]
    assert await refused({**visa, "metering_filter": {"configuration": {"fields": [{}]}}}) == [
        ["price_configurations", 0, "metering_filter", "configuration", "fields", 0, part]
        for part in ("property", "operator")
    ]


@pytest.mark.parametrize("conditional", [{}, {"conditional": "or"}, {"conditional": "and", "fields": []}])
async def test_a_filter_without_conditions_is_none(shop, conditional):
    """Whatever else it says, it takes every event."""
    aggregator = await shop.aggregator()
    configuration = {"currency": "EUR", "prices": VOLUME, "metering_filter": {"configuration": conditional}}
    body = {"type": "dynamic", "aggregator_id": aggregator["id"], "price_configurations": [configuration]}
    made = await shop.made("/v1/products", a_product(**body))
    assert made["price_configurations"][0]["metering_filter"] is None


async def test_what_was_not_checked_is_not_kept(shop):
    """Fields of other price models and unknown ones of a filter's conditions are ignored, not stored."""
    aggregator = await shop.aggregator()
    visa = a_filter("visa")
    noisy = a_filter("visa")
    noisy["configuration"]["fields"][0]["note"] = {"any": "thing"}
    prices = [{**VOLUME[0], "percentage": {"any": "thing"}, "count": "many", "note": 1}]
    configuration = {"currency": "EUR", "prices": prices, "metering_filter": noisy}
    body = {"type": "dynamic", "aggregator_id": aggregator["id"], "price_configurations": [configuration]}
    (kept,) = (await shop.made("/v1/products", a_product(**body)))["price_configurations"]
    assert (kept["prices"], kept["metering_filter"]) == (VOLUME, visa)


async def test_an_update_changes_what_is_sent(shop):
    """Name and configurations change, the rest stays; a configuration that names its id keeps it."""
    made = await shop.product()
    path = f"/v1/products/{made['id']}"
    renamed = (await shop.api.put(path, {"name": "Requests"})).json
    assert renamed == {**made, "name": "Requests", "updated_at": renamed["updated_at"]}
    (kept,) = made["price_configurations"]
    configurations = [{**kept, "currency": "USD"}, {"currency": "EUR", "prices": VOLUME}]
    changed = (await shop.api.put(path, {"price_configurations": configurations})).json["price_configurations"]
    assert [one["currency"] for one in changed] == ["USD", "EUR"]
    assert changed[0]["id"] == kept["id"] != changed[1]["id"]
    assert (await shop.api.put(path, {"name": None})).status == 400
    assert (await shop.api.put(path, {"price_configurations": [{}]})).status == 400


async def test_prices_of_a_configuration_are_replaced(shop):
    """By an array of rows; bad rows change nothing."""
    made = await shop.product()
    (configuration,) = made["price_configurations"]
    path = f"/v1/price-configurations/{configuration['id']}/prices"
    rows = [{"type": "bulk", "to": 10, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]
    answer = await shop.api.put(path, rows)
    assert answer.status == 200
    assert answer.json == {**configuration, "type": "bulk", "prices": rows}
    for bad in (
        [],
        {},
        "rows",
        [{"type": "fee", "amount": 1}],
        [{"type": "volume", "from": 1, "to": None, "amount": 1}],
    ):
        assert (await shop.api.put(path, bad)).status == 400
    assert (await shop.api.get(f"/v1/products/{made['id']}")).json["price_configurations"][0]["prices"] == rows
    assert (await shop.api.put("/v1/price-configurations/pri_x/prices", rows)).status == 404


async def test_archived_products_are_listed_by_status_and_not_sold(shop):
    """Archiving and taking back are harmless to repeat."""
    product, other = await shop.product(), await shop.product(FEE, kind="flat_fee")
    for _ in range(2):
        assert (await shop.api.put(f"/v1/products/{product['id']}/archive", {})).json["status"] == "archived"
    listed = (await shop.api.get("/v1/products?status=archived")).json
    assert [one["id"] for one in listed["data"]] == [product["id"]]
    assert [one["id"] for one in (await shop.api.get("/v1/products")).json["data"]] == [other["id"], product["id"]]
    customer = await shop.customer()
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [_of(product)]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422
    assert (await shop.api.post(f"/v1/products/{product['id']}/unarchive", {})).json["status"] == "active"
    assert (await shop.api.post("/v2/subscriptions", body)).status == 201


def _of(product):
    return {"id": product["id"], "payment_interval": {"period": "months", "count": 1}}
