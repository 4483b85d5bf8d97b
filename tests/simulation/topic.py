"""A log of several partitions over several machines, and who says which partitions are whose.

The brokers never lose what they acknowledged; everything around them fails. A message may be lost on its way, come
after its sender was told that its fate is unknown, or be kept and never acknowledged.
"""

import asyncio
from collections.abc import Mapping, Sequence

from ingest.errors import LogMismatchError, LogUnavailableError
from ingest.log.kafka.shares import deal
from ingest.log.protocol import Backlog, Message, Receipt
from ingest.log.waiting import group, joined
from ingest.wire import Section, encode
from tests.simulation.scheduler import Process, Scheduler

FLUSH_INTERVAL_S = 0.005
APPEND_S_MAX = 2.0
SESSION_S_MAX = 3.0


class Topic:
    """What the brokers keep."""

    log_id = "log_topic"

    def __init__(self, scheduler: Scheduler, partitions: int) -> None:
        self.process = Process(scheduler, "brokers")
        self.partitions: list[list[Message]] = [[] for _ in range(partitions)]
        self._scheduler = scheduler
        self._readers: list[tuple[Process, asyncio.Event]] = []
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether no broker answers now."""
        return self._scheduler.now < self._away_until

    def go_away(self, seconds: float) -> None:
        """Take nothing, and say nothing, for a time."""
        self._scheduler.note("brokers", f"are away for {seconds:.1f} s")
        self._away_until = self._scheduler.now + seconds

    def take(self, partition: int, events: int, payload: bytes) -> int:
        """Keep a message, and give its offset."""
        messages = self.partitions[partition]
        at_us = int(self._scheduler.now * 1_000_000)
        messages.append(Message(partition, len(messages), events, at_us, payload))
        for process, came in self._readers:
            if process.alive:
                process.loop.call_soon(came.set)
        return len(messages) - 1

    def tell(self, process: Process) -> asyncio.Event:
        """Give an event that is set whenever a message comes."""
        came = asyncio.Event()
        self._readers.append((process, came))
        return came


class _Piece:
    """A section's part for one partition, while it waits."""

    def __init__(self, payload: bytes, events: int, future) -> None:
        self.payload, self.events, self.future = payload, events, future


class TopicWriter:
    """`LogWriter` to a topic: what comes within a few milliseconds shares messages."""

    def __init__(self, topic: Topic, process: Process) -> None:
        self._topic = topic
        self._process = process
        self._faults = process.scheduler.faults
        self._waiting: dict[int, list[_Piece]] = {}

    async def append(self, section: Section) -> Receipt:
        """See `LogWriter`."""
        loop = self._process.loop
        offsets = {}
        for partition, share in deal(section, len(self._topic.partitions)):
            offsets[partition] = loop.create_future()
            if not self._waiting:
                loop.call_later(FLUSH_INTERVAL_S, self._flush)
            self._waiting.setdefault(partition, []).append(_Piece(encode((share,)), share.events, offsets[partition]))
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                return Receipt({partition: await place for partition, place in offsets.items()})
        except TimeoutError:
            raise LogUnavailableError("not acknowledged in time: nobody knows") from None

    async def close(self) -> None:
        """Do nothing: what waits, waits in vain."""

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for partition, pieces in waiting.items():
            for shared in group(pieces):
                if self._topic.is_away or self._faults.hit("message lost"):
                    continue
                late = self._faults.random.uniform(1, 9) if self._faults.hit("message late") else 0.0
                self._topic.process.loop.call_later(late + self._faults.latency(0.003), self._arrive, partition, shared)

    def _arrive(self, partition: int, shared: list[_Piece]) -> None:
        offset = self._topic.take(partition, sum(piece.events for piece in shared), joined(shared))
        if self._faults.hit("acknowledgement lost"):
            return
        self._process.loop.call_later(self._faults.latency(0.002), self._acknowledge, offset, shared)

    @staticmethod
    def _acknowledge(offset: int, shared: list[_Piece]) -> None:
        index = 0
        for piece in shared:
            if not piece.future.done():
                piece.future.set_result((offset, index))
            index += piece.events


class TopicReader:
    """`LogReader` of a topic."""

    def __init__(self, topic: Topic, process: Process) -> None:
        self._topic = topic
        self._process = process
        self._faults = process.scheduler.faults
        self._came = topic.tell(process)

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._topic.log_id

    async def ends(self) -> Mapping[int, int]:
        """Give how far each partition goes."""
        await self._reach()
        return {partition: len(messages) for partition, messages in enumerate(self._topic.partitions)}

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give some of the next messages."""
        await self._reach()
        self._came.clear()
        found = self._next(after, events_max)
        if not found and wait_s_max > 0:
            try:
                async with asyncio.timeout(wait_s_max):
                    await self._came.wait()
            except TimeoutError:
                return []
            found = self._next(after, events_max)
        if self._faults.hit("log read hangs"):
            await asyncio.sleep(self._faults.random.uniform(1, 8))
        return found

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what lies behind these offsets."""
        await self._reach()
        found = [
            message for partition, offset in after.items() for message in self._topic.partitions[partition][offset:]
        ]
        oldest = min((message.appended_at_us for message in found), default=None)
        return Backlog(sum(message.events for message in found), oldest)

    async def close(self) -> None:
        """Do nothing: nothing is held."""

    def _next(self, after: Mapping[int, int], events_max: int) -> list[Message]:
        found: list[Message] = []
        for partition in self._faults.random.sample(sorted(after), len(after)):
            messages = self._topic.partitions[partition]
            if after[partition] > len(messages):
                raise LogMismatchError(f"offset {after[partition]} of partition {partition} lies beyond the end")
            for message in messages[after[partition] :][: self._faults.random.randint(1, 4)]:
                if found and message.events > events_max:
                    return found
                events_max -= message.events
                found.append(message)
        return found

    async def _reach(self) -> None:
        await asyncio.sleep(self._faults.latency(0.001))
        if self._topic.is_away or self._faults.hit("log read fails"):
            raise LogUnavailableError("the brokers do not answer")


class Coordinator:
    """Deals partitions to those who are members; a member that stands still does not know that it lost them."""

    def __init__(self, scheduler: Scheduler, topic: Topic) -> None:
        self._scheduler = scheduler
        self._topic = topic
        self._members: list[Member] = []
        self._generation = 0

    def join(self, process: Process) -> "Member":
        """Become a member."""
        member = Member(process)
        self._members.append(member)
        silent_s = self._scheduler.random.uniform(0.2, SESSION_S_MAX)
        process.at_death.append(lambda: self._topic.process.loop.call_later(silent_s, self.deal))
        self.deal()
        return member

    def deal(self) -> None:
        """Deal the partitions among the living, at random."""
        self._members = [member for member in self._members if member.process.alive]
        if not self._members:
            return
        self._generation += 1
        random = self._scheduler.random
        dealt = {partition: random.choice(self._members) for partition in range(len(self._topic.partitions))}
        for member in self._members:
            owned = frozenset(partition for partition, owner in dealt.items() if owner is member)
            self._scheduler.note(member.process.name, f"is to own {sorted(owned)}")
            # It hears of it later than the one who takes over, if it stands still.
            member.process.loop.call_later(self._scheduler.faults.latency(0.05), member.tell, self._generation, owned)


class Member:
    """`ingest.consumer.sharing.Membership`."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.owned: frozenset[int] = frozenset()
        self._generation = 0
        self._changed = asyncio.Event()

    def tell(self, generation: int, owned: frozenset[int]) -> None:
        """Learn of a change, unless a later one is known."""
        if generation > self._generation:
            self._generation = generation
            if owned != self.owned:
                self.owned = owned
                self._changed.set()

    async def changed(self) -> None:
        """See `Membership`."""
        await self._changed.wait()
        self._changed.clear()

    def let_go(self) -> None:
        """Do nothing: nobody waits for it here."""
