"""What every version store must do, held against the one in memory, the embedded one and a server's over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from metering.position import Position
from metering.retraction import Retraction
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.keys import WHOLE, Share, key_hash
from metering.store.memory import MemoryVersionStore
from metering.store.versions import VersionStore
from metering.world import Mode, World
from tests.builders import NOON_US, a_verdict, a_version, loses

MONTH_US = 31 * 86_400 * 1_000_000
_lanes = iter(range(60_000))


@pytest.fixture(params=["memory", "chdb", "http"])
def versions(request: pytest.FixtureRequest) -> VersionStore:
    if request.param == "memory":
        return MemoryVersionStore()
    store: Store = request.getfixturevalue("served_store" if request.param == "http" else "store")
    return ChainStore(store)


@pytest.fixture
def lane() -> int:
    """A lane that no other test marks."""
    return next(_lanes)


@pytest.fixture
def start(lane: int) -> int:
    return lane << 48


async def current(versions: VersionStore, world: World, *record_ids: str, event_type: str = "call"):
    hashes = np.array([key_hash(world, event_type, record_id) for record_id in record_ids], np.uint64)
    return (await versions.current_versions(hashes)).by_key()


async def test_a_written_key_is_found_with_all_that_decides_its_next_version(versions, world, start):
    """Position, timestamp to the microsecond, customer and content come back as they went in."""
    version = a_version(world, start + 7, record_id="r\u00e9\u6f22'\\1", timestamp_us=NOON_US + 123_457)
    await versions.write(a_verdict([version]))
    ((key, found),) = (await current(versions, world, version.key.record_id)).items()
    assert key == version.key
    assert (found.position, found.timestamp_us) == (version.position, version.timestamp_us)
    assert (found.customer_id, found.content_hash) == (version.customer_id, version.content_hash)
    assert (found.key_hash, found.deleted) == (version.key_hash, False)


async def test_a_key_never_written_is_missing(versions, world):
    """Nothing is not a version."""
    assert await current(versions, world, "nobody") == {}
    assert len(await versions.current_versions(np.array([], np.uint64))) == 0


async def test_the_greatest_position_is_current_in_whatever_order_it_was_written(versions, world, start):
    """A zombie that writes an older version late does not bring it back."""
    for index in (2, 9, 5):
        await versions.write(a_verdict([a_version(world, start + index)]))
    (found,) = (await current(versions, world, "r1")).values()
    assert found.position == start + 9


async def test_worlds_and_types_are_apart(versions, world, start):
    """The same record id in another mode, account or type is another key."""
    other = World(world.account_id, Mode.PROD)
    rows = [
        a_version(world, start + 1),
        a_version(other, start + 2),
        a_version(World(world.account_id + "x", Mode.TEST), start + 3),
        a_version(world, start + 4, event_type="Call"),
    ]
    await versions.write(a_verdict(rows))
    for row in rows:
        found = (await versions.current_versions(np.array([row.key_hash], np.uint64))).by_key()
        assert {key: version.position for key, version in found.items()} == {row.key: row.position}


@pytest.mark.slow
async def test_a_batch_may_span_three_hundred_months(versions, world, start):
    """One client who loads 25 years in one batch stops nobody."""
    rows = [
        a_version(world, start + index, record_id=f"r{index}", timestamp_us=NOON_US - index * MONTH_US)
        for index in range(310)
    ]
    await versions.write(a_verdict(rows))
    assert len(await current(versions, world, *(row.key.record_id for row in rows))) == 310


async def test_the_cut_off_is_the_last_mark_of_each_lane(versions, lane, start):
    """A mark out of order, as a zombie writes it, takes nothing back."""
    at = datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
    for position in (5, 30, 20):
        await versions.mark_applied({lane: Position(start + position)}, at)
        assert (await versions.applied()).bounds[lane] >= start + position
    assert (await versions.applied()).bounds[lane] == start + 30


async def test_a_past_cut_off_is_the_last_one_marked_by_then(versions, lane, start):
    """Both ends of a moment are exact to the microsecond."""
    at = datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
    microsecond = timedelta(microseconds=1)
    for position, moment in ((5, at), (9, at + microsecond)):
        await versions.mark_applied({lane: Position(start + position)}, moment)
    assert lane not in (await versions.applied_at(at - microsecond)).bounds
    assert (await versions.applied_at(at)).bounds[lane] == start + 5
    assert (await versions.applied_at(at + microsecond)).bounds[lane] == start + 9
    assert await versions.last_marked_at() >= at + microsecond


async def test_a_deletion_takes_what_was_current_just_before_it(versions, world, start):
    """Superseded versions and later ones are left alone; the key is buried at the deletion's position."""
    old, new, later = (a_version(world, start + index) for index in (1, 2, 20))
    await versions.write(a_verdict([old, new], [loses(old, start + 2)]))
    await versions.write(a_verdict([later]))
    await versions.retract(Retraction(world), Position(start + 10), WHOLE)
    assert await versions.count_retracted(world, [start + 10]) == 1
    (found,) = (await current(versions, world, "r1")).values()
    assert (found.position, found.deleted) == (start + 20, False)


async def test_a_deletion_may_be_repeated(versions, world, start):
    """A replay retracts the same versions at the same position, and counts them once."""
    await versions.write(a_verdict([a_version(world, start + index, record_id=f"r{index}") for index in range(3)]))
    for _ in range(3):
        await versions.retract(Retraction(world), Position(start + 10), WHOLE)
    assert await versions.count_retracted(world, [start + 10]) == 3
    found = await current(versions, world, "r0", "r1", "r2")
    assert [(version.position, version.deleted) for version in found.values()] == [(start + 10, True)] * 3


async def test_a_second_deletion_finds_nothing_left(versions, world, start):
    """What was retracted at an earlier position is not current any more."""
    await versions.write(a_verdict([a_version(world, start + 1)]))
    for position in (start + 10, start + 11):
        await versions.retract(Retraction(world), Position(position), WHOLE)
    assert await versions.count_retracted(world, [start + 11]) == 0
    assert await versions.count_retracted(world, [start + 10, start + 11]) == 1


def deletions() -> Iterator[tuple[dict[str, object], set[str]]]:
    yield {"event_type": "call"}, {"a", "b"}
    yield {"customer_ids": ["cus_1", "ext'1"]}, {"a", "c"}
    yield {"event_type": "call", "customer_ids": ["ext'1"]}, {"a"}
    yield {"record_ids": ["a", "d", "none"]}, {"a", "d"}
    yield {"record_ids": ["a", "d"], "event_type": "load"}, {"d"}
    yield {"customer_ids": []}, set()
    yield {}, {"a", "b", "c", "d"}


@pytest.mark.parametrize(("conditions", "taken"), list(deletions()))
async def test_a_deletion_takes_what_meets_all_its_conditions(versions, world, start, conditions, taken):
    """By type, customer, record ids, any of them together, or everything of the world; never of another world."""
    rows = [
        a_version(world, start + 1, record_id="a", customer_id="ext'1"),
        a_version(world, start + 2, record_id="b", customer_id="cus_2"),
        a_version(world, start + 3, record_id="c", customer_id="cus_1", event_type="load"),
        a_version(world, start + 4, record_id="d", customer_id="cus_3", event_type="load"),
        a_version(World(world.account_id, Mode.PROD), start + 5, record_id="a"),
    ]
    await versions.write(a_verdict(rows))
    await versions.retract(Retraction(world, **conditions), Position(start + 10), WHOLE)
    found = (await versions.current_versions(np.array([row.key_hash for row in rows], np.uint64))).by_key()
    assert {key.record_id for key, version in found.items() if version.deleted} == taken
    assert await versions.count_retracted(world, [start + 10]) == len(taken)


@pytest.mark.slow
async def test_a_deletion_may_name_as_many_ids_as_a_request(versions, world, start):
    """The longest ids there are, of characters that cost most: what is refused here would stop the line for ever."""
    ids = [f"{number:04}" + "'" * 251 for number in range(5000)]
    await versions.write(a_verdict([a_version(world, start + 1, record_id=ids[-1])]))
    await versions.retract(Retraction(world, record_ids=ids), Position(start + 10), WHOLE)
    assert await versions.count_retracted(world, [start + 10]) == 1


async def test_a_deletion_in_one_partition_leaves_the_keys_of_others_alone(versions, world, start):
    """Each lane buries its own share, so that no lane runs ahead of another's keys."""
    rows = [a_version(world, start + index, record_id=f"r{index}") for index in range(40)]
    await versions.write(a_verdict(rows))
    await versions.retract(Retraction(world), Position(start + 100), Share(1, 4))
    found = (await versions.current_versions(np.array([row.key_hash for row in rows], np.uint64))).by_key()
    assert {key for key, version in found.items() if version.deleted} == {
        row.key for row in rows if row.key_hash % 4 == 1
    }


async def test_the_hashes_of_all_keys_can_be_read_back(versions, world, start):
    """A filter of seen keys can be rebuilt: no key that was written is missing from its range."""
    rows = [a_version(world, start + index, record_id=f"r{index}") for index in range(50)]
    await versions.write(a_verdict(rows))
    half = 1 << 63
    hashes = [
        *(await versions.key_hashes(0, half - 1)).tolist(),
        *(await versions.key_hashes(half, 2 * half - 1)).tolist(),
    ]
    assert {row.key_hash for row in rows} <= set(hashes)
    assert await versions.keys_count() >= 50
    halves = await versions.keys_count(0, half - 1) + await versions.keys_count(half, 2 * half - 1)
    assert 50 <= halves <= len(hashes)  # Rows that were replaced may have been merged away meanwhile.
