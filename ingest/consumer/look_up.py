"""Look arriving keys up in the store, but for those that a filter says were never seen.

A filter that denies a key it should know would have an event counted twice. So its word is taken only while all of
this holds, and is asked for anew in every batch:

- **It stands where the batch begins.** It carries of each lane how far it was filled: one that was filled too early, or
  for other lanes, does not fit.
- **It is the one that was filled here, whole.** Its fingerprint is kept here, too: an older copy, an empty one, another
  consumer's, in whole or in part, has another one. And the lines that are asked fit their checks (see `SeenKeys`).
- **It knows what is known to be there**: keys from all over the store, and some of the last that were added.
- **The store agrees.** Of the keys that it calls new, some are looked up all the same; in a small batch, all of them.

If any of it does not hold, everything is looked up: slower, and exact. The filter is thrown away, and a new one is
filled from the store some batches later. All of this happens before anything of the batch is written.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import structlog

from ingest.consumer.seen import SeenKeys, WrongFilterError, seen_keys_of, some
from metering.store.columns import NOTHING_KNOWN
from metering.store.versions import CurrentVersions, Versions, VersionStore

PROBED_MAX = 8
"""So many keys that are called new are looked up all the same. Measured among a million keys in ten parts: 7 ms of
processor time for each batch, 13 for 32 of them; a batch takes 370 under load."""
CANARIES = 256
FRESH_CANARIES = 64
PAUSE_BATCHES_MAX = 1024

_NO_HASHES = np.empty(0, np.uint64)
_log = structlog.get_logger(__name__)


class KeyLookUp:
    """Says what the store knows of keys. Call `start` before all else; then `known` and `moved_on` in turn."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._seen: SeenKeys | None = None
        self._fingerprint = 0
        self._canaries = _NO_HASHES
        self._fresh_canaries = _NO_HASHES
        self._pause_batches = 0
        self._next_pause_batches = 1
        self._looked_up = 0
        self._wrong_filters = 0

    async def start(self, read_to: Mapping[int, int]) -> None:
        """Fill a filter from the store; `read_to`, of each lane the offset to read on from, was read before.

        Raises:
            StoreUnavailableError: call again.
        """
        self._seen = None
        try:
            self._seen, self._canaries = await seen_keys_of(self._store, read_to, CANARIES)
        except WrongFilterError as error:
            self._give_up(error)
        else:
            self._fingerprint, self._fresh_canaries = self._seen.fingerprint(), _NO_HASHES

    async def known(self, arrivals: Versions, begins_at: Mapping[int, int]) -> CurrentVersions:
        """Give at least the index entry of each arriving key that has one from before it arrives.

        `begins_at` is, of each lane, the offset at which the batch begins that they are of.

        Raises:
            StoreUnavailableError: call again.
        """
        if self._pause_batches == 0 and (self._seen is None or self._seen.full):
            await self.start(begins_at)
        try:
            asked = self._met_before(arrivals.key_hash, begins_at)
            probed = some(np.flatnonzero(~asked), PROBED_MAX)
            asked[probed] = True
            known = await self._ask(arrivals.key_hash[asked])
            _compare(arrivals, probed, known)
        except WrongFilterError as error:
            self._give_up(error)
            return await self._ask(arrivals.key_hash)
        return known

    def moved_on(self, begins_at: Mapping[int, int], read_to: Mapping[int, int]) -> None:
        """Learn that the batch which began at `begins_at` was marked: the next begins at `read_to`."""
        if self._seen is None:
            self._pause_batches = max(self._pause_batches - 1, 0)
        elif self._seen.read_to == dict(begins_at):  # Any other stays where it is, and is found out.
            self._seen.read_to = dict(read_to)

    def tell(self) -> tuple[int, int]:
        """Give how many keys were looked up, and how many filters were wrong, since this was told last."""
        told = self._looked_up, self._wrong_filters
        self._looked_up = self._wrong_filters = 0
        return told

    async def _ask(self, hashes: npt.NDArray[np.uint64]) -> CurrentVersions:
        if not len(hashes):
            return NOTHING_KNOWN
        self._looked_up += len(hashes)
        return await self._store.current_versions(hashes)

    def _met_before(self, hashes: npt.NDArray[np.uint64], begins_at: Mapping[int, int]) -> npt.NDArray[np.bool_]:
        """Tell which keys may be in the store; from now on the filter knows them all.

        Nothing is awaited in between, so what was found right is what answers and is added to. Where the batch is not
        written then, it comes again, and its keys are looked up.
        """
        seen = self._seen
        if seen is None:
            return np.ones(len(hashes), np.bool_)
        if seen.read_to != dict(begins_at):
            raise WrongFilterError(f"it was filled to {seen.read_to}, the batch begins at {dict(begins_at)}")
        if seen.fingerprint() != self._fingerprint:
            raise WrongFilterError("it is not the one that was filled here")
        canaries = np.concatenate([self._canaries, self._fresh_canaries])
        denied = int(np.count_nonzero(~seen.maybe(canaries)))
        if denied:
            raise WrongFilterError(f"it denies {denied} of {len(canaries)} keys that are known to be there")
        met = seen.meet(hashes)
        self._fingerprint, self._fresh_canaries = seen.fingerprint(), some(hashes, FRESH_CANARIES)
        return met

    def _give_up(self, error: WrongFilterError) -> None:
        """Throw the filter away, for longer each time: filling one takes as long as a start."""
        self._seen = None
        self._pause_batches = self._next_pause_batches
        self._next_pause_batches = min(2 * self._next_pause_batches, PAUSE_BATCHES_MAX)
        self._wrong_filters += 1
        _log.warning(
            "filter of seen keys was wrong: every key is looked up, which is slower and as exact",
            reason=str(error),
            batches=self._pause_batches,
        )


def _compare(arrivals: Versions, probed: npt.NDArray[np.int64], known: CurrentVersions) -> None:
    """Hold the rows that were called new against what the store says.

    An entry at or behind the first arrival of its key is another consumer's, who read the same further on.
    """
    called_new = np.flatnonzero(np.isin(known.key_hash, arrivals.key_hash[probed]))
    for hashed, position in zip(known.key_hash[called_new], known.position[called_new], strict=True):
        if position < arrivals.position[arrivals.key_hash == hashed].min():
            raise WrongFilterError("it denies a key that the store has")
