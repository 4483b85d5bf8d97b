"""The spool process: it holds what the log does not take, and forwards it."""

import asyncio
from functools import partial
from pathlib import Path

from deploy.log_choice import open_log
from deploy.parts import PartConfig
from ingest.log.spool.process import serve


async def serve_spool(config: PartConfig, stop: asyncio.Event) -> None:
    """Hold the spool until told to stop; what waits then is forwarded by the next start."""
    open_target = partial(open_log, config)
    await serve(Path(config.spool_dir), config.spool_socket, open_target, stop, bytes_max=config.spool_bytes_max)
