"""What the handlers of billing stand on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from metering.api.asof import Cutoffs
from metering.registry.engine import Registry
from metering.store.client import Store


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all handlers of a process. `clock` gives aware date-times."""

    registry: Registry
    store: Store
    cutoffs: Cutoffs
    clock: Callable[[], datetime]
