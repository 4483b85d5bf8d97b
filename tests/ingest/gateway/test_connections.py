"""What a connection may cost, and what hostile bytes get."""

import asyncio
import json

import pytest

from tests.ingest.events import an_event, as_json


class Client:
    """A client that decides on every byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, gateway):
        host, port = gateway.url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def answer(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 100:
            return status, b""
        (length,) = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        return status, await self.reader.readexactly(length)

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


def a_post(body: bytes, path="/v1/events", extra=b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test_ingest\r\n%sContent-Length: %d\r\n\r\n"
    return head % (path.encode(), extra, len(body)) + body


async def test_requests_in_one_go_are_answered_in_order(gateway):
    """Pipelining: good, bad and passed-on requests keep their places."""
    client = await Client.connect(gateway)
    good = a_post(as_json(an_event()))
    client.writer.write(good + a_post(b"{") + good + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + good)
    assert [(await client.answer())[0] for _ in range(5)] == [201, 400, 201, 299, 201]
    assert len(gateway.logged()) == 3
    await client.close()


async def test_a_body_may_come_byte_by_byte(gateway):
    """The head and the body in as many packets as there are bytes."""
    client = await Client.connect(gateway)
    for byte in a_post(as_json(an_event())):
        client.writer.write(bytes((byte,)))
        await client.writer.drain()
    assert (await client.answer())[0] == 201
    await client.close()


async def test_a_client_that_waits_to_be_invited_is(gateway):
    """Expect: 100-continue, as curl sends with large bodies."""
    client = await Client.connect(gateway)
    body = as_json([an_event()] * 2000)
    request = a_post(body, "/v1/events/batch", b"Expect: 100-continue\r\n")
    client.writer.write(request[: -len(body)])
    assert await client.answer() == (100, b"")
    client.writer.write(body)
    assert (await client.answer())[0] == 201
    await client.close()


async def test_a_head_that_does_not_come_closes_the_connection(start):
    """A client that sends its head byte by byte for ever is cut off."""
    gateway = await start(first_head_wait_s_max=0.3)
    client = await Client.connect(gateway)
    client.writer.write(b"POST /v1/events HTTP/1.1\r\nX-Slow: ")
    async with asyncio.timeout(3):
        assert await client.reader.read() == b""
    await client.close()


async def test_a_connection_that_has_sent_a_request_stays_open(start):
    """The limit is for the first head alone."""
    gateway = await start(first_head_wait_s_max=0.2)
    client = await Client.connect(gateway)
    for _ in range(2):
        client.writer.write(a_post(as_json(an_event())))
        assert (await client.answer())[0] == 201
        await asyncio.sleep(0.3)
    await client.close()


async def test_a_body_that_does_not_come_is_408(gateway, monkeypatch):
    """And what was held for it is free again."""
    monkeypatch.setattr("ingest.gateway.bodies.BODY_WAIT_S_MAX", 0.2)
    client = await Client.connect(gateway)
    client.writer.write(a_post(as_json(an_event()))[:-10])
    status, _ = await client.answer()
    assert status == 408
    assert gateway.budget.held == 0
    await client.close()


async def test_a_client_that_goes_away_frees_what_it_held(gateway):
    """A body cut off in the middle stores nothing."""
    client = await Client.connect(gateway)
    client.writer.write(a_post(as_json([an_event()] * 1000), "/v1/events/batch")[:-10])
    await client.writer.drain()
    async with asyncio.timeout(30):
        while not gateway.budget.held:
            await asyncio.sleep(0.01)
    await client.close()
    async with asyncio.timeout(30):
        while gateway.budget.held:
            await asyncio.sleep(0.01)
    assert gateway.sections() == []


HOSTILE = {
    "deep array": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep wrapper": b'{"events":' * 1000,
    "huge exponent": b'[{"customer_id":"c","event_type":"t","timestamp":1e999999999,"record":{"id":1e999999999}}]',
    "huge whole": b'{"customer_id":"c","event_type":"t","timestamp":' + b"9" * 60_000 + b',"record":{"id":1}}',
    "huge id": b'[{"customer_id":"c","event_type":"t","timestamp":1700000000000,"record":{"id":'
    + b"9" * 60_000
    + b"}}]",
    "zero with a huge exponent": b'[{"customer_id":"c","event_type":"t","timestamp":1700000000000,'
    b'"record":{"id":0e99999999999999999999,"x":0e-99999999999999999999}}]',
    "invalid UTF-8": b'["\xff\xfe"]',
    "NUL": b"\x00" * 1000,
    "quotes": b'"' * 10_001,
    "backslashes": b'"' + b"\\" * 10_001,
    "half an escape": b'["\\u12',
    "half a character": b'["\xf0\x9f\x98',
    "many keys": b"[{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}]",
    "many empty objects": b"[" + b"{}," * 100_000 + b"{}]",
    "a very long key": b'[{"' + b"k" * 1_000_000 + b'":1}]',
    "control characters in keys": b'[{"\\u0000":1,"\\u0000":2}]',
    "numbers as keys": b'{"events":[1e400,-0,0e-999999999999999999999]}',
}


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in HOSTILE.items()])
async def test_hostile_bodies_get_an_answer_and_never_500(gateway, path, method, body):
    """4xx, or 201 with the faults; the gateway then serves the next."""
    if method == "DELETE" and path.endswith("batch"):
        return
    status, told, _ = await gateway.send(path, body, method)
    assert status in {201, 400, 413}, told
    assert told.get("message") or told.get("events_failed") or told.get("events_created")
    assert (await gateway.send("/v1/events", an_event()))[0] == 201


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
    ],
)
async def test_what_is_no_http_is_refused(gateway, sent):
    """400, or the connection is closed; smuggled lengths are never guessed at."""
    client = await Client.connect(gateway)
    client.writer.write(sent)
    client.writer.write_eof()
    async with asyncio.timeout(5):
        answer = await client.reader.read()
    assert answer == b"" or answer.split()[1] in {b"400", b"431", b"505"}, answer[:200]
    assert gateway.sections() == []
    await client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET\r\n\r\n",
        b"FOO /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX y: a\r\n\r\n",
        b"GET /v1/customers/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_in_the_one_error_shape(gateway, caplog, sent):
    """Clients read one shape; nobody fills the logs with bytes that anybody may send."""
    client = await Client.connect(gateway)
    client.writer.write(sent)
    async with asyncio.timeout(5):
        answer = await client.reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400"
    assert b"Content-Type: application/json" in head
    told = json.loads(body)
    assert told["message"].startswith("this is no HTTP request: ")
    assert told["errors"] == []
    assert not caplog.records
    await client.close()


async def test_an_answer_that_is_ready_is_a_whole_http_answer(gateway):
    """Date, length, type and the headers that all answers carry."""
    client = await Client.connect(gateway)
    client.writer.write(a_post(as_json(an_event())))
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 201 Created\r\n")
    for line in ("Content-Type: application/json", "Content-Length: 2", "X-Content-Type-Options: nosniff", "Date: "):
        assert f"\r\n{line}" in head
    assert json.loads(await client.reader.readexactly(2)) == {}
    await client.close()
