"""Open the store for a part: embedded for the all-in-one, a server for the roles."""

from collections.abc import Awaitable, Callable

from metering.store.client import Store
from metering.store.migrations import migrate


def open_store(url: str, *, replicated: bool = False) -> Store:
    """Open the store and bring its tables to what this release needs; blocks. Two processes may do so at once.

    Raises:
        StoreUnavailableError: it does not answer; call again.
        StoreRefusedError, StoreSettingsError, StoreTooNewError: it cannot be used.
    """
    store = Store.open(url)
    try:
        migrate(store, replicated=replicated)
    except BaseException:
        store.close()
        raise
    return store


def store_answers(store: Store) -> Callable[[], Awaitable[object]]:
    """Give the check of the store."""
    return lambda: store.run(store.select, "SELECT 1")
