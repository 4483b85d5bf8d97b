"""Read a run's rows in a thread, and hand events over page by page: one is made while the one before is appended."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.rules import BATCH_EVENTS_MAX
from loaders.cursors import Cursor, greater, greatest, start_cursor
from loaders.dataloaders.model import Dataloader
from loaders.errors import QueryCancelledError, QueryError
from loaders.met_ids import MetIds
from loaders.rows import EventMaker, Made
from loaders.running.limits import ROWS_MAX
from loaders.source import Page, Parameter, Source

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END_WAIT_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: a dataloader as it was when its run was taken."""

    dataloader: Dataloader
    from_start: bool
    folder: Path
    """Where what must not fill the memory is put, on a disk."""
    rows_max: int = ROWS_MAX

    def parameters(self) -> Mapping[str, Parameter]:
        """Give what is bound."""
        dataloader = self.dataloader
        last_run_at = None if self.from_start else dataloader.last_run_at
        bound: dict[str, Parameter] = {"last_run_at": last_run_at or BEGINNING}
        if dataloader.cursor_column is not None and dataloader.cursor_start is not None:
            cursor = None if self.from_start else dataloader.cursor
            bound["cursor"] = (cursor or start_cursor(dataloader.cursor_start)).parameter()
        return bound


@dataclass(frozen=True, slots=True)
class Ended:
    """All was read. `began_at` is by the source's clock; `cursor` None when no row had a value."""

    began_at: datetime
    cursor: Cursor | None


class Reader:
    """One reading of a run's rows, from its beginning. Its owner is on the event loop."""

    def __init__(self, reading: Reading, open_source: Callable[[], Source]) -> None:
        """`open_source` may block."""
        self._reading = reading
        self._open = open_source
        self._loop = asyncio.get_running_loop()
        self._made: deque[Made] = deque()
        self._changed = asyncio.Event()
        self._room = threading.Semaphore(1)
        self._stopped = threading.Event()
        self._source: Source | None = None
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="dataloader", daemon=True)
        self._thread.start()

    async def page(self) -> Made | None:
        """Give the next page's events, None after the last. The page before is done with.

        Raises:
            SourceError: nothing more comes.
            OSError: the folder cannot be written.
        """
        while not self._made:
            if self._ended.done():
                self._ended.result()  # What it raised.
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._made.popleft()

    def done(self) -> None:
        """Let the next page be handed over: the last one that was given is durable."""
        self._room.release()

    @property
    def ended(self) -> Ended:
        """What was found, once `page` gave None."""
        return self._ended.result()

    async def stop(self) -> None:
        """End the reading at once, and the query at its source; returns when the thread has ended, or soon after."""
        self._stopped.set()
        self._room.release()
        if self._source is not None and not self._ended.done():
            cancelling = asyncio.create_task(asyncio.to_thread(self._source.cancel))
            await asyncio.wait({cancelling}, timeout=_END_WAIT_S_MAX)
        await asyncio.wait({self._ended}, timeout=_END_WAIT_S_MAX)
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()  # Looked at, so that it is not reported as forgotten.

    def _run(self) -> None:
        try:
            ended = self._read()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told to the owner.
            self._tell(self._ended.set_exception, error)
        else:
            self._tell(self._ended.set_result, ended)

    def _read(self) -> Ended:
        reading = self._reading
        source = self._source = self._open()
        with closing(source), MetIds(reading.folder) as met:
            self._check()
            began_at = source.now()
            maker = EventMaker(reading.dataloader.event_type, source.quote, met)
            pages = source.pages(reading.dataloader.query, reading.parameters(), page_rows_max=BATCH_EVENTS_MAX)
            cursor: Cursor | None = None
            rows = 0
            for number, page in enumerate(pages):
                rows += page.rows
                if rows > reading.rows_max:
                    raise QueryError(
                        f"the query gives more than {reading.rows_max} rows in one run: have it give less at once, by "
                        "{{last_run_at}} or {{cursor}}, or by several dataloaders"
                    )
                made = maker.made(page)
                cursor = greater(cursor, self._cursor_of(page, first=not number))
                self._hand_over(made)
        return Ended(began_at, cursor)

    def _cursor_of(self, page: Page, *, first: bool) -> Cursor | None:
        name = self._reading.dataloader.cursor_column
        if name is None:
            return None
        at = next((index for index, column in enumerate(page.columns) if column.name == name), None)
        if at is not None:
            return greatest(page.columns[at], page.cells[at])
        if first and page.rows:  # Without a row, documents tell nothing of their fields.
            raise QueryError(f'cursor_column: the query returns no column "{name}": return it, or name another')
        return None  # Documents without this field.

    def _hand_over(self, made: Made) -> None:
        self._room.acquire()
        self._check()
        self._tell(self._made.append, made)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise QueryCancelledError("the run was ended")

    def _tell(self, change: Callable[[Any], object], value: Any) -> None:
        def tell() -> None:
            change(value)
            self._changed.set()

        with suppress(RuntimeError):  # The loop is gone, and with it who would want to know.
            self._loop.call_soon_threadsafe(tell)
