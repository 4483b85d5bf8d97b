"""Bound the bytes of bodies that a worker holds at one time, whatever clients send together."""

from collections.abc import Iterator
from contextlib import contextmanager

from metering.http.problem import unavailable

HELD_BYTES_MAX = 256 * 1024 * 1024


class BodyBudget:
    """Counts what is held; refuses what would be too much."""

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count `size` bytes as held within the block. A single body always finds room.

        Raises:
            ApiError: 503 when others hold too much; nothing was read.
        """
        if self.held and self.held + size > self._bytes_max:
            raise unavailable("too many large requests at once: send again shortly")
        self.held += size
        try:
            yield
        finally:
            self.held -= size
