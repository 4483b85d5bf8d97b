from metering.http.rate_limits import RateLimits, SharedLimiter
from tests.ingest.events import an_event


async def test_events_beyond_the_limit_are_refused_and_not_stored(start, tmp_path):
    """Each answer says what is left; 429 says when to go on, and nothing of it is in the log."""
    limiter = SharedLimiter.open(tmp_path / "requests", RateLimits(ingest=4))
    gateway = await start(limiter=limiter)
    answers = [
        await gateway.send("/v1/events", an_event()),
        await gateway.send("/v1/events/batch", [an_event()]),
        await gateway.send("/v1/events", {"no": "event"}),
        await gateway.send("/v1/events", {"matching": "all"}, method="DELETE"),
        await gateway.send("/v1/events", an_event()),
        await gateway.send("/v1/events/batch", [an_event()]),
    ]
    assert [status for status, _, _ in answers] == [201, 201, 400, 200, 429, 429]
    assert [headers["X-RateLimit-Remaining"] for _, _, headers in answers] == ["3", "2", "1", "0", "0", "0"]
    assert all(headers["X-RateLimit-Reset"].endswith("Z") for _, _, headers in answers)
    _, body, headers = answers[-1]
    assert 1 <= int(headers["Retry-After"]) <= 10
    assert body["errors"] == []
    assert len(gateway.sections()) == 3
    limiter.close()


async def test_without_limits_no_answer_speaks_of_them(gateway):
    """They are off unless asked for."""
    _, _, headers = await gateway.send("/v1/events", an_event())
    assert not any(name.startswith("X-RateLimit") for name in headers)
