"""`meterline dead-letters`: what came through the log and could not be counted, for the operator of an installation.

It asks the running core on its socket in the data folder, so whoever may read that folder may ask, and nobody else; or,
where METERLINE_API_URL is set, an API, with METERLINE_INTERNAL_SECRET.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.run_dir import run_dir_of
from deploy.settings import Settings
from ingest.core_api import INTERNAL_HEADER, SECRET_HEADER
from ingest.dead_letter_routes import DEAD_LETTERS_PATH
from metering.http.json import MalformedJsonError, loads

WAIT_S_MAX = 120.0


class DeadLettersError(Exception):
    """It cannot be told or done now; the message is one clear line."""


def list_dead_letters(settings: Settings, console: Console) -> int:
    """Print all dead letters, oldest first; gives the exit code."""
    letters = asyncio.run(_all("GET", settings))
    if not letters:
        console.print("there are no dead letters")
        return 0
    table = Table("position", "kept at (UTC)", "account", "mode", "bytes", "state", "reason", box=None, pad_edge=False)
    for letter in letters:
        whose = escape(letter["account_id"] or "unknown"), letter["mode"] or "unknown"
        state = "replayed" if letter["replayed"] else "waiting"
        kept_at = letter["kept_at"][:19]
        row = str(letter["position"]), kept_at, *whose, str(letter["bytes"]), state, escape(letter["reason"])
        table.add_row(*row)
    console.print(table)
    return 0


def replay_dead_letters(settings: Settings, console: Console) -> int:
    """Send every good one through the log again; gives the exit code: 1 when some are still no good."""
    outcomes = asyncio.run(_all("POST", settings))
    refused = [outcome for outcome in outcomes if outcome["reason"] is not None]
    for outcome in refused:
        console.print(f"{outcome['position']}: {escape(outcome['reason'])}")
    events = sum(outcome["events"] for outcome in outcomes)
    console.print(
        f"{len(outcomes) - len(refused):,} letters replayed with {events:,} events, {len(refused):,} still no good"
    )
    return 1 if refused else 0


async def _all(method: str, settings: Settings) -> Sequence[Any]:
    return [item async for item in _each(method, settings)]


async def _each(method: str, settings: Settings) -> AsyncIterator[Any]:
    """Give what the core answers, page after page, until one is empty."""
    timeout = aiohttp.ClientTimeout(total=WAIT_S_MAX)
    first = 0
    headers = {INTERNAL_HEADER: "1"}
    connector: aiohttp.BaseConnector | None = None
    if settings.api_urls:
        where, base = "METERLINE_API_URL", settings.api_urls[0]
        headers[SECRET_HEADER] = settings.internal_secret
    else:
        where, base = str(run_dir_of(settings.data_dir) / "core.sock"), "http://core"
        connector = aiohttp.UnixConnector(where)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        while page := await _page(session, method, f"{base}{DEAD_LETTERS_PATH}?first={first}", where):
            for item in page:
                yield item
            first = page[-1]["position"] + 1


async def _page(session: aiohttp.ClientSession, method: str, url: str, where: str) -> Sequence[Any]:
    try:
        async with session.request(method, url) as answer:
            told = loads(await answer.read())
    except (aiohttp.ClientError, OSError, MalformedJsonError) as error:
        reason = f"no core answers at {where} ({type(error).__name__})"
        raise DeadLettersError(f"{reason}: start Meterline with `meterline up`, or set METERLINE_DATA_DIR") from None
    if answer.status != 200:
        raise DeadLettersError(str(told.get("message", f"status {answer.status}")))
    found: Sequence[Any] = told
    return found
