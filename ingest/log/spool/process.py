"""The spool process: gateways append through its socket while the log does not answer, and it forwards.

It ends with an error when the disk fails, because what is on disk is then unknown until the next start has scanned it.
Whatever it holds when it is told to stop is forwarded by the next start.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from ingest.errors import LogUnavailableError
from ingest.log.protocol import LogWriter
from ingest.log.server import LogServer
from ingest.log.spool.keeper import SpoolKeeper

_log = structlog.get_logger(__name__)


async def serve(
    folder: Path,
    socket_path: Path,
    open_log: Callable[[], Awaitable[LogWriter]],
    stop: asyncio.Event,
    *,
    bytes_max: int,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Hold the spool in a folder until `stop` is set; `opened` is called once it takes events.

    Raises:
        LogHeldError: another process holds the spool.
        LogUnavailableError: its disk failed (which sets `stop`).
        LogCorruptError: what was spooled is damaged or gone: starting again will not help.
    """
    keeper = await SpoolKeeper.open(folder, bytes_max)
    keeper.failed.add_done_callback(lambda _: stop.set())
    log = await open_log()
    forwarding = asyncio.create_task(keeper.forward(log))
    forwarding.add_done_callback(lambda _: stop.set())
    try:
        server = await LogServer.open(keeper, socket_path)
        try:
            opened()
            await stop.wait()
        finally:
            await server.close()
    finally:
        forwarding.cancel()
        await asyncio.wait({forwarding})
        await log.close()
        left = keeper.events
        await keeper.close()
    if not forwarding.cancelled():
        try:
            forwarding.result()
        except OSError as error:
            raise LogUnavailableError(f"the spool in {folder} failed: {error}") from error
    if keeper.failed.done():
        raise keeper.failed.result()
    if left:
        _log.warning("the spool is kept for the next start", events=left)
