"""What an invoice is over HTTP. Tax comes with closed invoices: an open one shows none."""

from decimal import Decimal
from typing import Any

from billing.invoices.model import Invoice, LineItem, line_item_id
from billing.pricing import Adjustment, RatedTier
from billing.subscriptions.coupons import AppliedCoupon
from metering.timestamps import format_instant


def invoice_object(invoice: Invoice) -> dict[str, Any]:
    """Give the invoice as it goes out."""
    before_tax = invoice.amount_excluding_tax
    return {
        "id": invoice.id,
        "status": invoice.status.value,
        "customer": {"id": invoice.customer_id, "external_id": invoice.customer_external_id},
        "subscription_id": invoice.subscription_id,
        "currency": invoice.currency,
        "period_starts_at": format_instant(invoice.period_start_us),
        "period_ends_at": format_instant(invoice.period_end_us),
        "amount_excluding_tax": before_tax,
        "tax_amount": 0,
        "total_amount": before_tax,
        "discount_amount": sum(line.amount for line in invoice.lines if line.coupon is not None),
        "coupons": [_coupon(invoice, line, line.coupon) for line in invoice.lines if line.coupon is not None],
        "line_items": [_line(invoice, line) for line in invoice.lines],
    }


def _line(invoice: Invoice, line: LineItem) -> dict[str, Any]:
    start_us, end_us = line.period or (invoice.period_start_us, invoice.period_end_us)
    return {
        "id": line_item_id(invoice.id, line.key),
        "name": line.name,
        "product_id": line.product_id,
        "coupon_id": None if line.coupon is None else line.coupon.coupon_id,
        "entry_type": line.entry_type.value,
        "units_count": line.units_count,
        "currency": line.currency,
        "amount": line.amount,
        "period_starts_at": format_instant(start_us),
        "period_ends_at": format_instant(end_us),
        "upfront": None if line.upfront is None else line.upfront.value,
        "tiers": [tier_object(tier) for tier in line.tiers],
    }


def _coupon(invoice: Invoice, line: LineItem, coupon: AppliedCoupon) -> dict[str, Any]:
    return {
        "id": coupon.coupon_id,
        "name": line.name,
        "discount_amount": line.amount,
        "discount_percent": coupon.terms.percent,
        "line_item_ids": [line_item_id(invoice.id, key) for key in line.discounted],
    }


def tier_object(tier: RatedTier | Adjustment) -> dict[str, Any]:
    """Give a tier as the preview does: what a clamp adds is an entry of its own."""
    if isinstance(tier, Adjustment):
        return {"adjustment": tier.kind.value, "amount": tier.amount}
    upper: Decimal | None = tier.upper
    return {"from": tier.lower, "to": upper, "quantity": tier.quantity, "amount": tier.amount}
