"""Read current versions each once, without merging them on the way as long as none of them is there twice.

A version is one row, but a replay may have written it again: until the store has merged the two, FINAL passes over one
of them, at more than the cost of the question itself. A position is one version's alone. So a statement first reads
the rows as they are and tells besides, of each row of its answer, whether all positions in it differ. If they do, the
answer is that of FINAL; if anywhere they do not, nothing of it is used, and the statement is asked again with FINAL.
So it is where the positions of tens of millions of rows would take too much memory: FINAL takes next to none.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from metering.errors import QueryLimitError
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS, Selection
from metering.world import World

ONCE = "count() = uniqExact(position)"
"""The last column of a statement that is asked here."""

MEMORY_BYTES_MAX = 1 << 30
"""So much may the first statement take; half of it until groups go to disk."""
AGAIN_AFTER_S = 60.0
"""Where the first was of no use, FINAL is asked at once for so long: it is right in any case, this only saves work."""


_no_use: WeakKeyDictionary[Store, dict[tuple[World, bool], float]] = WeakKeyDictionary()
"""Until when FINAL is asked at once, by the monotonic clock; of some customers of a world, or of all."""


def select_once(
    store: Store, statement: Callable[[str], str], selection: Selection, parameters: Mapping[str, Any]
) -> Sequence[Sequence[Any]]:
    """Give the rows of a statement over current versions, without their last column, which is `ONCE`.

    `statement` makes it of FROM and WHERE of the current versions. It counts a version in each of its rows once or not
    at all. Blocks; threads may ask at once.

    Raises:
        QueryLimitError: it took more time or memory than one question may.
        StoreUnavailableError: no answer.
    """

    def ask(settings: str, *, final: bool) -> Sequence[Sequence[Any]]:
        sql = f"{statement(selection.current(final=final))}\n{settings}"
        return store.select(sql, {**selection.parameters(), **parameters})

    of_all = selection.customer_ids is None
    until = _no_use.setdefault(store, {})
    if until.get((selection.world, of_all), 0.0) < time.monotonic():
        until.pop((selection.world, of_all), None)
        with suppress(QueryLimitError):
            rows = ask(f"{CURRENT_SETTINGS}, {_limits()}", final=False)
            if all(row[-1] for row in rows):
                return [row[:-1] for row in rows]
        until[selection.world, of_all] = time.monotonic() + AGAIN_AFTER_S
    return [row[:-1] for row in ask(CURRENT_SETTINGS, final=True)]


def _limits() -> str:
    return f"max_memory_usage = {MEMORY_BYTES_MAX}, max_bytes_before_external_group_by = {MEMORY_BYTES_MAX // 2}"
