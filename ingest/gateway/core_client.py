"""Ask the core how far the log is applied."""

from typing import Any, Protocol

import aiohttp
from yarl import URL

from ingest.core_api import APPLIED_WAIT_S_MAX, INTERNAL_HEADER, RETRACTED_PATH, WAIT_APPLIED_PATH
from ingest.log.protocol import Receipt
from metering.errors import UnavailableError
from metering.world import World

CORE = "http://core"
"""The host is not looked at: the connection is the core's Unix socket."""

_GRACE_S = 5.0


class CoreUnavailableError(UnavailableError):
    """The core does not answer, or is too far behind; nothing was done."""


class Core(Protocol):
    """What a gateway asks of the core."""

    async def wait_applied(self) -> None:
        """Return once all that was durable in the log at the call is in the figures.

        Raises:
            CoreUnavailableError: not within `APPLIED_WAIT_S_MAX`.
        """
        ...

    async def retracted(self, world: World, receipt: Receipt) -> int:
        """Wait until the deletion with this receipt is applied, and give how many events it retracted.

        Raises:
            CoreUnavailableError: not within `APPLIED_WAIT_S_MAX`; the deletion stays in the log.
        """
        ...


class CoreClient:
    """A `Core` over its Unix socket. `session` connects there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def wait_applied(self) -> None:
        """Wait for the core: see `Core`."""
        await self._ask("POST", URL(CORE + WAIT_APPLIED_PATH))

    async def retracted(self, world: World, receipt: Receipt) -> int:
        """Ask for each partition's count, and give the sum: see `Core`."""
        whose = {"account": world.account_id, "mode": world.mode.value}
        total = 0
        for partition, (offset, index) in sorted(receipt.offsets.items()):
            place: dict[str, str | int] = {"partition": partition, "offset": offset, "index": index, **whose}
            answer = await self._ask("GET", URL(CORE + RETRACTED_PATH).with_query(place))
            total += int(answer["count"])
        return total

    async def _ask(self, method: str, url: URL) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=APPLIED_WAIT_S_MAX + _GRACE_S)
        try:
            async with self._session.request(method, url, headers={INTERNAL_HEADER: "1"}, timeout=timeout) as answer:
                told: dict[str, Any] = await answer.json()
                if answer.status == 200:
                    return told
                raise CoreUnavailableError(str(told.get("message", "the core cannot tell")))
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise CoreUnavailableError(f"the core does not answer ({type(error).__name__})") from None
