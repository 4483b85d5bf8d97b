"""How far the log is applied, for those who wait for it: the core's answer to gateways, clients and pages."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from ingest.consumer.lag import POLL_S_MAX, Lag, lag_of, wait_until_applied, with_spooled
from ingest.consumer.lanes import accepted, lanes_of
from ingest.consumer.seams import Clock, Lanes
from ingest.core_api import Place
from ingest.errors import LogUnavailableError
from ingest.log.protocol import LogReader
from ingest.log.spool.state import SpoolState
from metering.errors import UnavailableError
from metering.position import Cutoff, pack
from metering.store.versions import VersionStore
from metering.world import World

FORWARD_S_MAX = 5.0
"""So long the spool is waited for: longer, and the log is down rather than catching up."""


class LogSilentError(UnavailableError):
    """The log does not answer, so nobody can say how far the figures are behind it."""


class LogProgress:
    """`ingest.core_api.Progress` over a log, its spool if it has one, and the store it is applied to."""

    def __init__(
        self, log: LogReader, store: VersionStore, lanes: Lanes, clock: Clock, spool: SpoolState | None = None
    ) -> None:
        self._log = log
        self._store = store
        self._lanes = lanes
        self._clock = clock
        self._spool = spool
        self._lane_of: dict[int, int] = {}

    @property
    def is_spooling(self) -> bool:
        """Whether anything that was accepted waits in the spool."""
        return self._spool is not None and self._spool.holds

    async def wait_until_applied(self, wait_s_max: float) -> bool:
        """Wait until all that was accepted by now, in the log or the spool, is in the figures; tell whether it is.

        Raises:
            LogSilentError: what is durable is not known.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s_max
        if self._spool is not None and not await _until_forwarded(self._spool, min(wait_s_max, FORWARD_S_MAX)):
            return False
        with _log_errors():  # After the spool was looked at: what left it is in the log.
            wanted = await accepted(self._log, await self._partitions())
        return await wait_until_applied(self._store, wanted, give_up_at - loop.time())

    async def retracted(self, world: World, place: Place, wait_s_max: float) -> int | None:
        """Wait until the deletion at this place is applied and give how many events it took; None if it is not.

        Raises:
            LogSilentError: the log did not say yet who it is.
        """
        with _log_errors():
            lane = (await self._partitions()).get(place.partition)
        if lane is None:
            raise LogSilentError(f"partition {place.partition} of the log is not known here yet: ask again")
        position = pack(lane, place.offset, place.index)
        if not await wait_until_applied(self._store, Cutoff({lane: position}), wait_s_max):
            return None
        return await self._store.count_retracted(world, [position])

    async def lag(self) -> Lag:
        """Give the lag now, spooled events included; never 0 while an event already durable is not in the figures.

        Raises:
            LogSilentError: what is durable is not known.
        """
        with _log_errors():
            # The spool first: what is forwarded meanwhile is found in the log, or counted twice, but never missed.
            spooled = None if self._spool is None else await asyncio.to_thread(self._spool.spooled)
            lag = await lag_of(self._log, self._store, await self._partitions(), self._clock)
            return lag if spooled is None else with_spooled(lag, spooled, self._clock())

    async def _partitions(self) -> dict[int, int]:
        if (await self._log.ends()).keys() != self._lane_of.keys():  # At first, and whenever the log has grown.
            self._lane_of = await lanes_of(self._log, self._lanes)
        return self._lane_of


async def _until_forwarded(spool: SpoolState, wait_s_max: float) -> bool:
    """Wait until what is spooled by now is in the log; tell whether it is."""
    end = spool.end
    try:
        async with asyncio.timeout(wait_s_max):
            while end is None or not spool.is_forwarded(end):
                await asyncio.sleep(POLL_S_MAX)
                end = spool.end if end is None else end
    except TimeoutError:
        return False
    return True


@contextmanager
def _log_errors() -> Iterator[None]:
    """Tell those who only know how far the log is applied that this is not known now."""
    try:
        yield
    except LogUnavailableError as error:
        raise LogSilentError(str(error)) from error
