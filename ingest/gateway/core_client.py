"""Ask the core how far the log is applied, and what an event costs."""

from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from yarl import URL

from ingest.core_api import APPLIED_WAIT_S_MAX, INTERNAL_HEADER, PRICES_PATH, RETRACTED_PATH, WAIT_APPLIED_PATH
from ingest.log.protocol import Receipt
from metering.errors import UnavailableError
from metering.http.json import MalformedJsonError, loads
from metering.http.problem import refused
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

    async def prices(self, world: World, receipt: Receipt, body: bytes) -> dict[str, Any]:
        """Wait until the event with this receipt is in the figures, and give `{"id", "result"}` with all its prices.

        `body` is what was appended.

        Raises:
            CoreUnavailableError: not in time; the event stays in the log.
            ApiError: it cannot be priced.
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
        total = 0
        for place in _places(world, receipt):
            answer = await self._ask("GET", URL(CORE + RETRACTED_PATH).with_query(place))
            total += int(answer["count"])
        return total

    async def prices(self, world: World, receipt: Receipt, body: bytes) -> dict[str, Any]:
        """Ask for the prices of an event: see `Core`."""
        (place,) = _places(world, receipt)  # One event goes to one partition.
        return await self._ask("POST", URL(CORE + PRICES_PATH).with_query(place), body)

    async def _ask(self, method: str, url: URL, body: bytes | None = None) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=APPLIED_WAIT_S_MAX + _GRACE_S)
        headers = {INTERNAL_HEADER: "1"}
        try:
            async with self._session.request(method, url, data=body, headers=headers, timeout=timeout) as answer:
                told: dict[str, Any] = loads(await answer.read())
        except (TimeoutError, aiohttp.ClientError, MalformedJsonError) as error:
            raise CoreUnavailableError(f"the core does not answer ({type(error).__name__})") from None
        if answer.status == HTTPStatus.OK:
            return told
        message = str(told.get("message", "the core cannot tell"))
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise refused(message)
        raise CoreUnavailableError(message)


def _places(world: World, receipt: Receipt) -> list[dict[str, str | int]]:
    whose = {"account": world.account_id, "mode": world.mode.value}
    return [
        {"partition": partition, "offset": offset, "index": index, **whose}
        for partition, (offset, index) in sorted(receipt.offsets.items())
    ]
