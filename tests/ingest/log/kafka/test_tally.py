from ingest.log.kafka.tally import Tally
from ingest.log.protocol import Backlog, Message


def messages(first, *events, at_us=0):
    return [Message(0, first + index, count, at_us + index, b"") for index, count in enumerate(events)]


def test_what_was_noted_is_told_exactly():
    """From any offset noted up to any end noted."""
    tally = Tally(5)
    tally.note(messages(5, 3, 4, 5, at_us=100))
    assert tally.next_offset == 8
    assert tally.backlog(8) == Backlog(12, 100)
    assert tally.backlog(6) == Backlog(3, 100)
    tally.go_to(6)
    assert tally.backlog(8) == Backlog(9, 101)
    tally.go_to(8)
    assert tally.backlog(8) == Backlog(0, None)


def test_messages_that_do_not_follow_are_passed_over():
    """A second reading of the same, and a reading further on, change nothing."""
    tally = Tally(0)
    tally.note(messages(0, 1, 2))
    tally.note(messages(0, 1, 2))
    tally.note(messages(9, 7))
    assert tally.backlog(2) == Backlog(3, 0)


def test_what_was_not_noted_is_told_in_proportion_and_never_as_nothing():
    """At least one event a message; about as many as messages seen lately held."""
    tally = Tally(0)
    assert tally.backlog(3).events == 3
    tally.note(messages(0, *[50] * 1000))
    told = tally.backlog(2000).events - 50_000
    assert 49_000 <= told <= 51_000


def test_it_begins_anew_where_reading_begins_elsewhere():
    """Behind what is known, and before it."""
    tally = Tally(0)
    tally.note(messages(0, 1, 2))
    for offset in (7, 1):
        tally.go_to(offset)
        assert tally.next_offset == offset
        tally.note(messages(offset, 4))
        assert tally.backlog(offset + 1).events == 4
