"""Work off simulations in the background: one at a time, the oldest first, across restarts.

What was asked and at which cut-off stands in the registry, so a simulation that a crash interrupted begins again and
comes to the same. Results are written at once, with the end of it. Before each step the row is held again: one that was
deleted, or that another worker took over, is let go there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from billing.simulations.jobs import fail, finish, hold, unfinished_simulations
from billing.simulations.model import CameTo, Simulation
from billing.simulations.parties import read_parties
from billing.simulations.rating import summary_of
from billing.simulations.work import SimulationError, Work
from metering.errors import QueryLimitError, UnavailableError
from metering.ids import new_id
from metering.registry.engine import NOBODY, Registry
from metering.store.client import Store

LOOK_EVERY_S = 5.0
"""Another process may have taken the request, or have left its work behind."""
PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 10.0

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class SimulationRunner:
    """Works off the simulations of one installation; any number of them may share a registry."""

    def __init__(self, registry: Registry, store: Store, clock: Callable[[], datetime], *, alone: bool = True) -> None:
        """`alone`: there is no other runner, so what is held was held by one that is gone."""
        self._registry = registry
        self._store = store
        self._clock = clock
        self._alone = alone
        self._worker = new_id("wrk")
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Tell that there may be a new one."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled; what is interrupted then begins again with the next start."""
        while True:
            self._changed.clear()
            worked = False
            for simulation in await _until_available(lambda: self._registry.read(unfinished_simulations)):
                worked = await self._work(simulation) or worked
            if not worked:
                # Not `wait_for`: before Python 3.12 it may swallow that it is cancelled.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()

    async def _work(self, simulation: Simulation) -> bool:
        """Work on one as far as it is ours; tell whether it was."""
        if not await self._hold(simulation, 0, alone=self._alone):
            return False
        try:
            await self._simulate(simulation)
        except UnavailableError as error:
            _log.warning("a simulation waits", reason=str(error))
            await asyncio.sleep(PAUSE_S_MAX)
        except (SimulationError, QueryLimitError) as error:
            await self._fail(simulation, str(error))
        except Exception:  # noqa: BLE001 - one must not end the others, nor be begun again for ever.
            _log.exception("unexpected error", simulation_id=simulation.id)
            await self._fail(simulation, "something went wrong here, it was logged: ask again later")
        return True

    async def _simulate(self, simulation: Simulation) -> None:
        asked = simulation.asked
        at = simulation.created_at
        parties = await _until_available(lambda: self._registry.read(read_parties, simulation.world, asked, at))
        if parties is None:
            raise SimulationError(f"product {asked.product_id} is there no more, or is counted by nothing")
        work = Work(self._store, simulation.world, simulation.cutoff, asked, parties)
        steps = work.steps()
        # A store that is away ends the steps: the simulation stays ours, and begins again.
        while (progress := await self._store.run(next, steps, None)) is not None:
            if not await self._hold(simulation, progress):
                return
        names = [draft.name for draft in asked.drafts]
        summary = await asyncio.to_thread(summary_of, names, work.outcomes)
        came_to = CameTo(work.outcomes, summary)
        await _until_available(
            lambda: self._registry.write(finish, simulation.id, self._worker, came_to, self._clock(), waits_for=NOBODY)
        )

    async def _hold(self, simulation: Simulation, progress: int, *, alone: bool = False) -> bool:
        change = partial(hold, alone=alone)
        return await _until_available(
            lambda: self._registry.write(change, simulation.id, self._worker, progress, self._clock(), waits_for=NOBODY)
        )

    async def _fail(self, simulation: Simulation, message: str) -> None:
        await _until_available(
            lambda: self._registry.write(fail, simulation.id, self._worker, message, self._clock(), waits_for=NOBODY)
        )


async def _until_available(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again until the registry or the store answers; each pause is longer, up to `PAUSE_S_MAX`."""
    pause_s = PAUSE_S_MIN
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            _log.warning("a simulation waits", reason=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
