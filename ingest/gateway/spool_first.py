"""A core that knows nothing of this gateway's spool: what waits here comes first, or is told with the question."""

import asyncio
from typing import Any

from ingest.core_api import spooled_header
from ingest.gateway.core_client import Core, CoreUnavailableError
from ingest.log.protocol import Receipt
from ingest.log.spool.state import FORWARD_S_MAX, SpoolState, until_forwarded
from metering.world import World


class SpoolFirst:
    """A `Core` for a gateway with a spool of its own."""

    def __init__(self, core: Core, spool: SpoolState) -> None:
        self._core = core
        self._spool = spool

    async def wait_applied(self) -> None:
        """Wait until what is spooled here is in the log, then as `Core`."""
        if not await until_forwarded(self._spool, FORWARD_S_MAX):
            raise CoreUnavailableError("events wait in this gateway's spool, for the log does not take them")
        await self._core.wait_applied()

    async def retracted(self, world: World, receipt: Receipt) -> int:
        """As `Core`: deletions are never spooled."""
        return await self._core.retracted(world, receipt)

    async def prices(self, world: World, receipt: Receipt, body: bytes) -> dict[str, Any]:
        """As `Core`; what is spooled has no place yet, so no price."""
        return await self._core.prices(world, receipt, body)


async def told_with_the_lag(spool: SpoolState) -> dict[str, str]:
    """Give the header that tells the core what waits here.

    Raises:
        LogUnavailableError: it cannot be known now.
    """
    return spooled_header(await asyncio.to_thread(spool.spooled))
