"""The whole product: one account never sees anything of another's, whichever route it tries."""

import asyncio
import re
import sqlite3

import aiohttp
import pytest

from deploy.core_part import Core, core_routes
from metering.http.scope import Scope
from tests.pipeline.product import Client
from tests.walls import Keys, assert_walls_hold, url_of

pytestmark = pytest.mark.slow

INTERNAL = "/internal/"


def every_route():
    """What the core serves, but for what gateways alone may ask; what gateways serve themselves is in the table too."""
    nothing = Core(*[None] * 12)
    return [route for route in core_routes(nothing) if not route.path.startswith(INTERNAL)]


def new_key(product, account, mode="test", *scopes, days=None):
    words = [word for scope in scopes or ("admin",) for word in ("--scope", scope)]
    expiry = () if days is None else ("--expires-days", str(days))
    made = product.command("keys", "create", "--account", account, "--mode", mode, *words, *expiry)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def shut_keys(product):
    """One that was revoked, one that has expired."""
    revoked, expired = new_key(product, "default"), new_key(product, "default", days=1)
    for line in product.command("keys", "list").stdout.splitlines():
        if revoked[:9] in line:
            assert product.command("keys", "revoke", line.split()[0]).returncode == 0
    with sqlite3.connect(product.data_dir / "registry.db") as registry:
        registry.execute("UPDATE api_keys SET expires_at = created_at + 1 WHERE start = ?", (expired[:9],))
    return [revoked, expired]


@pytest.fixture
def source(postgres):
    """The address of a database with usage in it."""
    database = postgres.database()
    postgres.run("CREATE TABLE calls AS SELECT 1 AS id, 'marker-x' AS company, now() AS at", database=database)
    yield postgres.url(database)
    postgres.drop(database)


async def one_loader(client, source):
    """A connection and a dataloader with a run that has ended; gives their ids."""
    reached = {"provider": "postgres", "name": "marker-connection", "url": source}
    connection = await client.call("POST", "/v1/connections", reached)
    query = 'SELECT id, company AS "customerId", at AS timestamp FROM calls'
    asked = {"connection_id": connection["id"], "event_type": "marker-loaded", "query": query}
    loader = await client.call("POST", "/v1/dataloaders", asked)
    path = f"/v1/dataloaders/{loader['id']}"
    run = await client.call("POST", f"{path}/run", {}, expect=(202,))
    while (await client.get(f"{path}/runs/{run['id']}"))["ended_at"] is None:
        await asyncio.sleep(0.05)
    await client.until_applied()
    return {"connections.id": connection["id"], "dataloaders.id": loader["id"], "run_id": run["id"]}


async def one_of_everything(client, source):
    """What the owner has; its texts are told by `marker`."""
    customer = await client.call("POST", "/v1/customers", {"external_id": "marker-x", "name": "m", "currency": "EUR"})
    counted = {"name": "marker-counted", "entity": "marker-type", "operation": "count"}
    aggregator = await client.call("POST", "/v1/aggregators", counted)
    prices = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
    product = await client.call(
        "POST",
        "/v1/products",
        {
            "name": "marker-product",
            "type": "dynamic",
            "aggregator_id": aggregator["id"],
            "price_configurations": [{"currency": "EUR", "prices": prices}],
        },
    )
    connected = {"name": "marker-seats", "type": "seat", "aggregator_id": aggregator["id"]}
    connected["price_configurations"] = [{"currency": "EUR", "prices": prices}]
    seats = await client.call("POST", "/v1/products", connected)
    drawn = [{"aggregator_id": aggregator["id"], "weight": 2}]
    held = {"name": "marker-credits", "type": "credit", "credit_aggregators": drawn}
    subscription = await client.call(
        "POST",
        "/v2/subscriptions",
        {
            "customer_id": "marker-x",
            "starts_at": "2024-01-01",
            "activation_strategy": "start_date",
            "products": [
                {"id": product["id"], "payment_interval": {"period": "years", "count": 1}},
                {"id": seats["id"], "payment_interval": {"period": "years", "count": 1}},
            ],
        },
    )
    event = {
        "customer_id": "marker-x",
        "timestamp": "2024-02-01T00:00:00Z",
        "event_type": "marker-type",
        "record": {"id": "marker-record"},
    }
    await client.call("POST", "/v1/events/prices", event)
    await client.until_applied()
    form = aiohttp.FormData()
    form.add_field("file", b"timestamp,event_type,customer_id,record/id\nmarker,t,c,1\n", filename="events.csv")
    async with client.session.post(client.url + "/v1/events/import", data=form) as answer:
        assert answer.status == 202
        begun = await answer.json()
    while (await client.get(f"/v1/imports/{begun['id']}"))["ended_at"] is None:
        await asyncio.sleep(0.05)
    invoice = (await client.get("/v1/invoices?status=open&take=1"))["data"][0]
    draft = {"name": "marker-draft", "prices": prices}
    tried = {"product_id": product["id"], "currency": "EUR", "configurations": [draft]}
    tried |= {"start_date": "2024-01-01", "end_date": "2024-03-01"}
    simulation = await client.call("POST", "/v1/simulations", tried, expect=(202,))
    while (await client.get(f"/v1/simulations/{simulation['id']}"))["ended_at"] is None:
        await asyncio.sleep(0.05)
    book = await client.call("POST", "/v1/price-books", {"name": "marker-book"})
    terms = {"id": product["id"], "payment_interval": {"period": "months", "count": 1}}
    plan = await client.call("POST", "/v1/plans", {"name": "marker-plan", "products": [terms]})
    coupon = await client.call(
        "POST", "/v1/coupons", {"name": "marker-coupon", "discount_percent": 5, "repeat": "once"}
    )
    credits_id = (await client.call("POST", "/v1/products", held))["id"]
    await client.call("POST", f"/v1/customers/{customer['id']}/credits", {"product_id": credits_id, "balance": 5})
    return {
        **await one_loader(client, source),
        "customers.id": customer["id"],
        "aggregators.id": aggregator["id"],
        "aggregator_id": aggregator["id"],
        "products.id": product["id"],
        "price-configurations.id": product["price_configurations"][0]["id"],
        "credits.product_id": credits_id,
        "coupons.id": coupon["id"],
        "subscriptions.id": subscription["id"],
        "invoices.id": invoice["id"],
        "event_type": "marker-type",
        "record_id": "marker-record",
        "imports.id": begun["id"],
        "simulations.id": simulation["id"],
        "price-books.id": book["id"],
        "plans.id": plan["id"],
    }


async def test_no_route_shows_one_account_anything_of_another(product, source):
    """Every route: 401 without a good key, 403 without the scope, nothing of another account's or mode's."""
    assert product.command("accounts", "create", "stranger").returncode == 0
    strangers = [new_key(product, "stranger"), new_key(product, "default", "prod")]
    scoped = {
        scope: new_key(product, "default", "test", *(o.value for o in Scope if o not in {scope, Scope.ADMIN}))
        for scope in (Scope.READ, Scope.WRITE, Scope.INGEST)
    }
    keys = Keys(product.key, strangers, shut_keys(product), scoped)
    async with Client(product) as client, aiohttp.ClientSession() as session:
        samples = await one_of_everything(client, source)

        async def request(method, path, key):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            url = url_of(product.url + path)
            async with session.request(method, url, headers=headers, json={}) as response:
                body = await response.text()
                if path == "/v1/ingest/lag":  # It counts all accounts, and time goes on.
                    body = "{}" if response.status == 200 else body
                body = re.sub(r'"last_refreshed_at":"[^"]*"', "", body)  # When it was asked.
                return response.status, body, response.headers

        markers = ["marker", *samples.values()]
        await assert_walls_hold(request, every_route(), keys, samples, markers)

        for path in (
            "/internal/wait-applied",
            "/internal/retracted?offset=0",
            "/internal/event-prices?offset=0",
            "//internal/wait-applied",
            "/internal/dead-letters",
        ):
            for method in ("GET", "POST"):
                status, _, _ = await request(method, path, product.key)
                assert status in {404, 405}, path
