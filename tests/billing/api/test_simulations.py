"""Simulations: past usage by draft prices, beside what customers pay, across restarts."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from billing.simulations.jobs import hold
from billing.simulations.jobs import unfinished_simulations as unfinished
from billing.simulations.runner import SimulationRunner
from tests.billing.api.conftest import NOW, OPEN

VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}
DOUBLE = [{"type": "volume", "from": 0, "to": None, "amount": 10}]
STEEP = [{"type": "volume", "from": 0, "to": 2, "amount": 1}, {"type": "volume", "from": 2, "to": None, "amount": 100}]
EACH = [{"type": "bps", "from": 0, "to": None, "percentage": 100, "per_unit_fee": 7}]
PATH = "/v1/simulations"


def asked(product, *drafts, **more):
    configurations = [{"name": name, **(rows if isinstance(rows, dict) else {"prices": rows})} for name, rows in drafts]
    span = {"start_date": "2026-01-01", "end_date": "2026-03-01"}
    return {"product_id": product["id"], "currency": "EUR", **span, "configurations": configurations, **more}


@asynccontextmanager
async def running(registry, store, clock, **more):
    """A runner at work."""
    runner = SimulationRunner(registry, store, clock, **more)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(shop, simulation_id, query=""):
    for _ in range(6000):
        told = (await shop.api.get(f"{PATH}/{simulation_id}{query}")).json
        if told["ended_at"] is not None:
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def begun(shop, body):
    answer = await shop.api.post(PATH, body)
    assert (answer.status, answer.json["status"]) == (202, "pending"), answer.text
    return answer.json["id"]


@pytest.fixture
async def used(shop):
    """Three customers: one with 3 + 1 events under a subscription, one with 2 events and none, one with none at all."""
    product = await shop.product(OPEN)
    subscribed = await shop.customer(external_id="a")
    without, idle = await shop.customer(external_id="b"), await shop.customer(external_id="c")
    await shop.subscription(subscribed, (product, {"min_amount": 12}), starts_at="2025-12-01")
    await shop.use("a", "2026-01-31T23:59:59Z", "2026-01-05T00:00:00Z", card="visa")
    await shop.use(subscribed["id"], "2026-01-06T00:00:00Z", "2026-02-01T00:00:00Z", card="amex")
    await shop.use("b", "2026-02-28T23:59:59Z", "2026-01-01T00:00:00Z", card="visa")
    await shop.use("b", "2026-03-01T00:00:00Z", "2025-12-31T23:59:59Z", card="visa")
    return product, subscribed["id"], without["id"], idle["id"]


async def test_usage_is_rated_by_drafts_and_by_what_customers_have(shop, registry, store, clock, used):
    """Month by month, all ids of a customer together; a matrix, a minimum, prices for each event."""
    product, subscribed, without, _ = used
    matrix = {"price_groups": [{"metering_filter": VISA, "prices": DOUBLE}, {"prices": OPEN}], "min_amount": 1}
    drafts = [("double", DOUBLE), ("steep", STEEP), ("matrix", matrix), ("each", EACH)]
    simulation_id = await begun(shop, asked(product, *drafts))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    assert (told["status"], told["progress"], told["meta"]["total"]) == ("done", 100, 2)
    by_customer = {one["customer_id"]: one for one in told["data"]}
    amounts = {one: [each["amount"] for each in row["amounts"]] for one, row in by_customer.items()}
    assert by_customer[subscribed]["current"] == 15 + 12
    assert amounts[subscribed] == [30 + 10, 102 + 1, 25 + 5, 4 * 8]
    assert by_customer[without]["current"] == 2 * 5
    assert amounts[without] == [2 * 10, 2, 2 * 10, 2 * 8]
    assert [one["amount"] for one in told["totals"]] == [60, 105, 50, 48]
    assert (told["current_total"], told["customers"], told["without_current"]) == (37, 2, 0)
    steep = told["comparison"][1]
    assert (steep["winners"], steep["losers"]) == ({"count": 1, "amount": -8}, {"count": 1, "amount": 76})
    assert sum(step["customers"] for step in steep["distribution"]) == 2
    page = (await shop.api.get(f"{PATH}/{simulation_id}?take=1&skip=1")).json
    assert (page["meta"], len(page["data"])) == ({"total": 2, "taken": 1, "skipped": 1}, 1)


async def test_some_customers_are_asked_for_by_any_of_their_ids(shop, registry, store, clock, used):
    """Each once, and one that used nothing is told too."""
    product, subscribed, _, idle = used
    body = asked(product, ("double", DOUBLE), customer_ids=["c", "a", subscribed])
    simulation_id = await begun(shop, body)
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    assert {one["customer_id"]: one["current"] for one in told["data"]} == {subscribed: 27, idle: 0}


async def test_what_comes_in_later_changes_nothing(shop, registry, store, clock, used):
    """A simulation is read at the cut-off of when it was asked for, however often it begins."""
    product, *_ = used
    first = await begun(shop, asked(product, ("double", DOUBLE)))
    await shop.use("b", "2026-02-02T00:00:00Z")
    second = await begun(shop, asked(product, ("double", DOUBLE)))
    async with running(registry, store, clock):
        totals = [(await ended(shop, one))["totals"][0]["amount"] for one in (first, second)]
    assert totals == [60, 70]


async def test_one_that_was_cut_off_begins_again(shop, registry, store, clock, used):
    """The worker that held it is gone; alone, the next takes it at once, else when it was silent for long."""
    product, *_ = used
    simulation_id = await begun(shop, asked(product, ("double", DOUBLE)))
    assert await registry.write(hold, simulation_id, "gone", 40, clock())
    other = SimulationRunner(registry, store, clock, alone=False)
    (found,) = [one for one in await registry.read(unfinished) if one.id == simulation_id]
    assert not await other._work(found)
    clock.moment = NOW + timedelta(hours=1)
    async with running(registry, store, clock, alone=False):
        assert (await ended(shop, simulation_id))["totals"][0]["amount"] == 60


async def test_one_that_is_deleted_is_gone_and_lets_others_in(shop, registry, store, clock, used):
    """At most a few wait at once; who works on one finds it gone."""
    product, *_ = used
    several = [await begun(shop, asked(product, ("double", DOUBLE))) for _ in range(3)]
    refused = await shop.api.post(PATH, asked(product, ("double", DOUBLE)))
    assert (refused.status, "Retry-After" in refused.headers) == (429, True)
    assert (await shop.api("DELETE", f"{PATH}/{several[0]}")).status == 204
    assert (await shop.api.get(f"{PATH}/{several[0]}")).status == 404
    assert (await shop.api("DELETE", f"{PATH}/{several[0]}")).status == 404
    await begun(shop, asked(product, ("double", DOUBLE)))
    async with running(registry, store, clock):
        assert (await ended(shop, several[1]))["status"] == "done"
    assert (await shop.api("DELETE", f"{PATH}/{several[1]}")).status == 204
    assert (await shop.api.get(f"{PATH}/{several[1]}")).status == 404


async def test_what_cannot_be_rated_is_told(shop, registry, store, clock, used):
    """An amount beyond 64 bits ends it with the customer's name."""
    product, subscribed, *_ = used
    dear = [{"type": "volume", "from": 0, "to": None, "amount": 9 * 10**18}]
    simulation_id = await begun(shop, asked(product, ("dear", dear), customer_ids=["a"]))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    assert (told["status"], subscribed in told["message"]) == ("error", True)


@pytest.mark.parametrize(
    ("change", "status", "paths"),
    [
        ({"currency": "eur"}, 400, [["currency"]]),
        ({"end_date": "2026-01-01"}, 400, [["start_date"], ["end_date"]]),
        ({"end_date": "2036-01-01"}, 400, [["end_date"]]),
        ({"start_date": None}, 400, [["start_date"]]),
        ({"configurations": []}, 400, [["configurations"]]),
        ({"configurations": [{"name": "a", "prices": OPEN}] * 2}, 400, [["configurations", 1, "name"]]),
        ({"configurations": [{"name": "a", "prices": [{"type": "fee", "amount": 1}]}]}, 400, None),
        ({"configurations": [{"price_groups": [{"prices": OPEN}], "prices": OPEN}]}, 400, None),
        ({"configurations": [{"price_groups": [{"prices": OPEN}, {"prices": OPEN}]}]}, 400, None),
        ({"currency": None, "configurations": [{"price_groups": [], "min_committed_count": 1}]}, 400, None),
        ({"configurations": [{"prices": OPEN, "min_amount": 2, "max_amount": 1}]}, 400, None),
        ({"customer_ids": ["nobody"]}, 404, [["customer_ids", 0]]),
        ({"product_id": "itm_0"}, 404, [["product_id"]]),
    ],
)
async def test_what_cannot_be_simulated_is_refused(shop, change, status, paths):
    """With the place of each fault."""
    product = await shop.product(OPEN)
    answer = await shop.api.post(PATH, {**asked(product, ("a", OPEN)), **change})
    assert answer.status == status, answer.text
    if paths is not None:
        assert answer.paths == paths


async def test_a_figure_that_is_no_sum_is_rated_over_all_ids_of_a_customer(shop, registry, store, clock):
    """Unique values of both ids count once; who has none is not told of."""
    unique = await shop.aggregator(operation="unique", property="user")
    product = await shop.product(OPEN, aggregator_id=unique["id"])
    used, _ = await shop.customer(external_id="a"), await shop.customer(external_id="b")
    await shop.use("a", "2026-01-31T23:59:59Z", user="x")
    await shop.use(used["id"], "2026-01-05T00:00:00Z", user="x")
    await shop.use(used["id"], "2026-02-05T00:00:00Z", user="y")
    simulation_id = await begun(shop, asked(product, ("double", DOUBLE)))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    assert [(one["customer_id"], one["current"]) for one in told["data"]] == [(used["id"], 2 * 5)]
    assert told["totals"] == [{"name": "double", "amount": 2 * 10}]


async def test_who_has_no_subscription_pays_by_country_and_price_book(shop, registry, store, clock):
    """As the catalog would have it; who finds no price there is told without one."""
    book = await shop.made("/v1/price-books", {"name": "partners"})
    configurations = [
        {"currency": "EUR", "prices": DOUBLE, "price_book_id": book["id"]},
        {"currency": "EUR", "prices": OPEN, "countries": ["FR"]},
    ]
    product = await shop.product(configurations=configurations)
    partner = await shop.customer(external_id="p", price_book_id=book["id"])
    french, other = await shop.customer(external_id="f", country="FR"), await shop.customer(external_id="o")
    for one in ("p", "f", "o"):
        await shop.use(one, "2026-01-05T00:00:00Z")
    simulation_id = await begun(shop, asked(product, ("double", DOUBLE)))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    current = {one["customer_id"]: one["current"] for one in told["data"]}
    assert current == {partner["id"]: 10, french["id"]: 5, other["id"]: None}
    assert told["without_current"] == 1


async def test_prices_that_were_changed_are_those_that_a_customer_has(shop, registry, store, clock, used):
    """As they hold when the simulation is asked for, for all of its range."""
    product, subscribed, *_ = used
    (subscription,) = (await shop.api.get(f"/v2/subscriptions?customer_id={subscribed}")).json["data"]
    change = {"type": "update_prices", "payload": {"product_id": product["id"], "prices": DOUBLE}}
    path = f"/v1/subscriptions/{subscription['id']}/update"
    made = await shop.api.post(
        path, {**change, "application_schedule": "immediately", "calculation_method": "pay_in_full"}
    )
    assert made.status == 201, made.text
    simulation_id = await begun(shop, asked(product, ("open", OPEN), customer_ids=[subscribed]))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    assert [one["current"] for one in told["data"]] == [3 * 10 + 12]


async def test_usage_is_rated_once_though_one_subscription_took_the_place_of_another(
    shop, registry, store, clock, used
):
    """By the prices that are there now; of none that runs any more, by the last."""
    product, subscribed, *_ = used
    (old,) = (await shop.api.get("/v2/subscriptions")).json["data"]
    assert (await shop.api.post(f"/v1/subscriptions/{old['id']}/cancel", {})).status == 200
    body = asked(product, ("double", DOUBLE), customer_ids=["a"])

    async def simulated():
        simulation_id = await begun(shop, body)
        async with running(registry, store, clock):
            return await ended(shop, simulation_id)

    over = await simulated()
    clock.moment = NOW + timedelta(hours=1)
    await shop.subscription({"id": subscribed}, (product, {"prices": DOUBLE}), starts_at="2026-02-15")
    renewed = await simulated()
    assert [told["data"][0]["current"] for told in (over, renewed)] == [15 + 12, 30 + 10]


async def test_present_prices_count_as_was_agreed(shop, registry, store, clock, used):
    """The product is counted by another aggregator by now: the subscription is not, its invoice says the same."""
    product, subscribed, without, _ = used
    summed = await shop.aggregator(operation="sum", property="n")
    changed = await shop.api.put(f"/v1/products/{product['id']}", {"aggregator_id": summed["id"]})
    assert changed.status == 200, changed.text
    await shop.use("b", "2026-01-07T00:00:00Z", n=50)
    simulation_id = await begun(shop, asked(product, ("double", DOUBLE)))
    async with running(registry, store, clock):
        told = await ended(shop, simulation_id)
    of_months = await shop.invoices("&period_starts_at__gte=2026-01-01&period_starts_at__lt=2026-03-01")
    rows = {one["customer_id"]: (one["current"], one["amounts"][0]["amount"]) for one in told["data"]}
    assert rows == {subscribed: (sum(one["total_amount"] for one in of_months), 0), without: (50 * 5, 50 * 10)}
    assert rows[subscribed][0] == 15 + 12


@pytest.mark.slow
async def test_nothing_that_came_later_is_in_it(shop, registry, store, clock, used):
    """Subscriptions, updates, prices, definitions: a simulation that waited is the one that did not."""
    product, subscribed, without, _ = used
    (old,) = (await shop.api.get("/v2/subscriptions")).json["data"]
    body = asked(product, ("double", DOUBLE))
    async with running(registry, store, clock):
        at_once = await ended(shop, await begun(shop, body))
    waiting = await begun(shop, body)
    clock.moment = NOW + timedelta(hours=1)
    await shop.subscription({"id": without}, (product, {"prices": STEEP}), starts_at="2025-12-01")
    change = {"type": "update_prices", "payload": {"product_id": product["id"], "prices": STEEP}}
    path = f"/v1/subscriptions/{old['id']}"
    assert (await shop.api.post(f"{path}/update", {**change, "calculation_method": "pay_in_full"})).status == 201
    (configuration,) = product["price_configurations"]
    prices = f"/v1/price-configurations/{configuration['id']}/prices"
    assert (await shop.api.put(prices, STEEP)).status == 200
    redefined = {"operation": "sum", "property": "n"}
    assert (await shop.api.put(f"/v1/aggregators/{product['aggregator_id']}", redefined)).status == 200
    assert (await shop.api.post(f"{path}/cancel", {})).status == 200
    async with running(registry, store, clock):
        late = await ended(shop, waiting)
        now = await ended(shop, await begun(shop, body))
    for one in ("data", "totals", "comparison", "current_total"):
        assert late[one] == at_once[one]
    assert now["data"] != late["data"]
    assert {one["customer_id"]: one["current"] for one in late["data"]}[subscribed] == 15 + 12
