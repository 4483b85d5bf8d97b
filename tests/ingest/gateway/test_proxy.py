import asyncio
import contextlib
import json
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from ingest.consumer.lag import Lag
from ingest.core_api import internal_routes, lag_route, spooled_header
from ingest.gateway.core_client import CoreClient, CoreUnavailableError
from ingest.gateway.proxy import open_session, pass_on
from ingest.log.protocol import Receipt
from ingest.log.spool.state import Spooled
from metering.http.app import answer_errors, build_app
from tests.ingest.gateway.running import WORLD, Keys


class StubProgress:
    """All is applied unless a test says otherwise."""

    applied = True

    async def wait_until_applied(self, wait_s_max):
        assert wait_s_max == 30
        return self.applied

    async def retracted(self, world, place, wait_s_max):
        assert (world, wait_s_max) == (WORLD, 30)
        return place.partition * 100 + place.offset * 10 + place.index if self.applied else None

    async def lag(self):
        return Lag(7, datetime(2023, 11, 14, 22, 13, 20, 123_456, UTC), 250)


async def echo(request):
    body = await request.read()
    headers = [[name, value] for name, value in request.headers.items()]
    return web.json_response(
        {"method": request.method, "path": request.raw_path, "headers": headers, "body": body.decode("latin-1")},
        headers={"X-Answer": "yes", "Connection": "X-Hop", "X-Hop": "1"},
    )


class CoreProcess:
    """A core on a Unix socket, in this process."""

    def __init__(self, folder):
        self.path = str(folder / "core.sock")
        self.progress = StubProgress()
        self.hung_up = asyncio.Event()
        self.sent = 0
        self.done = []
        self.runner = None

    async def begin(self):
        app = build_app([*internal_routes(self.progress), lag_route(self.progress, lambda: datetime.now(UTC))], Keys())
        app.router.add_get("/slow", self.slow)
        app.router.add_get("/endless", self.endless)
        app.router.add_get("/broken", self.broken)
        app.router.add_get("/chunks", self.chunks)
        app.router.add_route("*", "/cut", self.cut)
        app.router.add_route("*", "/{path:.*}", echo)
        app._client_max_size = 1 << 30
        assert answer_errors in app.middlewares
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.UnixSite(self.runner, self.path).start()

    async def slow(self, request):  # noqa: ARG002
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.hung_up.set()
            raise

    async def endless(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                self.sent += 65_536
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
            raise

    async def broken(self, request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    async def cut(self, request):
        """Do what was asked and die before the answer, the first time."""
        self.done.append(request.method)
        if len(self.done) == 1:
            request.transport.abort()
        return web.Response(status=404 if request.method == "DELETE" else 200)

    async def chunks(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b"one,", b"two"):
            await response.write(part)
        return response


@pytest.fixture
async def core(tmp_path):
    process = CoreProcess(tmp_path)
    await process.begin()
    yield process
    await process.runner.cleanup()


@pytest.fixture
async def public(core, start):
    """A gateway in front of the core."""
    async with open_session(core.path) as session:
        yield await start(pass_on=lambda request: pass_on(session, request))


async def test_a_request_passes_with_its_body_and_headers(public):
    """Method, path, query and body are unchanged; what belongs to the connection stays."""
    sent = {"X-Mine": "1", "Connection": "X-Drop", "X-Drop": "1", "TE": "trailers", "X-Forwarded-For": "6.6.6.6"}
    status, told, headers = await public.send("/v1/a%2Fb?x=%20y&z", b"\x00\xff body", "PUT", **sent)
    assert status == 200
    assert (told["method"], told["path"], told["body"]) == ("PUT", "/v1/a%2Fb?x=%20y&z", "\x00\xff body")
    assert headers["X-Answer"] == "yes"
    assert "X-Hop" not in headers
    passed = {name.lower(): value for name, value in told["headers"]}
    assert passed["x-mine"] == "1"
    assert passed["x-forwarded-for"] == "127.0.0.1"
    assert passed["x-forwarded-host"] == passed["host"] == public.url.removeprefix("http://")
    assert passed["authorization"] == "Bearer test_ingest"
    assert not {"x-drop", "te"} & set(passed)
    assert passed["content-length"] == "7"


async def test_a_large_body_passes_in_chunks(public):
    """More than any buffer, without a length."""

    async def chunks():
        for _ in range(50):
            yield b"y" * 100_000

    async with public.session.post(public.url + "/upload", data=chunks()) as answer:
        assert len((await answer.json())["body"]) == 5_000_000


async def test_answers_keep_their_form(public):
    """HEAD has no body, 404 and 405 keep their shape, chunks arrive."""
    async with public.session.head(public.url + "/x") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    async with public.session.get(public.url + "/chunks") as answer:
        assert await answer.read() == b"one,two"


@pytest.mark.parametrize(
    "path",
    [
        "/internal/wait-applied",
        "/%69nternal/wait-applied",
        "//internal/wait-applied",
        "/x/../internal/wait-applied",
        "/./internal/wait-applied",
        "/INTERNAL/wait-applied",
        "http://core/internal/wait-applied",
        "/internal%2Fwait-applied",
    ],
)
async def test_internal_paths_are_not_reachable_however_they_are_spelt(public, path):
    """Neither by another spelling nor by sending the header that gateways send."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Meterline-Internal: 1\r\nContent-Length: 0\r\n\r\n"
    answer = await raw(public, head.encode())
    status = int(answer.split()[1])
    body = answer.partition(b"\r\n\r\n")[2]
    assert status in {400, 404} or b'"path"' in body, answer  # The echo of a path that is not the internal one.
    assert body != b"{}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("//x//y?z", "//x//y?z"),
        ("/%zz?%ff", "/%zz?%ff"),
        ("/a%2Fb%20c?d=%26&e=+", "/a%2Fb%20c?d=%26&e=+"),
        ("http://elsewhere:1/x?y", "/x?y"),
        ("/v1/events/", "/v1/events/"),
    ],
)
async def test_a_path_passes_as_it_is_written(public, target, expected):
    """Nothing is decoded, joined or dropped on the way; a named host leads nowhere else."""
    answer = await raw(public, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["path"] == expected


@pytest.mark.parametrize("line", [b"CONNECT a:1", b"TRACE /", b"OPTIONS *", b"GET foo", b"GET http://[::1/", b"BREW /"])
async def test_strange_requests_get_an_answer_and_never_500(public, line):
    """They end here or are passed on; none breaks the worker."""
    answer = await raw(public, line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.split()[1] in {b"200", b"400", b"404", b"405"}


async def test_gateways_reach_the_internal_paths(core):
    """CoreClient waits, counts over partitions, and tells when the core is behind."""
    async with open_session(core.path) as session:
        client = CoreClient(session)
        await client.wait_applied()
        assert await client.retracted(WORLD, Receipt({0: (12, 3), 1: (0, 4)})) == 123 + 104
        core.progress.applied = False
        with pytest.raises(CoreUnavailableError):
            await client.wait_applied()
        with pytest.raises(CoreUnavailableError):
            await client.retracted(WORLD, Receipt({0: (1, 0)}))


async def test_a_core_that_is_down_is_503(public, core):
    """With a time to come back, and again 200 once it is up."""
    await core.runner.cleanup()
    status, told, headers = await public.send("/x", None, "GET")
    assert (status, "Retry-After" in headers) == (503, True)
    assert told["message"]
    async with open_session(core.path) as session:
        with pytest.raises(CoreUnavailableError):
            await CoreClient(session).wait_applied()
    await core.begin()
    assert (await public.send("/x", None, "GET"))[0] == 200


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "POST"])
async def test_what_changes_something_is_sent_once_though_the_connection_is_cut(public, core, method):
    """Sent again behind the client's back, a DELETE that was carried out would be told 404."""
    assert (await public.send("/x", None, "GET"))[0] == 200  # Its connection is kept, and used again.
    status, told, headers = await public.send("/cut", b"{}", method)
    assert (status, core.done) == (503, [method])
    assert "may have been carried out" in told["message"]
    assert headers["Retry-After"]


async def test_a_question_is_asked_again_when_the_connection_is_cut(public, core):
    """It changes nothing, and the client need not know."""
    assert (await public.send("/cut", None, "GET"))[0] == 200
    assert core.done == ["GET", "GET"]


async def test_a_core_that_stops_in_the_middle_cuts_the_answer(public):
    """A half answer is never passed off as a whole one."""
    with pytest.raises(aiohttp.ClientError):
        async with public.session.get(public.url + "/broken") as answer:
            await answer.read()


async def test_a_client_that_hangs_up_ends_the_request_to_the_core(public, core):
    """Nothing works on for nobody."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2), public.session.get(public.url + "/slow"):
            pass
    async with asyncio.timeout(5):
        await core.hung_up.wait()


@pytest.mark.slow
async def test_a_client_that_does_not_read_holds_the_core_back(public, core):
    """Bytes wait where they are made, not in the gateway."""
    answer = await public.session.get(public.url + "/endless")
    for _ in range(20):
        before = core.sent
        await asyncio.sleep(0.1)
    assert core.sent == before
    assert core.sent < 50_000_000
    answer.close()
    async with asyncio.timeout(5):
        await core.hung_up.wait()


async def test_the_lag_is_told(public):
    """GET /v1/ingest/lag, to keys that may read."""
    status, told, _ = await public.send("/v1/ingest/lag", None, "GET", Authorization="Bearer test_read")
    assert status == 200
    assert told == {
        "lag_events": 7,
        "applied_until": "2023-11-14T22:13:20.123Z",
        "oldest_unapplied_age_ms": 250,
    }


async def test_what_waits_in_the_gateways_own_spool_is_told_with_the_lag(core, start, public):
    """The gateway tells the core; what a client claims under that name is dropped."""
    oldest_at = datetime(2023, 11, 14, 22, 13, 10, tzinfo=UTC)
    spooled = spooled_header(Spooled(5, 100, int(oldest_at.timestamp()) * 1_000_000))
    read = {"Authorization": "Bearer test_read"}
    async with open_session(core.path) as session:
        gateway = await start(pass_on=lambda request: pass_on(session, request, told=spooled))
        _, told, _ = await gateway.send("/v1/ingest/lag", None, "GET", **read)
        assert (told["lag_events"], told["applied_until"]) == (12, "2023-11-14T22:13:10.000Z")
    _, told, _ = await public.send("/v1/ingest/lag", None, "GET", **read, **spooled)
    assert told["lag_events"] == 7
    assert spooled_header(Spooled(0, 0, None)) == {}


async def test_what_is_spooled_has_no_price_yet(core):
    """It has no place in the log: the client is told to ask again, not that something went wrong."""
    async with open_session(core.path) as session:
        with pytest.raises(CoreUnavailableError, match="spool"):
            await CoreClient(session).prices(WORLD, Receipt({}), b"[]")


async def raw(gateway, sent: bytes) -> bytes:
    """Give the bytes that come back for bytes."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return head + body
