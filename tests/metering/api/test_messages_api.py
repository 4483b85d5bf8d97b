"""`GET /v1/webhooks/messages`: what happened, newest first."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.registry.outbox import Fact, put_message

NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def messages(registry, account, clock):
    """Messages 0, 10, ... 100 days old."""
    clock.moment = NOW
    with registry.writing() as connection:
        for days in range(0, 101, 10):
            put_message(connection, account, Fact("x.happened", str(days), {"days": days}), NOW - timedelta(days=days))
        put_message(connection, account, Fact("y.happened", "y", {"days": 5}), NOW - timedelta(days=5))


async def days(api, query: str) -> list[int]:
    answer = await api.get(f"/v1/webhooks/messages{query}")
    assert answer.status == 200, answer.text
    return [message["data"]["days"] for message in answer.json["data"]]


@pytest.mark.usefixtures("messages")
async def test_messages_come_newest_first_and_older_ones_when_asked_for(api):
    """The last 90 days; with bounds or an iterator what lies there."""
    assert await days(api, "") == [0, 5, *range(10, 91, 10)]
    assert await days(api, "?take=2&skip=1") == [5, 10]
    assert await days(api, "?after=2024-01-01T00:00:00Z&event_type=x.happened") == [*range(0, 101, 10)]
    assert await days(api, "?before=2024-05-22T00:00:00Z&take=2") == [20, 30]
    twentieth = (await api.get("/v1/webhooks/messages?skip=3&take=1")).json["data"][0]
    assert twentieth["data"] == {"days": 20}
    assert (twentieth["event_type"], twentieth["created_at"]) == ("x.happened", "2024-05-12T00:00:00.000Z")
    assert await days(api, f"?iterator={twentieth['id']}") == [*range(30, 101, 10)]


@pytest.mark.parametrize(("query", "path"), [("?iterator=msg_none", "iterator"), ("?before=soon", "before")])
async def test_a_bound_that_is_none_is_refused(api, query, path):
    """400 with the parameter to change."""
    refused = await api.get(f"/v1/webhooks/messages{query}")
    assert (refused.status, refused.paths) == (400, [[path]])
