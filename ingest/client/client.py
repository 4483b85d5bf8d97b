"""A client that takes events from any thread and sends them from one, in the order in which they were taken.

What `send` took is kept until the server has said that it is durable: the batch is framed once and posted, one at a
time, with the same bytes until it is answered. So versions of one event arrive in their order, and whatever is sent
twice is the same twice, which the server counts once. What is kept is bounded; who would go beyond waits or is told.

A crash of the process takes with it what was not acknowledged, unless there is a `spool_dir`: then an event is on disk
before `send` returns, and the next client with that folder sends what the last one could not.
"""

import atexit
import json
import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from ingest.client.errors import BufferFullError, ClientClosedError, NotDeliveredError, SpoolError
from ingest.client.event import EVENT_BYTES_MAX, Event, Record
from ingest.client.post import Fate, Outcome, Poster, Rejection
from ingest.client.spool import Spool

BATCH_EVENTS_MAX = 5000
"""The most that the server takes in one request."""
BATCH_BYTES_MAX = 32 * 1024 * 1024
"""As above."""
EXIT_WAIT_S_MAX = 30.0
"""How long a process that ends waits for what is not acknowledged."""
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 30.0
REJECTIONS_KEPT_MAX = 1000

_log = logging.getLogger(__name__)
_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


class Client:
    """Sends events to one address with one key. Any thread may call any method; a forked child begins empty."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
        batch_bytes_max: int = 4 * 1024 * 1024,
        linger_s: float = 0.2,
        buffer_events_max: int = 100_000,
        buffer_bytes_max: int = 256 * 1024 * 1024,
        on_full: Literal["block", "raise"] = "block",
        on_rejected: Callable[[Rejection], None] | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Open it; nothing is sent yet but what a spool holds.

        `linger_s` is how long an event may wait for others to share its request. `on_rejected` hears of each event that
        breaks a rule of the server, from the sending thread; without it, `rejections` holds the last thousand, and a
        spool all of them in `rejected.jsonl`.

        Raises:
            SpoolError: the folder cannot be used.
            ValueError: a limit, the address or the key is none.
        """
        _check(
            url,
            key,
            batch_events_max=batch_events_max,
            batch_bytes_max=batch_bytes_max,
            buffer_events_max=buffer_events_max,
            buffer_bytes_max=buffer_bytes_max,
        )
        if linger_s < 0:
            raise ValueError(f"linger_s={linger_s!r} must be seconds, 0 or more")
        if on_full not in {"block", "raise"}:
            raise ValueError(f'on_full={on_full!r} must be "block" or "raise"')
        self._batch_events_max, self._batch_bytes_max = batch_events_max, batch_bytes_max
        self._buffer_events_max, self._buffer_bytes_max = buffer_events_max, buffer_bytes_max
        self._linger_s = linger_s
        self._blocks = on_full == "block"
        self._on_rejected = on_rejected
        self._address = (url, key)
        self._spool = None if spool_dir is None else Spool(Path(spool_dir))
        self._begin()
        if self._spool is not None and self._spool.waiting:
            with self._changed:
                self._take(self._spool.waiting, sum(map(len, self._spool.waiting)))
            self._spool.waiting = []
        _clients.add(self)
        atexit.register(self._at_exit)

    def _begin(self) -> None:
        """Be empty, with a connection and a thread of one's own: at the start, and in a child after a fork."""
        self.rejections: deque[Rejection] = deque(maxlen=REJECTIONS_KEPT_MAX)
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._under_way: Sequence[bytes] = ()
        self._waiting_bytes = self._held_bytes = 0
        self._taken = self._settled = self._hurry_to = 0
        self._oldest_at = 0.0
        self._problem: Outcome | None = None
        self._closed = self._ending = False
        self._poster = Poster(*self._address)
        self._thread: threading.Thread | None = None

    def send(self, event_type: str, customer_id: str, record: Record, timestamp: datetime | None = None) -> None:
        """Take one event, with the present moment where `timestamp` is None.

        Returns when it is in the buffer, and on disk if there is a spool.

        Raises:
            EventError, BufferFullError, ClientClosedError: it was not taken.
            SpoolError: it may or may not be sent.
        """
        self.send_many((Event(event_type, customer_id, record, timestamp),))

    def send_many(self, events: Iterable[Event]) -> None:
        """Take events in their order, all or none, with one wait for the disk if there is a spool.

        Raises:
            EventError, BufferFullError, ClientClosedError: none was taken.
            SpoolError: they may or may not be sent.
        """
        encoded = [event.encoded() for event in events]
        if not encoded:
            return
        size = sum(map(len, encoded))
        if len(encoded) > self._buffer_events_max or size > self._buffer_bytes_max:
            raise BufferFullError(f"{len(encoded)} events of {size} bytes never fit the buffer: send fewer at once")
        with self._changed:
            while self._refuse_if_closed() or not self._has_room(len(encoded), size):
                if not self._blocks:
                    raise BufferFullError(
                        f"{self._taken - self._settled} events wait ({self._why()}): send again shortly, or allow more "
                        "(buffer_events_max, buffer_bytes_max)"
                    )
                self._changed.wait()
            spool = self._spool
            mark = 0 if spool is None else spool.append(encoded)
            self._take(encoded, size)
        if spool is not None:
            spool.sync(mark)

    def flush(self, timeout_s: float | None = None) -> None:
        """Return once all that was taken before is settled: durable at the server, or rejected by it.

        Raises:
            NotDeliveredError: not within `timeout_s` (None: however long it takes), or the server refuses this key or
                address. The events stay in the buffer and are tried again.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            wanted = self._taken
            self._hurry_to = max(self._hurry_to, wanted)
            self._changed.notify_all()
            while self._settled < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if self._problem is not None and self._problem.fate is Fate.REFUSED:
                    raise self._not_delivered()
                if self._closed and self._thread is None:
                    raise self._not_delivered()
                if left is not None and left <= 0:
                    raise self._not_delivered()
                self._changed.wait(left)

    def close(self, timeout_s: float | None = EXIT_WAIT_S_MAX) -> None:
        """Take no more, flush, and let go of everything. May be called twice.

        Raises:
            NotDeliveredError: as `flush`; what the error holds is no longer tried. With a spool it is still on disk.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        try:
            self.flush(timeout_s)
        finally:
            with self._changed:
                self._ending = True
                self._changed.notify_all()
                thread, self._thread = self._thread, None
            if thread is not None and not self._under_way:  # A request without an answer ends with the process.
                thread.join()
            self._poster.close()
            if self._spool is not None:
                with self._changed:
                    self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _at_exit(self) -> None:
        try:
            self.close()
        except NotDeliveredError as error:
            kept = "are lost with this process" if self._spool is None else "stay in the spool"
            _log.error("%s; %d events %s", error, len(error.events), kept)

    def _refuse_if_closed(self) -> bool:
        if self._closed:
            raise ClientClosedError("this client is closed: open another")
        return False

    def _has_room(self, events: int, size: int) -> bool:
        held = self._taken - self._settled
        return not held or (
            held + events <= self._buffer_events_max and self._held_bytes + size <= self._buffer_bytes_max
        )

    def _take(self, encoded: Sequence[bytes], size: int) -> None:
        """Put events into the buffer and see that somebody sends them. The lock is held."""
        if not self._waiting:
            self._oldest_at = time.monotonic()
        self._waiting.extend(encoded)
        self._taken += len(encoded)
        before, self._waiting_bytes = self._waiting_bytes, self._waiting_bytes + size
        self._held_bytes += size
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_sending, name="meterline-client", daemon=True)
            self._thread.start()
        elif not before or self._has_batch():  # It sleeps for the first event, or until a batch is full.
            self._changed.notify_all()

    def _has_batch(self) -> bool:
        return len(self._waiting) >= self._batch_events_max or self._waiting_bytes >= self._batch_bytes_max

    def _keep_sending(self) -> None:
        while batch := self._next_batch():
            self._deliver(batch)

    def _next_batch(self) -> Sequence[bytes]:
        """Wait for events that are due; none when the client ends."""
        with self._changed:
            while not self._ending:
                if self._waiting:
                    left = self._oldest_at + self._linger_s - time.monotonic()
                    if left <= 0 or self._has_batch() or self._closed or self._settled < self._hurry_to:
                        return self._cut_batch()
                    self._changed.wait(left)
                else:
                    self._changed.wait()
        return ()

    def _cut_batch(self) -> Sequence[bytes]:
        batch: list[bytes] = []
        size = 2
        while self._waiting and len(batch) < self._batch_events_max:
            size += len(self._waiting[0]) + 1
            if batch and size > self._batch_bytes_max:
                break
            batch.append(self._waiting.popleft())
        self._waiting_bytes -= sum(map(len, batch))
        self._oldest_at = time.monotonic()
        self._under_way = batch
        return batch

    def _deliver(self, events: Sequence[bytes]) -> None:
        """Post a batch until it is settled. One that is refused as a whole is halved, until the culprit is alone."""
        body = b"[" + b",".join(events) + b"]"
        pause = PAUSE_S_MIN
        while not self._ending:
            outcome = self._post(body, events)
            if outcome.fate is Fate.UNREADABLE and len(events) > 1:
                half = len(events) // 2
                self._deliver(events[:half])
                self._deliver(events[half:])
                return
            if outcome.fate in {Fate.TAKEN, Fate.UNREADABLE} and self._settle(events, outcome):
                return
            longest = PAUSE_S_MAX if outcome.fate is Fate.REFUSED else pause
            wait_s = max(outcome.retry_after_s or 0.0, longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter.
            pause = min(pause * 2, PAUSE_S_MAX)
            self._rest(wait_s)

    def _post(self, body: bytes, events: Sequence[bytes]) -> Outcome:
        try:
            outcome = self._poster.post(body, events)
        except Exception as error:  # noqa: BLE001 - whatever it is, the events stay.
            _log.exception("a batch could not be posted; it is tried again")
            outcome = Outcome(Fate.UNKNOWN, f"{type(error).__name__}: {error}")
        taken = outcome.fate is Fate.TAKEN
        if not taken and (self._problem is None or self._problem.fate is not outcome.fate):
            _log.warning("events are not taken (%s): they are kept and tried again", outcome.reason)
        with self._changed:
            self._problem = None if taken else outcome
            if outcome.fate is Fate.REFUSED:
                self._changed.notify_all()  # Who flushes need not wait.
        return outcome

    def _settle(self, events: Sequence[bytes], outcome: Outcome) -> bool:
        """Report what was rejected, then forget the events; False when that cannot be written down."""
        rejections = outcome.rejections
        if outcome.fate is Fate.UNREADABLE:
            rejections = [Rejection(events[0], "unreadable", (), outcome.reason)]
        try:
            self._report(rejections)
            with self._changed:
                if self._ending and self._spool is not None:
                    return True  # Its folder may be another's by now; who has it sends them again.
                if self._spool is not None:
                    self._spool.acknowledge(events)
                self._settled += len(events)
                self._held_bytes -= sum(map(len, events))
                self._under_way = self._under_way[len(events) :]
                self._problem = None
                self._changed.notify_all()
        except SpoolError:
            _log.exception("the spool cannot be kept; the batch is sent again")
            return False
        return True

    def _report(self, rejections: Sequence[Rejection]) -> None:
        if not rejections:
            return
        if self._on_rejected is None:
            _log.warning("%d events were rejected, such as: %s", len(rejections), rejections[0].message)
            if self._spool is not None:
                self._spool.keep_rejected(b"".join(map(_line, rejections)))
            self.rejections.extend(rejections)
            return
        for rejection in rejections:
            try:
                self._on_rejected(rejection)
            except Exception:  # noqa: BLE001 - theirs; it is told, and is no reason to stop.
                _log.exception("on_rejected failed; sending goes on")

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._ending and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _why(self) -> str:
        return "the server is slower than what comes" if self._problem is None else self._problem.reason

    def _not_delivered(self) -> NotDeliveredError:
        events = [*self._under_way, *self._waiting]
        why = "there was no answer in time" if self._problem is None else self._problem.reason
        return NotDeliveredError(f"{len(events)} events are not acknowledged: {why}", events)

    def _after_fork(self) -> None:
        """Be another client: what was taken before the fork is the parent's to send, and so is its spool."""
        self._begin()
        if self._spool is not None:
            self._spool.close()
            self._closed = True


def _line(rejection: Rejection) -> bytes:
    why = {"code": rejection.code, "path": list(rejection.path), "message": rejection.message}
    return b'{"error":' + json.dumps(why).encode() + b',"event":' + rejection.event + b"}\n"


def _check(
    url: str, key: str, *, batch_events_max: int, batch_bytes_max: int, buffer_events_max: int, buffer_bytes_max: int
) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"url={url!r} must be an address such as http://127.0.0.1:8080")
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("key must be an API key such as test_...: letters and digits")
    for name, value, least, most in (
        ("batch_events_max", batch_events_max, 1, BATCH_EVENTS_MAX),
        ("batch_bytes_max", batch_bytes_max, EVENT_BYTES_MAX + 2, BATCH_BYTES_MAX),
        ("buffer_events_max", buffer_events_max, 1, None),
        ("buffer_bytes_max", buffer_bytes_max, EVENT_BYTES_MAX, None),
    ):
        if value < least or (most is not None and value > most):
            raise ValueError(f"{name}={value!r} must be {least} {'or more' if most is None else f'to {most}'}")


def _begin_again_in_child() -> None:
    for client in list(_clients):
        client._after_fork()  # noqa: SLF001 - a client's own.


os.register_at_fork(after_in_child=_begin_again_in_child)
