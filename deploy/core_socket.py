"""Ask the running core on its socket in the data folder: whoever may read that folder may ask, and nobody else.

What any API can answer may be asked of one instead: where METERLINE_API_URL is set, with METERLINE_INTERNAL_SECRET.
"""

import asyncio
from typing import Any

import aiohttp

from deploy.run_dir import run_dir_of
from deploy.settings import Settings
from ingest.core_api import INTERNAL_HEADER, SECRET_HEADER
from metering.http.json import MalformedJsonError, loads
from metering.http.send_once import send_once

WAIT_S_MAX = 120.0


class NoCoreError(Exception):
    """No core answers: nothing runs in this data folder. The message is one clear line."""


class CoreRefusedError(Exception):
    """The core says no, and why."""


def ask_core(settings: Settings, method: str, path: str, *, or_api: bool = False) -> Any:
    """Give the decoded answer of an internal path; `or_api`: of an API where settings name one.

    Raises:
        NoCoreError: nobody answers there.
        CoreRefusedError: it was refused.
    """
    return asyncio.run(_ask(settings, method, path, or_api=or_api))


async def _ask(settings: Settings, method: str, path: str, *, or_api: bool) -> Any:
    timeout = aiohttp.ClientTimeout(total=WAIT_S_MAX)
    headers = {INTERNAL_HEADER: "1"}
    connector: aiohttp.BaseConnector | None = None
    if or_api and settings.api_urls:
        where, base = "METERLINE_API_URL", settings.api_urls[0]
        headers[SECRET_HEADER] = settings.internal_secret
    else:
        where, base = str(run_dir_of(settings.data_dir) / "core.sock"), "http://core"
        connector = aiohttp.UnixConnector(where)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=headers, middlewares=(send_once,)
            ) as session,
            session.request(method, f"{base}{path}") as answer,
        ):
            told = loads(await answer.read())
    except (aiohttp.ClientError, OSError, MalformedJsonError) as error:
        reason = f"no core answers at {where} ({type(error).__name__})"
        raise NoCoreError(f"{reason}: start Meterline with `meterline up`, or set METERLINE_DATA_DIR") from None
    if answer.status >= 400:
        raise CoreRefusedError(str(told.get("message", f"status {answer.status}")))
    return told
