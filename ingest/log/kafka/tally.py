"""How many events each message of a partition holds: what a backlog is counted from.

Offsets count messages, not events, so whoever reads a message notes its events here. What is noted has no gaps: it
begins anew where reading begins elsewhere.
"""

from collections import deque
from collections.abc import Iterable

from ingest.log.protocol import Backlog, Message

NOTES_MAX = 1_000_000
"""Some 100 MB in all, far beyond any backlog that a healthy installation has; older notes are dropped."""


class Tally:
    """One partition's notes."""

    def __init__(self, at: int) -> None:
        self._first = at
        self._notes: deque[tuple[int, int]] = deque()
        self._events = 0
        self._mean = 1.0

    @property
    def next_offset(self) -> int:
        """The offset that is to be noted next."""
        return self._first + len(self._notes)

    def go_to(self, offset: int) -> None:
        """Drop what lies before an offset; begin anew there if nothing is known of it."""
        if not self._first <= offset <= self.next_offset:
            self._first = offset
            self._notes.clear()
            self._events = 0
        while self._first < offset:
            self._drop()

    def note(self, messages: Iterable[Message]) -> None:
        """Take down messages of this partition that lie just behind what is known; pass over others."""
        for message in messages:
            if message.offset == self.next_offset:
                self._notes.append((message.events, message.appended_at_us))
                self._events += message.events
                self._mean += (message.events - self._mean) / 100
                if len(self._notes) > NOTES_MAX:
                    self._drop()

    def backlog(self, end: int) -> Backlog:
        """Tell what lies from the first offset to `end`: noted messages exactly, others like those seen lately."""
        noted = min(len(self._notes), end - self._first)
        events = self._events if noted == len(self._notes) else sum(self._notes[index][0] for index in range(noted))
        unknown = max(0, end - self.next_offset)
        oldest = min((at_us for _, at_us in self._notes), default=None)
        return Backlog(events + max(unknown, round(unknown * self._mean)), oldest)

    def _drop(self) -> None:
        events, _ = self._notes.popleft()
        self._events -= events
        self._first += 1
