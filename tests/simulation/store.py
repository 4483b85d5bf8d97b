"""The version store, over a network that loses answers, with statements that come to an end when nobody waits for them.

`Tables` are what is stored. A `StoreClient` is the real memory store as one process has it: each of its statements may
be refused, be applied in part, be done and never answered, or go on row by row long after its sender gave it up, died,
or was replaced.
"""

import asyncio
from collections.abc import Sequence

from ingest.consumer.seams import DeadLetter
from metering.errors import StoreUnavailableError
from metering.position import Cutoff, Position
from metering.store.memory import MemoryVersionStore
from metering.store.versions import CurrentVersion
from tests.simulation.scheduler import Process, Scheduler

GIVE_UP_S = 3.0


class Tables:
    """What the store holds; its own process never dies here, because every insert of it is synced."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.process = Process(scheduler, "store")
        self.facts = MemoryVersionStore()
        self.letters: dict[int, DeadLetter] = {}

    def applied(self) -> Cutoff:
        """Give what readers see now."""
        bounds: dict[int, Position] = {}
        for lane, position, _ in self.facts.marks:
            bounds[lane] = max(position, bounds.get(lane, Position(0)))
        return Cutoff(bounds)


class StoreClient(MemoryVersionStore):
    """The store as one process has it; it is `DeadLetters`, too."""

    def __init__(self, tables: Tables, process: Process) -> None:
        faults = process.scheduler.faults
        super().__init__(self._between_rows, order=faults.random)
        facts = tables.facts
        self.events, self.superseded, self.keys, self.marks = facts.events, facts.superseded, facts.keys, facts.marks
        self._tables = tables
        self._process = process
        self._faults = faults

    async def applied(self):
        return await self._ask(super().applied)

    async def applied_at(self, moment):
        return await self._ask(super().applied_at, moment)

    async def last_marked_at(self):
        return await self._ask(super().last_marked_at)

    async def keys_count(self, *hashes):
        return await self._ask(super().keys_count, *hashes)

    async def key_hashes(self, low, high):
        return await self._ask(super().key_hashes, low, high)

    async def current_versions(self, hashes):
        return await self._ask(super().current_versions, hashes)

    async def count_retracted(self, world, positions):
        return await self._ask(super().count_retracted, world, positions)

    async def put_events(self, versions):
        await self._insert("events", versions, lambda version: self.events.update({version.position: version}))

    async def put_superseded(self, superseded):
        await self._insert(
            "superseded", superseded, lambda lost: self.superseded.update({(lost.position, lost.lost_at): lost})
        )

    async def put_keys(self, versions):
        await self._insert("event_keys", versions, self._put_version)

    async def retract(self, retraction, at, share):
        await self._set_out()
        await super().retract(retraction, at, share)

    async def mark_applied(self, marks, at):
        rows = [(lane, position, at) for lane, position in marks.items()]
        await self._insert("applied", rows, self.marks.append)

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters."""
        if letters:
            await self._insert(
                "dead_letters", letters, lambda letter: self._tables.letters.update({letter.position: letter})
            )

    def _put_version(self, version) -> None:
        entry = CurrentVersion(
            version.key_hash,
            version.position,
            version.timestamp_us,
            version.customer_id,
            version.content_hash,
            deleted=False,
        )
        self._put_key(version.key, entry)

    async def _ask(self, question, *arguments):
        """Read: the answer may be old when it comes, or not come."""
        await self._set_out()
        answer = await question(*arguments)
        await asyncio.sleep(self._faults.latency(0.002))
        if self._faults.hit("read is slow"):
            await asyncio.sleep(self._faults.random.uniform(0.3, 4))
        self._may_lose_answer()
        return answer

    async def _insert(self, table: str, rows: Sequence, put) -> None:
        """Have rows become visible a few at a time, in any order, whatever becomes of this process meanwhile."""
        faults = self._faults
        await self._set_out()
        left = self._shuffled(rows)
        torn = faults.hit("insert torn")
        if torn:
            left = left[: faults.random.randrange(len(left) + 1)]
        outlives = faults.hit("insert outlives its sender")
        at = 0.0
        while left:
            count = faults.random.randint(1, len(left))
            at += faults.random.uniform(0.3, 8) if outlives else faults.latency(0.001)
            self._tables.process.loop.call_later(at, self._apply, put, left[:count])
            left = left[count:]
        if faults.hit("killed in a statement"):
            self._process.scheduler.processes[0].loop.call_later(
                faults.random.uniform(0, at), self._process.kill, f"killed while it writes {table}"
            )
        await asyncio.sleep(min(at + faults.latency(0.001), GIVE_UP_S))
        if torn or at > GIVE_UP_S:
            raise StoreUnavailableError(f"{table}: nobody knows how much of it was written")
        self._may_lose_answer()

    @staticmethod
    def _apply(put, rows) -> None:
        for row in rows:
            put(row)

    async def _between_rows(self) -> None:
        if self._faults.hit("killed in a statement"):
            self._process.die_here("killed between two rows")
        if self._faults.hit("insert torn"):
            raise StoreUnavailableError("gone between two rows")
        if self._faults.random.random() < 0.3:
            await asyncio.sleep(self._faults.latency(0.001))

    async def _set_out(self) -> None:
        if self._faults.hit("store hangs"):
            await asyncio.sleep(self._faults.random.uniform(1, 10))
        await asyncio.sleep(self._faults.latency(0.001))
        if self._faults.hit("store refuses"):
            raise StoreUnavailableError("refused, nothing was done")

    def _may_lose_answer(self) -> None:
        if self._faults.hit("store answer lost"):
            raise StoreUnavailableError("done, but nobody was told")
