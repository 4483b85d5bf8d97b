"""Many customers and windows at once give what each gives alone."""

from hypothesis import given
from hypothesis import strategies as st

from metering.aggregation import Aggregator, Operation
from metering.filters import EVERYTHING
from metering.filters import decode_filter as where
from metering.store.questions import QUESTIONS_MAX, Counting, Question, figures_of
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY
from tests.histories import CUSTOMERS, START_US, Arrival, History, histories
from tests.metering.store.test_usage import ALL, a_world, slow_store

SUM = Aggregator("call", Operation.SUM, "amount")
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


@slow_store
@given(histories, questions)
def test_asked_together_they_are_answered_as_one_by_one(store, history, asked):
    """Windows that overlap, customers with several ids and groups: each answer is the one of its own statement."""
    world = a_world()
    history.write(store, world)
    cutoff, reader = history.cutoff(ALL), UsageReader(store)
    for aggregator in (SUM, COUNT):
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
