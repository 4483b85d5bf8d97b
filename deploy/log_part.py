"""The log process: the one that appends."""

import asyncio

from deploy.parts import PartConfig
from ingest.log.process import serve


async def serve_log(config: PartConfig, stop: asyncio.Event) -> None:
    """Hold the log's files until told to stop; what was read by then is committed and answered."""
    await serve(config.log_dir, config.log_socket, stop, segment_bytes=config.log_segment_bytes)
