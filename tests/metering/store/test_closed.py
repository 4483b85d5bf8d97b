import pytest

from metering.errors import StoreUnavailableError
from metering.store.client import Store


async def test_a_closed_store_says_that_it_is_not_available():
    """Whoever still asks while the process ends is told to try again, as of any store that is not there."""
    store = Store("chdb:///nowhere")
    store.close()
    for run in (store.run, store.run_writing):
        with pytest.raises(StoreUnavailableError, match="closed"):
            await run(store.select, "SELECT 1")
