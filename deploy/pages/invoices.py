"""Open invoices as the pages show them: amounts are integers of the currency's minor unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LineTier:
    """A part of a line: so many units of `(start, end]`, end None for the last tier, and what they cost.

    A clamp of the line comes as its last part: `adjustment` names it, and start, end and quantity are None.
    """

    start: Decimal | None
    end: Decimal | None
    quantity: Decimal | None
    amount: int
    adjustment: str | None = None


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A product on an invoice. `units` None: it is not counted in units. A credit counts against the total."""

    name: str
    is_credit: bool
    units: Decimal | None
    amount: int
    tiers: Sequence[LineTier] = ()


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """What a period that is not closed yet would cost, from the usage known now."""

    id: str
    subscription_id: str
    currency: str
    period_starts_at: datetime
    period_ends_at: datetime
    amount_excluding_tax: int
    tax_amount: int
    total_amount: int
    lines: Sequence[InvoiceLine]
