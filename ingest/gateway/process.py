"""Be a gateway worker: serve on a listening socket that others share, until told to stop.

To stop, the worker first stops accepting, so that new connections go to its siblings; then it finishes the requests
that it has begun, then lets go of the log. Requests that take longer than `DRAIN_S_MAX` are cut: their clients send
again, which is harmless.
"""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from ingest.core_api import LAG_PATH
from ingest.gateway.core_client import ON_SOCKET, Core, CoreClient, CoreUrls
from ingest.gateway.deletion_request import Identifiers
from ingest.gateway.gateway import Answer, AppendTracing, Gateway, Neighbours
from ingest.gateway.meter import Meter
from ingest.gateway.proxy import open_session, pass_on
from ingest.gateway.server import GatewayServer
from ingest.gateway.spool_first import SpoolFirst, told_with_the_lag
from ingest.log.protocol import LogWriter
from ingest.log.spool.state import SpoolState
from metering.http.app import Authenticator
from metering.http.rate_limits import Limiter

DRAIN_S_MAX = 15.0
BACKLOG = 1024
COLLECT_EVERY = 50_000
"""New containers between two collections; Python's own 700 costs a tenth of a batch."""


class GatewayTracing(AppendTracing, Protocol):
    """Who traces requests."""

    def traced(self, answer: Answer) -> Answer:
        """Give the same function, each call of it told as a span."""
        ...

    def onward(self) -> dict[str, str]:
        """Give the headers by which whoever is asked next continues the trace."""
        ...


OpenLog = Callable[[], Awaitable[LogWriter]]
"""Open the log for appending; whoever called closes it."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where a worker serves and whom it works with. `listener` is bound and listening; workers share it.

    `own` answers some GET paths in the place of the core.
    """

    listener: socket.socket
    core: Path | CoreUrls
    open_log: OpenLog
    authenticator: Authenticator
    identifiers: Identifiers
    limiter: Limiter | None = None
    meter: Meter | None = None
    own: Mapping[str, Answer] = field(default_factory=dict)
    tracing: GatewayTracing | None = None
    spool: SpoolState | None = None
    """This gateway's own, where the core does not know of it."""


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set and what was begun is answered."""
    log = await settings.open_log()
    try:
        with _rare_collections():
            await _serve(settings, log, stop)
    finally:
        await log.close()  # Last: a request under way may still append.


async def _serve(settings: GatewaySettings, log: LogWriter, stop: asyncio.Event) -> None:
    urls = settings.core if isinstance(settings.core, CoreUrls) else ON_SOCKET
    async with open_session(urls if urls is settings.core else str(settings.core)) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            own = settings.own.get(request.path) if settings.own and request.method in {"GET", "HEAD"} else None
            if own is not None:
                return await own(request)
            told = {} if settings.tracing is None else settings.tracing.onward()
            if settings.spool is not None and request.path == LAG_PATH:
                told |= await told_with_the_lag(settings.spool)
            return await pass_on(session, request, urls, told)

        core: Core = CoreClient(session, urls)
        if settings.spool is not None:
            core = SpoolFirst(core, settings.spool)
        meter, tracing = settings.meter, settings.tracing
        limiter = settings.limiter
        gateway = Gateway(
            Neighbours(settings.authenticator, log, core, settings.identifiers, forward, limiter, meter, tracing)
        )
        answer = gateway.answer if meter is None else meter.measured(gateway.answer)
        if tracing is not None:
            answer = tracing.traced(answer)
        runner = web.ServerRunner(GatewayServer(answer), shutdown_timeout=DRAIN_S_MAX)
        await runner.setup()
        try:
            await web.SockSite(runner, settings.listener, backlog=BACKLOG).start()
            await stop.wait()
        finally:
            await runner.cleanup()  # Stops accepting, then waits for the requests under way.


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the collector of cycles run seldom: a batch makes 5000 records at once, and none is part of a cycle."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
