"""kill -9 of everything, cut answers, processes held still: nothing acknowledged is lost, nothing counts twice."""

import pytest

from tests.torture.installation import Installation
from tests.torture.storm import Plan, schedule, storm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600),  # A stall is told sooner, by who waits in vain.
    # Connections are cut on purpose; asyncio tells of what was under way when it is collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def check_all_happened(outcome, plan):
    assert outcome.kills.total() == plan.kills
    assert outcome.answers_cut >= plan.cuts
    assert outcome.rounds == plan.rounds


async def test_with_the_log_on_this_disk_every_figure_is_exact(tmp_path):
    """25 kills of gateways, core, log process and all at once, and 60 cut answers."""
    plan = Plan(seed=1, kills=25, cuts=60, rounds=3)
    with Installation(tmp_path) as installation:
        outcome = await storm(installation, plan)
    check_all_happened(outcome, plan)


async def test_with_the_log_in_kafka_every_figure_is_exact(tmp_path):
    """15 kills of gateways, core, broker and all at once, and 60 cut answers."""
    plan = Plan(seed=2, kills=15, cuts=60, rounds=2)
    with Installation(tmp_path, brokers=1) as installation:
        outcome = await storm(installation, plan)
    check_all_happened(outcome, plan)


def test_every_kind_of_process_is_killed():
    """With the log here, and in Kafka."""
    for kinds in (("gateway", "core", "log"), ("gateway", "core", "broker")):
        assert set(schedule(Plan(seed=1, kills=20, cuts=0, rounds=1), kinds)) == {*kinds, "all", "supervisor"}
