"""What a subscription is: a customer, a start, and products at agreed prices.

Its prices, currency and time zone are those of the moment it was made. A later change of the catalog or of the
customer moves neither what was agreed nor the periods that have begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from billing.catalog.model import PriceGroup
from billing.interval import Interval
from billing.periods import BillingCycleAlignment, Cycle
from billing.windows import EACH_PERIOD, Life, Metering, MeteringIntervalType
from metering.timestamps import microseconds
from metering.world import World
from metering.zones import zone_named


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; worked out from the clock, never stored."""

    PENDING = "pending"
    ACTIVE = "active"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SubscriptionProduct:
    """One product of a subscription and what was agreed about it. Amounts are minor units of its currency.

    `groups` has one entry, or the groups of a matrix in order. `aggregator_id` is set when units are counted from
    events; otherwise they are `count`. `price_configuration_ids` are those of the catalog that `groups` were taken
    from, none where prices were sent along, and `price_book_id` is theirs.
    """

    id: str
    product_id: str
    aggregator_id: str | None
    payment_interval: Interval
    count: Decimal
    min_amount: int | None
    max_amount: int | None
    min_committed_count: Decimal | None
    groups: Sequence[PriceGroup]
    metering: Metering = EACH_PERIOD
    price_configuration_ids: Sequence[str] = ()
    price_book_id: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """An agreement. Its products are in the order in which they were given."""

    id: str
    world: World
    customer_id: str
    name: str | None
    currency: str
    timezone: str
    commitment_interval: Interval | None
    starts_at: datetime
    cancelled_at: datetime | None
    products: Sequence[SubscriptionProduct]
    created_at: datetime
    updated_at: datetime
    billing_cycle_alignment: BillingCycleAlignment = BillingCycleAlignment.CALENDAR_PERIOD
    plan_id: str | None = None
    price_book_id: str | None = None

    def cycle(self, interval: Interval) -> Cycle:
        """Give the cycle of the periods of an interval."""
        aligned = self.billing_cycle_alignment is BillingCycleAlignment.ANNIVERSARY
        return Cycle(interval, zone_named(self.timezone), microseconds(self.starts_at) if aligned else None)

    def life(self, product: SubscriptionProduct) -> Life:
        """Give when a product of this subscription is billed, and by which cycles."""
        return Life(
            microseconds(self.starts_at),
            None if self.cancelled_at is None else microseconds(self.cancelled_at),
            microseconds(self.created_at),
            self.cycle(product.payment_interval),
            self._window_cycle(product.metering),
        )

    def _window_cycle(self, metering: Metering) -> Cycle | None:
        if metering.type is MeteringIntervalType.SUBSCRIPTION_COMMITMENT:
            assert self.commitment_interval is not None, "refused when the subscription was made"
            return Cycle(self.commitment_interval, zone_named(self.timezone), microseconds(self.starts_at))
        if metering.interval is None:
            return None
        if metering.starts_us is None:
            return self.cycle(metering.interval)
        return Cycle(metering.interval, zone_named(self.timezone), metering.starts_us)

    def status_at(self, now: datetime) -> SubscriptionStatus:
        """Tell how it stands: pending until `starts_at`, active from then on, cancelled once it was."""
        if self.cancelled_at is not None and self.cancelled_at <= now:
            return SubscriptionStatus.CANCELLED
        return SubscriptionStatus.ACTIVE if self.starts_at <= now else SubscriptionStatus.PENDING
