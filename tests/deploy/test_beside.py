"""Work beside a part's own begins again when it fails, and ends with the part."""

import asyncio

import pytest
import structlog

from deploy import beside
from deploy.beside import going_on


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(beside, "PAUSE_S_MIN", 0.0)


async def test_what_fails_is_told_and_begins_again():
    begun, again = [], asyncio.Event()

    async def works_at_the_third_try():
        begun.append(1)
        if len(begun) < 3:
            raise ValueError("who expected this")
        again.set()

    with structlog.testing.capture_logs() as told:
        async with going_on({"thresholds": works_at_the_third_try}), asyncio.timeout(60):
            await again.wait()
    assert [(line["work"], line["reason"]) for line in told] == [("thresholds", "who expected this")] * 2
    assert len(begun) == 3


async def test_all_has_ended_when_the_block_is_left():
    ended = []

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    async with going_on({"one": endless, "other": endless}):
        await asyncio.sleep(0)
        assert not ended
    assert len(ended) == 2
