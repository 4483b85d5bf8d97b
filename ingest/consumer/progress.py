"""How far the log is applied, for those who wait for it: the core's answer to gateways, clients and pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.consumer.lag import Lag, lag_of, wait_until_applied
from ingest.consumer.lanes import accepted, lanes_of
from ingest.consumer.seams import Clock, Lanes
from ingest.core_api import Place
from ingest.errors import LogUnavailableError
from ingest.log.protocol import LogReader
from metering.errors import StoreUnavailableError, UnavailableError
from metering.position import Cutoff, Position, pack
from metering.store.versions import VersionStore
from metering.world import World


class LogSilentError(UnavailableError):
    """The log does not answer, so nobody can say how far the figures are behind it."""


class LogProgress:
    """`ingest.core_api.Progress` over a log and the store it is applied to."""

    def __init__(self, log: LogReader, store: VersionStore, lanes: Lanes, clock: Clock) -> None:
        self._log = log
        self._store = store
        self._lanes = lanes
        self._clock = clock
        self._lane_of: dict[int, int] = {}
        self._last_known: Cutoff | None = None

    async def wait_until_applied(self, wait_s_max: float) -> bool:
        """Wait until all that is durable in the log now is in the figures; tell whether it is.

        Raises:
            LogSilentError: what is durable is not known.
        """
        with _log_errors():
            wanted = await accepted(self._log, await self._partitions())
        return await wait_until_applied(self._store, wanted, wait_s_max)

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
            lane = (await self._partitions())[place.partition]
        position = pack(lane, place.offset, place.index)
        return position if await wait_until_applied(self._store, Cutoff({lane: position}), wait_s_max) else None

    async def lag(self) -> Lag:
        """Give the lag now; never 0 while an event already durable is not in the figures.

        While the store does not answer, what it last said is applied counts: the lag is then at most this.

        Raises:
            LogSilentError: what is durable is not known.
            StoreUnavailableError: the store does not answer, and never has.
        """
        with _log_errors():
            partitions = await self._partitions()
            try:
                self._last_known = await self._store.applied()
            except StoreUnavailableError:
                if self._last_known is None:
                    raise
            return await lag_of(self._log, _Known(self._last_known), partitions, self._clock)

    async def _partitions(self) -> dict[int, int]:
        if not self._lane_of:
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
