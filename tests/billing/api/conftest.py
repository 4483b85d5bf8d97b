from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

import billing.api
import metering.api
from billing.corrections import MovedLines
from billing.references import BillingReferences
from metering.http.app import build_app
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key
from metering.store.chains import ChainStore
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader
from metering.timestamps import microseconds
from metering.world import Mode, World
from tests.metering.api.conftest import Api, Clock, Usage

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
OPEN = [{"type": "volume", "from": 0, "to": None, "amount": 5}]


class Shop:
    """An account that sells: what a test needs of it, made through the API."""

    def __init__(self, api: Api, usage: Usage):
        self.api, self.usage, self._events = api, usage, 0

    async def made(self, path, body):
        answer = await self.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.json

    async def customer(self, **more):
        return await self.made("/v1/customers", {"name": "Acme", "currency": "EUR", **more})

    async def aggregator(self, **more):
        return await self.made("/v1/aggregators", {"name": "calls", "entity": "call", "operation": "count", **more})

    async def product(self, rows=None, *, kind="dynamic", configurations=None, **more):
        """Make a product; a dynamic one is counted by the aggregator that is given, or by a new one."""
        if kind == "dynamic" and "aggregator_id" not in more:
            more["aggregator_id"] = (await self.aggregator())["id"]
        configurations = configurations or [{"currency": "EUR", "prices": rows or OPEN}]
        body = {"name": "Calls", "type": kind, "price_configurations": configurations, **more}
        return await self.made("/v1/products", body)

    async def subscription(self, customer, *products, starts_at="2026-03-01", **more):
        """Subscribe; a product is its object, or a pair of that and its terms."""
        pairs = [one if isinstance(one, tuple) else (one, {}) for one in products]
        interval = {"period": "months", "count": 1}
        body = {
            "customer_id": customer["id"],
            "starts_at": starts_at,
            "products": [{"id": product["id"], "payment_interval": interval, **terms} for product, terms in pairs],
            **more,
        }
        return await self.made("/v2/subscriptions", body)

    async def use(self, customer_id, *stamps, event_type="call", **record):
        """Put events into the store, one for each ISO timestamp."""
        events = []
        for stamp in stamps:
            self._events += 1
            events.append(
                {
                    "customer_id": customer_id,
                    "timestamp_us": microseconds(datetime.fromisoformat(stamp)),
                    "event_type": event_type,
                    "record_id": f"r{self._events}",
                    "properties": msgspec.json.encode(record),
                }
            )
        await self.usage.add(self.api.world, *events)

    async def invoices(self, query=""):
        answer = await self.api.get(f"/v1/invoices?status=open{query}")
        assert answer.status == 200, answer.text
        return answer.json["data"]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.moment = NOW
    return clock


@pytest.fixture
def table(registry, store, clock):
    held, chains = BillingReferences(), ChainStore(store)
    moved = MovedLines(registry, store)
    below = metering.api.Services(
        registry, store, UsageReader(store), Explorer(store), chains, clock, held, held, held, moved
    )
    return [*metering.api.routes(below), *billing.api.routes(billing.api.Services(registry, store, chains, clock))]


@pytest.fixture
def new_world(registry):
    """Make a world, and a key to it."""

    def make(name="acme", mode=Mode.TEST, scopes=(Scope.ADMIN,)):
        with registry.writing() as connection:
            world = World(create_account(connection, name, NOW).id, mode)
            return world, create_key(connection, world, scopes, NOW - timedelta(days=3_000))[1]

    return make


@pytest.fixture
async def client(table, registry, clock) -> AsyncIterator[TestClient]:
    app = build_app(table, KeyAuthenticator(registry, clock))
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.fixture
def api(client, new_world) -> Api:
    world, key = new_world()
    return Api(client, key, world)


@pytest.fixture
def shop(api, store) -> Shop:
    return Shop(api, Usage(store))
