"""Fetch the next documents while the last are made into a page: the server works while we do.

One item is held ready and one is being fetched, so memory stays bounded.
"""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Iterates over what another iterator gives, which a thread of its own asks for."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[Item] | Exception | None] = queue.Queue(1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="mongodb-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        """Give the items; what fetching them raised is raised here."""
        while True:
            found = self._ready.get()
            if found is None:
                return
            if isinstance(found, Exception):
                raise found
            yield found[0]

    def stop(self) -> None:
        """Have the thread end at its next item; one that waits for the server is not woken by this."""
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            self._ready.get_nowait()  # Room for what it may be about to put.

    def join(self, seconds_max: float) -> None:
        """Wait until the thread has ended, so long at most."""
        self._thread.join(seconds_max)

    def _fetch(self) -> None:
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except Exception as error:  # noqa: BLE001 - whatever it is, the other thread tells it.
            self._put(error)
        else:
            self._put(None)

    def _put(self, found: tuple[Item] | Exception | None) -> bool:
        if self._stopped.is_set():
            return False
        self._ready.put(found)  # `stop` makes room once, and nothing is put after that.
        return True
