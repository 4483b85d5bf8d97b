"""Take messages from the log in batches: large ones under load, at once when there is little to do.

A batch is bounded in events and in bytes. The log is asked by events, so the size of an event is learned as we go.
"""

import asyncio
from collections.abc import Mapping

from ingest.errors import LogGrownError
from ingest.log.protocol import LogReader, Message

BATCH_EVENTS_MAX = 150_000
BATCH_BYTES_MAX = 64 * 1024 * 1024
FLUSH_INTERVAL_S = 0.3
"""Under steady load batches come no faster: each makes a few files in the store, which it has to merge again."""
IDLE_WAIT_S_MAX = 1.0

_POLL_EVENTS_MIN = 1_000
_PAUSE_S = 0.05
_EVENT_BYTES_AT_FIRST = 4_096


class Intake:
    """The reading end of one log; keeps no place in it."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._event_bytes = _EVENT_BYTES_AT_FIRST
        self._taken_at = -FLUSH_INTERVAL_S

    async def take(self, after: Mapping[int, int], *, wait_s_max: float) -> list[Message]:
        """Give the next messages, as many as one batch may hold; none if none came in time.

        Raises:
            LogCorruptError: a message cannot be read.
            LogGrownError: all of these partitions was given before, and the log goes on elsewhere.
        """
        return await self._fill([], after, wait_s_max)

    async def take_paced(self, after: Mapping[int, int]) -> list[Message]:
        """As `take`, but wait until a batch is full, or it is time for one.

        Raises:
            LogCorruptError: a message cannot be read.
        """
        loop = asyncio.get_running_loop()
        messages = await self._fill([], after, IDLE_WAIT_S_MAX)
        while messages and self._room(messages) and loop.time() < self._taken_at + FLUSH_INTERVAL_S:
            await asyncio.sleep(_PAUSE_S)
            messages = await self._fill(messages, after, 0)
        self._taken_at = loop.time()
        return messages

    async def _fill(self, messages: list[Message], after: Mapping[int, int], wait_s_max: float) -> list[Message]:
        while room := self._room(messages):
            reached = dict(after) | {message.partition: message.offset + 1 for message in messages}
            try:
                found = await self._log.poll(reached, events_max=room, wait_s_max=0 if messages else wait_s_max)
            except LogGrownError:
                if messages:
                    break  # They come first; the next call tells.
                raise
            if not found:
                break
            messages = [*messages, *found]
            size = sum(len(message.payload) for message in messages)
            self._event_bytes = max(1, size // max(1, _events(messages)))
        return messages

    def _room(self, messages: list[Message]) -> int:
        """Give how many events may still be asked for; 0 when the batch is full."""
        events = BATCH_EVENTS_MAX - _events(messages)
        size = BATCH_BYTES_MAX - sum(len(message.payload) for message in messages)
        if events <= 0 or size <= 0:
            return 0
        return max(min(events, size // self._event_bytes), _POLL_EVENTS_MIN)


def _events(messages: list[Message]) -> int:
    return sum(message.events for message in messages)
