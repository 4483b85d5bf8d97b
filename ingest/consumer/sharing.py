"""Consume the partitions that are this process's, and make a new consumer whenever others are.

A consumer's filter of seen keys holds only for its own unbroken reading, so whoever takes a partition over begins with
a new one, filled from the store after it has read what is applied. Between two consumers nothing is kept.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from ingest.consumer.consumer import BACKOFF_S_MAX, BACKOFF_S_MIN, Consumer
from ingest.errors import LogUnavailableError
from metering.errors import UnavailableError

_log = structlog.get_logger(__name__)


class Membership(Protocol):
    """Who says which partitions are ours."""

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are this member's now."""
        ...

    async def changed(self) -> None:
        """Return once others are owned than at the last return."""
        ...

    def let_go(self) -> None:
        """Say that nothing is written any more to partitions that are not owned."""
        ...


async def run_shared(membership: Membership, make_consumer: Callable[[frozenset[int]], Consumer]) -> None:
    """Consume what is owned, until cancelled.

    Raises:
        IngestError: what waiting cannot mend, as `Consumer.run`.
    """
    while True:
        changed = asyncio.create_task(membership.changed())
        consuming = asyncio.create_task(_consume(make_consumer, membership.owned))
        try:
            await asyncio.wait({changed, consuming}, return_when=asyncio.FIRST_COMPLETED)
            if consuming.done():
                consuming.result()
        finally:
            changed.cancel()
            consuming.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(changed, consuming, return_exceptions=True)
        membership.let_go()


async def _consume(make_consumer: Callable[[frozenset[int]], Consumer], owned: frozenset[int]) -> None:
    if not owned:
        await asyncio.Event().wait()
    backoff_s = BACKOFF_S_MIN
    while True:
        consumer = make_consumer(owned)
        try:
            await consumer.start()
            break
        except (UnavailableError, LogUnavailableError) as error:
            _log.warning("consumer waits to start", reason=str(error), wait_s=backoff_s)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
    await consumer.run()
