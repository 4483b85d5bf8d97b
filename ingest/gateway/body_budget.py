"""Bound the bytes that a worker holds at one time, and share them out fairly, whatever accounts send together.

An account that holds something already may hold as much as is still free, and no more. So one account alone gets half
of the room, k that send too much get an equal part each, and there is always as much left for those that send little:
who is over its share is refused, nobody else. (Choudhury and Hahne, "Dynamic queue length thresholds", 1998.)
"""

from collections.abc import Iterator
from contextlib import contextmanager

from metering.http.problem import unavailable

HELD_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that are being read and checked."""
WAITING_BYTES_MAX = 64 * 1024 * 1024
"""Of sections that wait until the log has them on disk; the writer to the log takes no more at once."""


class BodyBudget:
    """Counts what is held, by account; refuses what would be too much."""

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held_by: dict[str, int] = {}
        self.held = 0

    def take(self, account_id: str, size: int, mine: int = 0) -> None:
        """Count `size` bytes more as held; a body that is alone always finds room.

        `mine` of what is held belongs to the same body, which has begun to come in.

        Raises:
            ApiError: 503, for this account alone when it holds its share, for anybody when there is no room.
        """
        held = self._held_by.get(account_id, 0)
        if self.held > mine:
            if self.held + size > self._bytes_max:
                raise unavailable("too many bytes wait here at once: send again shortly")
            if held > mine and held + size > self._bytes_max - self.held:
                raise unavailable(
                    "this account has its share of what may wait here: send less at once, or again shortly"
                )
        self._held_by[account_id] = held + size
        self.held += size

    def give_back(self, account_id: str, size: int) -> None:
        """Count bytes as held no longer."""
        self.held -= size
        left = self._held_by[account_id] - size
        if left:
            self._held_by[account_id] = left
        else:
            del self._held_by[account_id]

    @contextmanager
    def hold(self, account_id: str, size: int) -> Iterator["Hold"]:
        """Count `size` bytes, and what the block adds, as held within the block.

        Raises:
            ApiError: 503 as `take`.
        """
        hold = Hold(self, account_id)
        hold.grow(size)
        try:
            yield hold
        finally:
            if hold.size:
                self.give_back(account_id, hold.size)


class Hold:
    """What one body holds."""

    def __init__(self, budget: BodyBudget, account_id: str) -> None:
        self._budget = budget
        self._account_id = account_id
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold more.

        Raises:
            ApiError: 503 as `BodyBudget.take`; what was held so far still is.
        """
        if size:
            self._budget.take(self._account_id, size, self.size)
            self.size += size
