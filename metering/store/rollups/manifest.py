"""Which segments make up an aggregator's figures, and up to which cut-off.

A manifest is a fact: its segments tile what came in up to its cut-off, whatever other manifests say. So the newest is
read without a lock, two processes may write one of the same generation (either is right), and an older one goes on
being right as long as its segments are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from metering.position import NOTHING, Cutoff, Position
from metering.store.client import Store
from metering.store.rollups.definition import Definition
from metering.world import Mode, World

FORGOTTEN_STEP = 1_000_000
"""Generations that are passed over when a rollup is forgotten, so that nothing under way comes after that."""

_NEWEST = """
SELECT generation, lanes, bounds, segments
FROM rollup_manifests
WHERE account_id = {account_id:String} AND mode = {mode:String} AND definition = {definition:String}
ORDER BY generation DESC
LIMIT 1
"""

_PUBLISH = """
INSERT INTO rollup_manifests (account_id, mode, definition, generation, lanes, bounds, segments, aggregator)
SELECT {account_id:String}, {mode:String}, {definition:String}, {generation:UInt64},
       {lanes:Array(UInt16)}, {bounds:Array(UInt64)},
       arrayZip({ids:Array(UInt64)}, {rows:Array(UInt64)}), {aggregator:String}
"""

_ALL = """
SELECT account_id, toString(mode), definition, max(generation), argMax(segments, generation), max(written_at)
FROM rollup_manifests
WHERE {of}
GROUP BY account_id, mode, definition
ORDER BY max(written_at), definition
"""

_EMPTY = """
INSERT INTO rollup_manifests (account_id, mode, definition, generation)
SELECT {account_id:String}, {mode:String}, {definition:String}, {generation:UInt64}
"""


class Segment(NamedTuple):
    """A segment by its number, and how many rows it has by quarters of an hour."""

    id: int
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The segments, oldest first, and the cut-off up to which they tell everything. Without any it tells nothing."""

    generation: int = 0
    cutoff: Cutoff = NOTHING
    segments: Sequence[Segment] = ()

    @property
    def ids(self) -> list[int]:
        """Give the numbers of the segments."""
        return [segment.id for segment in self.segments]


class Kept(NamedTuple):
    """A rollup that the store keeps."""

    world: World
    definition: str
    generation: int
    segments: Sequence[Segment]


def newest(store: Store, definition: Definition) -> Manifest:
    """Give the newest manifest of an aggregator; an empty one when there is none."""
    for generation, lanes, bounds, segments in store.select(_NEWEST, _of(definition.world, definition.key)):
        cutoff = Cutoff({lane: Position(bound) for lane, bound in zip(lanes, bounds, strict=True)})
        return Manifest(generation, cutoff, [Segment(*_fields(segment)) for segment in segments])
    return Manifest()


def publish(store: Store, definition: Definition, manifest: Manifest) -> None:
    """Make a manifest the newest, if none of a greater generation is there. Its segments must be sealed."""
    lanes = sorted(manifest.cutoff.bounds)
    parameters = {
        **_of(definition.world, definition.key),
        "generation": manifest.generation,
        "lanes": lanes,
        "bounds": [manifest.cutoff.bounds[lane] for lane in lanes],
        "ids": manifest.ids,
        "rows": [segment.rows for segment in manifest.segments],
        "aggregator": repr(definition.aggregator),
    }
    store.command(_PUBLISH, parameters)


def kept(store: Store, world: World | None = None) -> list[Kept]:
    """Give the rollups of a world, or all, those that were written longest ago first; forgotten ones are empty."""
    parameters = {} if world is None else {"account_id": world.account_id, "mode": world.mode.value}
    of = "true" if world is None else "account_id = {account_id:String} AND mode = {mode:String}"
    return [
        Kept(World(account_id, Mode(mode)), key, generation, [Segment(*_fields(each)) for each in segments])
        for account_id, mode, key, generation, segments, _ in store.select(_ALL.format(of=of), parameters)
    ]


def forget(store: Store, one: Kept) -> None:
    """Make a rollup as if it had never been; what is being written for it now will not count either."""
    parameters = {**_of(one.world, one.definition), "generation": one.generation + FORGOTTEN_STEP}
    store.command(_EMPTY, parameters)


def forget_world(store: Store, world: World) -> None:
    """Forget every rollup of a world, for whoever changes rows that are there: they are made anew when asked for."""
    for one in kept(store, world):
        forget(store, one)


def _of(world: World, definition: str) -> dict[str, str]:
    return {"account_id": world.account_id, "mode": world.mode.value, "definition": definition}


def _fields(segment: object) -> tuple[int, int]:
    """Read a named tuple as the driver gives it: a mapping or a sequence."""
    if isinstance(segment, dict):
        return int(segment["id"]), int(segment["rows"])
    assert isinstance(segment, tuple | list)
    return int(segment[0]), int(segment[1])
