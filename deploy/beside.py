"""Work beside what a part is for: what fails unexpectedly is told and begins again, so that nothing ends unseen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

Work = Callable[[], Coroutine[Any, Any, None]]
"""Begins some work, and runs until it is cancelled or done."""

PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 60.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def going_on(works: Mapping[str, Work]) -> AsyncIterator[None]:
    """Let named works go on within the block; all are cancelled, and have ended, when it is left."""
    tasks = [asyncio.create_task(_go_on(name, work)) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _go_on(name: str, work: Work) -> None:
    pause_s = PAUSE_S_MIN
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the work has to go on.
            _log.exception("work failed and begins again", work=name, reason=str(error), wait_s=pause_s)
        else:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
