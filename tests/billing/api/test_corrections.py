"""What a correction moved: figures and lines, on both sides, exactly."""

from datetime import timedelta
from decimal import Decimal

import pytest

TIERS = [
    {"type": "volume", "from": 0, "to": 10, "amount": 3.3},
    {"type": "volume", "from": 10, "to": None, "amount": 1},
]
MARCH_US, FEBRUARY_US = 1_773_136_800_000_000, 1_771_000_000_000_000
VERSIONS = "/v1/events/call/x/versions"


async def total_of(shop, starts_at):
    found = await shop.invoices(
        f"&period_starts_at__gte={starts_at}T00:00:00Z&period_starts_at__lte={starts_at}T12:00:00Z"
    )
    return {one["customer"]["id"]: one for one in found}


async def test_a_correction_tells_what_it_took_and_what_it_added(shop):
    """Another amount, another month, another customer: figure by figure, line by line, as the invoices moved."""
    first, second = await shop.customer(external_id="a"), await shop.customer(external_id="b")
    sums = await shop.aggregator(operation="sum", property="n", name="sum")
    big = {"conditional": "and", "fields": [{"property": "n", "operator": "gt", "value": 7}]}
    counts = await shop.aggregator(name="big", where=big)
    product = await shop.product(TIERS, aggregator_id=sums["id"])
    for customer in (first, second):
        await shop.subscription(customer, product, starts_at="2026-02-01")
    await shop.use("a", "2026-03-01T00:00:00Z", n=7)
    sent = [
        {"customer_id": "a", "timestamp_us": MARCH_US, "properties": b'{"n":1}'},
        {"customer_id": "a", "timestamp_us": MARCH_US, "properties": b'{"n":8.5}'},
        {"customer_id": "b", "timestamp_us": FEBRUARY_US, "properties": b'{"n":8.5}'},
    ]
    (version,) = await shop.usage.add(shop.api.world, {**sent[0], "record_id": "x"})
    before = (await total_of(shop, "2026-03-01"))[first["id"]]
    for more in sent[1:]:
        (version,) = await shop.usage.add(shop.api.world, {**more, "record_id": "x"}, supersedes=version)
    after = (await total_of(shop, "2026-02-01"))[second["id"]]
    told = (await shop.api.get(VERSIONS)).json["data"]
    moved = [one["moved"] for one in told]
    assert moved[0] is None

    figures = [
        (one["name"], one["customer_id"], one["period_starts_at"][:7], one["quantity"]) for one in moved[1]["figures"]
    ]
    assert figures == [("big", first["id"], "2026-03", 1), ("sum", first["id"], "2026-03", Decimal("7.5"))]
    (line,) = moved[1]["lines"]
    assert line["exact_amount"] == 3 * Decimal("3.3") + Decimal("5.5") - Decimal("3.3")
    assert (line["invoice_id"], line["customer_id"]) == (before["id"], first["id"])
    assert line["invoice_line_item_id"] == before["line_items"][0]["id"]

    taken = [
        (one["name"], one["customer_id"], one["period_starts_at"][:7], one["quantity"]) for one in moved[2]["figures"]
    ]
    assert sorted(taken) == sorted(
        [
            ("sum", first["id"], "2026-03", Decimal("-8.5")),
            ("sum", second["id"], "2026-02", Decimal("8.5")),
            ("big", first["id"], "2026-03", -1),
            ("big", second["id"], "2026-02", 1),
        ]
    )
    by_invoice = {one["invoice_id"]: one["exact_amount"] for one in moved[2]["lines"]}
    assert by_invoice == {
        before["id"]: -(3 * Decimal("3.3") + Decimal("5.5")),
        after["id"]: Decimal("8.5") * Decimal("3.3"),
    }
    assert counts["id"] in {one["aggregator_id"] for one in moved[2]["figures"]}


async def test_what_nothing_counts_moves_nothing(shop):
    """And as of before the correction there is none to tell of."""
    (version,) = await shop.usage.add(shop.api.world, {"customer_id": "a", "record_id": "x"})
    then = await shop.api.get(VERSIONS)
    await shop.usage.add(
        shop.api.world, {"customer_id": "a", "record_id": "x", "properties": b"{}"}, supersedes=version
    )
    told = (await shop.api.get(VERSIONS)).json["data"]
    assert [one["moved"] for one in told] == [None, {"figures": [], "lines": []}]
    again = await shop.api.get(f"{VERSIONS}?as_of={then.headers['X-Usage-Cutoff']}")
    assert [one["moved"] for one in again.json["data"]] == [None]


@pytest.mark.parametrize(
    ("operation", "quantity"),
    [("max", 2), ("min", 0), ("average", Decimal("1.5")), ("latest", 6), ("unique", 1), ("sum", 6), ("count", None)],
)
async def test_every_kind_of_figure_tells_what_it_gained(shop, operation, quantity):
    """What the usage of the month tells before and after is what moved."""
    cus = await shop.customer()
    counted = await shop.aggregator(operation=operation, property="n")
    for number, n in enumerate((3, 7, 3)):
        await shop.use(cus["id"], f"2026-03-0{number + 1}T00:00:00Z", n=n)
    one = {"customer_id": cus["id"], "record_id": "x", "timestamp_us": MARCH_US}
    path = f"/v1/customers/{cus['id']}/usage/{counted['id']}?start_date=2026-03-01&end_date=2026-04-01"
    (version,) = await shop.usage.add(shop.api.world, {**one, "properties": b'{"n":3}'})
    before = (await shop.api.get(path)).json["total"]
    await shop.usage.add(shop.api.world, {**one, "properties": b'{"n":9}'}, supersedes=version)
    after = (await shop.api.get(path)).json["total"]
    moved = (await shop.api.get(VERSIONS)).json["data"][1]["moved"]["figures"]
    assert sum(figure["quantity"] for figure in moved) == after - before == (quantity or 0)


async def test_a_line_of_a_product_that_was_added_is_that_of_its_invoice(shop):
    """A product paid yearly, added on 20 March: its first period begins with it, not with the subscription."""
    fee = await shop.product([{"type": "fee", "amount": 100}], kind="flat_fee")
    customer, calls = await shop.customer(), await shop.product()
    made = await shop.subscription(customer, fee, starts_at="2026-01-01")
    added = {"product_id": calls["id"], "payment_interval": {"period": "years", "count": 1}}
    body = {"type": "add_product", "payload": added}
    answer = await shop.api.post(f"/v1/subscriptions/{made['id']}/update", body)
    assert answer.status == 201, answer.text
    one = {"customer_id": customer["id"], "record_id": "x", "timestamp_us": MARCH_US}
    (version,) = await shop.usage.add(shop.api.world, one)
    later = {**one, "timestamp_us": MARCH_US + 12 * 86_400_000_000}
    await shop.usage.add(shop.api.world, later, supersedes=version)
    (line,) = (await shop.api.get(VERSIONS)).json["data"][1]["moved"]["lines"]
    (invoice,) = [one for one in await shop.invoices() if one["line_items"][0]["product_id"] == calls["id"]]
    assert (line["invoice_id"], line["exact_amount"]) == (invoice["id"], 5)
    assert line["invoice_line_item_id"] == invoice["line_items"][0]["id"]
    assert line["period_starts_at"] == invoice["period_starts_at"] == "2026-03-20T12:00:00.000Z"


async def test_as_of_tells_what_it_moved_by_the_definitions_of_then(shop, clock):
    """Counted events then, sums of another type now: the answer of then comes again, and now nothing is moved."""
    customer, aggregator = await shop.customer(external_id="a"), await shop.aggregator()
    product = await shop.product(TIERS, aggregator_id=aggregator["id"])
    await shop.subscription(customer, product, starts_at="2026-02-01")
    sent = {"record_id": "x", "properties": b"{}"}
    (old,) = await shop.usage.add(shop.api.world, {**sent, "customer_id": "a", "timestamp_us": MARCH_US})
    await shop.usage.add(
        shop.api.world, {**sent, "customer_id": "a", "timestamp_us": FEBRUARY_US}, supersedes=old, at=clock.moment
    )
    then = await shop.api.get(VERSIONS)
    assert [len(then.json["data"][1]["moved"][name]) for name in ("figures", "lines")] == [2, 2]
    clock.moment += timedelta(hours=1)
    changed = {"entity": "sms", "operation": "sum", "property": "n"}
    assert (await shop.api.put(f"/v1/aggregators/{aggregator['id']}", changed)).status == 200
    assert (await shop.api.get(VERSIONS)).json["data"][1]["moved"] == {"figures": [], "lines": []}
    again = await shop.api.get(f"{VERSIONS}?as_of={then.headers['X-Usage-Cutoff']}")
    assert again.json == then.json
