"""Work that follows what changed, and rests in between, so that it never takes the machine from what it follows."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_INTERVAL_S = 1.0
WORKING_SHARE_MAX = 0.1
"""It works no more of the time than this."""


async def by_turns(work: Callable[[], Awaitable[None]]) -> None:
    """Work and rest, again and again, until cancelled; what the work raises ends it."""
    while True:
        began = time.monotonic()
        await work()
        worked_s = time.monotonic() - began
        await asyncio.sleep(max(LOOK_INTERVAL_S, worked_s / WORKING_SHARE_MAX - worked_s))
