from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer

from loaders.connections.api import connection_routes
from loaders.connections.keeping import ConnectionKeeper
from loaders.connections.pinging import Pinger
from loaders.secrets.keys import GivenKeys, new_key
from metering.http.app import build_app
from metering.http.idempotency import Idempotency
from metering.http.json import loads
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.registry.answers import RegistryAnswers
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key
from metering.world import Mode, World
from tests.loaders.connections.databases import ToldDatabase

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_world(registry):
    with registry.writing() as connection:
        return World(create_account(connection, "acme", NOW).id, Mode.TEST)


@pytest.fixture
def world(registry):
    return a_world(registry)


class Keys:
    """Keys that a test may lose."""

    def __init__(self):
        self.those = GivenKeys([new_key()], "the test")

    def newest(self):
        return self.those.newest()

    def named(self, key_id):
        return self.those.named(key_id)


class Use:
    """What stands against deleting a connection."""

    by = None

    def __call__(self, _connection, _world, _connection_id):
        return self.by


class Api:
    """Connections over HTTP, in front of a database that says what it is told to."""

    def __init__(self, registry, world):
        self.registry, self.world = registry, world
        self.database = ToldDatabase()
        self.pinger = Pinger(self.database.open)
        self.keys, self.use = Keys(), Use()
        self.keeper = ConnectionKeeper(registry, self.keys, self.pinger, lambda: datetime.now(UTC), self.use)
        self.key = self.new_key(world, Scope.ADMIN)

    def new_key(self, world, *scopes):
        with self.registry.writing() as connection:
            return create_key(connection, world, scopes, NOW)[1]

    @asynccontextmanager
    async def served(self):
        def now():
            return datetime.now(UTC)

        around = [Idempotency(RegistryAnswers(self.registry, now))]
        app = build_app(connection_routes(self.keeper), KeyAuthenticator(self.registry, now), around)
        async with TestClient(TestServer(app)) as self.client:
            yield self
        self.pinger.close()

    async def __call__(self, method, path, body=None, *, key=None, **more):
        headers = {"Authorization": f"Bearer {key or self.key}", **more}
        async with self.client.request(method, f"/v1/connections{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            assert "hunter2" not in text + str(answer.headers), text
            return answer.status, loads(text.encode()) if text else None


@pytest.fixture
async def api(sqlite_registry):
    async with Api(sqlite_registry, a_world(sqlite_registry)).served() as opened:
        yield opened
