"""Run what never ends by itself side by side, until one of it fails or all is told to stop."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def until_one_fails(*work: Coroutine[Any, Any, None]) -> Sequence[BaseException]:
    """Give the faults once one has failed, or ended, and all others are stopped.

    Told to stop, it stops, whatever fails meanwhile: `asyncio.TaskGroup` tells of the fault alone, and who cancelled
    it waits for ever.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
    return [one for one in told if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError)]
