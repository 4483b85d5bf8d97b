import asyncio
import socket
from functools import partial

import aiohttp
import pytest

from ingest.gateway.process import GatewaySettings, serve
from ingest.log.client import RemoteLogWriter
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.server import LogServer
from ingest.wire import decode
from tests.ingest.events import an_event, as_json
from tests.ingest.gateway.running import Keys, OneCustomer

HEADERS = {"Authorization": "Bearer test_ingest", "Content-Type": "application/json"}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
async def log(tmp_path):
    writer = await LocalLogWriter.open(tmp_path / "log")
    server = await LogServer.open(writer, tmp_path / "log.sock")
    yield server
    await server.close()
    await writer.close()


def settings(listener, tmp_path):
    open_log = partial(RemoteLogWriter.open, tmp_path / "log.sock")
    return GatewaySettings(listener.dup(), tmp_path / "core.sock", open_log, Keys(), OneCustomer())


@pytest.mark.slow
async def test_a_worker_stores_durably_and_leaves_well(listener, log, tmp_path):  # noqa: ARG001
    """Told to stop, it answers what it has begun; its sibling on the same socket goes on."""
    first, second = asyncio.Event(), asyncio.Event()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/events"
    workers = [asyncio.create_task(serve(settings(listener, tmp_path), stop)) for stop in (first, second)]
    await asyncio.sleep(0.2)

    async def slow_body():
        body = as_json(an_event(record={"id": "slow"}))
        yield body[:10]
        await asyncio.sleep(0.5)
        yield body[10:]

    async with aiohttp.ClientSession(headers=HEADERS) as session:
        begun = [asyncio.create_task(session.post(url, data=slow_body())) for _ in range(8)]
        await asyncio.sleep(0.2)
        first.set()
        assert [(await one).status for one in begun] == [201] * 8
        await workers[0]
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        assert (await session.post(url, json=an_event())).status == 201
    second.set()
    await workers[1]
    reader = await LocalLogReader.open(tmp_path / "log")
    messages = await reader.poll({0: 0}, events_max=100, wait_s_max=0)
    assert sum(section.events for message in messages for section in decode(message.payload)) == 9
    await reader.close()


@pytest.mark.slow
async def test_without_log_and_core_it_says_so(listener, tmp_path):
    """503 with Retry-After from both, and it stops all the same."""
    stop = asyncio.Event()
    worker = asyncio.create_task(serve(settings(listener, tmp_path), stop))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        for method, path in (("POST", "/v1/events"), ("GET", "/"), ("DELETE", "/v1/events")):
            body = {"matching": "all"} if method == "DELETE" else an_event()
            async with session.request(method, url + path, json=body) as answer:
                assert answer.status == 503
                assert "Retry-After" in answer.headers
    stop.set()
    await worker
