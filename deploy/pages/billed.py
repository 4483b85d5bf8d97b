"""Open invoices for a page: asked for once, formatted, and missed without breaking the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog

from billing.errors import BillingError
from billing.invoices.model import Invoice, LineItem, line_item_id
from billing.money import minor_digits
from billing.pricing import Adjustment, EntryType, RatedTier
from deploy.pages.clock_text import period_text
from deploy.pages.invoices import OpenInvoices
from deploy.pages.paths import invoice_path
from deploy.pages.quantities import money, quantity
from deploy.pages.serving import Visit
from metering.errors import QueryLimitError, UnavailableError
from metering.position import Cutoff
from metering.registry.customers import Customer

_log = structlog.get_logger(__name__)

_ADJUSTMENTS = {
    "minimum": "up to the agreed minimum",
    "maximum": "down to the agreed maximum",
    "already_billed": "billed already",
}


@dataclass(frozen=True, slots=True)
class ShownTier:
    """A part of a line."""

    range: str
    quantity: str
    amount: str


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line; `tiers` is empty where the line has one part, which is itself."""

    id: str
    name: str
    is_credit: bool
    units: str
    amount: str
    tiers: Sequence[ShownTier]


@dataclass(frozen=True, slots=True)
class ShownInvoice:
    """An invoice, its amounts as people read them."""

    id: str
    subscription_id: str
    period: str
    lines: Sequence[ShownLine]
    total: str

    @property
    def paths(self) -> Mapping[str, str]:
        """Give by the id of each line the address at which it is opened."""
        return {line.id: invoice_path(self.id, line=line.id) + "#line" for line in self.lines}


async def ask_open_invoices(visit: Visit, cutoff: Cutoff, customers: Sequence[Customer]) -> OpenInvoices | None:
    """Give the open invoices of customers; None when they cannot be worked out now."""
    if not customers:
        return OpenInvoices((), 0)
    try:
        return await visit.services.open_invoices(visit.world, cutoff, [customer.id for customer in customers])
    except (UnavailableError, QueryLimitError, BillingError) as error:
        _log.warning("no open invoices", reason=str(error))
        return None


def totals_by_currency(invoices: Sequence[Invoice]) -> list[str]:
    """Give what the invoices come to, one amount a currency: currencies are never added up."""
    totals: dict[str, int] = {}
    for invoice in invoices:
        totals[invoice.currency] = totals.get(invoice.currency, 0) + invoice.amount_excluding_tax
    return [money_text(total, currency) for currency, total in sorted(totals.items())]


def shown_invoice(invoice: Invoice, zone: ZoneInfo) -> ShownInvoice:
    """Format an invoice; its period is read on the clocks of `zone`, the customer's."""
    return ShownInvoice(
        id=invoice.id,
        subscription_id=invoice.subscription_id,
        period=period_text(invoice.period_start_us, invoice.period_end_us, zone),
        lines=[shown_line(invoice.id, line) for line in invoice.lines],
        total=money_text(invoice.amount_excluding_tax, invoice.currency),
    )


def shown_line(invoice_id: str, line: LineItem) -> ShownLine:
    """Format a line."""
    is_credit = line.entry_type is EntryType.CREDIT
    sign = -1 if is_credit else 1
    tiers = [_tier(tier, sign, line.currency) for tier in line.tiers]
    return ShownLine(
        id=line_item_id(invoice_id, line.key),
        name=line.name,
        is_credit=is_credit,
        units=quantity(line.units_count),
        amount=money_text(line.signed_amount, line.currency),
        tiers=tiers if len(tiers) > 1 else (),
    )


def _tier(tier: RatedTier | Adjustment, sign: int, currency: str) -> ShownTier:
    amount = money_text(sign * tier.amount, currency)
    if isinstance(tier, Adjustment):
        return ShownTier(_ADJUSTMENTS[tier.kind.value], "", amount)
    return ShownTier(tier_range(tier.lower, tier.upper), quantity(tier.quantity), amount)


def tier_range(lower: Decimal, upper: Decimal | None) -> str:
    """Name the units in `(lower, upper]`."""
    if upper is None:
        return f"over {quantity(lower)}" if lower else "all units"
    return f"over {quantity(lower)}, up to {quantity(upper)}" if lower else f"up to {quantity(upper)}"


def money_text(amount: int, currency: str) -> str:
    """Give an amount of the currency's minor unit as people read it."""
    return money(amount, currency, minor_digits(currency))
