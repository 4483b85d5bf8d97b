import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from loaders.connections.tables import connections
from loaders.dataloaders.api import DataloaderServices, dataloader_routes
from loaders.dataloaders.preview import Previews
from loaders.errors import SourceDeniedError
from loaders.provider import Address, Provider
from metering.http.app import build_app
from metering.http.docs import with_docs
from metering.http.idempotency import Idempotency
from metering.http.json import loads
from metering.http.scope import Scope
from metering.ids import new_id
from metering.registry.accounts import create_account
from metering.registry.answers import RegistryAnswers
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key
from metering.world import Mode, World
from tests.loaders.listed_source import NOON, ListedSource, a_row

_names = itertools.count()


class Clock:
    """It stands still until it is moved."""

    def __init__(self):
        self.moment = NOON

    def __call__(self):
        return self.moment

    def passes(self, **span):
        self.moment += timedelta(**span)


def make_account(registry):
    with registry.writing() as connection:
        return World(create_account(connection, f"acme {next(_names)}", datetime.now(UTC)).id, Mode.TEST)


def make_connection(registry, world, provider=Provider.POSTGRES):
    connection_id = new_id("con")
    with registry.writing() as connection:
        connection.execute(
            connections.insert().values(
                id=connection_id,
                account_id=world.account_id,
                mode=world.mode.value,
                provider=provider.value,
                name="a database",
                shown={},
                secret="",
                warnings=[],
                created_at=NOON,
                updated_at=NOON,
            )
        )
    return connection_id


class Sources:
    """Who opens connections, and the sources behind them: one for all unless a test sets others."""

    def __init__(self):
        self.known = {}
        self.url = "postgres://here"
        self.source = ListedSource([a_row(number) for number in range(1, 8)])

    def address_of(self, world, connection_id):
        if connection_id not in self.known.get(world, ()):
            raise SourceDeniedError(f"there is no connection {connection_id!r}")
        return Address(Provider.POSTGRES, url=self.url)

    def open(self, _address):
        return self.source


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def account(registry):
    return make_account(registry)


@pytest.fixture
def sources():
    return Sources()


@pytest.fixture
def connection_id(registry, account, sources):
    made = make_connection(registry, account)
    sources.known[account] = {made}
    return made


@pytest.fixture
def table(registry, sources, clock):
    previews = Previews(sources, sources.open)
    yield with_docs(list(dataloader_routes(DataloaderServices(registry, previews, clock))), "1.2.3")
    previews.close()


@pytest.fixture
def new_key(registry, account):
    def make(world=account, scopes=(Scope.READ, Scope.WRITE)):
        with registry.writing() as connection:
            return create_key(connection, world, scopes, datetime.now(UTC) - timedelta(hours=1))[1]

    return make


@pytest.fixture
async def client(table, registry, clock):  # noqa: ARG001 - the clock of what is asked, not of keys.
    def now():
        return datetime.now(UTC)

    app = build_app(table, KeyAuthenticator(registry, now), [Idempotency(RegistryAnswers(registry, now))])
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.fixture
def api(client, new_key):
    """Ask; gives status and body."""
    own = new_key()

    async def ask(method, path, body=None, *, key=own, **more):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
        async with client.request(method, URL(path, encoded=True), data=data, headers=headers) as answer:
            text = await answer.read()
            return answer.status, loads(text) if text else None

    return ask


@pytest.fixture
def wanted(connection_id):
    """Give the body of a dataloader that is good unless a test says otherwise."""

    def body(**changes):
        query = 'SELECT id, company AS "customerId", at AS timestamp, amount FROM calls'
        usual = {"connection_id": connection_id, "event_type": "call", "query": query, "refresh_interval": "1h"}
        return {**usual, **changes}

    return body
