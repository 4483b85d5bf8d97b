"""Append to Kafka: small sections share messages, and each is answered once all in-sync replicas have all of it.

What comes in within a few milliseconds leaves together, one message (or as many as it takes) for each partition. The
client library sends, compresses and retries in its own threads; it is idempotent, so a retry neither doubles nor
reorders. A message that is not acknowledged in time is given up: it may be in the log or not, and the callers are told
so. Nothing waits for ever, and nothing is sent after its callers were refused and the time was over.
"""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.errors import LogMismatchError, LogOverloadedError, LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import REQUEST_S_MAX, Settings, settings
from ingest.log.kafka.message import headers
from ingest.log.kafka.shares import deal
from ingest.log.kafka.topic import MESSAGE_BYTES_MAX, TopicAdmin
from ingest.log.protocol import Receipt
from ingest.log.waiting import check_size, group, joined
from ingest.wire import Section, encode
from metering.position import OFFSETS_MAX

WAITING_BYTES_MAX = 64 * 1024 * 1024
APPEND_S_MAX = 20.0
"""Longer than a leader that died takes to be replaced, shorter than clients wait."""
FLUSH_INTERVAL_S = 0.005
"""Messages leave no closer than this, so that 35 bits of offsets outlast five years of one ceaseless gateway."""

_POLL_S = 0.1
_CHECK_RETRY_S_MIN = 0.05
_CHECK_RETRY_S_MAX = 1.0

_log = structlog.get_logger(__name__)


class KafkaLogWriter:
    """A `LogWriter` to a topic; it connects, and connects again, by itself."""

    def __init__(self, address: KafkaAddress, waiting_bytes_max: int, append_s_max: float) -> None:
        self._address = address
        self._waiting_bytes_max = waiting_bytes_max
        self._append_s_max = append_s_max
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(settings(address) | _settings(append_s_max))
        self._waiting: dict[int, list[_Piece]] = {}
        self._waiting_bytes = 0
        self._flush: asyncio.TimerHandle | None = None
        self._flushed_at = -FLUSH_INTERVAL_S
        self._drained = asyncio.Event()
        self._refusal: str | None = None
        self._checked = False
        self._checking = asyncio.create_task(self._check_topic())
        self._stopped = threading.Event()
        self._polling = threading.Thread(target=self._poll_until_stopped, name="kafka-acks", daemon=True)
        self._polling.start()

    @classmethod
    async def open(
        cls,
        address: KafkaAddress,
        *,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        append_s_max: float = APPEND_S_MAX,
    ) -> Self:
        """Begin to connect; brokers may come later, and appends wait for them up to `append_s_max`."""
        return cls(address, waiting_bytes_max, append_s_max)

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once all of it is durable: see `LogWriter`.

        Raises:
            LogUnavailableError: not all partitions acknowledged in time; the outcome is unknown.
            LogOverloadedError: too many bytes wait; nothing was written.
            ValueError: no message can hold it.
        """
        if self._refusal is not None:
            raise LogUnavailableError(self._refusal)
        check_size(b"", section.events)
        pieces = [
            (partition, encode((share,)), share.events) for partition, share in deal(section, self._address.partitions)
        ]
        size = 0
        for _, payload, _ in pieces:
            if len(payload) > MESSAGE_BYTES_MAX:
                raise ValueError(f"a part has {len(payload)} bytes: a message holds {MESSAGE_BYTES_MAX}, split it")
            size += len(payload)
        if self._waiting_bytes and self._waiting_bytes + size > self._waiting_bytes_max:
            raise LogOverloadedError(f"{self._waiting_bytes} bytes wait for Kafka, {self._waiting_bytes_max} may")
        self._waiting_bytes += size
        append = _Append(self._loop.create_future(), len(pieces))
        for partition, payload, events in pieces:
            self._waiting.setdefault(partition, []).append(_Piece(payload, events, append))
        self._schedule()
        return await append.answer

    async def close(self) -> None:
        """Send what waits, wait for what is under way, each within its limit, then hang up; may be called again."""
        if self._refusal is None:
            self._refusal = f"the writer to the topic {self._address.topic!r} is closed"
        if self._waiting_bytes:
            await self._drained.wait()
        self._checking.cancel()
        self._stopped.set()
        await asyncio.to_thread(self._polling.join)

    async def _check_topic(self) -> None:
        """Make sure, before anything is sent, that this topic deals keys to as many partitions as we do."""
        retry_s = _CHECK_RETRY_S_MIN
        admin = TopicAdmin(self._address)
        while not self._checked:
            try:
                await admin.open()
                self._checked = True
                if self._flush is not None:
                    self._flush.cancel()
                    self._flush = None
                self._schedule()
            except LogUnavailableError as error:
                _log.warning("the log is not there yet", reason=str(error))
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _CHECK_RETRY_S_MAX)
            except LogMismatchError as error:
                self._refusal = str(error)
                self._refuse_waiting(self._refusal)
                _log.error("nothing can be appended", reason=self._refusal)
                return

    def _schedule(self) -> None:
        """Have what waits sent soon: at once after a pause, else when the interval is over."""
        if self._flush is not None or not self._waiting:
            return
        if self._checked:
            pause_s = self._flushed_at + FLUSH_INTERVAL_S - self._loop.time()
            self._flush = self._loop.call_later(max(pause_s, 0), self._send)
        else:
            self._flush = self._loop.call_later(self._append_s_max, self._give_up)

    def _give_up(self) -> None:
        """Refuse what waits for a first connection; the first of it has waited as long as it may."""
        self._flush = None
        self._refuse_waiting(f"no Kafka broker answers at {self._address.servers}: nothing was written, send again")

    def _send(self) -> None:
        self._flush = None
        self._flushed_at = self._loop.time()
        waiting, self._waiting = self._waiting, {}
        for partition, pieces in waiting.items():
            for together in group(pieces):
                self._produce(partition, together)

    def _refuse_waiting(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for partition, pieces in waiting.items():
            self._settle(partition, pieces, -1, reason)

    def _produce(self, partition: int, pieces: "Sequence[_Piece]") -> None:
        try:
            self._producer.produce(
                self._address.topic,
                joined(pieces),
                partition=partition,
                headers=headers(sum(piece.events for piece in pieces)),
                on_delivery=partial(self._delivered, partition, pieces),
            )
        except (BufferError, KafkaException) as error:
            self._settle(partition, pieces, -1, f"Kafka did not take it ({error}): send again")

    def _poll_until_stopped(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(_POLL_S)

    def _delivered(
        self, partition: int, pieces: "Sequence[_Piece]", error: KafkaError | None, message: Message
    ) -> None:
        """Learn, in the polling thread, what became of a message."""
        offset = message.offset()
        offset = -1 if offset is None else offset
        reason = None
        if error is not None:
            reason = f"Kafka did not acknowledge it ({error.str()}): the outcome is unknown, send again"
        elif not 0 <= offset < OFFSETS_MAX:
            # Told for a retry of what was taken so long ago that the broker has forgotten where it lies.
            reason = f"Kafka gave it the offset {offset}, which no position can name: send again"
        self._loop.call_soon_threadsafe(self._settle, partition, pieces, offset, reason)

    def _settle(self, partition: int, pieces: "Sequence[_Piece]", offset: int, reason: str | None) -> None:
        index = 0
        for piece in pieces:
            self._waiting_bytes -= len(piece.payload)
            if reason is None:
                piece.append.rest(partition, offset, index)
            else:
                piece.append.refuse(reason)
            index += piece.events
        if self._refusal is not None and not self._waiting_bytes:
            self._drained.set()


class _Append:
    """One append under way, and what of it has come to rest."""

    __slots__ = ("_left", "_offsets", "answer")

    def __init__(self, answer: "asyncio.Future[Receipt]", pieces: int) -> None:
        self.answer = answer
        self._offsets: dict[int, tuple[int, int]] = {}
        self._left = pieces

    def rest(self, partition: int, offset: int, index: int) -> None:
        """Learn that a piece is durable; pieces of one partition come in order."""
        self._offsets.setdefault(partition, (offset, index))
        self._left -= 1
        if not self._left and not self.answer.done():
            self.answer.set_result(Receipt(self._offsets))

    def refuse(self, reason: str) -> None:
        """Learn that a piece may not be durable."""
        if not self.answer.done():
            self.answer.set_exception(LogUnavailableError(reason))


class _Piece(NamedTuple):
    """What of an append goes into one message."""

    payload: bytes
    events: int
    append: _Append


def _settings(append_s_max: float) -> Settings:
    return {
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 0,  # What belongs together was put together already.
        "message.max.bytes": MESSAGE_BYTES_MAX + 64 * 1024,
        "message.timeout.ms": int(append_s_max * 1000),
        "request.timeout.ms": int(min(REQUEST_S_MAX, append_s_max) * 1000),
        "queue.buffering.max.kbytes": 1 << 20,  # Our own limit is lower and counts the same bytes.
        "queue.buffering.max.messages": 1_000_000,
    }
