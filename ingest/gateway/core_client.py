"""Ask the core how far the log is applied, and what an event costs.

The core is one process behind a Unix socket, or APIs on other machines. Those let a gateway in by a secret that every
request carries, and are tried in turn: one that cannot be connected to has done nothing yet.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class CoreUrls:
    """APIs over TCP, each `http://host:port`, and the secret that they let gateways in by."""

    urls: Sequence[str]
    secret: str = field(repr=False)

    def in_turn(self) -> Sequence[str]:
        """Give the URLs in the order in which to try them: another at each call, so that all have work."""
        return random.sample(self.urls, len(self.urls))


ON_SOCKET = CoreUrls((CORE,), "")


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
    """A `Core` over HTTP. `session` connects to its socket, or anywhere when `core` names URLs."""

    def __init__(self, session: aiohttp.ClientSession, core: CoreUrls = ON_SOCKET) -> None:
        self._session = session
        self._core = core

    async def wait_applied(self) -> None:
        """Wait for the core: see `Core`."""
        await self._ask("POST", WAIT_APPLIED_PATH)

    async def retracted(self, world: World, receipt: Receipt) -> int:
        """Ask for each partition's count, and give the sum: see `Core`."""
        total = 0
        for place in _places(world, receipt):
            answer = await self._ask("GET", str(URL(RETRACTED_PATH).with_query(place)))
            total += int(answer["count"])
        return total

    async def prices(self, world: World, receipt: Receipt, body: bytes) -> dict[str, Any]:
        """Ask for the prices of an event: see `Core`."""
        if not receipt.offsets:
            raise CoreUnavailableError("it waits in the spool, for the log does not take it now")
        (place,) = _places(world, receipt)  # One event goes to one partition.
        return await self._ask("POST", str(URL(PRICES_PATH).with_query(place)), body)

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        for url in self._core.in_turn():
            try:
                return await self._ask_one(method, URL(url + path, encoded=True), body)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
            except (TimeoutError, aiohttp.ClientError, MalformedJsonError) as error:
                raise CoreUnavailableError(f"the core does not answer ({type(error).__name__})") from None
        raise CoreUnavailableError("the core does not answer (nothing listens there)")

    async def _ask_one(self, method: str, url: URL, body: bytes | None) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=APPLIED_WAIT_S_MAX + _GRACE_S)
        headers = {INTERNAL_HEADER: "1"}
        async with self._session.request(method, url, data=body, headers=headers, timeout=timeout) as answer:
            told: dict[str, Any] = loads(await answer.read())
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
