import asyncio
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.client import RemoteLogWriter
from ingest.log.exchange import ANSWER_BYTES, Request, RequestKind, pack_request
from ingest.log.local.files import DiskFiles
from ingest.log.local.writer import LocalLogWriter
from ingest.log.server import LogServer
from ingest.wire import Kind, Section
from metering.world import Mode, World


def a_section(body=b"[{}]", *, events=1):
    return Section(World("acc_1", Mode.TEST), Kind.EVENTS, 1, events, body)


class HeldFiles(DiskFiles):
    """A disk that works only while it may."""

    def __init__(self):
        self.go_on = threading.Event()
        self.go_on.set()

    def sync(self, descriptor):
        self.go_on.wait()
        super().sync(descriptor)


class Host:
    """A log process that runs within the test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "s"
        self.files = HeldFiles()
        self.parts = []

    async def start(self, **limits):
        self.writer = await LocalLogWriter.open(self.folder / "log", files=self.files)
        self.server = await LogServer.open(self.writer, self.path, **limits)
        self.parts = [self.server, self.writer]

    async def stop(self):
        self.files.go_on.set()
        for part in self.parts:
            await part.close()
        self.parts = []

    async def drop_connections(self):
        for connection in list(self.server._connections):
            connection._transport.abort()


@pytest.fixture
async def host():
    folder = Path(tempfile.mkdtemp(prefix="log-"))  # Sockets need a short path.
    host = Host(folder)
    yield host
    await host.stop()
    shutil.rmtree(folder)


async def test_an_append_waits_for_a_log_process_that_is_still_starting(host):
    """It was not sent anywhere before, so it is simply in order when the process comes."""
    remote = await RemoteLogWriter.open(host.path)
    append = asyncio.create_task(remote.append(a_section()))
    await asyncio.sleep(0.05)
    await host.start()
    assert (await append).offsets == {0: (0, 0)}
    await remote.close()


async def test_an_append_does_not_wait_longer_than_it_may(host):
    """Then the client hears that it should send again; the room it took is free."""
    remote = await RemoteLogWriter.open(host.path, connect_wait_s_max=0.05, waiting_bytes_max=1_000)
    outcomes = await asyncio.gather(*(remote.append(a_section(b"x" * 400)) for _ in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LogUnavailableError] * 2 + [LogOverloadedError] * 2
    with pytest.raises(LogUnavailableError, match=r"no log process .* for 0\.05 s"):
        await remote.append(a_section(b"x" * 900))
    with pytest.raises(LogUnavailableError, match="no log process"):
        await remote.trim(1)
    await remote.close()


async def test_appends_under_way_fail_when_the_connection_drops_and_later_ones_go_on(host):
    """Their outcome is unknown: here they did get into the log."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    host.files.go_on.clear()
    appends = [asyncio.create_task(remote.append(a_section(b"%d" % number))) for number in range(5)]
    await asyncio.sleep(0.05)
    await host.drop_connections()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {LogUnavailableError}
    assert "outcome unknown" in str(outcomes[0])
    host.files.go_on.set()
    assert (await remote.append(a_section())).offsets == {0: (2, 0)}
    await remote.close()


async def test_a_restarted_log_process_is_found_again(host):
    """Appends sent while it is away wait for it."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)
    for round_ in range(3):
        assert (await remote.append(a_section())).offsets == {0: (2 * round_, 0)}
        await host.stop()
        append = asyncio.create_task(remote.append(a_section()))
        await asyncio.sleep(0.05)
        await host.start()
        assert (await append).offsets == {0: (2 * round_ + 1, 0)}
    await remote.close()


@pytest.mark.slow
async def test_a_log_process_that_does_not_answer_is_given_up(host):
    """A disk that hangs costs the client a bounded wait."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path, answer_wait_s_max=1.5)
    await remote.append(a_section())
    host.files.go_on.clear()
    with pytest.raises(LogUnavailableError, match="outcome unknown"):
        await remote.append(a_section())
    host.files.go_on.set()
    await remote.append(a_section())
    await remote.close()


async def test_a_failed_disk_is_told_to_the_client(host):
    """It hears that the outcome is unknown."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)

    def fail(_):
        raise OSError(5, "Input/output error")

    host.files.sync = fail
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="could not write"):
            await remote.append(a_section())
    assert host.writer.failed.done()
    await remote.close()


async def test_the_server_reads_no_more_than_it_may_hold(host):
    """While the disk hangs, bytes stay with the clients; once it works, every append is answered."""
    await host.start(waiting_bytes_max=1_000_000)
    remotes = [await RemoteLogWriter.open(host.path) for _ in range(2)]
    await asyncio.gather(*(remote.append(a_section()) for remote in remotes))
    host.files.go_on.clear()
    appends = [
        asyncio.create_task(remote.append(a_section(b"x" * 100_000, events=5)))
        for _ in range(100)
        for remote in remotes
    ]
    async with asyncio.timeout(30):
        while host.server._waiting_bytes <= 1_000_000:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # Time to read on, if it would.
    assert 1_000_000 < host.server._waiting_bytes < 3_000_000
    assert not any(append.done() for append in appends)
    host.files.go_on.set()
    receipts = await asyncio.gather(*appends)
    assert len({receipt.offsets[0] for receipt in receipts}) == 200
    assert host.server._waiting_bytes == 0
    for remote in remotes:
        await remote.close()


async def test_the_writers_own_limit_reaches_the_client(host):
    """A refusal says that nothing was written."""
    await host.start()
    host.writer._waiting_bytes_max = 1_000
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    host.files.go_on.clear()
    first = asyncio.create_task(remote.append(a_section(b"x" * 900)))
    await asyncio.sleep(0.05)
    with pytest.raises(LogOverloadedError, match="log process"):
        await remote.append(a_section(b"x" * 900))
    host.files.go_on.set()
    await first
    await remote.close()


async def test_a_tick_of_appends_is_one_request_a_message(host, monkeypatch):
    """The log process works per message, not per append."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    taken = []
    real = LogServer.take
    monkeypatch.setattr(LogServer, "take", lambda *call: taken.append(call) or real(*call))
    receipts = await asyncio.gather(*(remote.append(a_section(events=3)) for _ in range(2000)))
    assert len(taken) == 1
    assert [receipt.offsets[0] for receipt in receipts] == [(1, 3 * number) for number in range(2000)]
    await remote.close()


async def test_closing_the_server_answers_what_it_read(host):
    """A restart for an upgrade fails no append that had arrived."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    host.files.go_on.clear()
    appends = [asyncio.create_task(remote.append(a_section())) for _ in range(10)]
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(host.server.close())
    await asyncio.sleep(0.02)
    host.files.go_on.set()
    await stopping
    assert {(await append).offsets[0][0] for append in appends} == {1}
    assert not host.path.exists()
    await remote.close()


async def test_only_this_user_may_connect_and_a_stale_socket_is_replaced(host):
    """Whatever a killed process left at the path."""
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(host.path))
    stale.close()
    await host.start()
    assert stat.S_IMODE(host.path.stat().st_mode) == 0o600
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    await remote.close()


async def test_another_file_at_the_sockets_path_is_left_alone(host):
    """Somebody mistyped a path."""
    host.path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        await host.start()
    await host.writer.close()
    assert host.path.read_text() == "precious"


@pytest.mark.parametrize("request_", [Request(9, 0, 1, 1), Request(1, 1 << 31, 1, 1)])
async def test_bytes_that_no_writer_sends_end_the_connection(host, request_):
    """And nobody else's."""
    await host.start()
    remote = await RemoteLogWriter.open(host.path)
    await remote.append(a_section())
    reader, writer = await asyncio.open_unix_connection(host.path)
    writer.write(pack_request(request_) + b"whatever")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    await remote.append(a_section())
    await remote.close()


async def test_a_client_that_reads_no_answers_is_not_read_from(host):
    """Its unsent answers stay bounded, and once it reads, every one of them comes."""
    await host.start()
    reader, writer = await asyncio.open_unix_connection(host.path, limit=1)
    requests = [pack_request(Request(RequestKind.APPEND, 1, number, 1)) + b"x" for number in range(30_000)]
    writer.write(b"".join(requests))
    async with asyncio.timeout(20):
        while host.writer.end.events < 30_000:
            await asyncio.sleep(0.01)
        writer.write(requests[0])
        await asyncio.sleep(0.05)
        (connection,) = host.server._connections
        assert not connection._reading
        assert host.writer.end.events == 30_000
        await reader.readexactly(30_001 * ANSWER_BYTES)
    assert host.writer.end.events == 30_001
    writer.close()
