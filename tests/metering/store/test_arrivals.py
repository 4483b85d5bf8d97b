"""Where a version came in, and what had come in by then."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from metering.position import Cutoff, last_of_message, pack
from metering.store.arrivals import Arrivals, Arrived, SameVersion
from metering.store.chains import ChainStore
from tests.builders import NOON_US, a_verdict, a_version, loses

_lanes = itertools.count(59_000)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lane():
    return next(_lanes)


def the_version(properties=b'{"amount":1}', timestamp_us=NOON_US):
    return SameVersion("call", "r1", False, "cus_1", timestamp_us, properties)


async def test_a_version_is_found_where_it_last_came_in_and_counted(store, world, lane):
    """Not where it came in later than asked, nor where it was beaten on arrival; another content is another version."""
    chains, arrivals = ChainStore(store), Arrivals(store)
    first, other, again = (a_version(world, pack(lane, offset, 0)) for offset in (0, 1, 2))
    other = a_version(world, other.position, properties=b'{"amount":2}', timestamp_us=NOON_US + 5)
    beaten = loses(again, again.position)
    await chains.write(a_verdict([first, other, again], [loses(first, other.position), beaten]))
    assert arrivals.last_of(world, the_version(), again.position) == Arrived(first.position, beaten=False)
    found = arrivals.last_of(world, the_version(b'{"amount":2}', NOON_US + 5), again.position)
    assert found == Arrived(other.position, beaten=False)
    assert arrivals.last_of(world, the_version(b'{"amount":2}', NOON_US + 5), first.position) is None
    assert arrivals.last_of(world, the_version(b'{"amount":3}'), again.position) is None


async def test_a_version_that_never_counted_is_told_apart(store, world, lane):
    """It came in, and was beaten by one with a later timestamp."""
    winner = a_version(world, pack(lane, 0, 0), timestamp_us=NOON_US + 5)
    late = a_version(world, pack(lane, 1, 0))
    await ChainStore(store).write(a_verdict([winner, late], [loses(late, late.position)]))
    assert Arrivals(store).last_of(world, the_version(), late.position) == Arrived(late.position, beaten=True)


async def test_of_any_two_events_one_is_before_the_other(store, lane):
    """Over three lanes and several marks: the cut-offs of all events are one ascending chain."""
    chains, arrivals = ChainStore(store), Arrivals(store)
    lanes = [lane, next(_lanes), next(_lanes)]
    marks = [{lanes[0]: 0, lanes[2]: 0}, {lanes[1]: 0}, {lanes[0]: 2, lanes[1]: 1, lanes[2]: 1}]
    for number, mark in enumerate(marks):
        shown = {one: last_of_message(one, offset) for one, offset in mark.items()}
        await chains.mark_applied(shown, START + timedelta(seconds=number))
    applied = Cutoff({one: last_of_message(one, offset) for one, offset in zip(lanes, (2, 1, 1), strict=True)})
    events = [pack(lanes[0], offset, index) for offset in (0, 1, 2) for index in (0, 1)]
    events += [pack(one, offset, 0) for one in lanes[1:] for offset in (0, 1)]
    cutoffs = {event: arrivals.cutoff_at(event, applied) for event in events}
    ordered = sorted(events, key=lambda event: sum(cutoffs[event].covers(other) for other in events))
    for number, event in enumerate(ordered):
        assert [other for other in ordered if cutoffs[event].covers(other)] == ordered[: number + 1]
    assert ordered[:2] == [pack(lanes[0], 0, 0), pack(lanes[0], 0, 1)]


async def test_one_lane_needs_no_marks(store, lane):
    """The position says it all."""
    position = pack(lane, 3, 1)
    assert Arrivals(store).cutoff_at(position, Cutoff({lane: pack(lane, 9, 0)})) == Cutoff({lane: position})
