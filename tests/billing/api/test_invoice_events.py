"""The events of an invoice over HTTP: each with what it adds, and with its entries they are the line."""

from decimal import Decimal

import pytest

VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}
TIERS = [
    {"type": "volume", "from": 0, "to": 2, "amount": 3},
    {"type": "volume", "from": 2, "to": None, "amount": 1},
]
EACH = [{"type": "bps", "from": 0, "to": None, "percentage": 1, "per_unit_fee": 7, "per_unit_cap": 20}]


def stamps(count, day="2026-03-10"):
    return [f"{day}T10:00:{second:02}+00:00" for second in range(count)]


async def explained(shop, invoice, query=""):
    answer = await shop.api.get(f"/v1/invoices/{invoice['id']}/events{query}")
    assert answer.status == 200, answer.text
    return answer.json


async def all_pages(shop, invoice, take, query=""):
    found, skip = [], 0
    while page := (await explained(shop, invoice, f"?take={take}&skip={skip}{query}"))["data"]:
        found += page
        skip += take
    return found


def adds_up(explanation, events, invoice):
    """Hold events, entries and lines against each other, and the lines against the invoice."""
    for line in explanation["lines"]:
        own = [one["billing"] for one in events if one["billing"]["invoice_line_item_id"] == line["id"]]
        assert len(own) == line["events"]["count"]
        for column in ("amount", "exact_amount"):
            assert sum(one[column] for one in own) == line["events"][column]
            assert line["events"][column] + sum(one[column] for one in line["entries"]) == line["signed_amount"]
        for one in own:
            assert sum(share["exact_amount"] for share in one["tiers"]) == one["exact_amount"]
    assert [line["id"] for line in explanation["lines"]] == [line["id"] for line in invoice["line_items"]]
    assert sum(line["signed_amount"] for line in explanation["lines"]) == invoice["total_amount"]


@pytest.mark.slow
async def test_lines_open_into_their_events_and_add_up(shop):
    """Fees, a matrix, a sum with refunds, prices for each event; on pages of any size."""
    cus = await shop.customer()
    products = [
        await shop.product([{"type": "fee", "amount": 900}], kind="flat_fee", name="Base"),
        await shop.product(
            configurations=[
                {"currency": "EUR", "metering_filter": VISA, "prices": TIERS},
                {
                    "currency": "EUR",
                    "prices": [{"type": "bulk", "to": 3, "amount": 5}, {"type": "bulk", "to": None, "amount": 2}],
                },
            ],
            name="Cards",
        ),
        await shop.product(
            TIERS, aggregator_id=(await shop.aggregator(operation="sum", property="n"))["id"], name="Sum"
        ),
        await shop.product(
            EACH, aggregator_id=(await shop.aggregator(operation="sum", property="n"))["id"], name="Each"
        ),
    ]
    await shop.subscription(cus, products[0], products[1], (products[2], {"min_amount": 40}), products[3])
    for number, stamp in enumerate(stamps(9)):
        await shop.use(cus["id"], stamp, card=["visa", "other"][number % 2], n=[700, -50, 3, 20, 1][number % 5])
    (invoice,) = await shop.invoices()
    explanation = await explained(shop, invoice, "?take=100")
    assert explanation["meta"]["total"] == 27
    adds_up(explanation, explanation["data"], invoice)
    assert await all_pages(shop, invoice, 4) == explanation["data"]
    assert await all_pages(shop, invoice, 7) == explanation["data"]
    cards = [one for one in explanation["data"] if one["billing"]["product_id"] == products[1]["id"]]
    assert [one["billing"]["price_name"] for one in cards[:3]] == ["visa", None, "visa"]
    assert cards[4]["billing"]["tiers"] == [{"from": 2, "to": None, "quantity": 1, "exact_amount": 1}]
    assert cards[7]["billing"]["exact_amount"] == 4 * 2 - 3 * 5
    assert [entry["reason"] for entry in explanation["lines"][0]["entries"]] == ["not_metered"]
    (only,) = (await explained(shop, invoice, f"?product_id={products[3]['id']}&take=1"))["lines"]
    assert only["events"]["count"] == 9
    by_line = await explained(shop, invoice, f"?invoice_line_item_id={only['id']}&take=100")
    assert [one["billing"]["product_id"] for one in by_line["data"]] == [products[3]["id"]] * 9


BROUGHT = {
    "max": [15, 0, 4, 0, 0],
    "min": [15, -10, 0, 0, 0],
    "average": [15, -5, 3, -2, 0],
    "latest": [15, -10, 14, -14, 6],
    "unique": [1, 1, 1, 0, 1],
}


async def of_figures(shop, operation, *stamped, **more):
    """Sell a figure by tiers and as one event, each of a matrix or not, and use it; give the invoice and its events."""
    cus = await shop.customer()
    counted = await shop.aggregator(operation=operation, formula_sql="n * 2 + 1")
    single = await shop.product(EACH, aggregator_id=counted["id"], name="Each")
    matrix = [{"currency": "EUR", "metering_filter": VISA, "prices": TIERS}, {"currency": "EUR", "prices": TIERS}]
    cards = await shop.product(configurations=matrix, aggregator_id=counted["id"], name="Cards")
    await shop.subscription(cus, await shop.product(TIERS, aggregator_id=counted["id"]), single, cards, **more)
    for number, (stamp, n) in enumerate(stamped):
        await shop.use(cus["id"], stamp, n=n, card=["visa", "other"][number % 2])
    (invoice,) = await shop.invoices("&period_starts_at__gte=2026-03-01")
    explanation = await explained(shop, invoice, "?take=100")
    adds_up(explanation, explanation["data"], invoice)
    assert await all_pages(shop, invoice, 2) == explanation["data"]
    usage = await shop.api.get(
        f"/v1/customers/{cus['id']}/usage/{counted['id']}?start_date=2026-03-01&end_date=2026-04-01"
    )
    return explanation, usage.json["total"]


@pytest.mark.slow
@pytest.mark.parametrize("operation", BROUGHT)
async def test_an_event_brings_to_a_figure_what_it_moves_it_by(shop, operation):
    """On top of those before it, whatever the figure is: in tiers, as one event, and in each group of a matrix."""
    used = [*zip(stamps(5), [7, 2, 9, 2, 5], strict=True), (stamps(6)[5], "none")]
    explanation, total = await of_figures(shop, operation, *used)
    tiers, single, cards = (explanation["data"][at : at + 6] for at in (0, 6, 12))
    expected = [*BROUGHT[operation], 0]
    assert [one["quantity"] for one in tiers] == [one["quantity"] for one in single] == expected
    assert sum(expected) == total
    for line in explanation["lines"]:
        assert {entry["reason"] for entry in line["entries"]} <= {"rounding"}
    for group in ("visa", None):
        assert sum(one["quantity"] for one in cards if one["billing"]["price_name"] == group) > 0


@pytest.mark.slow
async def test_a_level_from_before_the_period_is_owed_beside_its_events(shop):
    """A change weighs by how much of the period comes after it; what stood before weighs whole, and is no event's."""
    used = [("2026-02-10T00:00:00+00:00", 1), ("2026-03-01T00:00:00+00:00", 2), ("2026-03-16T12:00:00+00:00", -3)]
    explanation, total = await of_figures(shop, "weighted_sum", *used, starts_at="2026-02-01")
    tiers = explanation["data"][:2]
    assert [one["quantity"] for one in tiers] == [5, Decimal("-2.5")]
    assert total == 3 + 5 - Decimal("2.5")
    (entry,) = [one for one in explanation["lines"][0]["entries"] if one["reason"] == "earlier_level"]
    assert entry["exact_amount"] == 2 * 3 + 1
    assert [share["quantity"] for share in entry["tiers"]] == [2, 1]


@pytest.mark.slow
async def test_events_of_one_instant_stand_in_the_order_of_their_arrival(shop):
    """And a page may end between them."""
    cus, product = await shop.customer(), await shop.product(TIERS)
    await shop.subscription(cus, product)
    await shop.use(cus["id"], *["2026-03-10T10:00:00+00:00"] * 5)
    (invoice,) = await shop.invoices()
    found = await all_pages(shop, invoice, 2)
    assert [one["record_id"] for one in found] == ["r1", "r2", "r3", "r4", "r5"]
    assert [one["billing"]["amount"] for one in found] == [3, 3, 1, 1, 1]


@pytest.mark.slow
async def test_an_event_tells_its_versions_its_name_and_what_is_exposed(shop):
    """A correction is one event, of two versions."""
    cus = await shop.customer()
    aggregator = await shop.aggregator(
        custom_event_name="Call to {{ to }}{{none}}", exposed_event_keys=["seconds", "none"]
    )
    await shop.subscription(cus, await shop.product(TIERS, aggregator_id=aggregator["id"]))
    first = {"customer_id": cus["id"], "record_id": "a/b", "timestamp_us": 1_773_136_800_000_000}
    (old,) = await shop.usage.add(shop.api.world, {**first, "properties": b'{"to":"Rome"}'})
    record = b'{"seconds":1.50000000000000000001,"to":"Oslo"}'
    await shop.usage.add(shop.api.world, {**first, "properties": record}, supersedes=old)
    (invoice,) = await shop.invoices()
    (event,) = (await explained(shop, invoice))["data"]
    assert event["versions"] == {"count": 2, "href": "/v1/events/call/a%2Fb/versions"}
    assert (event["name"], event["properties"]) == ("Call to Oslo", {"seconds": Decimal("1.50000000000000000001")})
    assert (await shop.api.get(event["versions"]["href"])).json["meta"]["total"] == 2


async def test_as_of_explains_the_line_as_it_stood(shop):
    """At the cut-off that an earlier answer named."""
    cus, product = await shop.customer(), await shop.product(TIERS)
    await shop.subscription(cus, product)
    await shop.use(cus["id"], *stamps(2))
    (invoice,) = await shop.invoices()
    path = f"/v1/invoices/{invoice['id']}/events"
    then = await shop.api.get(path)
    await shop.use(cus["id"], *stamps(3, "2026-03-09"))
    assert (await shop.api.get(path)).json["meta"]["total"] == 5
    again = await shop.api.get(f"{path}?as_of={then.headers['X-Usage-Cutoff']}")
    assert again.json == then.json


async def test_an_unknown_invoice_is_not_found(shop):
    """Whatever its id looks like."""
    for one in ("inv_0", "inv_abcabcabcabcabcabc", "x"):
        assert (await shop.api.get(f"/v1/invoices/{one}/events")).status == 404


async def test_a_page_far_behind_is_read_without_those_before_it(shop, store, monkeypatch):
    """What comes out of the store for a page is the page, its place, and one sum for each group."""
    cus, product = await shop.customer(), await shop.product(TIERS)
    await shop.subscription(cus, product)
    await shop.use(
        cus["id"], *[f"2026-03-10T{hour:02}:{minute:02}:00+00:00" for hour in range(10) for minute in range(60)]
    )
    (invoice,) = await shop.invoices()
    rows, select = [], type(store).select

    def counting(self, sql, parameters=None):
        found = select(self, sql, parameters)
        rows.append(len(found))
        return found

    monkeypatch.setattr(type(store), "select", counting)
    (event,) = (await explained(shop, invoice, "?skip=599&take=1"))["data"]
    assert event["record_id"] == "r600"
    assert max(rows) == 1


async def test_a_line_that_bills_the_difference_tells_what_earlier_periods_paid(shop):
    """A year of usage billed monthly: the events of the year stand behind it, less what February came to."""
    cus = await shop.customer()
    product = await shop.product(TIERS)
    year = {"metering_interval_type": "custom", "metering_interval": {"period": "years"}, "bill_usage_difference": True}
    await shop.subscription(cus, (product, year), starts_at="2026-01-01")
    for month in ("01", "02", "03"):
        await shop.use(cus["id"], *stamps(3, f"2026-{month}-10"))
    (invoice,) = await shop.invoices("&period_starts_at__gte=2026-03-01")
    explanation = await explained(shop, invoice, "?take=100")
    adds_up(explanation, explanation["data"], invoice)
    (line,) = explanation["lines"]
    assert [(one["reason"], one["amount"]) for one in line["entries"]] == [("already_billed", -(3 + 3 + 4))]
    assert (line["signed_amount"], line["events"]["count"]) == (3, 9)


async def test_a_line_over_the_whole_database_opens_into_all_there_is(shop):
    """Whatever the timestamp; those of other customers are not among them."""
    cus, other = await shop.customer(), await shop.customer()
    await shop.subscription(cus, (await shop.product(TIERS), {"metering_interval_type": "full_database"}))
    await shop.use(cus["id"], "2020-01-01T00:00:00+00:00", "2026-03-10T10:00:00+00:00", "2030-01-01T00:00:00+00:00")
    await shop.use(other["id"], "2026-03-10T10:00:00+00:00")
    (invoice,) = await shop.invoices()
    explanation = await explained(shop, invoice)
    adds_up(explanation, explanation["data"], invoice)
    assert [one["timestamp"][:4] for one in explanation["data"]] == ["2020", "2026", "2030"]
    assert explanation["lines"][0]["signed_amount"] == 3 + 3 + 1
