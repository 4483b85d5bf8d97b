import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from metering.api import Services, routes
from metering.api.seams import Unused
from metering.http.app import build_app
from metering.http.docs import with_docs
from metering.http.json import loads
from metering.http.scope import Scope
from metering.position import last_of_message, pack
from metering.registry.accounts import create_account
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader
from metering.world import Mode, World
from tests.builders import a_verdict, a_version, loses

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
_lanes = itertools.count(60_000)


class Clock:
    """A clock that stands at the real time until it is told otherwise."""

    def __init__(self):
        self.moment = None

    def __call__(self):
        return self.moment or datetime.now(UTC)


class Answer:
    """What came back."""

    def __init__(self, status: int, text: str, headers: Any):
        self.status, self.text, self.headers = status, text, headers

    @property
    def json(self) -> Any:
        return loads(self.text.encode())

    @property
    def paths(self) -> list[list[Any]]:
        """The path of each fault, in order."""
        return [fault["path"] for fault in self.json["errors"]]


class Api:
    """A client with a key."""

    def __init__(self, client: TestClient, key: str, world: World):
        self.client, self.key, self.world = client, key, world

    async def __call__(self, method: str, path: str, body: Any = None, *, key: str | None = "", data: Any = None):
        secret = self.key if key == "" else key
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        async with self.client.request(method, URL(path, encoded=True), data=data, headers=headers) as response:
            return Answer(response.status, await response.text(), response.headers)

    async def get(self, path: str) -> Answer:
        return await self("GET", path)

    async def post(self, path: str, body: Any) -> Answer:
        return await self("POST", path, body)

    async def put(self, path: str, body: Any) -> Answer:
        return await self("PUT", path, body)


class Above(Unused):
    """Billing, as far as these tests need it: what is listed here is in use."""

    def __init__(self):
        self.customers: dict[str, list[str]] = {}
        self.aggregators: set[str] = set()

    def use_of_customer(self, _connection, customer):
        held = self.customers.get(customer.id)
        return f"{len(held)} subscription" if held else None

    def use_of_aggregator(self, _connection, aggregator):
        return "product itm_1" if aggregator.id in self.aggregators else None

    def subscription_ids(self, _connection, customers):
        return {customer.id: self.customers.get(customer.id, []) for customer in customers}


class Usage:
    """Events put into the store as the consumer does, in a lane of their own."""

    def __init__(self, store: Store):
        self._versions = ChainStore(store)
        self._lane = next(_lanes)
        self._offset = 0

    async def add(self, world: World, *events: dict[str, Any], supersedes: Any = None, at: datetime | None = None):
        """Store versions and show them; give the versions. `supersedes` loses to the first."""
        rows = [a_version(world, pack(self._lane, self._offset, index), **event) for index, event in enumerate(events)]
        lost = [] if supersedes is None else [loses(supersedes, rows[0].position)]
        await self._versions.write(a_verdict(rows, lost))
        await self.mark(at)
        return rows

    async def mark(self, at: datetime | None = None):
        """Show everything up to the offset, and move on."""
        shown = last_of_message(self._lane, self._offset)
        await self._versions.mark_applied({self._lane: shown}, at or datetime.now(UTC))
        self._offset += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def above() -> Above:
    return Above()


@pytest.fixture
def services(registry, store, clock, above) -> Services:
    return Services(
        registry,
        store,
        UsageReader(store),
        Explorer(store),
        ChainStore(store),
        clock,
        customer_use=above,
        aggregator_use=above,
        subscriptions=above,
    )


@pytest.fixture
def table(services):
    return with_docs(routes(services), "1.2.3")


@pytest.fixture
def account(registry) -> World:
    with registry.writing() as connection:
        return World(create_account(connection, "acme", datetime.now(UTC)).id, Mode.TEST)


@pytest.fixture
def new_key(registry, account):
    """Make a key: of the account in test mode with all scopes, unless said otherwise."""

    def make(world: World = account, scopes=(Scope.ADMIN,), **more) -> str:
        with registry.writing() as connection:
            return create_key(connection, world, scopes, datetime.now(UTC) - timedelta(hours=1), **more)[1]

    return make


@pytest.fixture
async def client(table, registry, clock) -> AsyncIterator[TestClient]:
    app = build_app(table, KeyAuthenticator(registry, clock))
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.fixture
def api(client, new_key, account) -> Api:
    return Api(client, new_key(), account)


@pytest.fixture
def usage(store) -> Usage:
    return Usage(store)
