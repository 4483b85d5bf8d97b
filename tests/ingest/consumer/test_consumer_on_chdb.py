"""The consumer over the real store."""

import copy
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from ingest.consumer.dead_letters import StoreDeadLetters
from metering.position import NOTHING, pack
from metering.retraction import Retraction
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.world import Mode, World
from tests.ingest.consumer.setting import Setting, a_deletion, a_section, an_event
from tests.ingest.consumer.wrong_filters import WRONG

# Lanes that no other test of this process uses.
_lanes = itertools.count(61_000)
TABLES = ("events", "superseded", "event_keys")


class Forgetful(ChainStore):
    """Nothing is ever applied: whoever starts replays the whole log."""

    async def applied(self):
        return NOTHING


@pytest.fixture
def lane() -> int:
    return next(_lanes)


def rows_of(store: Store, world) -> dict[str, list]:
    return {
        table: sorted(
            store.select(
                f"SELECT * FROM {table} FINAL WHERE account_id = {{account:String}}", {"account": world.account_id}
            )
        )
        for table in TABLES
    }


def months(count):
    return [
        an_event(f"r{index}", timestamp=(datetime(2024, 1, 15, tzinfo=UTC) - timedelta(days=30 * index)).isoformat())
        for index in range(count)
    ]


@pytest.mark.slow
async def test_a_batch_replayed_twice_changes_nothing(store, world, lane):
    """Corrections, late versions, deletions: every row is written again and is the same row."""
    setting = Setting(Forgetful(store), lane=lane)
    setting.put(a_section(world, [an_event("a", x=1), an_event("b"), an_event("c", timestamp="2024-07-01T00:00:00Z")]))
    setting.put(a_section(world, [an_event("a", x=2), an_event("c"), an_event("a", x=2)]))
    setting.put(a_deletion(Retraction(world, record_ids=["b", "c"])), a_section(world, [an_event("b", x=9)]))
    assert (await setting.drain()).stored == 6
    once = rows_of(store, world)
    assert [len(once[table]) for table in TABLES] == [6, 4, 3]
    for _ in range(2):
        await setting.drain()
        assert rows_of(store, world) == once


@pytest.mark.slow
async def test_a_batch_over_three_hundred_months_goes_in(store, world, lane):
    """No limit of the store stops the line."""
    setting = Setting(ChainStore(store), lane=lane)
    setting.put(a_section(world, months(310)))
    assert (await setting.drain()).stored == 310
    assert len(rows_of(store, world)["events"]) == 310


@pytest.mark.slow
async def test_one_batch_may_hold_many_worlds(store, world, lane):
    """Both modes of one account, and other accounts, side by side."""
    setting = Setting(ChainStore(store), lane=lane)
    worlds = [world, World(world.account_id, Mode.PROD), World(world.account_id + "x", Mode.PROD), world]
    setting.put(*(a_section(other, [an_event(f"r{index}")]) for index, other in enumerate(worlds)))
    assert (await setting.drain()).stored == 4
    assert len(rows_of(store, world)["events"]) == 3


async def test_what_is_stored_reads_back_exactly(store, world, lane):
    """Text of any script and all digits of a number."""
    setting = Setting(ChainStore(store), lane=lane)
    body = (
        '[{"customer_id":"kunde-ü","timestamp":"2024-05-06 12:00:00.123456789+02:00","event_type":"é",'
        '"record":{"id":1e2,"n":123456789012345678.900000000000000001,"t":"漢\\u0000\\n"}}]'
    )
    setting.put(a_section(world, body.encode(), count=1, received_at_us=1_700_000_000_000_001))
    await setting.drain()
    rows = store.select(
        "SELECT mode, event_type, customer_id, toString(timestamp), record_id, record_id_is_number, position, "
        "properties, toUnixTimestamp64Micro(received_at) FROM events WHERE account_id = {account:String}",
        {"account": world.account_id},
    )
    assert rows == [
        (
            "test",
            "é",
            "kunde-ü",
            "2024-05-06 10:00:00.123456",
            "100",
            True,
            pack(lane, 0, 0),
            '{"n":123456789012345678.900000000000000001,"t":"漢\\u0000\\n"}',
            1_700_000_000_000_001,
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_filter_changes_no_row(store, world, lane, wrong):
    """Whatever becomes of it, each event is there once, in its latest version."""
    setting = Setting(ChainStore(store), lane=lane)
    consumer = await setting.consumer()
    older = other = copy.deepcopy(consumer._look_up._seen)
    for amount in (1, 2):
        setting.put(a_section(world, [an_event(f"r{number}", amount=amount) for number in range(amount * 100)]))
        await consumer.drain_once()
    wrong(consumer._look_up, older, other)
    setting.put(a_section(world, [an_event(f"r{number}", amount=2) for number in range(300)]))
    drained = await consumer.drain_once()
    assert (drained.stored, drained.wrong_filters) == (100, 1)
    rows = rows_of(store, world)
    assert [len(rows[table]) for table in TABLES] == [400, 100, 300]


async def test_dead_letters_are_kept_in_the_store(store, world, lane):
    """The same letter twice is one row."""
    setting = Setting(Forgetful(store), lane=lane)
    setting.dead_letters = StoreDeadLetters(store)
    setting.put(a_section(world, b"[\xff", count=1), a_section(world, [an_event()]))
    for _ in range(2):
        assert (await setting.drain()).dead == 1
    rows = store.select(
        "SELECT position, mode, hex(payload) FROM dead_letters FINAL WHERE account_id = {account:String}",
        {"account": world.account_id},
    )
    assert rows == [(pack(lane, 0, 0), "test", "5BFF")]
