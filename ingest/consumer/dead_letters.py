"""Keep dead letters: in the store, or in memory for tests."""

from collections.abc import Sequence

import pyarrow as pa

from ingest.consumer.seams import DeadLetter
from ingest.dead_letter_replay import KeptLetter
from metering.position import Position
from metering.store.client import Store
from metering.world import Mode, World

_LISTED = """
SELECT position, account_id, mode, reason, length(payload), toString(kept_at),
       position IN (SELECT position FROM dead_letter_replays)
FROM dead_letters FINAL
WHERE position >= {first:UInt64}
ORDER BY position
LIMIT {take:UInt32}
"""
# A payload is any bytes, so it comes as hexadecimal digits.
_WAITING = """
SELECT position, account_id, mode, reason, hex(payload)
FROM dead_letters FINAL
WHERE position >= {first:UInt64} AND position NOT IN (SELECT position FROM dead_letter_replays)
ORDER BY position
LIMIT {take:UInt32}
"""


class StoreDeadLetters:
    """Dead letters in the store's table `dead_letters`; the same letter is one row however often it comes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, durable on return."""
        if letters:
            await self._store.run_writing(self._store.insert, "dead_letters", _columns(letters))

    async def listed(self, first: int, take: int) -> Sequence[KeptLetter]:
        """Give letters from a position on, in order."""
        rows = await self._store.run(self._store.select, _LISTED, {"first": first, "take": take})
        return [
            KeptLetter(position, _world(account, mode), reason, size, kept_at, bool(replayed))
            for position, account, mode, reason, size, kept_at, replayed in rows
        ]

    async def waiting(self, first: int, take: int) -> Sequence[DeadLetter]:
        """Give letters from a position on that were not replayed, in order, with their payloads."""
        rows = await self._store.run(self._store.select, _WAITING, {"first": first, "take": take})
        return [
            DeadLetter(Position(position), _world(account, mode), reason, bytes.fromhex(payload))
            for position, account, mode, reason, payload in rows
        ]

    async def mark_replayed(self, positions: Sequence[int]) -> None:
        """Remember that these were sent; durable on return, harmless to repeat."""
        marks = pa.table({"position": pa.array(positions, pa.uint64())})
        await self._store.run_writing(self._store.insert, "dead_letter_replays", marks)


class MemoryDeadLetters:
    """Dead letters by position."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters."""
        self.letters |= {letter.position: letter for letter in letters}


def _world(account_id: str, mode: str) -> World | None:
    return World(account_id, Mode(mode)) if account_id else None


def _columns(letters: Sequence[DeadLetter]) -> pa.Table:
    worlds = [letter.world for letter in letters]
    return pa.table(
        {
            "position": pa.array([letter.position for letter in letters], pa.uint64()),
            "account_id": pa.array(["" if world is None else world.account_id for world in worlds], pa.string()),
            "mode": pa.array(["" if world is None else world.mode.value for world in worlds], pa.string()),
            "reason": pa.array([letter.reason for letter in letters], pa.string()),
            "payload": pa.array([letter.payload for letter in letters], pa.binary()),
        }
    )
