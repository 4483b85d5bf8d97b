"""Ask the running core on its socket in the data folder: whoever may read that folder may ask, and nobody else."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from deploy.run_dir import run_dir_of
from deploy.settings import Settings
from ingest.core_api import INTERNAL_HEADER
from metering.http.json import MalformedJsonError, loads

WAIT_S_MAX = 120.0


class NoCoreError(Exception):
    """No core answers: nothing runs in this data folder. The message is one clear line."""


class CoreRefusedError(Exception):
    """The core says no, and why."""


def ask_core(settings: Settings, method: str, path: str) -> Any:
    """Give the decoded answer of an internal path.

    Raises:
        NoCoreError: nobody answers there.
        CoreRefusedError: it was refused.
    """
    return asyncio.run(_ask(run_dir_of(settings.data_dir) / "core.sock", method, path))


async def _ask(core_socket: Path, method: str, path: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=WAIT_S_MAX)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(core_socket)), timeout=timeout) as session,
            session.request(method, f"http://core{path}", headers={INTERNAL_HEADER: "1"}) as answer,
        ):
            told = loads(await answer.read())
    except (aiohttp.ClientError, OSError, MalformedJsonError) as error:
        reason = f"no core answers at {core_socket} ({type(error).__name__})"
        raise NoCoreError(f"{reason}: start Meterline with `meterline up`, or set METERLINE_DATA_DIR") from None
    if answer.status >= 400:
        raise CoreRefusedError(str(told.get("message", f"status {answer.status}")))
    return told
