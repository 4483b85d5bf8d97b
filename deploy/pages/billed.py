"""Open invoices for a page: asked for once, formatted, and missed without breaking the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from zoneinfo import ZoneInfo

import structlog

from billing.money import minor_digits
from deploy.pages.clock_text import day_text
from deploy.pages.invoices import InvoiceLine, LineTier, OpenInvoice
from deploy.pages.quantities import money, quantity
from deploy.pages.services import PageServices
from metering.errors import QueryLimitError, UnavailableError
from metering.http.problem import ApiError
from metering.position import Cutoff
from metering.registry.customers import Customer
from metering.timestamps import microseconds

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShownTier:
    """A part of a line."""

    range: str
    quantity: str
    amount: str


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line."""

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
    excluding_tax: str
    tax: str
    has_tax: bool
    total: str


async def ask_open_invoices(
    services: PageServices, cutoff: Cutoff, customers: Sequence[Customer]
) -> Mapping[str, Sequence[OpenInvoice]] | None:
    """Give open invoices by customer id; None when they cannot be worked out now."""
    if not customers:
        return {}
    try:
        return await services.open_invoices(cutoff, customers)
    except (UnavailableError, QueryLimitError, ApiError) as error:
        _log.warning("no open invoices", reason=str(error))
        return None


def totals_by_currency(invoices: Sequence[OpenInvoice]) -> list[str]:
    """Give what the invoices come to, one amount a currency: currencies are never added up."""
    totals: dict[str, int] = {}
    for invoice in invoices:
        totals[invoice.currency] = totals.get(invoice.currency, 0) + invoice.total_amount
    return [_money(total, currency) for currency, total in sorted(totals.items())]


def shown_invoice(invoice: OpenInvoice, zone: ZoneInfo) -> ShownInvoice:
    """Format an invoice; its period is read on the clocks of `zone`, the customer's."""
    start, end = (
        day_text(microseconds(moment.astimezone(UTC)), zone)
        for moment in (invoice.period_starts_at, invoice.period_ends_at)
    )
    return ShownInvoice(
        id=invoice.id,
        subscription_id=invoice.subscription_id,
        period=f"{start} to {end}",
        lines=[_line(line, invoice.currency) for line in invoice.lines],
        excluding_tax=_money(invoice.amount_excluding_tax, invoice.currency),
        tax=_money(invoice.tax_amount, invoice.currency),
        has_tax=invoice.tax_amount != 0,
        total=_money(invoice.total_amount, invoice.currency),
    )


def _line(line: InvoiceLine, currency: str) -> ShownLine:
    return ShownLine(
        name=line.name,
        is_credit=line.is_credit,
        units="" if line.units is None else quantity(line.units),
        amount=_money(-line.amount if line.is_credit else line.amount, currency),
        tiers=[_tier(tier, currency) for tier in line.tiers],
    )


def _tier(tier: LineTier, currency: str) -> ShownTier:
    units = "" if tier.quantity is None else quantity(tier.quantity)
    return ShownTier(_range(tier), units, _money(tier.amount, currency))


def _range(tier: LineTier) -> str:
    if tier.adjustment is not None:
        return f"to the {tier.adjustment}"
    if tier.end is None:
        return f"over {quantity(tier.start)}" if tier.start else "all units"
    return f"over {quantity(tier.start)} up to {quantity(tier.end)}" if tier.start else f"up to {quantity(tier.end)}"


def _money(amount: int, currency: str) -> str:
    return money(amount, currency, minor_digits(currency))
