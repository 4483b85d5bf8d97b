"""Whose each id of a run is: one id under two customers is a fault, told exactly, in 13 bytes of memory a row.

Each id that was accepted is written with its customer to a file that has no name and goes with its owner. In memory
there is only where: 8-byte slots of 24 bits of the id's hash and 40 bits of an offset in the file, in lines of eight
that the other bits of the hash choose, and 32 MiB of single bits, which let most new ids pass without a look at the
slots. Where the bits agree, the file is read and the texts are compared. So nothing is ever told or passed over because
of a hash; a hash that lies only costs a read.

Slots are never moved: a table that is full stays, and one of twice the size takes what comes next. The hash is Python's
of strings, which each process seeds anew, so that nobody can choose ids that meet.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ingest.numbers import plain_number

_FIRST_SLOTS = 1 << 17
_SECOND_SLOTS = 1 << 20
_LINE_SLOTS = 8
_FULL_PERCENT = 75
_OFFSET_BITS = 40
_OFFSETS = np.uint64((1 << _OFFSET_BITS) - 1)
_SHIFT = np.uint64(_OFFSET_BITS)
_SEEN_BITS = 25
"""The bits lie in so many bytes, as a power of two: touched as they are set, so that a small run pays little."""
_BYTE_SHIFT = np.uint64(64 - _SEEN_BITS)
_BIT_SHIFT = np.uint64(64 - _SEEN_BITS - 3)
_BIT = np.uint64(7)
_RECORD_BYTES = 512
_RECORD_BYTES_MAX = 16 * 1024

_first_character = itemgetter(0)

_Hashes = npt.NDArray[np.uint64]
_Indexes = npt.NDArray[np.int64]


class MetIds:
    """The ids of one run. For one thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where the file lies, on a disk."""
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close` does.
        self._descriptor = self._file.fileno()
        self._tables: list[_Hashes] = []
        self._room = 0
        self._seen = np.zeros(1 << _SEEN_BITS, np.uint8)
        self._end = os.write(self._descriptor, b"\n")  # So that no offset is 0, which is an empty slot.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
        self._tables.clear()

    def meet(self, ids: Sequence[str], customers: Sequence[str]) -> list[int]:
        """Give the indexes of rows whose id was met under another customer, ascending; the others are met now.

        `ids` are JSON text of strings or numbers, `customers` of strings.

        Raises:
            OSError: the disk is full.
        """
        if set(map(_first_character, ids)) <= {'"'}:
            return self._meet(ids, customers)
        return self._meet([one if one[0] == '"' else f'"{_plain(one)}"' for one in ids], customers)

    def _meet(self, keys: Sequence[str], customers: Sequence[str]) -> list[int]:
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys)).view(np.uint64)
        distinct, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        owners = self._owners(distinct, firsts, keys)
        if not owners and len(distinct) == len(keys):
            self._add(distinct, inverse, keys, customers)
            return []
        new = np.ones(len(distinct), np.bool_)
        new[list(owners)] = False
        rows = firsts[new].tolist()
        places = np.arange(len(rows))
        self._add(distinct[new], places, [keys[row] for row in rows], [customers[row] for row in rows])
        return self._wrong(firsts, inverse, owners, keys, customers)

    def _wrong(
        self,
        firsts: _Indexes,
        inverse: _Indexes,
        owners: Mapping[int, str],
        keys: Sequence[str],
        customers: Sequence[str],
    ) -> list[int]:
        """Give the rows whose id is another customer's."""
        wrong: list[int] = []
        strays: list[int] = []
        begins: list[int] = firsts.tolist()
        for index, which in enumerate(inverse.tolist()):
            first = begins[which]
            if keys[index] != keys[first]:
                strays.append(index)  # Two ids of one hash: the later one begins anew.
            elif customers[index] != owners.get(which, customers[first]):
                wrong.append(index)
        if strays:
            found = self._meet([keys[index] for index in strays], [customers[index] for index in strays])
            wrong = sorted([*wrong, *(strays[index] for index in found)])
        return wrong

    def _owners(self, hashes: _Hashes, firsts: _Indexes, keys: Sequence[str]) -> dict[int, str]:
        """Give whose the ids are that were met before, by their index in `hashes`."""
        seen = np.flatnonzero(self._seen[hashes >> _BYTE_SHIFT] >> (hashes >> _BIT_SHIFT & _BIT).astype(np.uint8) & 1)
        owners: dict[int, str] = {}
        for place, offset in self._candidates(hashes[seen]):
            which = int(seen[place])
            key, customer = self._read(offset)
            if key == keys[firsts[which]]:
                owners[which] = customer
        return owners

    def _candidates(self, hashes: _Hashes) -> list[tuple[int, int]]:
        """Give pairs of an index into `hashes` and an offset where its id may be."""
        found: list[tuple[int, int]] = []
        marks = hashes << _SHIFT
        for table in self._tables:
            which = np.arange(len(hashes))
            lines_at = _lines_of(table, hashes)
            while len(which):
                lines = table[lines_at]
                unlike = lines ^ marks[which, None]
                rows, places = np.nonzero((unlike <= _OFFSETS) & (unlike != 0))
                found += zip(which[rows].tolist(), unlike[rows, places].tolist(), strict=True)
                full = lines[:, -1] != 0  # Lines fill from the left; what had no room is in the next one.
                which, lines_at = which[full], (lines_at[full] + 1) % len(table)
        return found

    def _add(self, hashes: _Hashes, inverse: _Indexes, keys: Sequence[str], customers: Sequence[str]) -> None:
        """Write ids with their customers, and remember where; `hashes` ascend, a row's is `hashes[inverse[row]]`."""
        count = len(hashes)
        if not count:
            return
        text = "\n".join(chain(chain.from_iterable(zip(keys, customers, strict=True)), ("",)))
        data = text.encode()
        size = len if len(data) == len(text) else _size
        ends = np.fromiter(map(size, keys), np.int64, count) + np.fromiter(map(size, customers), np.int64, count)
        ends = np.cumsum(ends + 2)
        offsets = np.empty(count, np.uint64)
        offsets[inverse] = self._end + np.concatenate([[0], ends[:-1]])
        self._write(data)
        if self._room < count:
            self._grow(count)
        self._room -= count
        _insert(self._tables[-1], _lines_of(self._tables[-1], hashes), (hashes << _SHIFT) | offsets)
        np.bitwise_or.at(
            self._seen, hashes >> _BYTE_SHIFT, np.uint8(1) << (hashes >> _BIT_SHIFT & _BIT).astype(np.uint8)
        )

    def _grow(self, least: int) -> None:
        slots = self._tables[-1].size * 2 if len(self._tables) > 1 else _SECOND_SLOTS if self._tables else _FIRST_SLOTS
        while slots * _FULL_PERCENT // 100 < least:
            slots *= 2
        self._tables.append(np.zeros((slots // _LINE_SLOTS, _LINE_SLOTS), np.uint64))
        self._room = slots * _FULL_PERCENT // 100

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._end += written
            view = view[written:]

    def _read(self, offset: int) -> tuple[str, str]:
        lines = os.pread(self._descriptor, _RECORD_BYTES, offset).split(b"\n", 2)
        if len(lines) < 3:
            lines = os.pread(self._descriptor, _RECORD_BYTES_MAX, offset).split(b"\n", 2)
        return lines[0].decode(), lines[1].decode()


def _plain(number: str) -> str:
    """Give what a number is the same by: 1.5 and 1.50 are one."""
    return number if number.isdigit() else plain_number(number) or number


def _size(text: str) -> int:
    return len(text.encode())


def _lines_of(table: _Hashes, hashes: _Hashes) -> _Indexes:
    return (hashes >> np.uint64(64 - (len(table).bit_length() - 1))).astype(np.int64)


def _insert(table: _Hashes, lines_at: _Indexes, slots: _Hashes) -> None:
    """Put slots into lines, or into the next that has room; `lines_at` ascend."""
    while len(slots):
        places = np.arange(len(slots))
        begins = np.concatenate([[True], lines_at[1:] != lines_at[:-1]])
        rank = places - np.maximum.accumulate(np.where(begins, places, 0))
        place = np.count_nonzero(table[lines_at], axis=1) + rank
        fits = place < _LINE_SLOTS
        table[lines_at[fits], place[fits]] = slots[fits]
        lines_at, slots = (lines_at[~fits] + 1) % len(table), slots[~fits]
        if len(slots) and lines_at[-1] < lines_at[0]:  # The line after the last is the first.
            order = np.argsort(lines_at, kind="stable")
            lines_at, slots = lines_at[order], slots[order]
