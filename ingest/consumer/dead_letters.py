"""Keep dead letters: in the store, or in memory for tests."""

from collections.abc import Sequence

import pyarrow as pa

from ingest.consumer.seams import DeadLetter
from metering.store.client import Store


class StoreDeadLetters:
    """Dead letters in the store's table `dead_letters`; the same letter is one row however often it comes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, durable on return."""
        if letters:
            await self._store.run_writing(self._store.insert, "dead_letters", _columns(letters))


class MemoryDeadLetters:
    """Dead letters by position."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters."""
        self.letters |= {letter.position: letter for letter in letters}


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
