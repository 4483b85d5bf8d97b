"""What the pages stand on; the composition fills it in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from billing.api.services import Asleep, Background
from deploy.pages.invoices import OpenInvoicesOf
from ingest.consumer.lag import Lag
from ingest.imports.api import Imports
from loaders.connections.keeping import ConnectionKeeper
from loaders.dataloaders.api import DataloaderServices
from metering.api.seams import LinesMoved
from metering.position import Cutoff
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader


class Cutoffs(Protocol):
    """How far the store may be read; `metering.store.chains.ChainStore` tells."""

    async def applied(self) -> Cutoff:
        """Give the newest cut-off."""
        ...

    async def applied_at(self, moment: datetime, /) -> Cutoff:
        """Give the last cut-off that was marked at or before a moment."""
        ...

    async def last_marked_at(self) -> datetime | None:
        """Give the moment at which it was marked, None before the first."""
        ...


@dataclass(frozen=True, slots=True)
class PageServices:
    """Shared by all pages of a process. `clock` gives aware date-times.

    `lag` may raise UnavailableError or IngestError; the pages then say that it is unknown.
    `open_invoices_of` makes `open_invoices`, `lines` tells what corrections moved, `simulations` is woken for a new
    one.
    """

    registry: Registry
    store: Store
    cutoffs: Cutoffs
    usage: UsageReader
    explorer: Explorer
    open_invoices: OpenInvoicesOf
    lines: LinesMoved
    imports: Imports
    lag: Callable[[], Awaitable[Lag]]
    clock: Callable[[], datetime]
    connections: ConnectionKeeper
    dataloaders: DataloaderServices
    simulations: Background = field(default_factory=Asleep)
