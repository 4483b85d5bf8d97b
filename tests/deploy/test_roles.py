"""The parts apart, each by itself: what each refuses to start without, and who is let in."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from deploy.health import Health
from deploy.metrics import Scrapers
from deploy.roles import ROLES, Role, StoppedError, check_settings
from deploy.settings import SettingError, read_settings, require_embedded
from ingest.core_api import INTERNAL_HEADER, SECRET_HEADER, gateways_only
from ingest.gateway.core_client import CoreClient, CoreUnavailableError, CoreUrls
from ingest.gateway.proxy import open_session, pass_on
from loaders.secrets.keys import new_key
from metering.errors import StoreUnavailableError
from metering.http.app import answer_errors, json_response
from metering.http.problem import ApiError

SECRET = "s" * 40
WHOLE = {
    "METERLINE_LOG_URL": "kafka://host:9092/topic",
    "METERLINE_STORE_URL": "http://user:secret-word@host:8123/db",
    "METERLINE_REGISTRY_URL": "sqlite:////tmp/registry.db",
    "METERLINE_API_URL": "http://one:8081,http://two:8081",
    "METERLINE_INTERNAL_SECRET": SECRET,
    "METERLINE_SECRETS_KEY": new_key().text,
}


def without(*names):
    return {name: value for name, value in WHOLE.items() if name not in names}


@pytest.mark.parametrize("role", ROLES)
def test_with_all_of_it_every_role_starts(role):
    """Nothing more is asked for; and what is secret is not shown."""
    settings = read_settings(WHOLE)
    check_settings(role, settings)
    assert "secret-word" not in repr(settings)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("role", "missing"),
    [
        *((role, name) for role in ROLES for name in ("METERLINE_LOG_URL", "METERLINE_REGISTRY_URL")),
        ("consumer", "METERLINE_STORE_URL"),
        ("api", "METERLINE_STORE_URL"),
        ("gateway", "METERLINE_API_URL"),
        ("gateway", "METERLINE_INTERNAL_SECRET"),
        ("api", "METERLINE_INTERNAL_SECRET"),
        ("loaders", "METERLINE_SECRETS_KEY"),
    ],
)
def test_what_is_missing_is_named(role, missing):
    """One line: the variable, why this role needs it, how it is written."""
    with pytest.raises(SettingError, match=rf"^{missing} is missing.*\b{role}\b") as caught:
        check_settings(role, read_settings(without(missing)))
    assert "\n" not in str(caught.value)


def test_what_a_role_would_pass_over_is_refused():
    """A spool that nobody fills, a server that `rebuild` would take for a folder."""
    check_settings("gateway", read_settings({**WHOLE, "METERLINE_SPOOL_DIR": "/tmp/spool"}))
    for role in ("consumer", "api"):
        with pytest.raises(SettingError, match=r"^METERLINE_SPOOL_DIR"):
            check_settings(role, read_settings({**WHOLE, "METERLINE_SPOOL_DIR": "/tmp/spool"}))
    with pytest.raises(SettingError, match=r"^METERLINE_STORE_URL names a server, and `meterline rebuild`"):
        require_embedded(read_settings(WHOLE), "rebuild")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("METERLINE_STORE_URL", "postgresql://user:secret-word@host/db", "http://user:password@host:8123/database"),
        ("METERLINE_API_URL", "http://host:8081/path", "must be http://host:port, nothing more"),
        ("METERLINE_API_URL", "host:8081", "must be http://host:port, nothing more"),
        ("METERLINE_INTERNAL_SECRET", "secret-word", "must have 32 to 256 letters"),
        ("METERLINE_METRICS_TOKEN", "secret-word" * 4 + " ", "must have 32 to 256 letters"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_told(name, value, told):
    """The variable and how it is written; never a password."""
    with pytest.raises(SettingError, match=told) as caught:
        read_settings({**WHOLE, name: value})
    assert str(caught.value).startswith(name)
    assert "secret-word" not in str(caught.value)


async def echo(request):
    return json_response({"path": request.path, "from": request.headers.get("X-Forwarded-For")})


@pytest.fixture
async def api():
    """An API on the network, as far as who is let in goes."""
    app = web.Application(middlewares=[answer_errors, gateways_only(SECRET)])
    app.router.add_route("*", "/{path:.*}", echo)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("shown", [None, "", "wrong", SECRET + "x", SECRET[:-1], "1", "\udcff"])
async def test_who_does_not_know_the_secret_is_not_answered(api, shown):
    """Neither the API nor what is internal; the header that marks internal requests opens nothing."""
    headers = {INTERNAL_HEADER: "1", "X-Forwarded-For": "127.0.0.1"}
    if shown is not None:
        headers[SECRET_HEADER] = shown
    for path in ("/v1/customers", "/internal/wait-applied", "/metrics"):
        if shown == "\udcff":
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: ".encode() + b"\xff\r\n\r\n")
            assert b" 403 " in await reader.readline()
            writer.close()
            continue
        async with api.get(path, headers=headers) as answer:
            assert answer.status == 403
            assert "gateways alone" in (await answer.json())["message"]


async def test_a_gateway_is_let_in_and_its_client_cannot_pass_for_one(api):
    """The secret goes along with each request; what a client claims of itself is dropped. An API that is away is passed
    over."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        urls = CoreUrls((f"http://127.0.0.1:{taken.getsockname()[1]}", str(api.make_url("")).rstrip("/")), SECRET)
        async with open_session(urls) as session:

            async def forward(request):
                return await pass_on(session, request, urls)

            async with _served(forward) as url, ClientSession() as client:
                for _ in range(6):
                    sent = {SECRET_HEADER: "mine", "X-Forwarded-For": "8.8.8.8"}
                    async with client.post(f"{url}/v1/customers", data=b"body", headers=sent) as answer:
                        assert answer.status == 200
                        assert await answer.json() == {"path": "/v1/customers", "from": "127.0.0.1"}
            for _ in range(6):
                await CoreClient(session, urls).wait_applied()


async def test_without_any_api_it_is_told():
    """An error for who waits; nothing hangs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        urls = CoreUrls((f"http://127.0.0.1:{taken.getsockname()[1]}",), SECRET)
        async with open_session(urls) as session:
            with pytest.raises(CoreUnavailableError):
                await CoreClient(session, urls).wait_applied()


@asynccontextmanager
async def _served(handler):
    """A low-level server, as a gateway's is."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_who_waits_for_a_neighbour_can_be_stopped(tmp_path):
    """While it asks as well as between two tries; and a neighbour that comes is taken."""
    role, stop = Role("api", read_settings(WHOLE), tmp_path, None), asyncio.Event()
    tries = []

    async def comes_late():
        tries.append(role.health.waits_for)
        if len(tries) < 3:
            raise StoreUnavailableError("not yet")
        return "there"

    assert await role.there("the store", comes_late, stop) == "there"
    assert tries == ["the store"] * 3

    async def never():
        await asyncio.Event().wait()

    async def away():
        stop.set()
        raise StoreUnavailableError("away")

    for opening in (away, never):
        with pytest.raises(StoppedError):
            await role.there("the store", opening, stop)


class Asked:
    """A request, as far as its path and headers go."""

    method = "GET"

    def __init__(self, path, headers=None):
        self.path, self.headers = path, headers or {}


async def test_health_tells_what_is_missing_by_name():
    """It lives from the first moment; ready once started and as long as all it needs answers; never more than names."""
    health = Health("api")
    health.waits_for = "the store"
    assert [(await health.answer(Asked(path))).status for path in ("/healthz", "/readyz", "/health")] == [200, 503, 503]

    async def fine():
        pass

    async def away():
        raise StoreUnavailableError("http://user:password@host")

    health.started = True
    health.checks = {"the log": fine, "the store": away}
    answer = await health.answer(Asked("/health"))
    assert answer.body == b'{"role":"api","live":true,"ready":false,"missing":["the store"]}'
    assert answer.headers["Retry-After"]
    health = Health("api")
    health.started, health.checks = True, {"the log": fine}
    assert [(await health.answer(Asked(path))).status for path in ("/healthz", "/readyz", "/health")] == [200] * 3


async def test_many_who_ask_ask_the_neighbours_once():
    """Anybody may ask for /health, so it must not cost others anything."""
    asked = []

    async def count():
        asked.append(1)

    health = Health("gateway")
    health.started, health.checks = True, {"the log": count}
    await asyncio.gather(*(health.answer(Asked("/readyz")) for _ in range(50)))
    assert len(asked) == 1


def test_metrics_are_for_who_shows_the_token():
    """This machine, or the token whole; else it is said how."""
    scrapers = Scrapers(token="t" * 40)
    scrapers.check(Asked("/metrics"), "127.0.0.1")
    scrapers.check(Asked("/metrics", {"Authorization": "Bearer " + "t" * 40}), "10.0.0.7")
    Scrapers(public=True).check(Asked("/metrics"), "10.0.0.7")
    for shown in ("", "Bearer ", "Bearer " + "t" * 39, "t" * 40):
        with pytest.raises(ApiError, match="METERLINE_METRICS_TOKEN"):
            scrapers.check(Asked("/metrics", {"Authorization": shown}), "10.0.0.7")
    with pytest.raises(ApiError):
        Scrapers().check(Asked("/metrics", {"Authorization": "Bearer "}), "10.0.0.7")
