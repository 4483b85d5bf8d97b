"""How far the log is applied, for those who wait for it: the core's answer to gateways, clients and pages."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.consumer.lag import Lag, lag_of, wait_until_applied, with_spooled
from ingest.consumer.lanes import accepted, lanes_of
from ingest.consumer.seams import Clock, Lanes
from ingest.core_api import Place
from ingest.errors import LogUnavailableError
from ingest.log.protocol import LogReader
from ingest.log.spool.state import FORWARD_S_MAX, SpoolState, until_forwarded
from metering.errors import StoreUnavailableError, UnavailableError
from metering.position import Cutoff, Position, pack
from metering.store.versions import VersionStore
from metering.world import World

STORE_S_MAX = 2.0
"""So long the store has to say what is applied; beyond it what it last said counts, as while it is away."""
LAG_S_MAX = 15.0
"""So long it may take to say how far the figures are behind; beyond it nobody knows, and that is said."""


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
        self._last_known: Cutoff | None = None
        self._asking: asyncio.Task[StoreUnavailableError | None] | None = None

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
        if self._spool is not None and not await until_forwarded(self._spool, min(wait_s_max, FORWARD_S_MAX)):
            return False
        with _log_errors():  # After the spool was looked at: what left it is in the log.
            wanted = await accepted(self._log, await self._partitions())
        return await wait_until_applied(self._store, wanted, give_up_at - loop.time())

    async def retracted(self, world: World, place: Place, wait_s_max: float) -> int | None:
        """Wait until the deletion at this place is applied and give how many events it took; None if it is not.

        Raises:
            LogSilentError: the log did not say yet who it is.
        """
        position = await self.reached(place, wait_s_max)
        return None if position is None else await self._store.count_retracted(world, [position])

    async def reached(self, place: Place, wait_s_max: float) -> Position | None:
        """Wait until the event at this place is in the figures and give its position, None if it is not.

        Raises:
            LogSilentError: the log did not say yet who it is.
        """
        with _log_errors():
            lane = (await self._partitions()).get(place.partition)
        if lane is None:
            raise LogSilentError(f"partition {place.partition} of the log is not known here yet: ask again")
        position = pack(lane, place.offset, place.index)
        return position if await wait_until_applied(self._store, Cutoff({lane: position}), wait_s_max) else None

    async def lag(self) -> Lag:
        """Give the lag now, spooled events included; never 0 while an event already durable is not in the figures.

        While the store does not answer, or not in time, what it last said is applied counts: the lag is then at most
        this. Answers within `LAG_S_MAX`, whatever is stalled.

        Raises:
            LogSilentError: what is durable is not known.
            StoreUnavailableError: the store does not answer, and never has.
        """
        try:
            async with asyncio.timeout(LAG_S_MAX):
                return await self._lag()
        except TimeoutError:
            raise LogSilentError(f"the log did not say within {LAG_S_MAX:.0f} s what it holds: ask again") from None

    async def _lag(self) -> Lag:
        with _log_errors():
            # The spool first: what is forwarded meanwhile is found in the log, or counted twice, but never missed.
            spooled = None if self._spool is None else await asyncio.to_thread(self._spool.spooled)
            partitions = await self._partitions()
            lag = await lag_of(self._log, _Known(await self._applied()), partitions, self._clock)
            return lag if spooled is None else with_spooled(lag, spooled, self._clock())

    async def _applied(self) -> Cutoff:
        """Ask the store what is applied; those who ask while it does not answer share one question."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        await asyncio.wait({asking}, timeout=STORE_S_MAX)
        if self._last_known is not None:
            return self._last_known
        error = asking.result() if asking.done() else None
        raise error or StoreUnavailableError(f"the store did not say within {STORE_S_MAX:.0f} s what is applied")

    async def _ask(self) -> StoreUnavailableError | None:
        try:
            self._last_known = await self._store.applied()
        except StoreUnavailableError as error:
            return error
        return None

    async def _partitions(self) -> dict[int, int]:
        if (await self._log.ends()).keys() != self._lane_of.keys():  # At first, and whenever the log has grown.
            self._lane_of = await lanes_of(self._log, self._lanes)
        return self._lane_of


@dataclass(frozen=True, slots=True)
class _Known:
    """What is applied, as it was told."""

    cutoff: Cutoff

    async def applied(self) -> Cutoff:
        return self.cutoff


@contextmanager
def _log_errors() -> Iterator[None]:
    """Tell those who only know how far the log is applied that this is not known now."""
    try:
        yield
    except LogUnavailableError as error:
        raise LogSilentError(str(error)) from error
