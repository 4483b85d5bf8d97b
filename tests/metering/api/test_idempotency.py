import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer

from metering.errors import StoreUnavailableError
from metering.http.app import build_app, json_response
from metering.http.idempotency import Idempotency
from metering.http.problem import conflict, unavailable
from metering.http.reading import read_json
from metering.http.route import Route
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.registry.answers import KEPT, RegistryAnswers
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.engine import Registry
from metering.world import Mode, World

KEY = "6f1c2a8e-4f7b-4f7e-9d58-0a4f3b6c7d8e"


class Works:
    """A route whose handler counts its calls, changes the registry, and does what it is told besides."""

    def __init__(self, registry):
        self.registry, self.calls, self.then, self.changes = registry, 0, None, True

    def routes(self):
        return [
            Route(method, path, scope, self.handle, "work", "Work")
            for path, scope in (("/work", Scope.WRITE), ("/events", Scope.INGEST))
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        ]

    async def handle(self, call):
        self.calls += 1
        number = self.calls
        if self.changes:
            await self.registry.write(create_account, f"made {number}", datetime.now(UTC))
        if self.then is not None:
            await self.then()
        return json_response({"call": number, "read": await read_json(call.request)}, 201, {"X-A": "b"})


@pytest.fixture
def works(registry):
    return Works(registry)


@pytest.fixture
async def client(works, registry, clock):
    app = build_app(works.routes(), KeyAuthenticator(registry, clock), [Idempotency(RegistryAnswers(registry, clock))])
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.fixture
def send(client, new_key):
    usual = new_key()

    async def request(method="POST", path="/work", body=b"{}", idempotency_key=KEY, key=usual):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        async with client.request(method, path, data=body, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    return request


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_that_is_sent_again_is_not_carried_out_again(send, works, method):
    """The first answer comes again, byte for byte, with its headers and a sign that it is old."""
    first = await send(method)
    again = await send(method)
    assert works.calls == 1
    assert again[:2] == first[:2]
    assert again[2]["X-A"] == "b"
    assert again[2]["Content-Type"] == first[2]["Content-Type"]
    assert again[2]["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first[2]


async def test_without_a_key_with_another_and_where_none_is_heeded_each_request_is_carried_out(send, works):
    """Only a key of a write is heeded: not at routes that take events, not on GET."""
    for options in (
        {"idempotency_key": None},
        {"idempotency_key": None},
        {"idempotency_key": str(uuid.uuid4())},
        {"idempotency_key": str(uuid.uuid4())},
        {"method": "GET"},
        {"method": "GET"},
        {"path": "/events"},
        {"path": "/events"},
    ):
        assert (await send(**options))[0] == 201
    assert works.calls == 8


@pytest.mark.parametrize("other", [{"method": "PUT"}, {"path": "/work?a=1"}, {"body": b'{"a":1}'}])
async def test_another_request_under_the_same_key_is_refused(send, works, other):
    """417 when the method, the URL or the body differs."""
    await send()
    status, body, _ = await send(**other)
    assert status == 417
    assert b"belongs to another request" in body
    assert works.calls == 1


@pytest.mark.parametrize("key", ["", "fifteen-letters", "x" * 256, "with-\t-tab-and-more", "naïve-naïve-naïve"])
async def test_a_key_that_is_none_is_refused_by_its_name(send, works, key):
    """400, naming the header and the remedy."""
    status, body, _ = await send(idempotency_key=key)
    assert status == 400
    assert b'"path":["Idempotency-Key"]' in body
    assert works.calls == 0


async def test_while_the_first_runs_the_others_are_told_to_wait(send, works):
    """Of many at once one is carried out; the others get 409 with Retry-After, and its answer later."""
    going_on = asyncio.Event()
    works.then = going_on.wait
    first = asyncio.create_task(send())
    while not works.calls:
        await asyncio.sleep(0.005)
    others = await asyncio.gather(*(send() for _ in range(8)))
    assert {status for status, _, _ in others} == {409}
    assert {headers["Retry-After"] for _, _, headers in others} == {"1"}
    going_on.set()
    assert (await first)[0] == 201
    assert (await send())[:2] == (await first)[:2]
    assert works.calls == 1


async def test_of_many_that_begin_together_one_is_carried_out(send, works):
    """The key is taken in one transaction, whichever thread runs it."""
    answers = await asyncio.gather(*(send() for _ in range(20)))
    assert works.calls == 1
    assert {status for status, _, _ in answers} <= {201, 409}


async def test_worlds_do_not_see_each_other_s_keys(send, works, new_key, account, registry):
    """The same key in another mode or account is another key."""
    with registry.writing() as connection:
        stranger = World(create_account(connection, "stranger", datetime.now(UTC)).id, Mode.TEST)
    await send()
    for world in (World(account.account_id, Mode.PROD), stranger):
        assert b"Idempotent" not in (await send(body=b"[]", key=new_key(world)))[1]
    assert works.calls == 3


async def test_a_refusal_is_kept_and_a_failure_is_not(send, works):
    """4xx is an answer like any other; after 5xx the request is carried out when it comes again."""

    async def taken():
        raise conflict("taken")

    async def overloaded():
        raise unavailable("not now")

    async def broken():
        raise StoreUnavailableError("gone")

    works.changes = False
    for failure in (overloaded, broken):
        works.then = failure
        assert (await send())[0] == 503
    works.then = None
    works.then = taken
    assert (await send())[0] == 409
    works.then = None
    status, body, _ = await send()
    assert (status, b"taken" in body) == (409, True)
    assert works.calls == 3


async def test_a_failure_after_a_change_is_not_repeated_but_told(send, works):
    """What changed something is never carried out again, even if its answer was 503."""

    async def broken():
        raise StoreUnavailableError("gone")

    works.then = broken
    assert (await send())[0] == 503
    status, body, _ = await send()
    assert status == 409
    assert b"its answer was lost" in body
    assert works.calls == 1


@pytest.mark.parametrize("changed", [False, True])
async def test_an_attempt_that_a_crash_ended_is_tried_again_only_if_it_changed_nothing(send, works, clock, changed):
    """Nothing is kept but what was committed; the next process goes on from there."""
    dead = asyncio.Event()
    works.changes, works.then = changed, dead.wait
    lost = asyncio.create_task(send())
    while not works.calls:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    begun = datetime.now(UTC)
    clock.moment = begun + timedelta(seconds=100)
    assert (await send())[0] == 409
    clock.moment = begun + timedelta(seconds=200)
    works.then = None
    status, body, _ = await send()
    assert (status, b"answer was lost" in body) == ((409, True) if changed else (201, False))
    assert works.calls == (1 if changed else 2)
    dead.set()
    await lost
    assert (await send())[:2] == ((status, body) if not changed else (await lost)[:2])


async def test_a_key_is_forgotten_after_a_day(send, works, clock, registry):
    """A day later the same key begins anew, and nothing old stays behind."""
    await send()
    clock.moment = datetime.now(UTC) + KEPT
    assert (await send(body=b"[]"))[0] == 201
    assert works.calls == 2
    with registry.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept_answers").scalar() == 1


async def test_the_answer_is_there_after_a_restart(send, registry):
    """It lies in the database, not in the process."""
    _, body, _ = await send()
    reopened = Registry(registry.url.render_as_string(hide_password=False))
    with reopened.reading() as connection:
        assert connection.exec_driver_sql("SELECT body FROM kept_answers").scalar() == body
    reopened.close()
