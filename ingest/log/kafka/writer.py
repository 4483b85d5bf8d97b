"""Append to Kafka: small sections share messages, and each is answered once all in-sync replicas have all of it.

What comes in within a few milliseconds leaves together, one message (or as many as it takes) for each partition. The
client library sends, compresses and retries in its own threads; it is idempotent, so a retry neither doubles nor
reorders. A message that is not acknowledged in time is given up: it may be in the log or not, and the callers are told
so. Nothing waits for ever, and nothing is sent after its callers were refused and the time was over.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.errors import LogMismatchError, LogOverloadedError, LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import REQUEST_S_MAX, settings
from ingest.log.kafka.message import headers
from ingest.log.kafka.security import Settings
from ingest.log.kafka.shares import deal
from ingest.log.kafka.topic import MESSAGE_BYTES_MAX, Topic, TopicAdmin
from ingest.log.protocol import Receipt
from ingest.log.waiting import check_size, group, joined
from ingest.wire import Section, encode
from metering.position import OFFSETS_MAX

WAITING_BYTES_MAX = 64 * 1024 * 1024
APPEND_S_MAX = 20.0
"""Longer than a leader that died takes to be replaced, shorter than clients wait."""
FLUSH_INTERVAL_S = 0.005
"""Messages leave no closer than this, so that 35 bits of offsets outlast five years of one ceaseless gateway."""

CHECK_INTERVAL_S = 30.0
"""So often the topic's settings are looked at while all is well."""
SECTION_BYTES = 128
"""What a section takes beside its body, at most."""

_POLL_S = 0.1
_CHECK_RETRY_S_MIN = 0.05
_CHECK_RETRY_S_MAX = 1.0

_NOT_THE_TOPIC = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,  # It is sealed: a next generation is there, or will be.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library's own errors have such names.
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)

_log = structlog.get_logger(__name__)


class KafkaLogWriter:
    """A `LogWriter` to the last generation of a log; it connects, and connects again, by itself."""

    def __init__(
        self,
        address: KafkaAddress,
        waiting_bytes_max: int,
        append_s_max: float,
        check_interval_s: float,
        partitions_before: int,
    ) -> None:
        self._address = address
        self._partitions_before = partitions_before
        self._waiting_bytes_max = waiting_bytes_max
        self._append_s_max = append_s_max
        self._check_interval_s = check_interval_s
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(settings(address) | _settings(append_s_max))
        self._waiting: list[_Append] = []
        self._waiting_bytes = 0
        self._flush: asyncio.TimerHandle | None = None
        self._flushed_at = -FLUSH_INTERVAL_S
        self._drained = asyncio.Event()
        self._refusal: str | None = None
        self._generations: list[Topic] = []
        self._silence = ""
        """What brokers last said, or did not, when the topic was looked at."""
        self._is_open = False
        """Whether the last generation is known to take messages; while it is not, appends wait."""
        self._check_now = asyncio.Event()
        self._checking = asyncio.create_task(self._keep_checking())
        self._closed = False
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
        check_interval_s: float = CHECK_INTERVAL_S,
        partitions_before: int = 0,
    ) -> Self:
        """Begin to connect; brokers may come later, and appends wait for them up to `append_s_max`.

        `partitions_before`: of the log that this one follows, for receipts number through as `ingest.log.chain` does.
        """
        return cls(address, waiting_bytes_max, append_s_max, check_interval_s, partitions_before)

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
        size = len(section.body) + SECTION_BYTES
        if self._waiting_bytes and self._waiting_bytes + size > self._waiting_bytes_max:
            raise LogOverloadedError(f"{self._waiting_bytes} bytes wait for Kafka, {self._waiting_bytes_max} may")
        self._waiting_bytes += size
        append = _Append(section, size, self._loop.create_future())
        self._waiting.append(append)
        self._schedule()
        return await append.answer

    async def close(self) -> None:
        """Send what waits, wait for what is under way, each within its limit, then hang up; may be called again."""
        self._closed = True
        if self._refusal is None:
            self._refusal = f"the writer to the topic {self._address.topic!r} is closed"
        if self._waiting_bytes:
            self._drained.clear()
            await self._drained.wait()
        self._checking.cancel()
        self._stopped.set()
        await asyncio.to_thread(self._polling.join)

    async def _keep_checking(self) -> None:
        """Make sure that the log is what it must be, before anything is sent and then now and then.

        A retention that somebody sets, or a topic that was deleted and made anew, would lose events without a word.
        """
        retry_s = _CHECK_RETRY_S_MIN
        admin = TopicAdmin(self._address)
        while True:
            try:
                self._use(await admin.generations(make=not self._generations))
                retry_s = _CHECK_RETRY_S_MIN
            except LogUnavailableError as error:
                self._silence = str(error)
                if not self._is_open:
                    _log.warning("the log is not there yet", reason=self._silence)
            except LogMismatchError as error:
                self._refuse_all(str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_interval_s if self._is_open else retry_s):
                    await self._check_now.wait()
            self._check_now.clear()
            retry_s = min(2 * retry_s, _CHECK_RETRY_S_MAX)

    def _use(self, generations: list[Topic]) -> None:
        if generations[: len(self._generations)] != self._generations:
            raise LogMismatchError(
                f"the topic {self._generations[-1].name!r} was deleted and made anew: what it held is lost; restore it"
            )
        if self._refusal is not None and not self._closed:
            _log.warning("appends are taken again", topic=generations[-1].name)
            self._refusal = None
        self._generations = generations
        self._silence = ""
        if not self._is_open:
            self._is_open = True
            if self._flush is not None:
                self._flush.cancel()
                self._flush = None
            self._schedule()

    def _refuse_all(self, reason: str) -> None:
        self._is_open = False
        if not self._closed and self._refusal != reason:
            self._refusal = reason
            _log.error("nothing can be appended", reason=reason)
        self._refuse_waiting(reason)

    def _moved(self) -> None:
        """Learn that the topic takes no messages: look for the next generation, and hold what comes until then."""
        if self._is_open:
            self._is_open = False
            if self._flush is not None:
                self._flush.cancel()
                self._flush = None
            self._schedule()
        self._check_now.set()

    def _schedule(self) -> None:
        """Have what waits sent soon: at once after a pause, else when the interval is over."""
        if self._flush is not None or not self._waiting:
            return
        if self._is_open:
            pause_s = self._flushed_at + FLUSH_INTERVAL_S - self._loop.time()
            self._flush = self._loop.call_later(max(pause_s, 0), self._send)
        else:
            self._flush = self._loop.call_later(self._append_s_max, self._give_up)

    def _give_up(self) -> None:
        """Refuse what waits for the log; the first of it has waited as long as it may."""
        self._flush = None
        reason = f" ({self._silence})" if self._silence else ""
        self._refuse_waiting(
            f"no Kafka broker answers at {self._address.servers}{reason}: nothing was written, send again"
        )

    def _refuse_waiting(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, []
        for append in waiting:
            append.fail(LogUnavailableError(reason))
            self._give_back(append)

    def _send(self) -> None:
        self._flush = None
        self._flushed_at = self._loop.time()
        waiting, self._waiting = self._waiting, []
        dealt: dict[int, list[_Piece]] = {}
        for append in waiting:
            try:
                pieces = self._deal(append)
            except ValueError as error:
                append.fail(error)
                self._give_back(append)
                continue
            append.left = len(pieces)
            for partition, piece in pieces:
                dealt.setdefault(partition, []).append(piece)
        topic = self._generations[-1]
        first = self._partitions_before + sum(older.partitions for older in self._generations[:-1])
        for partition, pieces_of_one in dealt.items():
            for together in group(pieces_of_one):
                self._produce(topic.name, partition, first + partition, together)

    def _deal(self, append: "_Append") -> "list[tuple[int, _Piece]]":
        pieces = []
        for partition, share in deal(append.section, self._generations[-1].partitions):
            payload = encode((share,))
            if len(payload) > MESSAGE_BYTES_MAX:
                raise ValueError(f"a part has {len(payload)} bytes: a message holds {MESSAGE_BYTES_MAX}, split it")
            pieces.append((partition, _Piece(payload, share.events, append)))
        return pieces

    def _produce(self, topic: str, partition: int, numbered: int, pieces: "Sequence[_Piece]") -> None:
        """Send one message; `numbered` is the partition's number over all generations."""
        try:
            self._producer.produce(
                topic,
                joined(pieces),
                partition=partition,
                headers=headers(sum(piece.events for piece in pieces)),
                on_delivery=partial(self._delivered, numbered, pieces),
            )
        except (BufferError, KafkaException) as error:
            self._settle(numbered, pieces, -1, f"Kafka did not take it ({error}): send again")

    def _poll_until_stopped(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(_POLL_S)

    def _delivered(self, numbered: int, pieces: "Sequence[_Piece]", error: KafkaError | None, message: Message) -> None:
        """Learn, in the polling thread, what became of a message."""
        offset = message.offset()
        offset = -1 if offset is None else offset
        reason = None
        if error is not None and error.code() in _NOT_THE_TOPIC:
            self._loop.call_soon_threadsafe(self._moved)
        if error is not None:
            reason = f"Kafka did not acknowledge it ({error.str()}): the outcome is unknown, send again"
        elif not 0 <= offset < OFFSETS_MAX:
            # Told for a retry of what was taken so long ago that the broker has forgotten where it lies.
            reason = f"Kafka gave it the offset {offset}, which no position can name: send again"
        self._loop.call_soon_threadsafe(self._settle, numbered, pieces, offset, reason)

    def _settle(self, numbered: int, pieces: "Sequence[_Piece]", offset: int, reason: str | None) -> None:
        index = 0
        for piece in pieces:
            append = piece.append
            if reason is None:
                append.offsets.setdefault(numbered, (offset, index))  # Pieces of one partition come in order.
            else:
                append.fail(LogUnavailableError(reason))
            index += piece.events
            append.left -= 1
            if not append.left:
                append.rest()
                self._give_back(append)

    def _give_back(self, append: "_Append") -> None:
        self._waiting_bytes -= append.size
        if not self._waiting_bytes:
            self._drained.set()


class _Append:
    """One append under way, and what of it has come to rest."""

    __slots__ = ("answer", "left", "offsets", "section", "size")

    def __init__(self, section: Section, size: int, answer: "asyncio.Future[Receipt]") -> None:
        self.section = section
        self.size = size
        self.answer = answer
        self.offsets: dict[int, tuple[int, int]] = {}
        self.left = 0

    def rest(self) -> None:
        """Answer, unless a piece may not be durable."""
        if not self.answer.done():
            self.answer.set_result(Receipt(self.offsets))

    def fail(self, error: Exception) -> None:
        """Learn that a piece may not be durable, or that there cannot be one."""
        if not self.answer.done():
            self.answer.set_exception(error)


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
