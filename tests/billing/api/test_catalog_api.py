"""Price configurations, price books and plans over HTTP: which price is chosen, and what stands against deleting."""

from datetime import UTC, datetime

import pytest

FEE = [{"type": "fee", "amount": 10000}]
VOLUME = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}


def fee(amount):
    return [{"type": "fee", "amount": amount}]


async def access(shop, *configurations):
    """Sell a fee: 100.00 EUR, and what else is given, each with its own amount and parameters."""
    product = await shop.product(FEE, kind="flat_fee", name="Access")
    made = [
        await shop.made("/v1/price-configurations", {"product_id": product["id"], "currency": "EUR", **one})
        for one in configurations
    ]
    return product, made


async def agreed(shop, customer, product, **more):
    """Subscribe; give the amount of the fee, and the subscription."""
    terms = {"payment_interval": more.pop("interval", MONTH)}
    made = await shop.subscription(customer, (product, terms), **more)
    return made["products"][0]["prices"][0]["amount"], made


async def test_prices_are_chosen_by_book_commitment_country_interval_and_age(shop):
    """In this order; what names nothing of it comes last."""
    book = await shop.made("/v1/price-books", {"name": "Enterprise"})
    product, made = await access(
        shop,
        {"prices": fee(1), "billing_interval": MONTH},
        {"prices": fee(2), "countries": ["FR"]},
        {"prices": fee(3), "commitment_interval": YEAR},
        {"prices": fee(4), "price_book_id": book["id"]},
        {"prices": fee(5), "country": "DE"},
    )
    assert (made[4]["countries"], made[4]["country"]) == (["DE"], "DE")
    french, british, german = [await shop.customer(country=code) for code in ("FR", "GB", "DE")]
    assert (await agreed(shop, british, product, interval=YEAR))[0] == 10000
    assert (await agreed(shop, british, product))[0] == 1
    assert (await agreed(shop, french, product))[0] == 2
    assert (await agreed(shop, german, product))[0] == 5
    assert (await agreed(shop, french, product, commitment_interval=YEAR))[0] == 3
    amount, subscription = await agreed(shop, french, product, commitment_interval=YEAR, price_book_id=book["id"])
    assert (amount, subscription["price_book_id"]) == (4, book["id"])
    assert subscription["products"][0]["price_configuration_ids"] == [made[3]["id"]]
    newer = {"product_id": product["id"], "currency": "EUR", "prices": fee(6), "countries": ["FR", "IT"]}
    await shop.made("/v1/price-configurations", newer)
    assert (await agreed(shop, french, product))[0] == 6


async def test_a_customers_price_book_is_asked_first_and_the_catalog_next(shop):
    """A subscription or one of its products may name another one; where a book has no match the catalog has."""
    books = [await shop.made("/v1/price-books", {"name": name}) for name in ("Enterprise", "Partners")]
    product, _ = await access(
        shop,
        {"prices": fee(1), "price_book_id": books[0]["id"]},
        {"prices": fee(2), "price_book_id": books[1]["id"], "billing_interval": YEAR},
    )
    customer = await shop.customer(price_book_id=books[0]["id"])
    assert customer["price_book_id"] == books[0]["id"]
    assert (await agreed(shop, customer, product))[0] == 1
    assert (await agreed(shop, customer, product, price_book_id=books[1]["id"]))[0] == 10000
    assert (await agreed(shop, customer, product, price_book_id=books[1]["id"], interval=YEAR))[0] == 2
    terms = {"payment_interval": YEAR, "price_book_id": books[1]["id"]}
    made = await shop.subscription(customer, (product, terms))
    assert made["products"][0]["price_book_id"] == books[1]["id"]
    assert (await shop.api.put(f"/v1/customers/{customer['id']}", {"price_book_id": "prib_x"})).status == 404
    cleared = await shop.api.put(f"/v1/customers/{customer['id']}", {"price_book_id": None})
    assert cleared.json["price_book_id"] is None


async def test_nothing_that_matches_is_nothing_that_is_sold(shop):
    """422 and no subscription, whatever the other price book or plan would have."""
    book = await shop.made("/v1/price-books", {"name": "Enterprise"})
    configuration = {"currency": "USD", "prices": FEE, "price_book_id": book["id"]}
    product = await shop.product(kind="flat_fee", configurations=[configuration])
    customer = await shop.customer(currency="USD")
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01"}
    body["products"] = [{"id": product["id"], "payment_interval": MONTH}]
    answer = await shop.api.post("/v2/subscriptions", body)
    assert (answer.status, answer.paths) == (422, [["products", 0]])
    assert (await shop.api.get("/v2/subscriptions")).json["meta"]["total"] == 0
    assert (await shop.api.post("/v2/subscriptions", {**body, "price_book_id": book["id"]})).status == 201


async def test_new_prices_make_a_version_and_old_periods_keep_theirs(shop, clock):
    """A subscription from before stays at what was agreed; the versions tell what was asked when."""
    product = await shop.product(FEE, kind="flat_fee")
    (configuration,) = product["price_configurations"]
    path, customer = f"/v1/price-configurations/{configuration['id']}", await shop.customer()
    before, _ = await agreed(shop, customer, product, starts_at="2026-02-01")
    clock.moment = datetime(2026, 3, 25, tzinfo=UTC)
    assert (await shop.api.put(f"{path}/prices", fee(20000))).status == 200
    clock.moment = datetime(2026, 3, 26, tzinfo=UTC)
    assert (await shop.api.put(path, {"prices": fee(30000), "countries": None})).json["prices"] == fee(30000)
    assert (await shop.api.put(f"{path}/prices", fee(30000))).status == 200
    for other in ("itm_x", {}, []):
        assert (await shop.api.put(path, {"product_id": other})).status == 422
    assert (await shop.api.get(f"{path}/versions")).json == {
        "data": [
            {
                "version": number,
                "prices": fee(amount),
                "valid_from": since,
                "valid_until": until,
                "current": until is None,
            }
            for number, amount, since, until in (
                (1, 10000, "2026-03-20T12:00:00.000Z", "2026-03-25T00:00:00.000Z"),
                (2, 20000, "2026-03-25T00:00:00.000Z", "2026-03-26T00:00:00.000Z"),
                (3, 30000, "2026-03-26T00:00:00.000Z", None),
            )
        ]
    }
    after, _ = await agreed(shop, customer, product, starts_at="2026-03-01")
    assert (before, after) == (10000, 30000)
    assert sorted(one["total_amount"] for one in await shop.invoices()) == [10000, 10000, 30000]


async def test_what_a_product_leaves_out_is_archived_and_can_come_back(shop):
    """With its versions; an archived price is chosen for nobody, and one that would hide another stays archived."""
    product, (french,) = await access(shop, {"prices": fee(1), "countries": ["FR"]})
    customer = await shop.customer(country="FR")
    (kept,) = product["price_configurations"]
    changed = await shop.api.put(
        f"/v1/products/{product['id']}", {"price_configurations": [{**kept, "prices": fee(7)}]}
    )
    assert [one["id"] for one in changed.json["price_configurations"]] == [kept["id"]]
    assert len((await shop.api.get(f"/v1/price-configurations/{kept['id']}/versions")).json["data"]) == 2
    assert (await shop.api.get(f"/v1/price-configurations/{french['id']}")).json["status"] == "archived"
    assert (await agreed(shop, customer, product))[0] == 7
    listed = await shop.api.get(f"/v1/price-configurations?status=archived&product_id={product['id']}")
    assert [one["id"] for one in listed.json["data"]] == [french["id"]]
    back = await shop.api.post(f"/v1/price-configurations/{french['id']}/unarchive", {})
    assert (back.json["status"], back.json["archived_at"]) == ("active", None)
    assert (await agreed(shop, customer, product))[0] == 1
    assert (await shop.api.put(f"/v1/price-configurations/{french['id']}/archive", {})).json["status"] == "archived"
    twin = {"product_id": product["id"], "currency": "EUR", "prices": fee(2), "countries": ["FR"]}
    await shop.made("/v1/price-configurations", twin)
    assert (await shop.api.put(f"/v1/price-configurations/{french['id']}/unarchive", {})).status == 409
    assert (await shop.api.post("/v1/price-configurations", twin)).status == 409


@pytest.mark.parametrize(
    ("change", "status", "path"),
    [
        ({"product_id": None}, 400, ["product_id"]),
        ({"product_id": "itm_x"}, 404, ["product_id"]),
        ({"price_book_id": "prib_x"}, 404, ["price_book_id"]),
        ({"plan_id": "plan_x"}, 404, ["plan_id"]),
        ({"currency": "EURO"}, 400, ["currency"]),
        ({"country": "Atlantis"}, 400, ["countries"]),
        ({"prices": VOLUME}, 400, ["prices", 0, "type"]),
        ({"commitment_interval": {"period": "moon"}}, 400, ["commitment_interval", "period"]),
    ],
)
async def test_a_bad_configuration_is_refused_with_the_place(shop, change, status, path):
    """And nothing is added to the product."""
    product = await shop.product(FEE, kind="flat_fee")
    answer = await shop.api.post(
        "/v1/price-configurations", {"product_id": product["id"], "currency": "USD", "prices": FEE, **change}
    )
    assert (answer.status, path in answer.paths) == (status, True), answer.text
    assert len((await shop.api.get(f"/v1/products/{product['id']}")).json["price_configurations"]) == 1


async def test_a_plan_is_a_template_with_prices_of_its_own(shop):
    """Its prices are for its subscriptions alone; what a request says goes before the plan."""
    seats = await shop.product([{"type": "volume", "from": 0, "to": None, "amount": 700}], kind="seat", name="Seats")
    access_, _ = await access(shop)
    own = {"currency": "EUR", "prices": fee(5000)}
    products = [
        {"id": access_["id"], "payment_interval": MONTH, "price_configurations": [own]},
        {"id": seats["id"], "payment_interval": MONTH, "count": 3},
    ]
    body = {"name": "Starter", "description": "For a start", "commitment_interval": YEAR, "products": products}
    plan = await shop.made("/v1/plans", body)
    assert (plan["status"], plan["description"], plan["commitment_interval"]) == ("active", "For a start", YEAR)
    assert [one["name"] for one in plan["products"]] == ["Access", "Seats"]
    (configuration,) = plan["products"][0]["price_configurations"]
    assert (configuration["plan_id"], configuration["prices"]) == (plan["id"], fee(5000))
    assert (await shop.api.get(f"/v1/plans/{plan['id']}")).json == plan
    assert (await shop.api.get("/v1/plans")).json["data"] == [plan]

    customer = await shop.customer()
    sold = {"customer_id": customer["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    made = await shop.made("/v2/subscriptions", sold)
    assert (made["plan_id"], made["commitment_interval"]) == (plan["id"], YEAR)
    assert [(one["id"], one["count"]) for one in made["products"]] == [(access_["id"], 1), (seats["id"], 3)]
    assert made["products"][0]["prices"] == fee(5000)
    made = await shop.made("/v2/subscriptions", {**sold, "products": [{"id": seats["id"], "count": 9}]})
    assert [one["count"] for one in made["products"]] == [1, 9]
    assert (await agreed(shop, customer, access_))[0] == 10000
    assert sorted(one["total_amount"] for one in await shop.invoices()) == [5000 + 2100, 10000, 5000 + 6300]


async def test_a_plan_changes_and_its_subscriptions_do_not(shop):
    """Prices that it no longer has are archived, others changed under their id."""
    product, _ = await access(shop)
    own = {"currency": "EUR", "prices": fee(5000)}
    terms = {"id": product["id"], "payment_interval": MONTH}
    plan = await shop.made("/v1/plans", {"name": "Starter", "products": [{**terms, "price_configurations": [own]}]})
    (configuration,) = plan["products"][0]["price_configurations"]
    sold = {"customer_id": (await shop.customer())["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    await shop.made("/v2/subscriptions", sold)
    path = f"/v1/plans/{plan['id']}"
    renamed = (await shop.api.put(path, {"name": "Basic"})).json
    assert renamed == {**plan, "name": "Basic"}
    changed = {**terms, "price_configurations": [{**configuration, "prices": fee(6000)}]}
    kept = (await shop.api.put(path, {"products": [changed]})).json["products"][0]["price_configurations"]
    assert [(one["id"], one["prices"]) for one in kept] == [(configuration["id"], fee(6000))]
    assert (await shop.made("/v2/subscriptions", sold))["products"][0]["prices"] == fee(6000)
    assert (await shop.api.put(path, {"products": [terms]})).json["products"][0]["price_configurations"] == kept
    assert (await shop.api.put(path, {"products": []})).json["products"] == []
    assert (await shop.api.get(f"/v1/price-configurations/{configuration['id']}")).json["status"] == "archived"
    assert sorted(one["total_amount"] for one in await shop.invoices()) == [5000, 6000]


async def test_an_archived_plan_starts_nothing(shop):
    """Until it is taken out of the archive; an unknown one is 404."""
    product, _ = await access(shop)
    terms = {"id": product["id"], "payment_interval": MONTH}
    plan = await shop.made("/v1/plans", {"name": "Starter", "products": [terms]})
    sold = {"customer_id": (await shop.customer())["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    assert (await shop.api.put(f"/v1/plans/{plan['id']}/archive", {})).json["status"] == "archived"
    assert (await shop.api.post("/v2/subscriptions", sold)).status == 422
    assert (await shop.api.post(f"/v1/plans/{plan['id']}/unarchive", {})).json["status"] == "active"
    assert (await shop.api.post("/v2/subscriptions", sold)).status == 201
    assert (await shop.api.post("/v2/subscriptions", {**sold, "plan_id": "plan_x"})).paths == [["plan_id"]]
    assert (await shop.api.post("/v2/subscriptions", {**sold, "plan_id": 7})).status == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": None}, 400),
        ({"products": {}}, 400),
        ({"products": [{"id": "itm_x", "payment_interval": MONTH}]}, 404),
        ({"commitment_interval": {"period": "moon"}}, 400),
        ({"billing_cycle_alignment": "lunar"}, 400),
        ({"products": [{"payment_interval": MONTH, "prices": FEE}]}, 422),
        ({"products": [{"payment_interval": MONTH}] * 2}, 400),
        ({"products": [{"payment_interval": MONTH, "price_book_id": "prib_x"}]}, 404),
        ({"products": [{"payment_interval": MONTH, "price_configurations": [{"currency": "EUR"}]}]}, 400),
        ({"products": [{"payment_interval": MONTH, "price_configurations": [7]}]}, 400),
    ],
)
async def test_a_bad_plan_is_refused(shop, change, status):
    """Whole: nothing of it is kept."""
    product, _ = await access(shop)
    body = {"name": "Starter", **change}
    if isinstance(body.get("products"), list):
        body["products"] = [{"id": product["id"], **one} for one in body["products"]]
    assert (await shop.api.post("/v1/plans", body)).status == status
    assert (await shop.api.get("/v1/plans")).json["meta"]["total"] == 0
    listed = await shop.api.get(f"/v1/price-configurations?product_id={product['id']}")
    assert listed.json["meta"]["total"] == 1


async def test_price_books_are_made_changed_and_listed(shop):
    """Their name is needed, the rest is kept."""
    book = await shop.made("/v1/price-books", {"name": "Enterprise", "user_role_ids": ["sales"]})
    assert book["id"].startswith("prib_")
    assert (book["description"], book["user_role_ids"]) == (None, ["sales"])
    path = f"/v1/price-books/{book['id']}"
    changed = (await shop.api.put(path, {"description": "For large ones"})).json
    assert changed == {**book, "description": "For large ones"}
    assert (await shop.api.get(path)).json == changed
    assert (await shop.api.get("/v1/price-books?name__contains=enter")).json["data"] == [changed]
    assert (await shop.api.put(path, {"name": None})).paths == [["name"]]
    assert (await shop.api.post("/v1/price-books", {})).paths == [["name"]]


async def test_what_is_in_use_is_not_deleted_and_what_is_not_is_gone(shop):
    """409 names who uses it; after that 204, then 404."""
    book = await shop.made("/v1/price-books", {"name": "Enterprise"})
    product, (configuration,) = await access(shop, {"prices": fee(1), "price_book_id": book["id"]})
    customer = await shop.customer(price_book_id=book["id"])
    plan = await shop.made(
        "/v1/plans", {"name": "Starter", "products": [{"id": product["id"], "payment_interval": MONTH}]}
    )
    paths = {
        "book": f"/v1/price-books/{book['id']}",
        "configuration": f"/v1/price-configurations/{configuration['id']}",
        "plan": f"/v1/plans/{plan['id']}",
        "product": f"/v1/products/{product['id']}",
    }

    async def delete(what):
        answer = await shop.api("DELETE", paths[what])
        return answer.status, answer.text

    sold = {"customer_id": customer["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    made = await shop.made("/v2/subscriptions", sold)
    assert configuration["id"] in (await delete("book"))[1]
    for what in ("configuration", "plan", "product"):
        status, text = await delete(what)
        assert (status, made["id"] in text) == (409, True)

    spare, (unused,) = await access(shop, {"prices": fee(2), "countries": ["FR"]})
    await shop.api.put(f"/v1/price-configurations/{unused['id']}/prices", fee(3))
    paths["plan"] = f"/v1/plans/{(await shop.made('/v1/plans', {'name': 'Empty'}))['id']}"
    paths["configuration"] = f"/v1/price-configurations/{unused['id']}"
    paths["product"] = f"/v1/products/{spare['id']}"
    paths["book"] = f"/v1/price-books/{(await shop.made('/v1/price-books', {'name': 'Empty'}))['id']}"
    customer = await shop.customer(price_book_id=paths["book"].rpartition("/")[2])
    assert customer["id"] in (await delete("book"))[1]
    await shop.api.put(f"/v1/customers/{customer['id']}", {"price_book_id": None})
    for what in ("configuration", "plan", "product", "book"):
        assert (await delete(what))[0] == 204
        assert (await delete(what))[0] == 404


async def test_one_price_may_be_sent_in_place_of_the_catalogs(shop):
    """As documented for fees; with `prices` too it is a contradiction."""
    product, _ = await access(shop)
    customer = await shop.customer()
    made = await shop.subscription(customer, (product, {"price": {"type": "fee", "amount": 1234}}))
    assert made["products"][0]["prices"] == fee(1234)
    assert made["products"][0]["price_configuration_ids"] == []
    one = {"id": product["id"], "payment_interval": MONTH, "price": fee(1)[0], "prices": fee(1)}
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [one]}
    assert (await shop.api.post("/v2/subscriptions", body)).paths == [["products", 0, "price"]]


async def test_seats_may_be_committed(shop):
    """5 seats at 7.00, of which at least 8 are paid; minimum and maximum hold for what they come to."""
    seats = await shop.product([{"type": "volume", "from": 0, "to": None, "amount": 700}], kind="seat")
    customer = await shop.customer()
    for terms, expected in (
        ({"min_committed_count": 8}, 5600),
        ({"min_committed_count": 8, "max_amount": 5000}, 5000),
        ({"min_amount": 4000}, 4000),
    ):
        made = await shop.subscription(customer, (seats, {"count": 5, **terms}))
        (invoice,) = await shop.invoices(f"&subscription_id={made['id']}")
        assert invoice["total_amount"] == expected
