"""Move events from the log into the store so that each is counted once.

The log delivers at least once: a crash, a takeover or a client's retry brings a message back. So every row that is
written is a fact that stays true when it is written twice, and the mark that lets readers see a batch comes last.
A consumer reads on from what the store says is applied, never from what it remembers of an earlier life.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from ingest.consumer.batch import Batch, Deletion, decode
from ingest.consumer.customers import KnownCustomers
from ingest.consumer.decide import decide
from ingest.consumer.intake import Intake
from ingest.consumer.lanes import lanes_of, next_offsets, share_now
from ingest.consumer.look_up import KeyLookUp
from ingest.consumer.seams import AppliedHint, ApplyTracing, Clock, CustomerRegistrar, DeadLetters, Lanes
from ingest.consumer.side_by_side import until_one_fails
from ingest.consumer.standstill import Standstill
from ingest.errors import LogGrownError, LogPoisonedError, LogUnavailableError
from ingest.log.chain import origins_of
from ingest.log.protocol import LogReader, Message
from metering.errors import QueryLimitError, UnavailableError
from metering.position import Position, lane_of, offset_of
from metering.store.keys import Share
from metering.store.versions import Verdict, Versions, VersionStore

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 5.0

POISONED_SECTIONS_MIN = 20
"""A batch with so many dead letters, and more dead than alive, is taken for a fault of ours or of the log."""

Offload = Callable[..., Awaitable[Any]]
"""Call a function that takes long without holding up the event loop."""

_MENDED_BY_WAITING = (UnavailableError, QueryLimitError, LogUnavailableError, LogGrownError)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What a batch came to. Events that were neither stored nor dead were there already, or equal to what is there."""

    events: int = 0
    stored: int = 0
    superseded: int = 0
    deletions: int = 0
    dead: int = 0
    looked_up: int = 0
    wrong_filters: int = 0


def _place(position: Position) -> str:
    return f"lane {lane_of(position)}, offset {offset_of(position)}"


def now() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)


class Consumer:
    """One reader of a log's partitions. Call `start` once, then `run`, or `drain_once` again and again."""

    def __init__(
        self,
        log: LogReader,
        store: VersionStore,
        lanes: Lanes,
        registrar: CustomerRegistrar,
        dead_letters: DeadLetters,
        *,
        clock: Clock = now,
        applied_hint: AppliedHint | None = None,
        offload: Offload = asyncio.to_thread,
        only: frozenset[int] | None = None,
        poison_stops: bool = True,
        told: Callable[[Drained], None] = lambda _: None,
        tracing: ApplyTracing | None = None,
        standstill: Standstill | None = None,
    ) -> None:
        """`only` names the partitions to read where others read the rest; None: all. `told` hears of each batch.

        `poison_stops` is False where everything was applied before: what was passed then has to pass again; and where
        an operator has said so. `standstill` hears why `run` does not go on; without one poison ends it.
        """
        self._poison_stops = poison_stops
        self._log = log
        self._store = store
        self._lanes = lanes
        self._customers = KnownCustomers(registrar)
        self._dead_letters = dead_letters
        self._clock = clock
        self._applied_hint = applied_hint
        self._offload = offload
        self._intake = Intake(log)
        self._only = only
        self._shares: Mapping[int, Share] = {}
        self._grown = False
        self._told = told
        self._tracing = tracing
        self._standstill = standstill
        self._lane_of: Mapping[int, int] = {}
        self._next_offsets: dict[int, int] = {}
        self._look_up = KeyLookUp(store)
        self._marked_at: datetime | None = None
        self._backoff_s = BACKOFF_S_MIN

    async def start(self) -> None:
        """Learn where to read on, and refuse a log that does not belong to the store.

        Raises:
            LogMismatchError: another log, or one that lost its end.
            UnavailableError: call again.
            LogUnavailableError: call again; also while other consumers have not applied all of an older log.
        """
        lane_of = await lanes_of(self._log, self._lanes)
        origins = origins_of(self._log, sorted(lane_of))
        self._shares = {each: Share(origins[each].partition, origins[each].of) for each in lane_of}
        offsets = await next_offsets(self._log, lane_of, await self._store.applied())
        mine = lane_of.keys() if self._only is None else await share_now(self._log, self._only, offsets)
        self._lane_of = {each: lane_of[each] for each in mine}
        self._next_offsets = {each: offsets[each] for each in mine}
        self._marked_at = await self._store.last_marked_at()
        # After what is applied was read: the filter has to know every key up to there.
        await self._look_up.start(self._by_lane(self._next_offsets))
        self._grown = False
        await self._hint()

    async def run(self) -> None:
        """Drain until cancelled, through outages of the log, the store and the registry.

        While one batch is written the next is read and decoded. In front of poison it stands still, and tries again
        after a pause that grows: an operator has to do something, and whoever asks for figures is answered meanwhile.

        Raises:
            IngestError: what waiting cannot mend. Nothing was passed over.
        """
        while True:
            faults = await self._until_a_fault()
            poison = next((fault for fault in faults if isinstance(fault, LogPoisonedError)), None)
            if poison is not None and self._standstill is not None:
                pause_s = self._standstill.begin(poison)
                _log.error("consumer stands still", reason=str(poison), wait_s=pause_s)
                await asyncio.sleep(pause_s)
                continue
            lasting = [fault for fault in faults if not isinstance(fault, _MENDED_BY_WAITING)]
            if lasting:
                raise lasting[0]
            self._grown = self._grown or any(isinstance(fault, LogGrownError) for fault in faults)
            _log.warning("consumer waits", reason=str(faults[0]), wait_s=self._backoff_s)
            await asyncio.sleep(self._backoff_s)
            self._backoff_s = min(2 * self._backoff_s, BACKOFF_S_MAX)

    async def drain_once(self, *, wait_s_max: float = 0) -> Drained:
        """Take one batch from poll to mark.

        Raises:
            UnavailableError: the batch may be stored in part or whole, unseen; the next call takes it again.
            LogGrownError: call `start` first.
        """
        messages = await self._intake.take(self._next_offsets, wait_s_max=wait_s_max)
        if not messages:
            return Drained()
        return await self._apply(await self._decoded(messages, self._next_offsets))

    async def _until_a_fault(self) -> Sequence[BaseException]:
        if self._grown:
            try:
                await self.start()
            except _MENDED_BY_WAITING as error:
                return [error]
        decoded: asyncio.Queue[Batch] = asyncio.Queue(maxsize=1)
        return await until_one_fails(self._read_ahead(decoded), self._write_behind(decoded))

    async def _read_ahead(self, decoded: asyncio.Queue[Batch]) -> None:
        after = dict(self._next_offsets)
        while True:
            try:
                messages = await self._intake.take_paced(after)
            except LogGrownError:
                await decoded.join()  # A start anew drops what is half written, and would come here again.
                raise
            if messages:
                batch = await self._decoded(messages, after)
                after |= batch.next_offsets
                await decoded.put(batch)

    async def _decoded(self, messages: Sequence[Message], begins_at: Mapping[int, int]) -> Batch:
        batch: Batch = await self._offload(decode, messages, self._lane_of)
        batch.begins_at = dict(begins_at)
        return batch

    async def _write_behind(self, decoded: asyncio.Queue[Batch]) -> None:
        while True:
            await self._apply(await decoded.get())
            decoded.task_done()
            self._backoff_s = BACKOFF_S_MIN
            if self._standstill is not None:
                self._standstill.end()

    async def _apply(self, batch: Batch) -> Drained:
        if self._tracing is None or not batch.traces:
            return await self._write(batch)
        return await self._tracing.applied(batch.traces, partial(self._write, batch))

    async def _write(self, batch: Batch) -> Drained:
        """Write a batch: facts in the order in which a crash may cut them off, then the mark that shows them."""
        if self._poison_stops and len(batch.dead) >= POISONED_SECTIONS_MIN and 2 * len(batch.dead) > batch.sections:
            raise LogPoisonedError(
                f"{len(batch.dead)} dead letters in {batch.sections} sections of the log, the first at "
                f"{_place(batch.dead[0].position)} because: {batch.dead[0].reason}. Nothing of it is applied and "
                "nothing is lost: run the release that wrote it; or start with METERLINE_ACCEPT_POISON=1, which keeps "
                "such sections as dead letters (`meterline dead-letters list`, `replay`) and goes on"
            )
        stored = superseded = deletions = 0
        for part in batch.parts:
            if isinstance(part, Deletion):
                await self._store.retract(part.retraction, part.position, self._shares[part.partition])
                deletions += 1
            else:
                verdict = await self._judge(part, self._by_lane(batch.begins_at))
                await self._step(batch, "store write", partial(self._store.write, verdict))
                stored += len(verdict.versions)
                superseded += len(verdict.superseded)
        await self._customers.ensure(batch.customers)
        await self._dead_letters.put(batch.dead)
        # Last: until here a crash costs a replay, not an event.
        await self._step(batch, "mark applied", partial(self._mark, batch))
        events = sum(len(part) for part in batch.parts if isinstance(part, Versions))
        drained = Drained(events, stored, superseded, deletions, len(batch.dead), *self._look_up.tell())
        self._told(drained)
        return drained

    async def _step(self, batch: Batch, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if self._tracing is None or not batch.traces:
            await work()
        else:
            await self._tracing.step(name, work)

    async def _judge(self, arrivals: Versions, begins_at: Mapping[int, int]) -> Verdict:
        known = await self._look_up.known(arrivals, begins_at)
        verdict: Verdict = await self._offload(decide, arrivals, known)
        return verdict

    async def _mark(self, batch: Batch) -> None:
        # A clock that was set back must not make a past moment show more than it showed.
        self._marked_at = max(self._clock(), self._marked_at or datetime.min.replace(tzinfo=UTC))
        await self._store.mark_applied(batch.marks, self._marked_at)
        self._next_offsets |= batch.next_offsets
        self._look_up.moved_on(self._by_lane(batch.begins_at), self._by_lane(self._next_offsets))
        await self._hint()

    def _by_lane(self, offsets: Mapping[int, int]) -> dict[int, int]:
        return {self._lane_of[partition]: offset for partition, offset in offsets.items()}

    async def _hint(self) -> None:
        if self._applied_hint is not None:
            await self._applied_hint(dict(self._next_offsets))
