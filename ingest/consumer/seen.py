"""Remember which keys were ever seen, in little memory, so that new keys need not be looked up in the store.

A Bloom filter over the 64-bit hashes of keys: each key sets four bits of one word. What it has not seen is new for
certain; what it seems to have seen is looked up. It only ever saves a look-up and never decides that an event is a
duplicate.

Why other consumers cannot make it lie: what it must know is not "every key in the store" but "every key with a version
before the batch". It is filled from the store after the cut-off was read, so it has all keys up to there; from there
on its owner reads the lanes without a gap and adds what it reads. Keys that a zombie or a successor has written
further on are not in it, and need not be: taken for new, they lead to the same rows again. So a filter belongs to one
consumer and to its unbroken reading, and carries how far that went; whoever takes a lane over makes a new one.

Why damaged memory cannot make it lie: eight words are a line, and each line has a check beside it. A line that does not
fit its check does not answer. One changed word is always found, more with a probability of 1 - 2^-64.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from metering.store.versions import VersionStore

BITS_PER_KEY = 16
WORDS_MIN = 1 << 22
"""32 MiB: room for 16 million keys."""
WORDS_MAX = 1 << 25
"""256 MiB, and 32 of checks. Above some 130 million keys the filter fills up: it lets more look-ups through, and stays
right."""

SLICE_KEYS = 1_000_000
SLICE_TRIES = 3

_WORD_BITS = 64
_LINE_WORDS = 8
_BITS_SET = 4
_SHIFT = np.uint64(6)
_LOW = np.uint64(_WORD_BITS - 1)
_ONE = np.uint64(1)
_HALF = np.uint64(_WORD_BITS // 2)
_HASHES = 1 << 64
# Any odd numbers: then no two values of a word have one product. The last is of the line's own number.
_FACTORS = np.random.default_rng(1).integers(0, _HASHES, _LINE_WORDS + 1, np.uint64) | _ONE


class WrongFilterError(Exception):
    """A filter of seen keys is not what it has to be, so nothing that it says may be used."""


class SeenKeys:
    """A filter of hashes without false negatives.

    `read_to` is, for each lane, the offset up to which every key was added. Once it is `full` it lets ever more
    look-ups through: a larger one is worth filling.
    """

    def __init__(self, keys_expected: int = 0, read_to: Mapping[int, int] | None = None) -> None:
        wanted = max(keys_expected * BITS_PER_KEY // _WORD_BITS, WORDS_MIN)
        words = min(1 << (wanted - 1).bit_length(), WORDS_MAX)
        self._lines = np.zeros((words // _LINE_WORDS, _LINE_WORDS), np.uint64)
        # The low bits of a hash choose the bits within a word, the high ones choose the word.
        self._word_shift = np.uint64(_WORD_BITS - (words.bit_length() - 1))
        self._checks = _seeds(np.arange(len(self._lines)))
        self.read_to = dict(read_to or {})
        self._room = words * _WORD_BITS // BITS_PER_KEY if words < WORDS_MAX else None

    @property
    def full(self) -> bool:
        """Tell whether it holds more keys than it was made for, and there can be a larger one."""
        return self._room is not None and self._room < 0

    def meet(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Tell for each hash whether it may have been added before, as `maybe` does, and add all of them.

        Raises:
            WrongFilterError: memory that they fall on was damaged; nothing was added.
        """
        words, bits = self._places(hashes), _bits(hashes)
        lines = words // _LINE_WORDS
        seeds = _seeds(lines)
        met = self._answer(words, bits, self._intact(lines, seeds))
        np.bitwise_or.at(self._lines.reshape(-1), words, bits)
        self._checks[lines] = _checks(seeds, self._lines.take(lines, axis=0))
        if self._room is not None:
            self._room -= int(np.count_nonzero(~met))
        return met

    def maybe(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Tell for each hash whether it may have been added: False is certain, True is not.

        Raises:
            WrongFilterError: memory that they fall on was damaged.
        """
        words = self._places(hashes)
        lines = words // _LINE_WORDS
        return self._answer(words, _bits(hashes), self._intact(lines, _seeds(lines)))

    def fingerprint(self) -> int:
        """Give a number that any other content would have changed, as far as its lines fit their checks."""
        return int(self._checks.sum(dtype=np.uint64))

    def _places(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        return (hashes >> self._word_shift).astype(np.int64)

    def _intact(self, lines: npt.NDArray[np.int64], seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Give a copy of lines that fit their checks."""
        found = self._lines.take(lines, axis=0)
        damaged = int(np.count_nonzero(_checks(seeds, found) != self._checks[lines]))
        if damaged:
            raise WrongFilterError(f"{damaged} of {len(lines)} of its lines do not fit their checks")
        return found

    @staticmethod
    def _answer(
        words: npt.NDArray[np.int64], bits: npt.NDArray[np.uint64], lines: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Answer from the copy that was checked."""
        seen: npt.NDArray[np.bool_] = (lines[np.arange(len(lines)), words % _LINE_WORDS] & bits) == bits
        return seen


async def seen_keys_of(
    store: VersionStore, read_to: Mapping[int, int], samples: int = 0
) -> tuple[SeenKeys, npt.NDArray[np.uint64]]:
    """Fill a filter with every key of the store, and give some of these, up to about so many, from all over the range.

    `read_to` is, of each lane, the offset to read on from: it has to be read before.

    Raises:
        WrongFilterError: the store counts more keys than it gives.
        StoreUnavailableError: call again.
    """
    count = await store.keys_count()
    # A quarter more room, and up to the next power of two: one that is full is made again.
    seen = SeenKeys(count + count // 4, read_to)
    slices = count // SLICE_KEYS + 1
    sampled = []
    for index in range(slices):
        low, high = index * _HASHES // slices, (index + 1) * _HASHES // slices - 1
        found = await _hashes_between(store, low, high)
        seen.meet(found)
        sampled.append(some(found, -(-samples // slices)))
    return seen, np.concatenate(sampled)


def some(values: npt.NDArray[Any], count_max: int) -> npt.NDArray[Any]:
    """Give at most so many of the values, spread evenly, as a copy."""
    step = max(-(-len(values) // count_max), 1) if count_max else len(values) + 1
    return values[step - 1 :: step].copy()


async def _hashes_between(store: VersionStore, low: int, high: int) -> npt.NDArray[np.uint64]:
    for _ in range(SLICE_TRIES):
        count = await store.keys_count(low, high)
        found = await store.key_hashes(low, high)
        if len(found) >= count:  # More were written meanwhile; fewer, if rows that were replaced were merged away.
            return found
    raise WrongFilterError(f"the store counts {count} keys from {low:x} to {high:x} and gives {len(found)}")


def _seeds(lines: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Give the check of each line while it is empty: never that of another line."""
    seeds: npt.NDArray[np.uint64] = (lines.astype(np.uint64) + _ONE) * _FACTORS[_LINE_WORDS]
    return seeds


def _checks(seeds: npt.NDArray[np.uint64], lines: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Give the check of each line."""
    # Without the shift, the highest bits of two words could be flipped unseen: twice 2^63 is nothing.
    checks: npt.NDArray[np.uint64] = (lines ^ (lines >> _HALF)) @ _FACTORS[:_LINE_WORDS] + seeds
    return checks


def _bits(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = _ONE << (hashes & _LOW)
    for index in range(1, _BITS_SET):
        bits |= _ONE << (hashes >> (_SHIFT * np.uint64(index)) & _LOW)
    return bits
