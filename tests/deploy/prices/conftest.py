import asyncio
import itertools
from contextlib import suppress
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

import billing.api
import metering.api
from billing.references import BillingReferences
from deploy.adapters import BillingPricer, RegistryCustomers
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.consumer.progress import LogProgress
from ingest.core_api import internal_routes
from ingest.gateway.core_client import CoreClient
from ingest.gateway.gateway import Gateway, Neighbours
from ingest.gateway.proxy import open_session, pass_on
from ingest.gateway.server import GatewayServer
from ingest.log.memory import MemoryLog, MemoryLogReader, MemoryLogWriter
from ingest.prices.api import gateway_route, price_routes
from ingest.prices.pricing import EventPricing
from metering.http.app import build_app
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key
from metering.store.chains import ChainStore
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader
from metering.world import Mode, World
from tests.billing.api.conftest import NOW, Shop
from tests.ingest.consumer.setting import OneLane
from tests.metering.api.conftest import Api

# Lanes that no other test of this process uses.
_lanes = itertools.count(57_000)


def now():
    return NOW


class Till(Shop):
    """The whole way of a price in this process: a gateway, a log in memory, the consumer, the core on its socket."""

    def __init__(self, registry, store, folder):
        self.registry, self.store, self.socket = registry, store, folder / "core.sock"
        self.log = MemoryLog()
        self.lanes = OneLane(next(_lanes))
        self.chains = ChainStore(store)
        self.pricer = BillingPricer(registry, store)
        self.wait_s_max = 60.0
        self._tasks, self._runners = [], []

    async def open(self):
        """Start all of it but the consumer."""
        self.world, self.key = self.new_key("acme")
        authenticator = KeyAuthenticator(self.registry, now)
        self.session = open_session(str(self.socket))
        await self.start_core()

        async def forward(request):
            return await pass_on(self.session, request)

        gateway = Gateway(
            Neighbours(
                authenticator,
                MemoryLogWriter(self.log),
                CoreClient(self.session),
                RegistryCustomers(self.registry),
                forward,
            )
        )
        runner, port = web.ServerRunner(GatewayServer(gateway.answer)), unused_port()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self._runners.append(runner)
        client = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
        self._clients = client
        super().__init__(Api(client, self.key, self.world), None)

    async def start_core(self):
        """Serve on the core's socket."""
        held = BillingReferences()
        below = metering.api.Services(
            self.registry, self.store, UsageReader(self.store), Explorer(self.store), self.chains, now, held, held, held
        )
        progress = LogProgress(MemoryLogReader(self.log), self.chains, self.lanes, now)
        money = billing.api.Services(self.registry, self.store, self.chains, now, progress)
        pricing = EventPricing(
            self.registry, self.store, self.chains, progress, self.pricer, now, wait_s_max=self.wait_s_max
        )
        routes = [*metering.api.routes(below), *billing.api.routes(money), *price_routes(pricing)]
        app = build_app(
            [*routes, gateway_route(pricing), *internal_routes(progress)], KeyAuthenticator(self.registry, now)
        )
        self.core = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await self.core.setup()
        self.socket.unlink(missing_ok=True)
        await web.UnixSite(self.core, str(self.socket)).start()

    async def stop_core(self):
        await self.core.cleanup()

    def consume(self):
        """Let what is in the log, and what comes, be applied."""
        self._tasks.append(asyncio.create_task(self._consume()))

    async def _consume(self):
        letters = MemoryDeadLetters()
        registrar = RegistryCustomers(self.registry)
        consumer = Consumer(MemoryLogReader(self.log), self.chains, self.lanes, registrar, letters)
        await consumer.start()
        while True:
            await consumer.drain_once(wait_s_max=0.05)

    async def close(self):
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._clients.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.session.close()
        await self.stop_core()

    def new_key(self, name, mode=Mode.TEST, scopes=(Scope.ADMIN,)):
        with self.registry.writing() as connection:
            world = World(create_account(connection, name, NOW).id, mode)
            return world, create_key(connection, world, scopes, NOW - timedelta(days=3_000))[1]

    async def price(self, event, query=""):
        """Send an event for its price until there is one, as clients do; gives the answer."""
        while (answer := await self.api.post(f"/v1/events/prices{query}", event)).status == 503:
            await asyncio.sleep(0.1)
        assert answer.status == 201, answer.text
        return answer.json

    async def amounts(self, event, query=""):
        return [one["amount_excluding_tax"] for one in (await self.price(event, query))["result"]]

    async def simulate(self, event, query=""):
        answer = await self.api.post(f"/v1/events/simulate-prices{query}", event)
        assert answer.status == 200, answer.text
        return answer.json["result"]

    async def kept(self, query=""):
        answer = await self.api.get(f"/v1/events/prices{query}")
        assert answer.status == 200, answer.text
        return answer.json


@pytest.fixture
async def closed_till(tmp_path, store, sqlite_registry):
    """Nothing is applied until the test says `consume`."""
    till = Till(sqlite_registry, store, tmp_path)
    await till.open()
    yield till
    await till.close()


@pytest.fixture
async def till(closed_till):
    closed_till.consume()
    return closed_till
