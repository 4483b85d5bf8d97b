"""Remember which keys were ever seen, in little memory, so that new keys need not be looked up in the store.

A Bloom filter over the 64-bit hashes of keys: each key sets four bits of one word. What it has not seen is new for
certain; what it seems to have seen is looked up. It only ever saves a look-up and never decides that an event is a
duplicate.

Why other consumers cannot make it lie: what it must know is not "every key in the store" but "every key with a version
before the batch". It is filled from the store after the cut-off was read, so it has all keys up to there; from there
on its owner reads the lanes without a gap and adds what it reads. Keys that a zombie or a successor has written
further on are not in it, and need not be: taken for new, they lead to the same rows again. So a filter belongs to one
consumer and to its unbroken reading; whoever takes a lane over makes a new one.
"""

import numpy as np
import numpy.typing as npt

from metering.store.versions import VersionStore

BITS_PER_KEY = 16
WORDS_MIN = 1 << 20
WORDS_MAX = 1 << 25
"""256 MiB. Above some 130 million keys the filter fills up: it lets more look-ups through, and stays right."""

SLICE_KEYS = 1_000_000

_WORD_BITS = 64
_BITS_SET = 4
_SHIFT = np.uint64(6)
_LOW = np.uint64(_WORD_BITS - 1)
_ONE = np.uint64(1)
_HASHES = 1 << 64


class SeenKeys:
    """A filter of hashes without false negatives."""

    def __init__(self, keys_expected: int = 0) -> None:
        wanted = max(keys_expected * BITS_PER_KEY // _WORD_BITS, WORDS_MIN)
        words = min(1 << (wanted - 1).bit_length(), WORDS_MAX)
        self._words = np.zeros(words, np.uint64)
        # The low bits of a hash choose the bits within a word, the high ones choose the word.
        self._word_shift = np.uint64(_WORD_BITS - (words.bit_length() - 1))

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        """Remember hashes."""
        np.bitwise_or.at(self._words, hashes >> self._word_shift, _bits(hashes))

    def maybe(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Tell for each hash whether it may have been added: False is certain, True is not."""
        bits = _bits(hashes)
        seen: npt.NDArray[np.bool_] = (self._words[hashes >> self._word_shift] & bits) == bits
        return seen


async def seen_keys_of(store: VersionStore) -> SeenKeys:
    """Fill a filter with every key of the store; the cut-off to read on from must have been taken before."""
    count = await store.keys_count()
    # Twice the room: it is not made again while the process runs.
    seen = SeenKeys(2 * count)
    slices = count // SLICE_KEYS + 1
    for index in range(slices):
        low, high = index * _HASHES // slices, (index + 1) * _HASHES // slices - 1
        seen.add(await store.key_hashes(low, high))
    return seen


def _bits(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = _ONE << (hashes & _LOW)
    for index in range(1, _BITS_SET):
        bits |= _ONE << (hashes >> (_SHIFT * np.uint64(index)) & _LOW)
    return bits
