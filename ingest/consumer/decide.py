"""Decide which version of each key is current: pure, a function of the log's order and of nothing else.

The version with the greatest `(timestamp, position)` wins; every other is superseded, at the position at which that
became true. A version equal to the current one is dropped. Whatever the index already knows of a position is not
decided again: its rows exist. So a batch that is replayed, cut in another place, or decided by two consumers at once
leads to the same rows.

Most keys occur once in a batch and are new. These need no decision, and are set apart as columns; only the keys that
meet another version go through Python one by one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metering.store.versions import CurrentVersion, Key, Lost, Verdict, Version, Versions


@dataclass(slots=True)
class _Standing:
    """The current version of a key while the batch is walked; `row` is its place in the batch, -1 if it is older."""

    position: int
    timestamp_us: int
    customer_id: str
    content_hash: bytes
    deleted: bool
    row: int = -1


def decide(arrivals: Versions, known: Mapping[Key, CurrentVersion]) -> Verdict:
    """Give what has to be written of a batch.

    `arrivals` are in the order of their positions within each lane. `known` holds at least the index entry of every
    arriving key that has one.
    """
    contested = _contested(arrivals, known)
    if not contested.any():
        return Verdict(arrivals, [], np.arange(len(arrivals), dtype=np.int64))
    rows = np.flatnonzero(contested)
    accepted, superseded, current = decide_singly(rows.tolist(), arrivals.take(rows).rows(), known)

    kept = ~contested
    kept[accepted] = True
    current_mask = ~contested
    current_mask[current] = True
    taken = np.flatnonzero(kept)
    return Verdict(arrivals.take(taken), superseded, np.flatnonzero(current_mask[taken]))


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


def _contested(arrivals: Versions, known: Mapping[Key, CurrentVersion]) -> npt.NDArray[np.bool_]:
    """Tell which arrivals share the hash of their key with another arrival, or with a key that is known.

    Two keys of one hash are sent through the single decision for nothing, which is rare and harmless.
    """
    order = np.argsort(arrivals.key_hash, kind="stable")
    ordered = arrivals.key_hash[order]
    same = ordered[1:] == ordered[:-1]
    repeated = np.zeros(len(ordered), np.bool_)
    repeated[1:] = same
    repeated[:-1] |= same
    contested = np.empty(len(ordered), np.bool_)
    contested[order] = repeated
    if known:
        hashes = np.fromiter((version.key_hash for version in known.values()), np.uint64, len(known))
        contested |= np.isin(arrivals.key_hash, hashes)
    return contested


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
