import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingest.consumer import standstill
from ingest.consumer.consumer import POISONED_SECTIONS_MIN
from ingest.consumer.lag import lag_of, wait_until_applied
from ingest.consumer.lanes import accepted
from ingest.consumer.standstill import Standstill
from ingest.errors import LogMismatchError, LogPoisonedError, LogTooNewError
from ingest.wire import encode
from metering.errors import StoreUnavailableError
from metering.position import Cutoff, Position, last_of_message, pack
from metering.retraction import Retraction
from metering.store.memory import MemoryVersionStore
from metering.world import Mode, World
from tests.ingest.consumer.setting import Setting, a_deletion, a_section, an_event

WORLD = World("acc_1", Mode.TEST)
OTHER = World("acc_1", Mode.PROD)


class FailingStore(MemoryVersionStore):
    """A store that is down for the first so many writes."""

    failures = 0

    async def put_superseded(self, superseded):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("down")
        await super().put_superseded(superseded)


async def test_an_event_is_stored_with_its_canonical_record_and_what_came_with_it():
    """World, times, id and properties arrive as the client meant them."""
    setting = Setting()
    event = an_event(4.85e2, customer_id="cus_9", timestamp=1_714_996_800_001, b=1.50, a=["x"])
    setting.put(a_section(WORLD, [event], received_at_us=77))
    assert (await setting.drain()).stored == 1
    version = (await setting.figures())["485"]
    assert (version.key.account_id, version.key.mode, version.key.event_type) == ("acc_1", "test", "call")
    assert (version.customer_id, version.timestamp_us, version.received_at_us) == ("cus_9", 1_714_996_800_001_000, 77)
    assert (version.record_id_is_number, version.properties) == (True, b'{"a":["x"],"b":1.5}')


async def test_positions_follow_the_order_within_a_message():
    """Sections of several clients share a message; each event has its own index, faulty sections keep theirs."""
    setting = Setting()
    setting.put(a_section(WORLD, [an_event("a"), an_event("b")]), a_section(WORLD, b"[", count=3))
    setting.put(a_section(OTHER, [an_event("c")]), a_section(WORLD, [an_event("d")]))
    await setting.drain()
    positions = {record_id: version.position for record_id, version in (await setting.figures()).items()}
    assert positions == {"a": pack(0, 0, 0), "b": pack(0, 0, 1), "c": pack(0, 1, 0), "d": pack(0, 1, 1)}
    assert (await setting.store.applied()).bounds == {0: last_of_message(0, 1)}
    assert list(setting.dead_letters.letters) == [pack(0, 0, 2)]


async def test_sent_again_changes_nothing():
    """Re-sends in any notation of the same values are dropped."""
    setting = Setting()
    consumer = await setting.consumer()
    for amount in ("1.5", "1.50", "15e-1"):
        body = json.dumps([an_event(a="AMOUNT")]).replace('"AMOUNT"', amount)
        setting.put(a_section(WORLD, body.encode(), count=1))
        await consumer.drain_once()
    assert len(setting.store.events) == 1


async def test_a_deletion_takes_what_came_before_it_in_the_same_batch_and_spares_what_came_after():
    """A deletion is a barrier."""
    setting = Setting()
    setting.put(
        a_section(WORLD, [an_event("a", x=1), an_event("b")]),
        a_deletion(Retraction(WORLD, customer_ids=["cus_1"])),
        a_section(WORLD, [an_event("a", timestamp="2020-01-01T00:00:00Z")]),
    )
    drained = await setting.drain()
    assert (drained.deletions, drained.stored) == (1, 3)
    assert set(await setting.figures()) == {"a"}
    assert await setting.store.count_retracted(WORLD, [pack(0, 0, 2)]) == 2


async def test_customers_are_ensured_before_their_events_are_seen_and_once():
    """A figure never names somebody who is nobody."""
    setting = Setting()
    consumer = await setting.consumer()
    setting.put(
        a_section(WORLD, [an_event("a"), an_event("b", customer_id="ext-2")]), a_section(OTHER, [an_event("a")])
    )
    await consumer.drain_once()
    setting.put(a_section(WORLD, [an_event("c"), an_event("d", customer_id="cus_3")]))
    await consumer.drain_once()
    assert setting.registrar.calls == [(WORLD, {"cus_1", "ext-2"}), (OTHER, {"cus_1"}), (WORLD, {"cus_3"})]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"[", 1),
        (b'[{"customer_id":"c"}]', 1),
        (b"[]", 1),
        (b'[{"customer_id":"c","timestamp":"x","event_type":"t","record":{"id":"1"}}]', 1),
        (b'[{"customer_id":"c","timestamp":5,"event_type":"t","record":{"id":"1"}}]', 1),
        (b'[{"customer_id":"c","timestamp":1714996800000,"event_type":"t","record":{}}]', 1),
        (b'[{"customer_id":"c","timestamp":1714996800000,"event_type":"t","record":{"id":true}}]', 1),
        (b'[{"customer_id":"c","timestamp":1714996800000,"event_type":"t","record":{"id":"1","x":1e999}}]', 1),
    ],
)
async def test_what_no_event_can_be_made_of_is_a_dead_letter_and_the_line_goes_on(body, count):
    """Its neighbours are stored, its bytes are kept with the reason."""
    setting = Setting()
    setting.put(
        a_section(WORLD, [an_event("a")]), a_section(WORLD, body, count=count), a_section(WORLD, [an_event("b")])
    )
    assert (await setting.drain()).dead == 1
    assert set(await setting.figures()) == {"a", "b"}
    (letter,) = setting.dead_letters.letters.values()
    assert (letter.position, letter.world) == (pack(0, 0, 1), WORLD)
    assert letter.reason
    assert letter.payload


async def test_one_faulty_event_leaves_the_others_of_its_section_alone():
    """An event that slipped through with a timestamp out of range is alone in its fault."""
    setting = Setting()
    setting.put(a_section(WORLD, [an_event("a"), an_event("b", timestamp=1), an_event(3)]))
    await setting.drain()
    assert {key: version.position for key, version in (await setting.figures()).items()} == {"a": 0, "3": 2}
    assert list(setting.dead_letters.letters) == [pack(0, 0, 1)]


async def test_a_message_cut_short_keeps_its_good_sections():
    """What was read before the fault counts."""
    setting = Setting()
    offset = setting.put(a_section(WORLD, [an_event("a")]))
    payload = setting.log.messages(offset, 1)[0].payload
    setting.log.commit(payload.replace(b'"a"', b'"b"') + b"\x01\x01", 1)
    await setting.drain()
    assert set(await setting.figures()) == {"a", "b"}
    assert list(setting.dead_letters.letters) == [pack(0, 1, 1)]


async def test_a_log_that_is_mostly_poison_stops_the_line():
    """Then the fault is ours, and passing it all over would lose what was answered for."""
    setting = Setting()
    for _ in range(POISONED_SECTIONS_MIN):
        setting.put(a_section(WORLD, b"[", count=1))
    with pytest.raises(LogPoisonedError):
        await setting.drain()
    assert (await setting.store.applied()).bounds == {}


@pytest.mark.slow
async def test_in_front_of_poison_a_consumer_stands_still_and_tries_again_ever_more_seldom(monkeypatch):
    """It says why and where, with the remedy, and nothing is passed over; once what it reads is good it goes on."""
    monkeypatch.setattr(standstill, "PAUSE_S_MIN", 0.001)
    monkeypatch.setattr(standstill, "PAUSE_S_MAX", 0.004)
    told = Standstill()
    told.end()
    paused = []
    begin = told.begin

    def noted(error):
        paused.append(begin(error))
        return paused[-1]

    monkeypatch.setattr(told, "begin", noted)
    setting = Setting(standstill=told)
    setting.put(*[a_section(WORLD, b"[", count=1)] * POISONED_SECTIONS_MIN)
    running = asyncio.create_task((await setting.consumer()).run())
    while len(paused) < 5:
        await asyncio.sleep(0.001)
    assert paused[1:5] == [0.002, 0.004, 0.004, 0.004]
    assert "lane 0, offset 0" in told.reason
    assert "METERLINE_ACCEPT_POISON=1" in told.reason
    with pytest.raises(LogPoisonedError):
        await told.check()
    assert (await setting.store.applied()).bounds == {}
    setting.log._messages[0] = replace(setting.log._messages[0], payload=encode([a_section(WORLD, [an_event("a")])]))
    while told.reason is not None:
        await asyncio.sleep(0.001)
    assert set(await setting.figures()) == {"a"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_operator_may_let_poison_pass():
    """All of it is kept as dead letters, and the line goes on."""
    setting = Setting(poison_stops=False)
    for _ in range(POISONED_SECTIONS_MIN):
        setting.put(a_section(WORLD, b"[", count=1))
    setting.put(a_section(WORLD, [an_event("a")]))
    assert (await setting.drain()).dead == POISONED_SECTIONS_MIN
    assert set(await setting.figures()) == {"a"}


async def test_a_message_of_a_newer_release_stops_the_line():
    """It is no poison: the newer release can read it."""
    setting = Setting()
    setting.log.commit(b"\x09rest", 1)
    with pytest.raises(LogTooNewError, match="format 9"):
        await setting.drain()


async def test_a_log_that_ends_before_what_is_applied_is_refused():
    """A log put back from a backup would give positions out a second time."""
    setting = Setting()
    setting.put(a_section(WORLD, [an_event()]))
    await setting.store.mark_applied({0: last_of_message(0, 5)}, datetime.now(UTC))
    with pytest.raises(LogMismatchError, match=r"applied offset 5 .* ends at 1"):
        await setting.consumer()


async def test_a_restart_reads_on_from_what_is_applied():
    """Nothing is read twice, nothing is passed over."""
    setting = Setting()
    setting.put(a_section(WORLD, [an_event("a")]))
    assert (await setting.drain()).events == 1
    setting.put(a_section(WORLD, [an_event("b")]))
    assert (await setting.drain()).events == 1
    assert (await setting.drain()).events == 0
    assert set(await setting.figures()) == {"a", "b"}


async def test_a_batch_that_failed_half_way_is_taken_again():
    """The cursor moves only after the mark."""
    setting = Setting(FailingStore())
    setting.store.failures = 1
    setting.put(a_section(WORLD, [an_event("a", x=1), an_event("a", x=2), an_event("b")]))
    consumer = await setting.consumer()
    with pytest.raises(StoreUnavailableError):
        await consumer.drain_once()
    assert await setting.figures() == {}
    await consumer.drain_once()
    assert {key: version.properties for key, version in (await setting.figures()).items()} == {
        "a": b'{"x":2}',
        "b": b"{}",
    }


@pytest.mark.slow
async def test_running_goes_on_after_an_outage_and_sees_what_comes_in():
    """An outage costs time, not events; what comes in later is seen well within a second."""
    setting = Setting(FailingStore())
    setting.store.failures = 2
    hints = []

    async def hint(offsets):
        hints.append(offsets)

    setting.options["applied_hint"] = hint
    setting.put(a_section(WORLD, [an_event("a")]))
    running = asyncio.create_task((await setting.consumer()).run())
    assert await wait_until_applied(setting.store, await accepted(setting.reader, {0: 0}), timeout_s=5)
    for index in range(5):
        setting.put(a_section(WORLD, [an_event(f"r{index}")]))
        assert await wait_until_applied(setting.store, await accepted(setting.reader, {0: 0}), timeout_s=0.9)
    assert len(await setting.figures()) == 6
    assert hints[-1] == {0: 6}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_running_stops_for_what_waiting_cannot_mend():
    """The error comes out as it is, not in a group."""
    setting = Setting()
    setting.log.commit(b"\x09rest", 1)
    with pytest.raises(LogTooNewError):
        await (await setting.consumer()).run()


async def test_a_clock_set_back_does_not_change_what_a_past_moment_shows():
    """Marks never go back in time."""
    start = datetime(2024, 5, 6, tzinfo=UTC)
    moments = iter([start, start - timedelta(hours=1)])
    setting = Setting(clock=lambda: next(moments))
    for record_id in "ab":
        setting.put(a_section(WORLD, [an_event(record_id)]))
        await setting.drain()
    assert [at for _, _, at in setting.store.marks] == [start, start]


async def test_lag_tells_what_is_not_yet_in_the_figures():
    """Events, not messages; since when the oldest waits; nothing once all is applied."""
    setting = Setting()
    now = datetime.now(UTC) + timedelta(seconds=5)
    lag = await lag_of(setting.reader, setting.store, {0: 0}, lambda: now)
    assert (lag.lag_events, lag.applied_until, lag.oldest_unapplied_age_ms) == (0, now, 0)
    setting.put(a_section(WORLD, [an_event("a"), an_event("b")]))
    setting.put(a_section(WORLD, [an_event("c")]))
    lag = await lag_of(setting.reader, setting.store, {0: 0}, lambda: now)
    assert lag.lag_events == 3
    assert 0 < lag.oldest_unapplied_age_ms <= 5_000
    assert lag.applied_until < now
    await setting.drain()
    lag = await lag_of(setting.reader, setting.store, {0: 0}, lambda: now)
    assert (lag.lag_events, lag.oldest_unapplied_age_ms) == (0, 0)


async def test_waiting_for_what_is_not_applied_ends_in_time():
    """The caller learns that it did not come."""
    store = MemoryVersionStore()
    assert not await wait_until_applied(store, Cutoff({0: Position(5)}), timeout_s=0.05)
