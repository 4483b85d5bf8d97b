import asyncio
from datetime import UTC, datetime

import pytest

from ingest.consumer import progress as progress_module
from ingest.consumer.progress import LogProgress, LogSilentError
from metering.errors import StoreUnavailableError
from tests.ingest.consumer.setting import Setting, a_section, an_event


class Away:
    """A version store that answers until it is gone, or stalled."""

    def __init__(self, store):
        self.store, self.gone, self.asked = store, False, 0
        self.flows = asyncio.Event()
        self.flows.set()

    async def applied(self):
        self.asked += 1
        if self.gone:
            raise StoreUnavailableError("gone")
        await self.flows.wait()
        return await self.store.applied()


def now():
    return datetime.now(UTC)


async def test_the_lag_is_told_while_the_store_is_away(world):
    """What it last said is applied counts; who never heard of it says that it cannot tell, and never says 0."""
    setting = Setting()
    setting.put(a_section(world, [an_event("r1")]))
    await setting.drain()
    away = Away(setting.store)
    progress = LogProgress(setting.reader, away, setting.lanes, now)
    assert (await progress.lag()).lag_events == 0
    away.gone = True
    setting.put(a_section(world, [an_event("r2"), an_event("r3")]))
    assert (await progress.lag()).lag_events == 2
    with pytest.raises(StoreUnavailableError):
        await LogProgress(setting.reader, away, setting.lanes, now).lag()
    await setting.drain()
    away.gone = False
    assert (await progress.lag()).lag_events == 0


async def test_the_lag_is_told_while_the_store_is_stalled(world, monkeypatch):
    """It takes the question and gives no answer: what it last said counts, and it is asked once whoever asks."""
    monkeypatch.setattr(progress_module, "STORE_S_MAX", 0.01)
    setting = Setting()
    setting.put(a_section(world, [an_event("r1")]))
    await setting.drain()
    stalled = Away(setting.store)
    progress = LogProgress(setting.reader, stalled, setting.lanes, now)
    while (await progress.lag()).lag_events:
        pass
    stalled.flows.clear()
    setting.put(a_section(world, [an_event("r2"), an_event("r3")]))
    stalled.asked = 0
    assert [(await progress.lag()).lag_events for _ in range(5)] == [2] * 5
    assert stalled.asked == 1
    with pytest.raises(StoreUnavailableError):
        await LogProgress(setting.reader, stalled, setting.lanes, now).lag()
    await setting.drain()
    stalled.flows.set()
    while (await progress.lag()).lag_events:
        pass


async def test_a_log_that_is_stalled_is_told(world, monkeypatch):
    """Nobody waits longer than LAG_S_MAX."""
    monkeypatch.setattr(progress_module, "LAG_S_MAX", 0.01)
    setting = Setting()
    setting.put(a_section(world, [an_event("r1")]))

    async def never():
        await asyncio.Event().wait()

    monkeypatch.setattr(setting.reader, "ends", never)
    with pytest.raises(LogSilentError, match="ask again"):
        await LogProgress(setting.reader, setting.store, setting.lanes, now).lag()
