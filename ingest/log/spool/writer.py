"""Append to the log, or to the spool while the log does not take it: the side that gateways hold.

While anything waits in the spool, what comes goes behind it and not to the log, in every process of the installation.
So the log has the events in an order in which they may have been received: see README.md for why.
"""

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.protocol import LogWriter, Receipt
from ingest.log.spool.state import SpoolState
from ingest.wire import Kind, Section


class SpoolingLogWriter:
    """A `LogWriter` to a log with a spool. It closes both."""

    def __init__(self, log: LogWriter, spool: LogWriter, state: SpoolState) -> None:
        self._log = log
        self._spool = spool
        self._state = state

    @property
    def log(self) -> LogWriter:
        """The log itself, for whoever looks after its files."""
        return self._log

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log, or into the spool; the receipt of what is spooled names no place.

        Deletions are never spooled: their answer is a count, which only the log's readers can give.

        Raises:
            LogUnavailableError: neither took it; the outcome is unknown, send again.
            LogOverloadedError: the spool is full; the outcome is unknown where the log was tried first, send again.
        """
        if section.kind is Kind.DELETION:
            return await self._log.append(section)
        if self._state.holds:
            reason = "events wait in the spool"
        else:
            try:
                return await self._log.append(section)
            except LogUnavailableError as error:
                reason = str(error)
        try:
            await self._spool.append(section)
        except LogOverloadedError:
            raise LogOverloadedError(f"the spool holds METERLINE_SPOOL_BYTES_MAX, or is flooded ({reason})") from None
        except LogUnavailableError as error:
            raise LogUnavailableError(f"{reason}; the spool: {error}") from None
        return Receipt({})

    async def close(self) -> None:
        """Wait for what is under way, then let go."""
        await self._log.close()
        await self._spool.close()
