"""Figures from rollups are those of the events, whatever was corrected, deleted, replayed, dropped or cut off."""

import asyncio
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.aggregation import Aggregator, Operation
from metering.filters import decode_filter as where
from metering.formulas import parse_formula
from metering.ids import new_id
from metering.position import NOTHING
from metering.ranges import Range
from metering.store.rollups import segments
from metering.store.rollups.definition import Definition
from metering.store.rollups.keeper import RollupKeeper
from metering.store.rollups.manifest import Manifest, forget_world, newest, publish
from metering.store.rollups.reader import RolledUpReader
from metering.store.rollups.reading import By, Question, answer
from metering.store.rollups.segments import NotBuiltError, drop, extended, sweep
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY, MINUTE
from metering.windows import Granularity, boundaries
from metering.world import Mode, World
from tests.histories import START_US, Arrival, History, cutoff_ends, histories

PRO = where({"fields": [{"property": "plan", "operator": "in", "value": "pro,team"}]})
COUNT = Aggregator("call", Operation.COUNT)
SUM = Aggregator("call", Operation.SUM, "amount")
FILTERED = Aggregator("seat", Operation.SUM, "amount", PRO)
ALL = (30, 30)
ZONES = ["UTC", "Europe/Paris", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]

slow_store = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORTH = Aggregator("call", Operation.SUM, formula=parse_formula("if(plan = 'pro', amount / 3, 1)"))
aggregators = st.sampled_from([COUNT, SUM, FILTERED, WORTH])
instants = st.one_of(
    st.integers(0, 70).map(lambda day: START_US + day * DAY),
    st.integers(0, 70 * 96).map(lambda quarter: START_US + quarter * 15 * MINUTE),
    st.integers(START_US, START_US + 70 * DAY),
)


def a_world():
    return World(new_id("acc"), Mode.PROD)


def keeper_of(store, cutoff=NOTHING, **more):
    async def applied():
        return cutoff

    return RollupKeeper(store, applied, **more)


def assert_same(store, definition, cutoff, manifest, bounds=(None, None), *, zone="UTC"):
    """Hold a rollup's every answer about a range against the events'."""
    reader = UsageReader(store)
    start_us, end_us = bounds
    scope = Scope(definition.world, cutoff, start_us, end_us)
    of_range = [Question.of_range(definition, cutoff, bounds, by) for by in (By.NOTHING, By.CUSTOMER)]
    total, customers = (answer(store, question, manifest).figures for question in of_range)
    expected = reader.total(scope, definition.aggregator)
    assert list(total.values()) == ([expected] if expected.count else [])
    assert customers == reader.by_customer(scope, definition.aggregator)
    if start_us is not None:
        edges = boundaries(Range(start_us, end_us, ZoneInfo(zone)), Granularity.DAY)
        series = answer(store, Question(definition, cutoff, edges, By.WINDOW), manifest).figures
        windows = zip(edges, reader.timeseries(scope, definition.aggregator, edges), strict=False)
        assert series == {start: usage for start, usage in windows if usage.count}


@pytest.mark.slow
@slow_store
@given(
    histories,
    st.lists(cutoff_ends, min_size=1, max_size=4),
    st.lists(st.tuples(instants, instants), min_size=1, max_size=2),
    st.tuples(aggregators, st.sampled_from(ZONES)),
)
def test_a_rollup_says_what_the_events_say(store, history, ends, ranges, which):
    """At every cut-off behind the rollup's, however the rollup grew, for whole and partial slices, in any zone."""
    aggregator, zone = which
    definition = Definition(a_world(), aggregator)
    history.write(store, definition.world)
    reached, manifest = (0, 0), Manifest()
    for end in ends:
        later = (max(reached[0], end[0]), max(reached[1], end[1]))
        manifest = extended(store, definition, manifest, history.cutoff(reached))
        for start_us, end_us in [*ranges, (None, None)]:
            bounds = (None, None) if start_us is None else (min(start_us, end_us), max(start_us, end_us) + 1)
            assert_same(store, definition, history.cutoff(later), manifest, bounds, zone=zone)
        reached = later


@pytest.mark.slow
@slow_store
@given(
    histories,
    st.lists(st.tuples(cutoff_ends, st.sampled_from(["work", "forget", "drop", "half", "sweep"])), max_size=6),
)
def test_a_rollup_may_be_dropped_at_any_time(store, history, steps):
    """The reader's answers stay the same: with rollups that are there, forgotten, gone in part, or half written."""
    world = a_world()
    history.write(store, world)
    plain = UsageReader(store)
    applied = NOTHING
    for end, step in steps:
        cutoff = history.cutoff(end)
        applied = cutoff if cutoff.includes(applied) else applied
        keeper = keeper_of(store, applied, asked_min=1)
        reader = RolledUpReader(store, keeper)
        scope = Scope(world, applied)
        for attempt in range(2):
            assert reader.totals(scope, [COUNT, SUM, COUNT]) == plain.totals(scope, [COUNT, SUM, COUNT])
            assert reader.by_customer(scope, SUM) == plain.by_customer(scope, SUM)
            assert reader.spans(world, applied) == plain.spans(world, applied)
            if not attempt:
                disturb(store, keeper, Definition(world, SUM), applied, step)
        keeper.close()


def disturb(store, keeper, definition, applied, step):
    manifest = newest(store, definition)
    if step == "work":
        asyncio.run(keeper.work_off())
    elif step == "forget":
        forget_world(store, definition.world)
    elif step == "drop":
        drop(store, manifest.ids[:1])
    elif step == "half":
        half_written(store, definition, manifest, applied)
    else:
        store.command("OPTIMIZE TABLE rollups FINAL")
        sweep(store)


def half_written(store, definition, manifest, applied):
    """Write a segment as far as a process gets that is killed before it seals it."""
    draft = segments._Draft(store, definition)
    for changes in segments._stretches(store, definition, manifest.cutoff, applied):
        draft.changes(changes)


def test_what_is_asked_twice_is_rolled_up_and_then_read_from_there(store):
    """And what came in since is in the figures at once, before the rollup is brought up."""
    world, definition = a_world(), None
    definition = Definition(world, SUM)
    history = History([Arrival(index * 2, amount=index) for index in range(20)])
    history.write(store, world)
    keeper = keeper_of(store, history.cutoff((10, 10)))
    reader = RolledUpReader(store, keeper)
    scope = Scope(world, history.cutoff((15, 15)))
    expected = UsageReader(store).by_customer(scope, SUM)
    for asked in range(3):
        assert reader.by_customer(scope, SUM) == expected
        asyncio.run(keeper.work_off())
        assert bool(newest(store, definition).segments) == (asked > 0)
    store.command(
        f"ALTER TABLE rollups UPDATE count = count + 100 WHERE segment = {newest(store, definition).ids[0]} "
        "AND grain != 'seal' SETTINGS mutations_sync = 1"
    )
    assert reader.by_customer(scope, SUM) != expected, "it is not read from the rollup"
    keeper.close()


def test_what_was_dropped_is_made_anew_when_it_is_asked_for(store):
    """The answer is right at once, and from a rollup again later."""
    definition = Definition(a_world(), SUM)
    history = History([Arrival(index * 2, amount=index) for index in range(20)])
    history.write(store, definition.world)
    cutoff = history.cutoff(ALL)
    keeper = keeper_of(store, cutoff, asked_min=1)
    reader, scope = RolledUpReader(store, keeper), Scope(definition.world, cutoff)
    expected = UsageReader(store).by_customer(scope, SUM)
    for _ in range(2):
        assert reader.by_customer(scope, SUM) == expected
        asyncio.run(keeper.work_off())
        assert_same(store, definition, cutoff, newest(store, definition))
        assert reader.by_customer(scope, SUM) == expected
        drop(store, newest(store, definition).ids)
    keeper.close()


async def test_who_ran_before_works_again_when_it_is_run_again(store):
    """A part begins work again that failed."""
    definition = Definition(a_world(), SUM)
    history = History([Arrival(index * 2, amount=index) for index in range(20)])
    history.write(store, definition.world)
    keeper = keeper_of(store, history.cutoff(ALL), asked_min=1)
    running = asyncio.create_task(keeper.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not keeper.manifest(definition)
    await keeper.work_off()
    assert newest(store, definition).segments
    keeper.close()


def test_an_older_cut_off_than_the_rollup_is_read_from_the_events(store):
    """So `as_of` stays what it was."""
    definition = Definition(a_world(), COUNT)
    history = History([Arrival(index * 2) for index in range(10)])
    history.write(store, definition.world)
    manifest = extended(store, definition, Manifest(), history.cutoff(ALL))
    question = Question.of_range(definition, history.cutoff((5, 5)), (None, None), By.NOTHING)
    assert answer(store, question, manifest) is None


def test_a_segment_that_was_written_twice_is_given_up(store, monkeypatch):
    """A driver may send a statement again when a connection breaks: then its rows would count twice."""
    definition = Definition(a_world(), COUNT)
    history = History([Arrival(index * 2) for index in range(10)])
    history.write(store, definition.world)
    once = type(store).command

    def twice(self, sql, parameters=None):
        once(self, sql, parameters)
        if "INTO rollups " in sql:
            once(self, sql, parameters)

    monkeypatch.setattr(type(store), "command", twice)
    with pytest.raises(NotBuiltError):
        extended(store, definition, Manifest(), history.cutoff(ALL))


@pytest.mark.slow
def test_segments_stay_few(store):
    """However often a rollup is brought up: the newest are merged as they grow."""
    definition = Definition(a_world(), COUNT)
    history = History([Arrival(index * 2, timestamp_us=START_US + index * DAY) for index in range(24)])
    history.write(store, definition.world)
    manifest = Manifest()
    for end in range(1, 25):
        manifest = extended(store, definition, manifest, history.cutoff((end, end)))
    assert len(manifest.segments) <= 5
    assert_same(store, definition, history.cutoff(ALL), manifest)


def test_a_rollup_is_written_in_several_statements_when_there_is_much(store, monkeypatch):
    """Cut by time, with nothing lost or doubled where they meet."""
    monkeypatch.setattr("metering.store.rollups.segments.ROWS_AT_ONCE", 3)
    definition = Definition(a_world(), SUM)
    times = [START_US + index // 2 * 7 * MINUTE + index % 3 * 40 * DAY for index in range(24)]
    history = History([Arrival(index % 8 * 2, timestamp_us=at, amount=1) for index, at in enumerate(sorted(times))])
    history.write(store, definition.world)
    manifest = extended(store, definition, Manifest(), history.cutoff((12, 12)))
    manifest = extended(store, definition, manifest, history.cutoff(ALL))
    assert_same(store, definition, history.cutoff(ALL), manifest, (START_US, START_US + 90 * DAY))


def test_forgotten_segments_are_swept_and_named_ones_stay(store):
    """What a killed process left behind goes once nobody can be writing it."""
    definition = Definition(a_world(), COUNT)
    history = History([Arrival(index * 2) for index in range(10)])
    history.write(store, definition.world)
    manifest = extended(store, definition, Manifest(), history.cutoff((5, 5)))
    publish(store, definition, manifest)
    half_written(store, definition, manifest, history.cutoff(ALL))
    sweep(store)
    assert {segment for (segment,) in store.select("SELECT DISTINCT segment FROM rollups")} > set(manifest.ids)
    sweep(store, age_s=-3600)
    left = {segment for (segment,) in store.select("SELECT DISTINCT segment FROM rollups")}
    assert set(manifest.ids) <= left
    assert_same(store, definition, history.cutoff(ALL), manifest)


def test_another_world_has_rollups_of_its_own(store):
    """Neither the other mode nor another account reads them."""
    world = a_world()
    definition = Definition(world, COUNT)
    history = History([Arrival(0)])
    history.write(store, world)
    publish(store, definition, extended(store, definition, Manifest(), history.cutoff(ALL)))
    for other in (World(world.account_id, Mode.TEST), a_world()):
        assert newest(store, Definition(other, COUNT)) == Manifest()
