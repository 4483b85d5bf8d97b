"""What the handlers of the API stand on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from metering.api.asof import Cutoffs
from metering.api.seams import AggregatorUse, CustomerUse, LinesMoved, SubscriptionsOf, Unused
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all handlers of a process. `clock` gives aware date-times; four are billing's to fill in.

    `stands_still` tells whether whoever brings events into the figures has stopped and waits for a person.
    """

    registry: Registry
    store: Store
    usage: UsageReader
    explorer: Explorer
    cutoffs: Cutoffs
    clock: Callable[[], datetime]
    customer_use: CustomerUse = field(default_factory=Unused)
    aggregator_use: AggregatorUse = field(default_factory=Unused)
    subscriptions: SubscriptionsOf = field(default_factory=Unused)
    lines: LinesMoved = field(default_factory=Unused)
    stands_still: Callable[[], bool] = lambda: False
