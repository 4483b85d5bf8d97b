"""A source that answers as a test says, for what no database does on demand; and an API over it."""

import threading

from loaders.errors import SourceDeniedError, SourceError


class ToldSource:
    """Answers a ping as it is told; `waits` is an event that it waits for, if any."""

    def __init__(self, database: "ToldDatabase") -> None:
        self._database = database

    def ping(self):
        self._database.pings += 1
        if self._database.waits is not None:
            self._database.waits.wait(60)
        if self._database.failure is not None:
            raise self._database.failure
        return self._database.warnings

    def cancel(self):
        self._database.cancelled.set()

    def close(self):
        self._database.closed += 1


class ToldDatabase:
    """What all sources of a test say; `opened` are the addresses that they were opened with."""

    def __init__(self) -> None:
        self.warnings = ["the user u may write: use one that only reads"]
        self.failure: Exception | None = None
        self.waits: threading.Event | None = None
        self.cancelled = threading.Event()
        self.pings = self.closed = 0
        self.opened = []

    def open(self, address):
        self.opened.append(address)
        return ToldSource(self)


def denied(words: str) -> SourceError:
    return SourceDeniedError(words)
