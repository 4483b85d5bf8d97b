"""The log process: it holds the log's files, and gateways append through its socket.

It prints nothing. It ends well when it is told to stop, once everything that it read is durable and answered; it ends
with an error when the disk fails, because what is on disk is then unknown until the next start has scanned it.
"""

import asyncio
import signal
from pathlib import Path

import uvloop

from ingest.log.local.writer import SEGMENT_BYTES, WAITING_BYTES_MAX, LocalLogWriter
from ingest.log.server import LogServer


async def serve(
    folder: Path,
    socket_path: Path,
    stop: asyncio.Event,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    waiting_bytes_max: int = WAITING_BYTES_MAX,
) -> None:
    """Serve the log in a folder until `stop` is set. Once the socket is there, readers know the end too.

    Raises:
        LogUnavailableError: another process holds the log, or the disk failed (which sets `stop`).
        LogCorruptError: what was durable is damaged or gone: starting again will not help.
        OSError: the socket cannot be made.
    """
    writer = await LocalLogWriter.open(folder, segment_bytes=segment_bytes, waiting_bytes_max=waiting_bytes_max)
    writer.failed.add_done_callback(lambda _: stop.set())
    try:
        server = await LogServer.open(writer, socket_path)
        try:
            await stop.wait()
        finally:
            await server.close()
    finally:
        await writer.close()
    if writer.failed.done():
        raise writer.failed.result()


def run(folder: Path, socket_path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Be the log process, in an interpreter of its own, until SIGTERM or SIGINT: see `serve`."""
    uvloop.run(_serve_until_signalled(folder, socket_path, segment_bytes))


async def _serve_until_signalled(folder: Path, socket_path: Path, segment_bytes: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(folder, socket_path, stop, segment_bytes=segment_bytes)
