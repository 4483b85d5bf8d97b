import subprocess
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from metering.http.app import build_app, json_response
from metering.http.problem import ApiError, conflict
from metering.http.rate_limits import Budget, RateLimited, RateLimits, SharedLimiter
from metering.http.route import Principal, Route
from metering.http.scope import Scope
from metering.world import Mode, World

LIMITS = RateLimits(ingest=5, reads=3, writes=2, window_s=10)


class Ticks:
    """Milliseconds that stand still."""

    now = 1_700_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def ticks():
    return Ticks()


@pytest.fixture
def limiter(tmp_path, ticks):
    opened = SharedLimiter.open(tmp_path / "requests", LIMITS, ticks)
    yield opened
    opened.close()


def test_a_window_lets_its_number_through_and_tells_how_it_stands(limiter, ticks):
    """Limit, what remains and when the window ends; beyond, 429 with the seconds until then; then anew."""
    told = []
    for _ in range(3):
        told.append(limiter.take("key_1", Budget.READS))
        ticks.now += 1500
    assert [headers["X-RateLimit-Remaining"] for headers in told] == ["2", "1", "0"]
    assert {headers["X-RateLimit-Limit"] for headers in told} == {"3"}
    assert {headers["X-RateLimit-Reset"] for headers in told} == {"2023-11-14T22:13:30.000Z"}
    with pytest.raises(ApiError) as refused:
        limiter.take("key_1", Budget.READS)
    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "6"
    assert refused.value.headers["X-RateLimit-Remaining"] == "0"
    ticks.now += 5500
    assert limiter.take("key_1", Budget.READS)["X-RateLimit-Remaining"] == "2"


def test_keys_and_budgets_are_counted_apart(limiter):
    """One key's or one budget's end is nobody else's."""
    for _ in range(2):
        limiter.take("key_1", Budget.WRITES)
    with pytest.raises(ApiError):
        limiter.take("key_1", Budget.WRITES)
    limiter.take("key_1", Budget.READS)
    limiter.take("key_2", Budget.WRITES)


def test_a_clock_that_is_set_back_shuts_nobody_out(limiter, ticks):
    """A window that lies in the future is over."""
    for _ in range(2):
        limiter.take("key_1", Budget.WRITES)
    ticks.now -= 3_600_000
    limiter.take("key_1", Budget.WRITES)


@pytest.mark.slow
def test_processes_share_one_count_exactly(tmp_path):
    """Four processes that take at once let through the limit and not one more."""
    script = (
        "import sys; from pathlib import Path\n"
        "from metering.http.rate_limits import *\n"
        "limiter = SharedLimiter.open(Path(sys.argv[1]), RateLimits(ingest=1000, window_s=3600))\n"
        "through = 0\n"
        "for _ in range(400):\n"
        "    try: limiter.take('key_1', Budget.INGEST); through += 1\n"
        "    except ApiError: pass\n"
        "print(through)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "requests")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(process.communicate()[0]) for process in running) == 1000


def test_more_keys_than_there_is_room_for_are_let_in(tmp_path, ticks):
    """A full file refuses nobody, and goes on counting whom it knows."""
    limiter = SharedLimiter.open(tmp_path / "requests", RateLimits(writes=1), ticks)
    for number in range(20_000):
        limiter.take(f"key_{number}", Budget.WRITES)
    with pytest.raises(ApiError):
        limiter.take("key_0", Budget.WRITES)
    limiter.close()


class OneKey:
    async def authenticate(self, _authorization):
        return Principal("key_1", World("acc_1", Mode.TEST), frozenset({Scope.ADMIN}))


async def test_answers_of_every_kind_carry_the_headers(limiter):
    """Also refusals do, and GET is a read, the others writes; what needs no key is not counted."""

    async def handle(call):
        if call.query("wrong"):
            raise conflict("no")
        return json_response({})

    async def stream(call):
        response = web.StreamResponse()
        await response.prepare(call.request)
        await response.write_eof(b"x")
        return response

    routes = [
        Route("GET", "/a", Scope.READ, handle, "", "A"),
        Route("POST", "/a", Scope.WRITE, handle, "", "A"),
        Route("GET", "/open", None, handle, "", "A"),
        Route("GET", "/stream", Scope.READ, stream, "", "A"),
    ]
    async with TestClient(TestServer(build_app(routes, OneKey(), [RateLimited(limiter)]))) as client:
        reads = [await client.get("/a"), await client.get("/a?wrong=1"), await client.get("/stream")]
        assert [answer.status for answer in reads] == [200, 409, 200]
        assert [answer.headers.get("X-RateLimit-Remaining") for answer in reads] == ["2", "1", None]
        refused = await client.get("/a")
        assert refused.status == 429
        assert "go on after" in (await refused.json())["message"]
        assert (await client.post("/a")).headers["X-RateLimit-Remaining"] == "1"
        for _ in range(5):
            answer = await client.get("/open")
            assert answer.status == 200
            assert "X-RateLimit-Limit" not in answer.headers
