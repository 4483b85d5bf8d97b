"""What the handlers of billing stand on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from metering.api.asof import Cutoffs
from metering.registry.engine import Registry
from metering.store.client import Store


class Progress(Protocol):
    """How far what was accepted is in the figures."""

    async def wait_until_applied(self, wait_s_max: float) -> bool:
        """Wait until all that was accepted before the call is in the figures; tell whether it is."""
        ...


class UpToDate:
    """Everything is in the figures at once: where usage does not come through a log."""

    async def wait_until_applied(self, wait_s_max: float) -> bool:  # noqa: ARG002 - there is nothing to wait for.
        """Wait for nothing."""
        return True


class Background(Protocol):
    """Who works off what is asked for and takes long."""

    def wake(self) -> None:
        """Learn that there is something new."""
        ...


class Asleep:
    """Nobody: what is asked for waits until somebody looks."""

    def wake(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all handlers of a process. `clock` gives aware date-times."""

    registry: Registry
    store: Store
    cutoffs: Cutoffs
    clock: Callable[[], datetime]
    progress: Progress = field(default_factory=UpToDate)
    simulations: Background = field(default_factory=Asleep)
