"""Events come out as they were kept: the current ones in order, and every version with what became of it."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.event_id import event_id, key_hash_of
from metering.filters import decode_filter
from metering.ids import new_id
from metering.position import Cutoff
from metering.store.client import Store
from metering.store.columns import applied_columns, event_columns, key_columns, moment, versions_of
from metering.store.current import Selection
from metering.store.explorer import Explorer
from metering.store.keys import key_hash
from metering.timestamps import DAY, HOUR, MINUTE
from metering.world import Mode, World
from tests.builders import NOON_US, a_verdict, a_version
from tests.histories import CUSTOMERS, START_US, Arrival, History, cutoff_ends, histories

ALL = (30, 30)
slow_store = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_world():
    return World(new_id("acc"), Mode.TEST)


@slow_store
@given(histories, cutoff_ends, st.integers(0, 4), st.integers(0, 7), st.booleans())
def test_a_page_is_a_slice_of_what_is_current(  # noqa: PLR0917 - drawn by name.
    store, history, ends, skip, take, ascending
):
    """Newest first or last, ties by type and record id, filtered by customer and time; the count is that of all."""
    world = a_world()
    history.write(store, world)
    cutoff = history.cutoff(ends)
    selection = Selection(world, cutoff, customer_ids=CUSTOMERS[1:], start_us=START_US, end_us=START_US + 40 * DAY)
    expected = sorted(
        (
            (arrival.timestamp_us, arrival.event_type, arrival.record_id, arrival.customer_id)
            for _, arrival in history.current(cutoff)
            if arrival.customer_id in CUSTOMERS[1:] and arrival.timestamp_us < START_US + 40 * DAY
        ),
        reverse=not ascending,
    )
    found = Explorer(store).events(selection, take=take, skip=skip, ascending=ascending)
    page = [(event.timestamp_us, event.event_type, event.record_id, event.customer_id) for event in found]
    assert page == expected[skip : skip + take]
    assert Explorer(store).count(selection) == len(expected)


@pytest.mark.slow
@slow_store
@given(histories, cutoff_ends)
def test_versions_tell_what_became_of_each(store, history, ends):
    """Each version is there once, in order; the current one is the model's; losers name winner or deletion."""
    world = a_world()
    history.write(store, world)
    cutoff = history.cutoff(ends)
    current = {position for position, _ in history.current(cutoff)}
    for key in range(6):
        kept = [(position, arrival) for position, arrival in history.seen(cutoff) if arrival.key == key]
        versions = [(position, arrival) for position, arrival in kept if not arrival.deletion]
        sample = Arrival(key)
        found = Explorer(store).versions(world, cutoff, sample.event_type, sample.record_id)
        assert [line.event.position for line in found] == [position for position, _ in versions]
        assert [line.version for line in found] == list(range(1, len(found) + 1))
        assert {line.event.position for line in found if line.current} == current & {p for p, _ in versions}
        for line, (position, arrival) in zip(found, versions, strict=True):
            assert line.event.timestamp_us == arrival.timestamp_us
            if line.superseded_by is not None:
                winner = found[line.superseded_by - 1].event
                assert (winner.timestamp_us, winner.position) > (arrival.timestamp_us, position)
                assert line.superseded_at_us == max(winner.received_at_us, line.event.received_at_us)
            assert [line.current, line.deleted, line.superseded_by is not None].count(True) == 1


def test_a_deletion_is_told_with_the_moment_it_was_applied(store: Store):
    """A deleted version has no winner; its end is when the deletion's batch was applied."""
    world = a_world()
    history = History([Arrival(0), Arrival(0, deletion=True), Arrival(0)])
    history.write(store, world)
    lane = 3
    store.insert("applied", applied_columns({lane: history.position(1)}, moment(START_US + 1)))
    store.insert("applied", applied_columns({lane: history.position(2)}, moment(START_US + 2)))
    first, second = Explorer(store).versions(world, history.cutoff(ALL), "call", "r0")
    assert (first.deleted, first.current, first.superseded_by) == (True, False, None)
    assert first.superseded_at_us == START_US + 1
    assert (second.deleted, second.current, second.superseded_at_us) == (False, True, None)


def test_a_record_comes_out_with_its_id_first_and_all_its_digits(store):
    """A number id stays a number, text stays text, and no digit is lost."""
    world = a_world()
    history = History([Arrival(0, amount=Decimal("12345678901234567890.123456789012345678"))])
    history.write(store, world)
    bare = a_version(world, 1, record_id='q"1', properties=b"{}", timestamp_us=START_US - 1)
    number = a_version(world, 2, record_id="485", timestamp_us=START_US - 2)
    store.insert("events", event_columns(versions_of([bare, number])))
    found = Explorer(store).events(Selection(world, Cutoff({0: 9, **history.cutoff(ALL).bounds})), take=9)
    assert [event.record for event in found] == [
        b'{"id":"r0","amount":12345678901234567890.123456789012345678,"plan":"free"}',
        b'{"id":"q\\"1"}',
        b'{"id":"485","amount":1}',
    ]


def test_a_page_of_many_events_is_found_by_time_first(store):
    """Pages near both ends and far from them are those of the whole, also where few of the nearest rows match."""
    world = a_world()
    arrivals = [Arrival(key * 2, timestamp_us=START_US + key // 3, amount=Decimal(key)) for key in range(1500)]
    history = History(arrivals)
    history.write(store, world)
    selection = Selection(world, history.cutoff((2000, 2000)))
    newest = sorted(((each.timestamp_us, each.record_id) for each in arrivals), reverse=True)
    for skip in (0, 5, 120, 1490):
        found = Explorer(store).events(selection, take=20, skip=skip)
        assert [(event.timestamp_us, event.record_id) for event in found] == newest[skip : skip + 20]
        found = Explorer(store).events(selection, take=20, skip=skip, ascending=True)
        assert [(event.timestamp_us, event.record_id) for event in found] == newest[::-1][skip : skip + 20]
    few = decode_filter({"fields": [{"property": "amount", "operator": "lt", "value": 2}]})
    assert [event.record_id for event in Explorer(store).events(selection, take=20, where=few)] == ["r2", "r0"]


def test_an_event_is_found_by_its_id(store):
    """The id leads to the current version at the cut-off, in its own world alone."""
    world = a_world()
    version = a_version(world, (5 << 48) + 7, record_id="r\u00e9")
    store.insert("events", event_columns(versions_of([version])))
    store.insert("event_keys", key_columns(a_verdict([version])))
    identity = event_id(world, "call", "r\u00e9")
    found = Explorer(store).find(world, Cutoff({5: (5 << 48) + 9}), identity)
    assert found is not None
    assert (found.id, found.record_id) == (identity, "r\u00e9")
    assert Explorer(store).find(world, Cutoff({5: (5 << 48) + 6}), identity) is None
    assert Explorer(store).find(a_world(), Cutoff({5: (5 << 48) + 9}), identity) is None
    assert Explorer(store).find(world, Cutoff({}), "evt_" + "a" * 26) is None
    assert Explorer(store).find(world, Cutoff({}), "nonsense") is None


def test_an_event_id_carries_the_hash_of_its_key():
    """All versions of a key have one id, and the index is asked by what the id holds."""
    world = World("acc_1", Mode.PROD)
    identity = event_id(world, "call", "485")
    assert identity.startswith("evt_")
    assert len(identity) == 30
    assert key_hash_of(identity) == key_hash(world, "call", "485")
    assert event_id(World("acc_1", Mode.TEST), "call", "485") != identity
    assert [key_hash_of(text) for text in ("", "evt_", "evt_1", "evt_" + "a" * 27, "evt_é", "cus_" + "a" * 26)] == [
        None
    ] * 6


def test_types_and_the_rate_of_arrival(store):
    """Types by name; a version that a replay wrote twice arrived once."""
    world = a_world()
    now = NOON_US
    versions = [
        a_version(world, position, event_type=kind, record_id=str(position), received_at_us=now - age)
        for position, kind, age in [(1, "b", 1), (2, "a", 1), (3, "a", MINUTE), (4, "a", MINUTE + 1), (5, "a", HOUR)]
    ]
    store.insert("events", event_columns(versions_of(versions)))
    store.insert("events", event_columns(versions_of(versions[:1])))
    assert Explorer(store).event_types(world) == ["a", "b"]
    assert Explorer(store).accepted_per_minute(world, minutes=3, now_us=now) == [0, 1, 3]
