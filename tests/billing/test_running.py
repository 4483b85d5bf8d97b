"""Figures that run on are the same as figures asked for one by one."""

import pytest

from billing.invoices.running import running_figures
from metering.aggregation import Aggregator, Operation
from metering.filters import EVERYTHING, decode_filter
from metering.store.chains import ChainStore
from metering.store.questions import Counting, Question, figures_of
from metering.world import Mode, World
from tests.metering.api.conftest import Usage

WORLD = World("acc_running", Mode.TEST)
EARLY = {"fields": [{"property": "n", "operator": "lt", "value": 3}]}
DAY = 86_400_000_000


@pytest.mark.parametrize("operation", list(Operation))
async def test_running_figures_are_those_asked_for_one_by_one(store, operation):
    """Whatever the order, with ends that come twice, several beginnings and customers, and groups."""
    events = [
        {
            "customer_id": f"c{number % 2}",
            "event_type": "call",
            "record_id": f"r{number}",
            "timestamp_us": (20_000 + number) * DAY,
            "properties": f'{{"n": {number % 5 - 1}.5}}'.encode(),
        }
        for number in range(12)
    ]
    await Usage(store).add(WORLD, *events)
    cutoff = await ChainStore(store).applied()
    aggregator = Aggregator("call", operation, "n")
    questions = [
        Question(ids, (20_000 + first) * DAY, (20_000 + last) * DAY)
        for ids in (("c0",), ("c1",), ("c0", "c1"))
        for first, last in ((0, 12), (0, 3), (0, 7), (4, 5), (4, 9), (0, 3))
    ]
    counting = Counting(WORLD, cutoff, aggregator, [decode_filter(EARLY), EVERYTHING])
    assert running_figures(store, counting, questions) == figures_of(store, counting, questions)
