"""What the pages stand on; the composition fills it in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deploy.pages.invoices import OpenInvoice
from metering.position import Cutoff
from metering.registry.customers import Customer
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader
from metering.store.versions import VersionStore


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the figures are behind what was accepted: all that came in before `applied_until` is in them.

    `applied_until` None: nothing is known to be in them yet.
    """

    lag_events: int
    applied_until: datetime | None
    oldest_unapplied_age_ms: int


OpenInvoicesOf = Callable[[Cutoff, Sequence[Customer]], Awaitable[Mapping[str, Sequence[OpenInvoice]]]]
"""Give the open invoices of customers of one world as of a cut-off, by customer id, newest first; who has none may be
left out.

It is asked about at most one page of customers. It may raise UnavailableError; the page then says so and shows the rest.
"""


@dataclass(frozen=True, slots=True)
class PageServices:
    """Shared by all pages of a process. `clock` gives aware date-times."""

    registry: Registry
    store: Store
    versions: VersionStore
    usage: UsageReader
    explorer: Explorer
    open_invoices: OpenInvoicesOf
    lag: Callable[[], Awaitable[Lag]]
    clock: Callable[[], datetime]
