"""What an invoice is. Amounts are integers of the currency's minor unit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from billing.interval import Interval
from billing.pricing import Adjustment, EntryType, RatedTier
from billing.subscriptions.coupons import AppliedCoupon
from billing.subscriptions.model import line_key
from billing.subscriptions.upfront import UpfrontKind
from metering.windows import Window

_PREFIX, _SUBSCRIPTION_PREFIX = "inv_", "sub_"
_DIGEST_CHARACTERS = 12
_LINE_PREFIX = "ili_"
_LINE_DIGEST_CHARACTERS = 24


class InvoiceStatus(StrEnum):
    """The documented statuses. Only open invoices are made yet: what a period has come to so far."""

    DRAFT = "draft"
    OPEN = "open"
    GRACE_PERIOD = "grace_period"
    TO_PAY = "to_pay"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    LATE = "late"
    VOIDED = "voided"
    CLOSED = "closed"
    ERROR = "error"
    MISSING_INFO = "missing_info"
    ARCHIVED = "archived"
    CHARGED_ON_PARENT = "charged_on_parent"
    PENDING_PARENT_CONCAT = "pending_parent_concat"
    UNCOLLECTIBLE = "uncollectible"


@dataclass(frozen=True, slots=True)
class LineItem:
    """What one product comes to, or a coupon takes off. `amount` is never below 0: `entry_type` tells a credit.

    The amounts of `tiers` add up to `amount`. `period` is of when it is, None that of the invoice; `upfront` says what
    it is of usage that is billed upfront. A line of a `coupon` has no product; `discounted` are the keys of those that
    it is about.
    """

    name: str
    product_id: str | None
    entry_type: EntryType
    units_count: Decimal
    currency: str
    amount: int
    tiers: Sequence[RatedTier | Adjustment]
    line_suffix: str = ""
    period: Window | None = None
    upfront: UpfrontKind | None = None
    coupon: AppliedCoupon | None = None
    discounted: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Name the line within its invoice."""
        return self.line_suffix if self.product_id is None else line_key(self.product_id, self.line_suffix)

    @property
    def signed_amount(self) -> int:
        """The amount as it enters a sum."""
        return -self.amount if self.entry_type is EntryType.CREDIT else self.amount


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a customer owes for one period `[period_start_us, period_end_us)` of a subscription."""

    id: str
    status: InvoiceStatus
    customer_id: str
    customer_external_id: str | None
    subscription_id: str
    currency: str
    period_start_us: int
    period_end_us: int
    lines: Sequence[LineItem]

    @property
    def amount_excluding_tax(self) -> int:
        """The sum of the lines; below 0 when credits outweigh the rest."""
        return sum(line.signed_amount for line in self.lines)


def invoice_id(subscription_id: str, interval: Interval, start_us: int) -> str:
    """Give the id of a period's invoice: the same each time it is worked out, and never that of another period."""
    shown = f"{interval.period.value}/{interval.count}/{start_us}"
    digest = hashlib.sha256(shown.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{_PREFIX}{subscription_id.removeprefix(_SUBSCRIPTION_PREFIX)}{digest}"


def line_item_id(of_invoice: str, key: str) -> str:
    """Give the id of a line: the same each time, as that of its invoice is. `key` names it within the invoice."""
    digest = hashlib.sha256(f"{of_invoice}/{key}".encode()).hexdigest()
    return f"{_LINE_PREFIX}{digest[:_LINE_DIGEST_CHARACTERS]}"


def subscription_of(identifier: str) -> str | None:
    """Give the id of the subscription that an invoice id would be of, None for what is no invoice id."""
    if not identifier.startswith(_PREFIX) or len(identifier) <= len(_PREFIX) + _DIGEST_CHARACTERS:
        return None
    return _SUBSCRIPTION_PREFIX + identifier[len(_PREFIX) : -_DIGEST_CHARACTERS]
