"""Where the pages get open invoices from: billing, asked about several customers at once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from billing.invoices.model import Invoice
from billing.invoices.open import list_open_invoices
from billing.invoices.registry import Wanted
from metering.api.asof import AsOf
from metering.http.paging import Page
from metering.position import Cutoff
from metering.registry.definitions import newest_revision
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.world import World

INVOICES_MAX = 500
"""So many invoices are worked out for one page, those of the latest periods; more are counted, and the page says so."""


@dataclass(frozen=True, slots=True)
class OpenInvoices:
    """Open invoices, those of the latest periods first, of `total` that there are."""

    invoices: Sequence[Invoice]
    total: int

    @property
    def left_out(self) -> int:
        """Give how many there are besides these."""
        return self.total - len(self.invoices)

    def of(self, customer_id: str) -> list[Invoice]:
        """Give those of one customer."""
        return [invoice for invoice in self.invoices if invoice.customer_id == customer_id]


class OpenInvoicesOf(Protocol):
    """Ask for the open invoices of customers.

    Raises:
        UnavailableError, QueryLimitError, BillingError: the page says that they cannot be worked out, and shows the
            rest.
    """

    def __call__(self, world: World, cutoff: Cutoff, customer_ids: Sequence[str]) -> Awaitable[OpenInvoices]:
        """Give what usage at the cut-off comes to, for customers by our ids."""
        ...


def open_invoices_of(registry: Registry, store: Store, clock: Callable[[], datetime]) -> OpenInvoicesOf:
    """Ask billing."""

    async def ask(world: World, cutoff: Cutoff, customer_ids: Sequence[str]) -> OpenInvoices:
        wanted, page = Wanted(customers=customer_ids), Page(INVOICES_MAX, 0)
        as_of = AsOf(cutoff, await registry.read(newest_revision, world))
        found, total = await list_open_invoices(
            registry, store, world, wanted=wanted, page=page, as_of=as_of, now=clock()
        )
        return OpenInvoices(found, total)

    return ask
