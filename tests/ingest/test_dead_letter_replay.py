import json
from datetime import UTC, datetime

import pytest

from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.seams import DeadLetter
from ingest.dead_letter_replay import Replayer, StillFaultyError, sections_of
from ingest.log.memory import MemoryLogWriter
from ingest.wire import Kind, encode
from metering.position import pack
from metering.retraction import Retraction
from metering.store.chains import ChainStore
from metering.world import Mode, World
from tests.ingest.consumer.setting import Setting, a_deletion, a_section, an_event

WORLD = World("acc_1", Mode.TEST)


def a_letter(payload, world=WORLD, position=0):
    return DeadLetter(position, world, "why", payload)


def bodies(letter):
    return [json.loads(section.body) for section in sections_of(letter, 7)]


def now():
    return datetime(2024, 6, 1, tzinfo=UTC)


def test_a_section_whose_events_are_good_goes_in_again():
    """In its world, counted anew, as if it came in now."""
    (section,) = sections_of(a_letter(json.dumps([an_event("a"), an_event("b")]).encode()), 7)
    assert (section.world, section.kind, section.events, section.received_at_us) == (WORLD, Kind.EVENTS, 2, 7)


def test_an_event_that_was_kept_apart_from_its_id_gets_it_back():
    """As the consumer keeps one that is faulty by itself; digits stay."""
    payload = (
        b'{"event":{"customer_id":"c","timestamp":"2024-01-01T00:00:00Z","event_type":"t",'
        b'"record":{"n":1.000000000000000001}},"id":485}'
    )
    (section,) = sections_of(a_letter(payload), 7)
    assert b'"record":{"id":485,"n":1.000000000000000001}' in section.body


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[\xff", "UTF-8"),
        (b"[]", "empty|1 to 5000"),
        (json.dumps([an_event(), an_event(timestamp="never")]).encode(), "index 1.*never"),
        (a_deletion(Retraction(WORLD)).body, "a deletion is not replayed"),
        (b'{"event":{"customer_id":"c","timestamp":1,"event_type":"t","record":{}},"id":null}', "record.id|timestamp"),
        (b"", "malformed|array"),
    ],
)
def test_what_is_still_no_good_stays_with_its_reason(payload, reason):
    """Nothing of such a letter is sent."""
    with pytest.raises(StillFaultyError, match=reason):
        sections_of(a_letter(payload), 7)


def test_of_a_whole_message_only_what_was_not_applied_goes_in_again():
    """What stood before the fault is in the figures already: sent again, it could undo a correction."""
    message = encode([a_section(WORLD, [an_event("a"), an_event("b")]), a_section(WORLD, [an_event("c")])])
    assert bodies(a_letter(message, None, pack(0, 9, 2))) == [[an_event("c")]]
    with pytest.raises(StillFaultyError, match="format"):
        sections_of(a_letter(b"\x07" + message, None, pack(0, 9, 0)), 7)
    with pytest.raises(StillFaultyError, match="a deletion is not replayed"):
        sections_of(a_letter(encode([a_deletion(Retraction(WORLD))]), None, pack(0, 9, 0)), 7)


async def test_a_replayed_letter_is_counted_and_not_replayed_again(store, world):
    """From the consumer that could not read it, by way of the log, to the figures; the bad one stays listed."""
    lane = 59_000
    setting = Setting(ChainStore(store), lane=lane)
    setting.dead_letters = letters = StoreDeadLetters(store)
    setting.put(a_section(world, [an_event("good")], count=3), a_section(world, b"[\xff", count=1))
    assert (await setting.drain()).dead == 2

    async def mine():
        return [letter for letter in await letters.listed(pack(lane, 0, 0), 10) if letter.world == world]

    assert [(one.position, one.replayed) for one in await mine()] == [
        (pack(lane, 0, 0), False),
        (pack(lane, 0, 3), False),
    ]
    replayer = Replayer(letters, MemoryLogWriter(setting.log), now)

    async def replay():
        outcomes = await replayer.replay(pack(lane, 0, 0))
        return [one for one in outcomes if one.position < pack(lane + 1, 0, 0)]  # Later lanes are other tests'.

    replayed, refused = await replay()
    assert (replayed.events, replayed.reason) == (1, None)
    assert refused.events == 0
    assert "UTF-8" in refused.reason
    assert [one.replayed for one in await mine()] == [True, False]
    assert [one.position for one in await replay()] == [pack(lane, 0, 3)]
    await setting.drain()
    rows = store.select(
        "SELECT record_id FROM events WHERE account_id = {account:String}", {"account": world.account_id}
    )
    assert rows == [("good",)]
