"""What events cost: sent for their price, simulated, looked up; through a gateway, the log and the real store."""

import asyncio
import random
from decimal import Decimal

import pytest

from metering.http.scope import Scope
from metering.registry.outbox import list_messages

TIERS = [
    {"type": "volume", "from": 0, "to": 3, "amount": 10},
    {"type": "volume", "from": 3, "to": None, "amount": 0.25},
]


def an_event(record_id="r1", *, customer_id="acme", timestamp="2026-03-10T12:00:00Z", event_type="call", **properties):
    record = {"id": record_id, **properties}
    return {"customer_id": customer_id, "timestamp": timestamp, "event_type": event_type, "record": record}


async def sold(till, rows=None, **more):
    """Sell calls to acme, counted one by one unless told otherwise."""
    customer = await till.customer(external_id="acme")
    product = await till.product(rows or TIERS, **more)
    return customer, product, await till.subscription(customer, product)


@pytest.mark.slow
async def test_an_event_costs_what_it_adds_and_is_recorded(till):
    """In the shapes of the dialect; the open invoice holds it."""
    customer, product, subscription = await sold(till)
    told = await till.price(an_event())
    assert told["id"].startswith("cal_")
    assert told["result"] == [
        {
            "customer_id": customer["id"],
            "subscription_id": subscription["id"],
            "product_id": product["id"],
            "price_group": None,
            "amount_excluding_tax": 10,
            "tax_amount": 0,
            "total_amount": 10,
            "currency": "EUR",
        }
    ]
    (invoice,) = await till.invoices()
    assert invoice["amount_excluding_tax"] == 10
    assert (await till.api.get("/v1/events")).json["data"][0]["record_id"] == "r1"


@pytest.mark.slow
async def test_a_price_follows_from_what_came_before_alone(till):
    """The fourth event is in the next tier; asking later does not make it dearer or cheaper."""
    await sold(till)
    await asyncio.gather(*(till.api.post("/v1/events", an_event(f"p{index}")) for index in range(2)))
    assert [await till.amounts(an_event(f"r{index}")) for index in range(3)] == [
        [10],
        [Decimal("0.25")],
        [Decimal("0.25")],
    ]


@pytest.mark.slow
async def test_the_same_event_costs_the_same_for_ever(till):
    """Spelled otherwise, after more events, another price list and another owner of the id; and it counts once."""
    _, product, _ = await sold(till)
    first = await till.price(an_event(485, n=1.5))
    for index in range(4):
        await till.price(an_event(f"r{index}"))
    configuration = product["price_configurations"][0]["id"]
    rows = [{"type": "volume", "from": 0, "to": None, "amount": 999}]
    assert (await till.api.put(f"/v1/price-configurations/{configuration}/prices", rows)).status == 200
    again = an_event(485, n=1.50, timestamp="2026-03-10T13:00:00.000+01:00")
    assert await till.price(again) == first
    (invoice,) = await till.invoices()
    assert invoice["line_items"][0]["units_count"] == 5


@pytest.mark.slow
async def test_a_correction_has_a_price_of_its_own(till):
    """What it costs in place of the version before, not in addition; the old version keeps its price."""
    aggregator = await till.aggregator(operation="sum", property="n")
    await sold(till, aggregator_id=aggregator["id"])
    assert await till.amounts(an_event(n=2)) == [20]
    corrected = an_event(n=5, timestamp="2026-03-10T12:00:01Z")
    assert await till.amounts(corrected) == [Decimal("30.5")]
    assert await till.amounts(an_event(n=2)) == [20]
    assert await till.amounts(corrected) == [Decimal("30.5")]
    (invoice,) = await till.invoices()
    assert invoice["line_items"][0]["units_count"] == 5
    assert len(await till.kept("?record_id=r1")) == 2


@pytest.mark.slow
async def test_a_version_that_comes_too_late_costs_nothing(till):
    """One with a later timestamp was there before it, so it is in no figure."""
    await sold(till)
    assert (await till.api.post("/v1/events", an_event(timestamp="2026-03-11T00:00:00Z"))).status == 201
    assert await till.amounts(an_event()) == []


@pytest.mark.slow
async def test_an_event_recorded_without_a_price_gets_that_of_its_own_place(closed_till):
    """As after a crash between the two: sent again after others, it costs what it did when it came in."""
    till = closed_till
    await sold(till)
    for index in range(5):
        assert (await till.api.post("/v1/events", an_event(f"r{index}"))).status == 201
    later = an_event("r0", timestamp="2026-03-12T00:00:00Z")
    assert (await till.api.post("/v1/events", later)).status == 201
    till.consume()
    assert await till.amounts(an_event("r0")) == [10]
    assert await till.amounts(an_event("r4")) == [Decimal("0.25")]
    assert await till.amounts(later) == [Decimal("0.25")]


@pytest.mark.slow
async def test_all_prices_of_a_period_add_up_to_its_line(till):
    """However many are sent at once, and in any order: before rounding, to the digit."""
    aggregator = await till.aggregator(operation="sum", property="n")
    rows = [
        {"type": "packaged", "from": 0, "to": 20, "amount": 7.5, "unit_count": 4},
        {"type": "packaged", "from": 20, "to": None, "amount": 0.3, "unit_count": 1},
    ]
    await sold(till, rows, aggregator_id=aggregator["id"])
    shuffled = random.Random(7).sample(range(1, 21), 20)
    events = [an_event(f"r{n}", n=n / 4, timestamp=f"2026-03-{n % 9 + 1:02}T00:00:00Z") for n in shuffled]
    amounts = await asyncio.gather(*(till.amounts(event) for event in events))
    total = Decimal(20 * 21) / 8
    expected = Decimal("37.5") + (total - 20) * Decimal("0.3")
    assert sum(amount for (amount,) in amounts) == expected
    (invoice,) = await till.invoices()
    assert invoice["amount_excluding_tax"] == int(expected.to_integral_value("ROUND_HALF_UP"))


@pytest.mark.slow
async def test_a_simulation_says_what_then_happens_and_stores_nothing(till):
    """Also of a correction; per price model, with its group."""
    aggregator = await till.aggregator(operation="sum", property="n")
    visa = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}
    configurations = [
        {
            "currency": "EUR",
            "metering_filter": visa,
            "prices": [{"type": "bulk", "to": 5, "amount": 10}, {"type": "bulk", "to": None, "amount": 8}],
        },
        {"currency": "EUR", "prices": [{"type": "bps", "from": 0, "to": None, "percentage": 1.5}]},
    ]
    await sold(till, configurations=configurations, aggregator_id=aggregator["id"])
    events = [
        an_event("a", n=4, card="visa"),
        an_event("b", n=3, card="visa"),
        an_event("c", n=-2.5, card="other"),
        an_event("a", n=1, card="other", timestamp="2026-03-10T12:00:01Z"),
    ]
    told = []
    for event in events:
        simulated = await till.simulate(event)
        assert (await till.price(event))["result"] == simulated
        told += [(one["price_group"]["name"], one["amount_excluding_tax"]) for one in simulated]
    assert told == [("visa", 40), ("visa", 16), (None, 0), (None, 0)]
    assert await till.simulate(an_event("d", n=100, card="other")) != []
    assert len((await till.api.get("/v1/events")).json["data"]) == 3
    assert len(await till.kept()) == 4


@pytest.mark.slow
async def test_each_event_is_charged_by_its_place_where_events_are_charged_one_by_one(till):
    """Floor, cap and fee; one that comes late but happened early moves those behind it into another tier."""
    aggregator = await till.aggregator(operation="sum", property="n")
    rows = [
        {"type": "bps", "from": 0, "to": 10000, "percentage": 1, "per_unit_fee": 5},
        {"type": "bps", "from": 10000, "to": None, "percentage": 0.5, "per_unit_fee": 2},
    ]
    await sold(till, rows, aggregator_id=aggregator["id"])
    assert await till.amounts(an_event("a", n=8000, timestamp="2026-03-10T00:00:00Z")) == [85]
    assert await till.amounts(an_event("b", n=4000, timestamp="2026-03-11T00:00:00Z")) == [35]
    early = an_event("c", n=1000, timestamp="2026-03-01T00:00:00Z")
    assert await till.amounts(early) == [10]
    (invoice,) = await till.invoices()
    assert invoice["amount_excluding_tax"] == 85 + 35 + 10


@pytest.mark.slow
async def test_every_subscription_that_counts_the_event_has_its_price(till):
    """Several products and subscriptions; the query shows one of them, and what is kept is all of it."""
    customer, first, one = await sold(till)
    second = await till.product(
        [{"type": "volume", "from": 0, "to": None, "amount": 7}], aggregator_id=first["aggregator"]["id"]
    )
    other = await till.subscription(customer, second, first)
    whole = await till.price(an_event())
    found = [
        (price["subscription_id"], price["product_id"], price["amount_excluding_tax"]) for price in whole["result"]
    ]
    assert found == [(one["id"], first["id"], 10), (other["id"], second["id"], 7), (other["id"], first["id"], 10)]
    shown = await till.price(an_event(), f"?subscription_id={other['id']}&product_id={first['id']}&include_tax=false")
    assert shown["id"] == whole["id"]
    (price,) = shown["result"]
    assert (price["subscription_id"], "tax_amount" in price, "total_amount" in price) == (other["id"], False, False)
    assert await till.price(an_event(), "?product_id=nothing") == {"id": whole["id"], "result": []}
    assert await till.price(an_event()) == whole


@pytest.mark.slow
async def test_what_nobody_pays_for_costs_nothing(till):
    """An unknown customer or type, before the subscription: recorded, and no price in the result."""
    await sold(till)
    free = [{"customer_id": "nobody"}, {"event_type": "unknown"}, {"timestamp": "2026-02-28T23:59:59Z"}]
    for number, changes in enumerate(free):
        event = an_event(f"r{number}", **changes)
        assert await till.simulate(event) == []
        assert await till.amounts(event) == []
    assert (await till.api.get("/v1/events")).json["meta"]["total"] == len(free)


async def test_prices_are_looked_up_with_their_event(till):
    """By calculation, by record, by both, a page at a time; events without a price show none."""
    customer, product, subscription = await sold(till)
    first, second = await till.price(an_event("a", x=1.50)), await till.price(an_event("b", customer_id="nobody"))
    await till.api.post("/v1/events", an_event("c"))
    assert sorted(one["id"] for one in await till.kept()) == sorted([second["id"], first["id"]])
    assert await till.kept(f"?calculation_id={second['id']}") == [{"id": second["id"], "result": []}]
    (found,) = await till.kept("?record_id=a")
    assert found == {
        "id": first["id"],
        "result": [
            {
                "event_type": "call",
                "product_id": product["id"],
                "record": {"id": "a", "x": Decimal("1.5")},
                "amount_excluding_tax": 10,
                "currency": "EUR",
                "ingested": True,
                "pre_calculated_at": "2026-03-20T12:00:00.000Z",
                "customer_id": customer["id"],
                "event_timestamp": "2026-03-10T12:00:00.000Z",
                "subscription_id": subscription["id"],
                "price_group": None,
                "tax_amount": 0,
                "total_amount": 10,
            }
        ],
    }
    for query in (f"?record_id=a&calculation_id={second['id']}", "?record_id=c", "?event_type=other", "?skip=2"):
        assert await till.kept(query) == []
    assert len(await till.kept("?take=1")) == 1


async def test_a_simulation_needs_neither_customer_nor_time(till):
    """By its subscription it is that customer's, now; else it costs what the catalog says in each currency."""
    _, product, subscription = await sold(
        till,
        configurations=[
            {"currency": "EUR", "prices": [{"type": "volume", "from": 0, "to": None, "amount": 5}]},
            {"currency": "USD", "prices": [{"type": "volume", "from": 0, "to": None, "amount": 6}]},
        ],
    )
    imagined = {"event_type": "call", "record": {"id": "x"}, "customer_id": None}
    (own,) = await till.simulate(imagined, f"?subscription_id={subscription['id']}")
    assert (own["subscription_id"], own["amount_excluding_tax"]) == (subscription["id"], 5)
    offered = await till.simulate(imagined)
    assert [(one["product_id"], one["currency"], one["amount_excluding_tax"]) for one in offered] == [
        (product["id"], "EUR", 5),
        (product["id"], "USD", 6),
    ]
    assert {one["customer_id"] for one in offered} == {None}
    assert await till.simulate({**imagined, "event_type": "other"}) == []


REFUSED = [
    ("/v1/events/prices", {"event_type": "call"}, 400, ["customer_id"]),
    ("/v1/events/prices", [an_event()], 400, None),
    ("/v1/events/prices?include_tax=perhaps", an_event(), 400, ["include_tax"]),
    ("/v1/events/simulate-prices?include_tax=2", an_event(), 400, ["include_tax"]),
    ("/v1/events/simulate-prices", {"event_type": "call"}, 400, ["record"]),
    ("/v1/events/simulate-prices", an_event(x={"y": 1}), 400, ["record", "x"]),
    ("/v1/events/simulate-prices", an_event(timestamp="soon"), 400, ["timestamp"]),
    ("/v1/events/simulate-prices", [1], 400, None),
    ("/v1/events/simulate-prices", an_event(x="y" * 70_000), 413, []),
]


async def test_what_is_no_event_is_refused_and_not_stored(closed_till):
    """With the path to the fault."""
    for path, body, status, path_of_fault in REFUSED:
        answer = await closed_till.api.post(path, body)
        assert answer.status == status, answer.text
        assert path_of_fault is None or answer.paths[0] == path_of_fault
    assert closed_till.log.messages(0, 1) == []


@pytest.mark.slow
async def test_one_account_sees_no_prices_of_another(till):
    """Not by id, not by record, not by simulating its customer; the same event there is another one."""
    await sold(till)
    told = await till.price(an_event())
    _, stranger = till.new_key("stranger")
    assert (await till.api("GET", f"/v1/events/prices?calculation_id={told['id']}", key=stranger)).json == []
    simulated = await till.api("POST", "/v1/events/simulate-prices", an_event(), key=stranger)
    assert simulated.json["result"] == []
    theirs = await till.api("POST", "/v1/events/prices", an_event(), key=stranger)
    assert (theirs.status, theirs.json["result"]) == (201, [])
    assert theirs.json["id"] != told["id"]


async def test_sending_and_reading_need_their_scopes(till):
    """A key that may only send sees no prices but those of what it sends."""
    _, sender = till.new_key("sender", scopes=(Scope.INGEST,))
    assert (await till.api("POST", "/v1/events/prices", an_event(), key=sender)).status == 201
    assert (await till.api("GET", "/v1/events/prices", key=sender)).status == 403
    assert (await till.api("POST", "/v1/events/simulate-prices", an_event(), key=sender)).status == 403
    _, reader = till.new_key("reader", scopes=(Scope.READ,))
    assert (await till.api("POST", "/v1/events/prices", an_event(), key=reader)).status == 403


@pytest.mark.slow
async def test_an_event_that_is_not_visible_in_time_is_stored_and_priced_when_sent_again(closed_till):
    """503 says so; nothing is counted twice."""
    till = closed_till
    await sold(till)
    await till.stop_core()
    down = await till.api.post("/v1/events/prices", an_event())
    assert (down.status, down.headers["Retry-After"]) == (503, "2")
    till.wait_s_max = 0.05
    await till.start_core()
    late = await till.api.post("/v1/events/prices", an_event())
    assert late.status == 503
    assert "is stored" in late.json["message"]
    till.consume()
    assert await till.amounts(an_event()) == [10]
    (invoice,) = await till.invoices()
    assert invoice["line_items"][0]["units_count"] == 1


@pytest.mark.slow
async def test_of_many_who_send_one_event_at_once_all_hear_the_same(till):
    """Whoever is first decides, and the rest is told so."""
    await sold(till)
    told = await asyncio.gather(*(till.price(an_event()) for _ in range(8)))
    assert all(one == told[0] for one in told)
    assert len(await till.kept()) == 1


async def test_subscriptions_are_refreshed_when_all_that_was_sent_is_in_their_invoices(till):
    """200 once it is; invoices are live, so there is nothing else to do."""
    await sold(till)
    for index in range(3):
        await till.api.post("/v1/events", an_event(f"r{index}"))
    answer = await till.api("POST", "/v1/subscriptions/refresh")
    assert (answer.status, answer.json) == (200, {})
    (invoice,) = await till.invoices()
    assert invoice["line_items"][0]["units_count"] == 3


@pytest.mark.slow
async def test_a_price_that_was_calculated_is_told_once(till):
    """Of an event that is sent with its price calculated, and of one that is sent for its price: the message is what a
    look-up gives. Sent again, it is told no more."""
    await sold(till)
    for _ in range(2):
        sent = await till.api("POST", "/v1/events?with_price_calculation=true", an_event("r1"))
        assert (sent.status, sent.json) == (201, {})
    asked = await till.price(an_event("r2"))
    looked_up = {one["id"]: one for one in (await till.api.get("/v1/events/prices")).json}
    with till.registry.reading() as connection:
        told, total = list_messages(connection, till.world, conditions=(), take=10, skip=0)
    assert total == 2
    assert {one.fact.event_type for one in told} == {"event.price_calculated"}
    assert {one.fact.data["id"]: one.fact.data for one in told} == looked_up
    assert asked["id"] in looked_up
    assert [price["amount_excluding_tax"] for one in looked_up.values() for price in one["result"]] == [10, 10]
