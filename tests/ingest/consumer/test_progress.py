from datetime import UTC, datetime

import pytest

from ingest.consumer.progress import LogProgress
from metering.errors import StoreUnavailableError
from tests.ingest.consumer.setting import Setting, a_section, an_event


class Away:
    """A version store that answers until it is gone."""

    def __init__(self, store):
        self.store, self.gone = store, False

    async def applied(self):
        if self.gone:
            raise StoreUnavailableError("gone")
        return await self.store.applied()


async def test_the_lag_is_told_while_the_store_is_away(world):
    """What it last said is applied counts; who never heard of it says that it cannot tell, and never says 0."""

    def now():
        return datetime.now(UTC)

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
