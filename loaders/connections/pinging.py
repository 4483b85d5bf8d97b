"""Ask a database whether it lets us in, in a thread of its own, for so long and no longer.

Drivers block, and one that hangs keeps its thread until its own limits end it. So the pings of a process are counted,
those of an account too, and who asks for one more is told to come back rather than to wait behind others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from loaders.connections.secret_parts import hide_secrets
from loaders.errors import SourceDeniedError, SourceError, SourceUnavailableError
from loaders.provider import Address
from loaders.source import Source

PINGS_MAX = 8
PINGS_OF_AN_ACCOUNT_MAX = 3
PING_S_MAX = 30.0
"""The first ping of a provider imports its driver, which takes seconds too."""


class PingsBusyError(Exception):
    """As many pings are under way as may be; the message says whose."""


class Pinger:
    """Pings of one process."""

    def __init__(self, open_source: Callable[[Address], Source], *, wait_s_max: float = PING_S_MAX) -> None:
        """`open_source` gives a source that is not connected yet; it knows the operator's policy and limits."""
        self._open = open_source
        self._wait_s_max = wait_s_max
        self._threads = ThreadPoolExecutor(PINGS_MAX, thread_name_prefix="ping")
        self._under_way: Counter[str] = Counter()

    async def ping(self, account_id: str, address: Address) -> Sequence[str]:
        """Connect once; gives warnings.

        Raises:
            SourceError: the database, or the operator's policy, refused, in words that hold no secret; or it took too
                long.
            PingsBusyError: nothing was tried: come back in some seconds.
        """
        if self._under_way[account_id] >= PINGS_OF_AN_ACCOUNT_MAX:
            raise PingsBusyError(f"{PINGS_OF_AN_ACCOUNT_MAX} pings of this account are under way")
        if self._under_way.total() >= PINGS_MAX:
            raise PingsBusyError(f"{PINGS_MAX} pings are under way")
        try:
            return await self._ping(account_id, _Attempt(self._open, address), address)
        except SourceError as error:
            raise type(error)(hide_secrets(str(error), address)) from None

    def close(self) -> None:
        """Begin no more; those under way end by their own limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ping(self, account_id: str, attempt: "_Attempt", address: Address) -> Sequence[str]:
        self._under_way[account_id] += 1
        loop = asyncio.get_running_loop()
        pinging = loop.run_in_executor(self._threads, attempt.run)
        pinging.add_done_callback(lambda _: self._ended(account_id))
        try:
            async with asyncio.timeout(self._wait_s_max):
                return await asyncio.shield(pinging)
        except TimeoutError:
            raise SourceUnavailableError(
                f"{address.provider} did not answer within {self._wait_s_max:.0f} s: check the host, the port and what "
                "stands between (firewalls drop in silence)"
            ) from None
        finally:
            if not pinging.done():
                pinging.add_done_callback(_passed_over)
                loop.run_in_executor(None, attempt.cancel).add_done_callback(_passed_over)

    def _ended(self, account_id: str) -> None:
        self._under_way[account_id] -= 1
        if not self._under_way[account_id]:
            del self._under_way[account_id]


class _Attempt:
    """One ping: run in one thread, cancelled from another. A driver is imported in the thread, for that takes long."""

    def __init__(self, open_source: Callable[[Address], Source], address: Address) -> None:
        self._open = open_source
        self._address = address
        self._source: Source | None = None

    def run(self) -> Sequence[str]:
        try:
            self._source = self._open(self._address)
            return list(self._source.ping())
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - a driver's own words may hold what was sent to it.
            raise SourceDeniedError(
                f"the driver failed in a way of its own ({type(error).__name__}): check each part of the address"
            ) from None
        finally:
            if self._source is not None:
                self._source.close()

    def cancel(self) -> None:
        if self._source is not None:
            self._source.cancel()


def _passed_over(future: "asyncio.Future[Any]") -> None:
    """Look at what became of what nobody waits for, so that it is not reported as forgotten."""
    with suppress(asyncio.CancelledError):
        future.exception()
