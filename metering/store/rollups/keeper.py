"""Decide which aggregators are rolled up, and keep their rollups near what is applied, in the background.

What is asked of all customers again and again is rolled up; nothing is written for what nobody asks. A rollup that lies
behind is brought up when a question met it so. One thread does it, within a share of its time, so that ingest is not
held up; while rollups cannot keep pace, and whenever anything fails here, figures are read from the events.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf

import structlog

from metering.errors import MeteringError
from metering.position import Cutoff
from metering.resting import by_turns
from metering.store.client import Store
from metering.store.rollups.definition import Definition
from metering.store.rollups.manifest import Manifest, forget, kept, newest, publish
from metering.store.rollups.segments import NotBuiltError, are_there, drop, extended, sweep

ASKED_MIN = 2
"""An aggregator that is asked so often, without a longer pause than `ASKED_WITHIN_S` between, is rolled up."""
ASKED_WITHIN_S = 3_600.0
CHANGED_MAX = 20_000
"""A question that met more changes than these has the rollup brought up."""
BEHIND_MAX = 500_000
"""A rollup that lies so many changes behind is not read until it is brought up: the events are as quick."""
DEFINITIONS_MAX = 100
"""So many aggregators are rolled up; the one asked longest ago makes room."""
REFRESH_S = 60.0
"""What other processes wrote is looked for this often."""
DROP_AFTER_S = 300.0
"""Segments that were replaced stay so long: who still reads them need not turn to the events."""
FAILED_PAUSE_S = 600.0
SWEEP_INTERVAL_S = 3_600.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Followed:
    """What is known of one aggregator in this process. Times are of the monotonic clock."""

    asked: int = 0
    asked_at: float = 0.0
    wanted: bool = False
    is_behind: bool = False
    resting_until: float = 0.0
    manifest: Manifest = field(default_factory=Manifest)
    read_at: float = -inf


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="rollups")


class RollupKeeper:
    """Keeps the rollups of one store; threads may ask it, one task runs it."""

    def __init__(self, store: Store, applied: Callable[[], Awaitable[Cutoff]], *, asked_min: int = ASKED_MIN) -> None:
        """`applied` gives the newest cut-off."""
        self._store = store
        self._applied = applied
        self._asked_min = asked_min
        self._followed: dict[Definition, _Followed] = {}
        self._lock = threading.Lock()
        self._replaced: list[tuple[float, int]] = []
        self._thread = _one_thread()
        self._swept_at = -inf

    def manifest(self, definition: Definition) -> Manifest | None:
        """Note that an aggregator is asked for, and give its rollup; None while it has none. Blocks.

        Raises:
            StoreUnavailableError: no answer.
        """
        now = time.monotonic()
        with self._lock:
            followed = self._follow(definition)
            followed.asked = followed.asked + 1 if now - followed.asked_at < ASKED_WITHIN_S else 1
            followed.asked_at = now
            known = now - followed.read_at < REFRESH_S
            manifest = followed.manifest
        if not known:
            manifest = newest(self._store, definition)
            with self._lock:
                if manifest.generation >= followed.manifest.generation:
                    followed.manifest = manifest
                followed.read_at = now
                manifest = followed.manifest
        with self._lock:
            if manifest.cutoff.bounds:
                return None if followed.is_behind else manifest
            followed.wanted = followed.wanted or followed.asked >= self._asked_min
        return None

    def met(self, definition: Definition, changed: int | None) -> None:
        """Tell how many changes a question met since the rollup's cut-off; None when the rollup could not be used."""
        with self._lock:
            followed = self._follow(definition)
            if changed is None:
                followed.read_at = -inf
                followed.wanted = True
            elif changed > CHANGED_MAX:
                followed.wanted = True
                followed.is_behind = changed > BEHIND_MAX

    async def run(self) -> None:
        """Work until cancelled; a statement that is under way then is waited for."""
        try:
            await by_turns(self.work_off)
        finally:
            await asyncio.to_thread(self.close)

    async def work_off(self) -> None:
        """Bring up what is wanted now, one after the other, and drop what is not needed any more."""
        for definition in self._wanted():
            try:
                cutoff = await self._applied()
                await self._in_thread(self._bring_up, definition, cutoff)
            except (MeteringError, NotBuiltError) as error:
                _log.warning("a rollup waits", aggregator=repr(definition.aggregator), reason=str(error))
                with self._lock:
                    self._follow(definition).resting_until = time.monotonic() + FAILED_PAUSE_S
        try:
            await self._in_thread(self._drop_replaced)
        except MeteringError as error:
            _log.warning("rollups that are not needed stay for now", reason=str(error))

    def close(self) -> None:
        """Wait for the statement under way, and drop what waits behind it."""
        thread, self._thread = self._thread, _one_thread()  # Who runs it again finds it able to work.
        thread.shutdown(cancel_futures=True)

    async def _in_thread(self, work: Callable[..., None], *args: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args))

    def _wanted(self) -> list[Definition]:
        now = time.monotonic()
        with self._lock:
            return [
                definition
                for definition, followed in self._followed.items()
                if followed.wanted and now >= followed.resting_until
            ]

    def _follow(self, definition: Definition) -> _Followed:
        """Give what is known of an aggregator; the lock must be held."""
        followed = self._followed.get(definition)
        if followed is None:
            while len(self._followed) >= 4 * DEFINITIONS_MAX:
                del self._followed[min(self._followed, key=lambda one: self._followed[one].asked_at)]
            followed = self._followed[definition] = _Followed()
        return followed

    def _bring_up(self, definition: Definition, cutoff: Cutoff) -> None:
        before = newest(self._store, definition)
        if not before.segments:
            self._make_room(definition)
        if not are_there(self._store, before):  # Somebody dropped some of it: all of it is made anew.
            before = Manifest(before.generation)
        if cutoff.includes(before.cutoff):
            after = extended(self._store, definition, before, cutoff)
            publish(self._store, definition, after)
        else:
            after = before  # Another process is ahead.
        gone = set(before.ids) - set(after.ids)
        now = time.monotonic()
        with self._lock:
            followed = self._follow(definition)
            followed.manifest, followed.read_at = after, now
            followed.wanted = followed.is_behind = False
            self._replaced += [(now, segment) for segment in gone]

    def _make_room(self, wanted: Definition) -> None:
        """Forget rollups beyond the limit: the one asked longest ago here, and those never asked here before all."""
        there = [one for one in kept(self._store) if one.segments]
        with self._lock:
            asked = {(each.world, each.key): followed.asked_at for each, followed in self._followed.items()}
        there.sort(key=lambda one: asked.get((one.world, one.definition), -inf))
        for one in there[: max(0, len(there) - DEFINITIONS_MAX + 1)]:
            if (one.world, one.definition) != (wanted.world, wanted.key):
                forget(self._store, one)
                with self._lock:
                    self._replaced += [(time.monotonic(), segment.id) for segment in one.segments]
                    self._followed = {
                        each: followed
                        for each, followed in self._followed.items()
                        if (each.world, each.key) != (one.world, one.definition)
                    }

    def _drop_replaced(self) -> None:
        now = time.monotonic()
        with self._lock:
            old = [segment for at, segment in self._replaced if now - at >= DROP_AFTER_S]
        if old:
            drop(self._store, old)
            with self._lock:
                self._replaced = [(at, segment) for at, segment in self._replaced if segment not in set(old)]
        if now - self._swept_at >= SWEEP_INTERVAL_S:
            sweep(self._store)
            self._swept_at = now
