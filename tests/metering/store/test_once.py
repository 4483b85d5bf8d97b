"""A version that a replay wrote twice counts once, and only then is it merged on the way."""

import pytest

from metering.aggregation import Aggregator, Operation
from metering.filters import EVERYTHING
from metering.store import once
from metering.store.once import ONCE, select_once
from metering.store.questions import Counting, Question, figures_of
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY
from tests.histories import CUSTOMERS, START_US, Arrival, History

ARRIVALS = [Arrival(index * 2, CUSTOMERS[index % 3], START_US + index * DAY, amount=index) for index in range(9)]
END_US = START_US + 60 * DAY
SUM = Aggregator("call", Operation.SUM, "amount")


class Told:
    """A store that tells what it was asked."""

    def __init__(self, store):
        self.store, self.asked = store, []

    def select(self, sql, parameters):
        self.asked.append(sql)
        return self.store.select(sql, parameters)

    @property
    def finals(self):
        """Of each statement, whether it was asked with FINAL; since the last look."""
        asked, self.asked = self.asked, []
        return ["events FINAL" in sql for sql in asked]


@pytest.fixture
def told(store):
    """Nothing is merged meanwhile: what is there twice stays so."""
    store.command("SYSTEM STOP MERGES events")
    yield Told(store)
    store.command("SYSTEM START MERGES events")


def scope_of(world, history, customer_ids=None):
    return Scope(world, history.cutoff((30, 30)), START_US, END_US, customer_ids)


@pytest.mark.parametrize("repeated", [set(), {3}])
def test_every_way_of_asking_counts_a_version_once(told, world, repeated):
    """Whether it is one row or two; where it is two, the answer is that of FINAL."""
    history = History(ARRIVALS, repeated)
    history.write(told.store, world)
    reader, scope = UsageReader(told), scope_of(world, history)
    assert reader.total(scope, SUM).total == sum(range(9))
    assert told.finals == ([False, True] if repeated else [False])
    by_customer = {name: usage.total for name, usage in reader.by_customer(scope, SUM).items()}
    assert by_customer == {CUSTOMERS[0]: 0 + 3 + 6, CUSTOMERS[1]: 1 + 4 + 7, CUSTOMERS[2]: 2 + 5 + 8}
    assert [usage.total for usage in reader.timeseries(scope, SUM, [START_US, START_US + 4 * DAY, END_US])] == [6, 30]
    assert reader.by_property(scope, SUM, "plan")["free"].count == 9
    assert [span.count for span in reader.spans(world, scope.cutoff)] == [9]
    counting = Counting(world, scope.cutoff, SUM, [EVERYTHING])
    asked = [Question(CUSTOMERS, START_US, END_US), Question(CUSTOMERS[:1], START_US + DAY, END_US)]
    assert [usage.total for (usage,) in figures_of(told, counting, asked)] == [36, 9]


def test_for_a_while_it_is_known_that_rows_are_there_twice(told, world, monkeypatch):
    """So that not every question is asked twice; of one customer it is found out apart."""
    history = History(ARRIVALS, {3})
    history.write(told.store, world)
    reader, scope = UsageReader(told), scope_of(world, history)
    assert reader.total(scope, SUM) == reader.total(scope, SUM)
    assert told.finals == [False, True, True]
    reader.total(scope_of(world, history, CUSTOMERS[1:]), SUM)
    assert told.finals == [False]
    monkeypatch.setattr(once, "AGAIN_AFTER_S", -1.0)
    once._no_use.clear()
    reader.totals(scope, [SUM])
    reader.totals(scope, [SUM])
    assert told.finals == [False, True, False, True]


def test_what_takes_too_much_memory_is_asked_with_final(told, world, monkeypatch):
    """The answer is there all the same."""
    history = History(ARRIVALS)
    history.write(told.store, world)
    monkeypatch.setattr(once, "MEMORY_BYTES_MAX", 2)
    assert UsageReader(told).total(scope_of(world, history), SUM).total == 36
    assert told.finals == [False, True]


def test_a_doubled_row_of_one_group_is_enough(told, world):
    """However many groups are whole."""
    history = History(ARRIVALS, {8})
    history.write(told.store, world)
    selection = scope_of(world, history).of("call")
    rows = select_once(told, lambda current: f"SELECT record_id, count(), {ONCE} {current} GROUP BY 1", selection, {})
    assert dict(rows) == {f"r{index * 2}": 1 for index in range(9)}
