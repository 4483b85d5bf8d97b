"""Many customers and windows at once give what each gives alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.aggregation import Aggregator, Occurrence, Operation, distinct_text, plus
from metering.filters import EVERYTHING
from metering.filters import decode_filter as where
from metering.store.measures import unique_text
from metering.store.questions import QUESTIONS_MAX, Counting, Question, figures_of
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY
from metering.windows import Window
from tests.histories import CUSTOMERS, START_US, Arrival, History, histories
from tests.metering.store.test_usage import ALL, EVERY, WORTH, a_world, slow_store

COUNT = Aggregator("call", Operation.COUNT)
GROUPS = [where({"fields": [{"property": "plan", "operator": "equals", "value": "pro"}]}), EVERYTHING]

questions = st.lists(
    st.builds(
        lambda ids, start, days: Question(ids, START_US + start * DAY, START_US + (start + days) * DAY),
        st.lists(st.sampled_from([*CUSTOMERS, "nobody"]), min_size=1, max_size=3),
        st.integers(0, 60),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@slow_store
@given(histories, questions)
def test_asked_together_they_are_answered_as_one_by_one(store, history, asked):
    """Windows that overlap, customers with several ids and groups: each answer is the one of its own statement."""
    world = a_world()
    history.write(store, world)
    cutoff, reader = history.cutoff(ALL), UsageReader(store)
    for aggregator in EVERY:
        alone = [
            reader.by_group(Scope(world, cutoff, one.start_us, one.end_us, one.customer_ids), aggregator, GROUPS)
            for one in asked
        ]
        assert figures_of(store, Counting(world, cutoff, aggregator, GROUPS), asked) == alone


def test_more_questions_than_one_statement_takes_are_all_answered(store, world):
    """Nothing is dropped at the limit."""
    History([Arrival(key=0, customer_id=f"cus_{QUESTIONS_MAX}")]).write(store, world)
    asked = [Question([f"cus_{index}"], START_US, START_US + DAY) for index in range(QUESTIONS_MAX + 2)]
    cutoff = History([]).cutoff(ALL)
    answers = figures_of(store, Counting(world, cutoff, COUNT, [EVERYTHING]), asked)
    totals = [usage.total for (usage,) in answers]
    assert totals == [0] * QUESTIONS_MAX + [1, 0]


@pytest.mark.slow
@slow_store
@given(histories, st.integers(0, 59))
def test_one_more_event_in_memory_is_one_more_event_in_the_store(store, history, day):
    """What is read without an event, and the event added to it, is what is read with it: whatever lane it is in."""
    last = Arrival(key=6, timestamp_us=START_US + day * DAY, amount=history.arrivals[0].amount, plan="pro")
    world, question = a_world(), Question(CUSTOMERS, START_US, START_US + 60 * DAY)
    whole = History([*history.arrivals, last], history.repeated)
    whole.write(store, world)
    window = Window(question.start_us, question.end_us)
    for aggregator in [*EVERY, Aggregator("call", Operation.UNIQUE, formula=WORTH)]:
        text = distinct_text(last.record, aggregator)
        known = unique_text(text) if text is not None and aggregator.operation is Operation.UNIQUE else None
        counting = Counting(world, whole.cutoff(ALL), aggregator, [EVERYTHING])
        ((without,),) = figures_of(store, replace(counting, but_record_id=last.record_id, known=known), [question])
        ((usage,),) = figures_of(store, counting, [question])
        occurrence = Occurrence(last.record, last.timestamp_us, whole.position(len(history.arrivals)))
        assert plus(aggregator, without, occurrence, window) == usage
