"""A wrong filter of seen keys costs look-ups; it changes no figure."""

import copy
from random import Random

import numpy as np
import pytest
import structlog

from ingest.consumer import look_up as look_up_module
from ingest.consumer import seen as seen_module
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.consumer.look_up import PROBED_MAX
from ingest.consumer.seen import SeenKeys, WrongFilterError
from metering.store.memory import MemoryVersionStore
from tests.ingest.consumer.random_history import ChoppedReader, History, PartitionLanes
from tests.ingest.consumer.setting import Registrar, Setting, a_section, an_event
from tests.ingest.consumer.wrong_filters import WRONG, older_copy

RUNS = 40


def random_hashes(count, seed=1):
    return np.random.default_rng(seed).integers(0, 1 << 64, count, np.uint64)


def events(numbers, amount=1):
    return [an_event(f"r{number}", amount=amount) for number in numbers]


@pytest.fixture
def no_probes(monkeypatch):
    """Nothing that the filter calls new is looked up, so that the other checks have to find it out."""
    monkeypatch.setattr(look_up_module, "PROBED_MAX", 0)


@pytest.fixture
def no_canaries(monkeypatch):
    monkeypatch.setattr(look_up_module, "CANARIES", 0)
    monkeypatch.setattr(look_up_module, "FRESH_CANARIES", 0)


async def a_consumer_with_a_past(world):
    """Give a setting, its consumer, a copy of its filter from a batch ago, and a filter of other keys."""
    setting = Setting()
    consumer = await setting.consumer()
    for numbers in (range(300), range(300, 600)):
        older = copy.deepcopy(consumer._look_up._seen)
        setting.put(a_section(world, events(numbers)))
        await consumer.drain_once()
    other = SeenKeys()
    other.meet(random_hashes(600))
    return setting, consumer, older, other


async def sends_again_and_corrects(world, setting, consumer):
    setting.put(a_section(world, [*events(range(300)), *events(range(300, 600), amount=2), *events(range(600, 900))]))
    drained = await consumer.drain_once()
    assert (drained.events, drained.stored, drained.superseded) == (900, 600, 300)
    assert len(await setting.figures()) == 900
    return drained


@pytest.mark.usefixtures("no_probes")
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_filter_changes_no_figure_and_is_told(world, wrong):
    """Everything is looked up for that batch, a log line and a count say so, and a new filter takes over."""
    setting, consumer, older, other = await a_consumer_with_a_past(world)
    wrong(consumer._look_up, older, other)
    with structlog.testing.capture_logs() as lines:
        drained = await sends_again_and_corrects(world, setting, consumer)
    assert (drained.looked_up, drained.wrong_filters) == (900, 1)
    assert [line["event"] for line in lines if "filter" in line["event"]]
    setting.put(a_section(world, events(range(900, 1800))))
    healed = await consumer.drain_once()
    assert (healed.stored, healed.wrong_filters) == (900, 0)
    assert healed.looked_up < 90


async def test_a_right_filter_saves_look_ups(world):
    """Only what is there is looked up, and the probes."""
    setting, consumer, *_ = await a_consumer_with_a_past(world)
    drained = await sends_again_and_corrects(world, setting, consumer)
    assert drained.wrong_filters == 0
    assert drained.looked_up < 600 + PROBED_MAX + 30


@pytest.mark.usefixtures("no_probes")
async def test_a_filter_that_denies_everything_in_code_is_found_by_what_is_known_to_be_there(world, monkeypatch):
    """Whatever makes it say so: canaries are asked with every batch."""
    setting, consumer, *_ = await a_consumer_with_a_past(world)
    for name in ("maybe", "meet"):
        monkeypatch.setattr(SeenKeys, name, lambda _, hashes: np.zeros(len(hashes), np.bool_))
    assert (await sends_again_and_corrects(world, setting, consumer)).wrong_filters == 1


@pytest.mark.usefixtures("no_canaries")
async def test_a_filter_that_denies_everything_in_code_is_found_by_the_store(world, monkeypatch):
    """Some of the keys that it calls new are looked up all the same."""
    setting, consumer, *_ = await a_consumer_with_a_past(world)
    for name in ("maybe", "meet"):
        monkeypatch.setattr(SeenKeys, name, lambda _, hashes: np.zeros(len(hashes), np.bool_))
    assert (await sends_again_and_corrects(world, setting, consumer)).wrong_filters == 1


async def test_a_small_batch_is_looked_up_whole(world):
    """Where little comes in, the filter has no say at all."""
    setting = Setting()
    setting.put(a_section(world, events(range(PROBED_MAX))))
    assert (await setting.drain()).looked_up == PROBED_MAX


@pytest.mark.usefixtures("no_probes", "no_canaries")
async def test_a_filter_that_was_filled_too_early_is_found(world):
    """It stands where the reading was then."""
    setting, consumer, *_ = await a_consumer_with_a_past(world)
    await consumer._look_up.start({0: 1})
    assert (await sends_again_and_corrects(world, setting, consumer)).wrong_filters == 1


class Withholding(MemoryVersionStore):
    """A store whose answer loses its end."""

    async def key_hashes(self, low, high):
        return (await super().key_hashes(low, high))[:-1]


async def test_a_filter_is_not_filled_from_an_answer_that_is_too_short(world):
    """The store counts keys besides giving them."""
    setting = Setting(Withholding())
    setting.put(a_section(world, events(range(600))))
    await setting.drain()
    setting.put(a_section(world, events(range(900))))
    drained = await setting.drain()
    assert (drained.stored, drained.looked_up, drained.wrong_filters) == (300, 900, 1)


async def test_a_filter_that_is_wrong_each_time_is_filled_ever_more_seldom(world, monkeypatch):
    """Filling one takes as long as a start, so a machine that spoils all of them goes on without."""
    setting, consumer, older, other = await a_consumer_with_a_past(world)
    filled = []
    start = type(consumer._look_up).start

    async def counted(self, read_to):
        filled.append(read_to)
        await start(self, read_to)

    monkeypatch.setattr(type(consumer._look_up), "start", counted)
    for number in range(40):
        if consumer._look_up._seen is not None:
            older_copy(consumer._look_up, older, other)
        setting.put(a_section(world, events([number], amount=3)))
        assert (await consumer.drain_once()).stored == 1
    assert len(filled) == 5


def test_any_flipped_bit_is_found_where_it_is_asked():
    """Before it answers, and before it is given a check that fits."""
    hashes = random_hashes(1)
    for bit in range(64):
        seen = SeenKeys()
        seen.meet(hashes)
        seen._lines.reshape(-1)[int(hashes[0] >> seen._word_shift)] ^= np.uint64(1 << bit)
        for ask in (seen.maybe, seen.meet):
            with pytest.raises(WrongFilterError):
                ask(hashes)


@pytest.mark.parametrize("bit", range(64))
def test_one_bit_flipped_in_two_words_of_a_line_is_found(bit):
    """Also the highest, whose two would add up to nothing."""
    hashes = random_hashes(1)
    seen = SeenKeys()
    seen.meet(hashes)
    line = seen._lines[int(hashes[0] >> seen._word_shift) // 8]
    line[[2, 5]] ^= np.uint64(1 << bit)
    with pytest.raises(WrongFilterError):
        seen.maybe(hashes)


def test_lines_that_changed_places_do_not_fit_their_checks():
    """A check depends on where its line is."""
    hashes = random_hashes(20_000)
    seen = SeenKeys()
    seen.meet(hashes)
    seen._lines[:] = np.roll(seen._lines, 1, axis=0)
    with pytest.raises(WrongFilterError):
        seen.maybe(hashes[:1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RUNS))
@pytest.mark.usefixtures("no_probes", "no_canaries")
async def test_whatever_becomes_of_filters_the_figures_are_those_of_a_plain_walk(seed):
    """Random histories with corrections and deletions; before each batch the filter may go wrong in any way."""
    random = Random(seed)
    history = History(random)
    store = MemoryVersionStore()
    consumer = Consumer(ChoppedReader(history, random), store, PartitionLanes(), Registrar(), MemoryDeadLetters())
    await consumer.start()
    other = SeenKeys()
    other.meet(random_hashes(20, seed))
    older = copy.deepcopy(consumer._look_up._seen)
    wrong = 0
    while not (await store.applied()).includes(history.whole()):
        if consumer._look_up._seen is not None and random.random() < 0.5:
            random.choice(WRONG)(consumer._look_up, older, other)
            wrong += 1
        elif consumer._look_up._seen is not None and random.random() < 0.5:
            older = copy.deepcopy(consumer._look_up._seen)
        await consumer.drain_once()
        cutoff = await store.applied()
        found = {
            (key.account_id, key.mode, key.event_type, key.record_id): version.position
            for key, version in store.figures(cutoff).items()
        }
        wanted = {}
        for lane, bound in cutoff.bounds.items():
            for (world, event_type, record_id), position in history.figures(lane, bound).items():
                wanted[world.account_id, world.mode.value, event_type, record_id] = position
        assert found == wanted
    assert wrong


async def test_a_full_filter_makes_way_for_a_larger_one(world, monkeypatch):
    """A filter that is full calls nearly every key seen, so that nearly all would be looked up."""
    monkeypatch.setattr(seen_module, "WORDS_MIN", 64)
    setting, consumer, older, _ = await a_consumer_with_a_past(world)
    assert older.full
    assert consumer._look_up._seen._lines.size > older._lines.size
    await sends_again_and_corrects(world, setting, consumer)
