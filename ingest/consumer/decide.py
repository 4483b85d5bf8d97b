"""Decide which version of each key is current: pure, a function of the log's order and of nothing else.

The version with the greatest `(timestamp, position)` wins; every other is superseded, at the position at which that
became true. A version equal to the current one is dropped. Whatever the index already knows of a position is not
decided again: its rows exist. So a batch that is replayed, cut in another place, or decided by two consumers at once
leads to the same rows.

Most keys occur once in a batch and are new; these need no decision. Most others are sent again unchanged; these are
found as columns. Only the keys that meet a version of another content, or each other, go through Python one by one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from metering.store.versions import CurrentVersion, CurrentVersions, Key, Lost, Verdict, Version, Versions


@dataclass(slots=True)
class _Standing:
    """The current version of a key while the batch is walked; `row` is its place in the batch, -1 if it is older."""

    position: int
    timestamp_us: int
    customer_id: str
    content_hash: bytes
    deleted: bool
    row: int = -1


def decide(arrivals: Versions, known: CurrentVersions) -> Verdict:
    """Give what has to be written of a batch.

    `arrivals` are in the order of their positions within each lane. `known` holds at least the index entries of every
    arriving key that has one.
    """
    repeated = _repeated(arrivals.key_hash)
    contested = repeated | np.isin(arrivals.key_hash, known.key_hash)
    uncontested = ~contested
    contested &= ~_settled(arrivals, repeated, known)
    if not contested.any():
        taken = np.flatnonzero(uncontested)
        return Verdict(arrivals.take(taken), [], np.arange(len(taken), dtype=np.int64))

    rows = np.flatnonzero(contested)
    met = known.take(np.flatnonzero(np.isin(known.key_hash, arrivals.key_hash[rows])))
    accepted, superseded, current = decide_singly(rows.tolist(), arrivals.take(rows).rows(), met.by_key())
    kept, left_current = uncontested.copy(), uncontested
    kept[accepted] = True
    left_current[current] = True
    taken = np.flatnonzero(kept)
    return Verdict(arrivals.take(taken), superseded, np.flatnonzero(left_current[taken]))


def decide_singly(
    rows: Iterable[int], arrivals: Iterable[Version], known: Mapping[Key, CurrentVersion]
) -> tuple[list[int], list[Lost], list[int]]:
    """Decide arrivals one by one, each named by its row: who is accepted, who lost, which rows end up current."""
    accepted: list[int] = []
    superseded: list[Lost] = []
    standing: dict[Key, _Standing] = {}
    for row, arrival in zip(rows, arrivals, strict=True):
        key = arrival.key
        current = standing.get(key) or _standing_of(known.get(key))
        if current is None or (current.deleted and arrival.position > current.position):
            accepted.append(row)
            standing[key] = _standing(arrival, row)
        elif arrival.position <= current.position:
            standing[key] = current  # The index knows a later position: the rows of this one exist.
        elif _equal(arrival, current):
            standing[key] = current
        elif arrival.timestamp_us >= current.timestamp_us:  # Of equal timestamps, the later position wins.
            accepted.append(row)
            superseded.append(_lost(key, current, arrival.position))
            standing[key] = _standing(arrival, row)
        else:
            accepted.append(row)
            superseded.append(_lost(key, _standing(arrival, row), arrival.position))
            standing[key] = current
    return accepted, superseded, [current.row for current in standing.values() if current.row >= 0]


def _repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Tell which hashes occur more than once.

    Two keys of one hash are then decided singly for nothing, which is rare and harmless.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    within = np.zeros(len(ordered), np.bool_)
    within[1:] = same
    within[:-1] |= same
    repeated = np.empty(len(ordered), np.bool_)
    repeated[order] = within
    return repeated


def _settled(arrivals: Versions, repeated: npt.NDArray[np.bool_], known: CurrentVersions) -> npt.NDArray[np.bool_]:
    """Tell which arrivals change nothing: applied before, or equal to the current version.

    That is what a client sends who reloads everything, so it is found without looking at events one by one. Only
    those are told that meet a single index entry and no other arrival; the rest is decided singly.
    """
    settled = np.zeros(len(arrivals), np.bool_)
    entries = np.flatnonzero(~_repeated(known.key_hash))
    entries = entries[np.argsort(known.key_hash[entries])]
    rows = np.flatnonzero(~repeated & np.isin(arrivals.key_hash, known.key_hash[entries]))
    if not len(rows):
        return settled
    entries = entries[np.searchsorted(known.key_hash[entries], arrivals.key_hash[rows])]
    arriving, standing = arrivals.take(rows), known.take(entries)

    applied = arriving.position <= standing.position
    equal = ~standing.deleted & (arriving.timestamp_us == standing.timestamp_us)
    equal &= _same(arriving, standing, "customer_id") & _same(arriving, standing, "content_hash")
    one_key = np.ones(len(rows), np.bool_)
    for name in Key._fields:
        one_key &= _same(arriving, standing, name)
    settled[rows] = one_key & (applied | equal)
    return settled


def _same(arriving: Versions, standing: CurrentVersions, name: str) -> npt.NDArray[np.bool_]:
    left, right = arriving.table.column(name), standing.table.column(name)
    return np.asarray(pc.equal(left.cast(right.type), right).to_numpy(), np.bool_)


def _equal(arrival: Version, current: _Standing) -> bool:
    return (
        arrival.timestamp_us == current.timestamp_us
        and arrival.content_hash == current.content_hash
        and arrival.customer_id == current.customer_id
    )


def _standing(version: Version, row: int) -> _Standing:
    return _Standing(
        version.position, version.timestamp_us, version.customer_id, version.content_hash, deleted=False, row=row
    )


def _standing_of(version: CurrentVersion | None) -> _Standing | None:
    if version is None:
        return None
    return _Standing(version.position, version.timestamp_us, version.customer_id, version.content_hash, version.deleted)


def _lost(key: Key, loser: _Standing, at: int) -> Lost:
    return Lost(key, loser.customer_id, loser.timestamp_us, loser.position, at)
