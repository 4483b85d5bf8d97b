"""How many events a gateway worker takes, next to what its parts could take at most, all measured in one run.

Single events: the whole worker (key, rules, log with fsync, answer) against a bare aiohttp + uvloop handler that only
reads the body. Batches of 5000: the same worker with `Prefer: return=minimal` against msgspec that only decodes the
same bytes into typed structs. Load comes from `wrk` where it is installed, else from a small client of our own.

    python bench/gateway.py [seconds per measurement]
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from ingest.gateway.process import GatewaySettings, serve
from ingest.log.client import RemoteLogWriter
from ingest.log.process import run as run_log
from ingest.tracing import RequestTracing
from metering.http.route import Principal
from metering.http.scope import Scope
from metering.world import Mode, World

BATCH_EVENTS = 5000
CONNECTIONS_SINGLE = 64
CONNECTIONS_BATCH = 4
HEADERS = {
    "Authorization": "Bearer test_0123456789abcdefghijABCDEFGHIJ01",
    "Content-Type": "application/json",
    "Prefer": "return=minimal",
}

Scalar = bool | int | float | str | None


class Event(msgspec.Struct):
    """An event as a plain typed decode reads it: the limit that batches are compared with."""

    customer_id: str
    event_type: str
    timestamp: str
    record: dict[str, Scalar | list[Scalar]]


class OneKey:
    """Lets the one key of this bench in; the product's own costs a dictionary look-up too."""

    def __init__(self) -> None:
        principal = Principal("key", World("acc_bench", Mode.TEST), frozenset({Scope.INGEST}))
        self._known = {HEADERS["Authorization"]: principal}

    async def authenticate(self, authorization: str | None) -> Principal:
        """Look the header up."""
        assert authorization is not None
        return self._known[authorization]


class Nobody:
    """Knows no customer."""

    async def of(self, world: World, identifier: str) -> list[str]:  # noqa: ARG002
        """Give the id back."""
        return [identifier]


def an_event(number: int) -> dict[str, object]:
    """Give an event of about 200 bytes."""
    return {
        "customer_id": f"cus_{number % 1000:06d}",
        "timestamp": f"2024-01-15T10:{number % 60:02d}:00.{number % 1000:03d}Z",
        "event_type": "api_call",
        "record": {
            "id": f"8f14e45f-ceea-467f-a8f0-{number:012d}",
            "duration_ms": number % 5000,
            "amount": (number % 10_000) / 100,
            "is_verified": True,
            "region": "eu-west-1",
        },
    }


class Nowhere(SpanExporter):
    """Takes spans and forgets them: what they cost here, without what a collector costs."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        """Forget."""
        return SpanExportResult.SUCCESS


def traced_process(share: float, listener: socket.socket, folder: Path) -> None:
    """Be a gateway worker that traces a share of the requests."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)))
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    worker_process(listener, folder, RequestTracing(provider.get_tracer("bench")))


def worker_process(listener: socket.socket, folder: Path, tracing: RequestTracing | None = None) -> None:
    """Be a gateway worker."""

    async def forever() -> None:
        settings = GatewaySettings(
            listener,
            folder / "core.sock",
            partial(RemoteLogWriter.open, folder / "log.sock"),
            OneKey(),
            Nobody(),
            tracing=tracing,
        )
        await serve(settings, asyncio.Event())

    uvloop.run(forever())


def bare_process(listener: socket.socket, folder: Path) -> None:  # noqa: ARG001
    """Be a handler that reads the body and answers {}."""

    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", status=201, content_type="application/json")

    async def forever() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/{path:.*}", read)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await asyncio.Event().wait()

    uvloop.run(forever())


@dataclass(frozen=True, slots=True)
class Server:
    """A server process."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Give the CPU time it has used: steadier than the clock on a machine that others use too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests each second, and what one cost the server."""

    per_s: float
    cpu_us: float


@contextlib.contextmanager
def serving(target: Callable[[socket.socket, Path], None], folder: Path) -> Iterator[Server]:
    """Run a server in a process of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        process = multiprocessing.get_context("spawn").Process(target=target, args=(listener, folder), daemon=True)
        process.start()
        try:
            wait_for_answer(listener.getsockname()[1])
            yield Server(listener.getsockname()[1], process.pid or 0)
        finally:
            process.terminate()
            process.join()


def wait_for_answer(port: int) -> None:
    """Return once an event is answered 201."""
    body = json.dumps(an_event(0)).encode()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request("/v1/events", body))
            if connection.recv(65_536).startswith(b"HTTP/1.1 201"):
                return
        time.sleep(0.05)
    raise TimeoutError("the server does not answer")


def request(path: str, body: bytes) -> bytes:
    """Give a whole HTTP request."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(server: Server, path: str, bodies: list[bytes], connections: int, seconds: float) -> Rate:
    """Send as fast as it answers, each connection one request at a time."""
    before = server.cpu_s()
    if shutil.which("wrk"):
        done, took = with_wrk(server.port, path, bodies, connections, seconds)
    else:
        done, took = asyncio.run(with_sockets(server.port, path, bodies, connections, seconds)), seconds
    return Rate(done / took, (server.cpu_s() - before) / done * 1_000_000)


def with_wrk(port: int, path: str, bodies: list[bytes], connections: int, seconds: float) -> tuple[int, float]:
    """Measure with wrk, its requests made before it starts."""
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(bodies):
            (Path(folder) / str(number)).write_bytes(body)
        headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in HEADERS.items())
        script = f"""
wrk.method = "POST"
{headers}
local all = {{}}
init = function()
  for number = 0, {len(bodies) - 1} do
    local file = io.open("{folder}/" .. number, "rb")
    all[number] = wrk.format(nil, "{path}", nil, file:read("*a"))
    file:close()
  end
end
local at = 0
request = function()
  at = (at + 1) % {len(bodies)}
  return all[at]
end
done = function(summary, latency)
  local bad = summary.errors.status + summary.errors.read + summary.errors.timeout
  io.write(string.format("DONE %d %f %d\\n", summary.requests, summary.duration / 1000000, bad))
end
"""
        (Path(folder) / "post.lua").write_text(script)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        command += ["-s", f"{folder}/post.lua", f"http://127.0.0.1:{port}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in told.splitlines() if line.startswith("DONE"))
    _, done, took, bad = line.split()
    assert bad == "0", told
    return int(done), float(took)


async def with_sockets(port: int, path: str, bodies: list[bytes], connections: int, seconds: float) -> int:
    """Measure with a client of our own."""
    ready = [request(path, body) for body in bodies]
    end = time.monotonic() + seconds
    done = 0

    async def one(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            number += 1
            writer.write(ready[number % len(ready)])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201"), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            done += 1
        writer.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return done


def decode_cpu_us(body: bytes, seconds: float) -> float:
    """Decode the same bytes over and over; gives the CPU time of one decode."""
    decoder = msgspec.json.Decoder(list[Event])
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        decoder.decode(body)
        done += 1
    return (time.process_time() - start) / done * 1_000_000


def main(seconds: float) -> None:
    """Print the figures."""
    singles = [json.dumps(an_event(number), separators=(",", ":")).encode() for number in range(2000)]
    batches = [
        json.dumps([an_event(start + number) for number in range(BATCH_EVENTS)], separators=(",", ":")).encode()
        for start in range(0, 4 * BATCH_EVENTS, BATCH_EVENTS)
    ]
    print(f"{os.cpu_count()} cores; load generator {'wrk' if shutil.which('wrk') else 'built in'}; {seconds} s each")
    print(f"single events of {len(singles[0])} bytes, batches of {BATCH_EVENTS} ({len(batches[0])} bytes)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = multiprocessing.get_context("spawn").Process(
            target=run_log, args=(folder / "log", folder / "log.sock"), daemon=True
        )
        log.start()
        try:
            with serving(bare_process, folder) as server:
                bare = load(server, "/v1/events", singles, CONNECTIONS_SINGLE, seconds)
            with serving(worker_process, folder) as server:
                single = load(server, "/v1/events", singles, CONNECTIONS_SINGLE, seconds)
                batch = load(server, "/v1/events/batch", batches, CONNECTIONS_BATCH, seconds)
            traced = {}
            for share in (0.01, 1.0):
                with serving(partial(traced_process, share), folder) as server:
                    traced[share] = load(server, "/v1/events", singles, CONNECTIONS_SINGLE, seconds)
        finally:
            log.terminate()
            log.join()
    decode_us = decode_cpu_us(batches[0], seconds)
    decoded = 1_000_000 / decode_us * BATCH_EVENTS
    batched = batch.per_s * BATCH_EVENTS
    print("                                         by the clock                  CPU of one server process")
    print(f"bare aiohttp + uvloop, body read   {bare.per_s:12,.0f} requests/s       {bare.cpu_us:9.1f} us/request")
    line = f"POST /v1/events, durable           {single.per_s:12,.0f} events/s   {single.per_s / bare.per_s:6.0%}"
    print(f"{line}{single.cpu_us:9.1f} us/event    {bare.cpu_us / single.cpu_us:6.0%}")
    for share, rate in traced.items():
        print(
            f"  the same, {share:4.0%} traced          {rate.per_s:12,.0f} events/s   "
            f"{rate.per_s / bare.per_s:6.0%}{rate.cpu_us:9.1f} us/event    {bare.cpu_us / rate.cpu_us:6.0%}"
        )
    print(
        f"bare msgspec typed decode          {decoded:12,.0f} events/s         {decode_us / BATCH_EVENTS:9.3f} us/event"
    )
    line = f"POST /v1/events/batch, durable     {batched:12,.0f} events/s   {batched / decoded:6.0%}"
    print(f"{line}{batch.cpu_us / BATCH_EVENTS:9.3f} us/event    {decode_us / batch.cpu_us:6.0%}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4)
