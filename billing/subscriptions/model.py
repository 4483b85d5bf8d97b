"""What a subscription is: a customer, a start, and products at agreed prices.

Its prices, currency and time zone are those of the moment it was made. A later change of the catalog or of the
customer moves neither what was agreed nor the periods that have begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from billing.catalog.model import PriceGroup
from billing.interval import Interval
from billing.periods import BillingCycleAlignment, Cycle, days_owed, period_holding
from billing.subscriptions.changes import Change
from billing.subscriptions.coupons import AppliedCoupon
from billing.subscriptions.credit_terms import CreditTerms
from billing.subscriptions.purchases import Purchase
from billing.subscriptions.seats import ApplicationSchedule, ConnectedSeats
from billing.subscriptions.timeline import Part, at, billed_in, segments
from billing.subscriptions.upfront import PaymentSchedule, Upfront, upfront_lines
from billing.windows import EACH_PERIOD, Life, Metering, MeteringIntervalType
from metering.timestamps import microseconds
from metering.windows import Window
from metering.world import World
from metering.zones import zone_named


def line_key(product_id: str, suffix: str) -> str:
    """Name a line within its invoice: by its product, and where it has several by what tells them apart."""
    return f"{product_id}/{suffix}" if suffix else product_id


def as_known_at(subscription: "Subscription", moment: datetime) -> "Subscription":
    """Give a subscription that was there at a moment as it was known then: what was made of it since is left out."""
    products = []
    for product in subscription.products:
        if product.added is not None and product.added.created_at > moment:
            continue
        if product.removed is not None and product.removed.created_at > moment:
            product = replace(product, removed=None, until_us=None)  # noqa: PLW2901
        known = tuple(change for change in product.changes if change.created_at <= moment)
        products.append(product if len(known) == len(product.changes) else replace(product, changes=known))
    ended = subscription.cancelled_at
    return replace(subscription, products=products, cancelled_at=None if ended is None or ended > moment else ended)


def _is_change_of(product: "SubscriptionProduct", line: "SubscriptionProduct") -> bool:
    """Tell whether a line is of a change within a period: neither the product itself nor its removal."""
    return any(change.id == line.line_suffix for change in product.changes)


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; worked out from the clock, never stored."""

    PENDING = "pending"
    ACTIVE = "active"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SubscriptionProduct:
    """One product of a subscription and what was agreed about it. Amounts are minor units of its currency.

    `groups` has one entry, or the groups of a matrix in order. `aggregator_id` is set when units are counted from
    events; otherwise they are `count`, which an aggregator is asked for where there are `seats`.
    `price_configuration_ids` are those of the catalog that `groups` were taken from, none where prices were sent along,
    and `price_book_id` is theirs.

    `count` and `groups` are those that it began with, and `changes` what became of them, in the order in which they
    hold. It is there from `since_us` to `until_us`: None is as long as the subscription. What a period bills of it is
    a product of its own (`Subscription.billed_in`): `part` says of which share, `upfront` which usage is billed
    upfront, and `line_suffix` tells lines apart; one that is `elsewhere` is in another invoice. `payment_schedule` None
    is the usual of its kind.
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
    added: Change | None = None
    removed: Change | None = None
    changes: Sequence[Change] = ()
    since_us: int | None = None
    until_us: int | None = None
    part: Part | None = None
    line_suffix: str = ""
    seats: ConnectedSeats | None = None
    payment_schedule: PaymentSchedule | None = None
    upfront: Upfront | None = None
    elsewhere: bool = False
    credits: CreditTerms | None = None

    @property
    def invoiced_apart(self) -> Interval | None:
        """Give the interval of the invoices in which changes of connected seats are, None where in those of all."""
        interval = None if self.seats is None else self.seats.terms.invoicing_interval
        return None if interval == self.payment_interval else interval

    @property
    def is_upfront(self) -> bool:
        """Tell whether usage is billed when its period starts."""
        return self.aggregator_id is not None and self.payment_schedule is PaymentSchedule.START

    @property
    def line_key(self) -> str:
        """Name what a line of an invoice is about: the product, and which change of it."""
        return line_key(self.product_id, self.line_suffix)


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
    coupons: Sequence[AppliedCoupon] = ()
    purchases: Sequence[Purchase] = ()

    def bought_in(self, period: Window, interval: Interval) -> list[Purchase]:
        """Give the credits that were bought within a period of the interval at which their product is paid."""
        paid = {one.product_id for one in self.products if one.payment_interval == interval}
        return [
            one for one in self.purchases if one.product_id in paid and period.start_us <= one.at_us < period.end_us
        ]

    def discounts(self, period: Window, interval: Interval) -> list[AppliedCoupon]:
        """Give the coupons of a period's invoice, in the order in which they came."""
        return [
            coupon
            for coupon in self.coupons
            if coupon.discounts(period, interval, self._first_discounted(coupon), microseconds(self.starts_at))
        ]

    def _first_discounted(self, coupon: AppliedCoupon) -> Cycle:
        """Give the cycle of the invoices that a coupon for once is of: those of the first product that it is for."""
        wanted = [one for one in self.products if coupon.product_ids is None or one.product_id in coupon.product_ids]
        return self.cycle((wanted or self.products)[0].payment_interval)

    def cycle(self, interval: Interval) -> Cycle:
        """Give the cycle of the periods of an interval."""
        aligned = self.billing_cycle_alignment is BillingCycleAlignment.ANNIVERSARY
        return Cycle(interval, zone_named(self.timezone), microseconds(self.starts_at) if aligned else None)

    def life(self, product: SubscriptionProduct) -> Life:
        """Give when a product of this subscription is billed, and by which cycles."""
        starts_us = microseconds(self.starts_at)
        ends = [product.until_us, None if self.cancelled_at is None else microseconds(self.cancelled_at)]
        return Life(
            starts_us if product.since_us is None else max(starts_us, product.since_us),
            min((end for end in ends if end is not None), default=None),
            microseconds(self.created_at),
            self.cycle(product.payment_interval),
            self._window_cycle(product.metering),
        )

    def billed_in(self, period: Window, interval: Interval) -> list[SubscriptionProduct]:
        """Give what a period of an interval bills, a line each: in the order of the products, then of time.

        Lines that are `elsewhere` are not of it: they come before others that give back of what they charged.
        """
        out: list[SubscriptionProduct] = []
        for product in self.products:
            if product.payment_interval == interval:
                lines = self.lines_of(product, period)
                apart = product.invoiced_apart is not None
                out += [replace(one, elsewhere=apart and _is_change_of(product, one)) for one in lines]
            elif product.invoiced_apart == interval:
                out += self._changes_apart(product, period)
        return out

    def lines_of(self, product: SubscriptionProduct, period: Window) -> list[SubscriptionProduct]:
        """Give what a period of a product's payment interval bills of it, wherever it is invoiced."""
        life = self.life(product)
        if product.is_upfront:
            return list(upfront_lines(product, period, life))
        there = Window(life.starts_us, period.end_us if life.ends_us is None else life.ends_us)
        return list(billed_in(product, period, there, life.payments))

    def _changes_apart(self, product: SubscriptionProduct, period: Window) -> list[SubscriptionProduct]:
        """Give the changes that a period of the invoicing interval bills, each after all that was charged before it."""
        life, out = self.life(product), []
        wanted = {change.id for change in product.changes if period.start_us <= change.effective_us < period.end_us}
        at_us = max(period.start_us, life.starts_us)
        while at_us < period.end_us:
            paid = period_holding(at_us, life.payments, life.starts_us, life.ends_us)
            if paid is None:
                break
            share = days_owed(paid.start_us, life.payments).share
            lines = [
                replace(one, part=one.part or Part(share), elsewhere=one.line_suffix not in wanted)
                for one in self.lines_of(product, paid)
            ]
            while lines and lines[-1].elsewhere:
                lines.pop()
            out += lines
            at_us = paid.end_us
        return out

    def standing_at(self, instant_us: int) -> list[SubscriptionProduct]:
        """Give the products that are there at an instant, with the counts and prices that hold then."""
        out = []
        for product in self.products:
            for one in segments(product):
                begins, ends = one.since_us, one.until_us
                if (begins is None or begins <= instant_us) and (ends is None or instant_us < ends):
                    out.append(self._shown(at(one, instant_us), product, instant_us))
        return out

    def _shown(
        self, standing: SubscriptionProduct, product: SubscriptionProduct, instant_us: int
    ) -> SubscriptionProduct:
        """Give a product with the count that the subscription shows: seats may be shown from the next period on."""
        if product.seats is None or product.seats.terms.application is ApplicationSchedule.IMMEDIATELY:
            return standing
        life = self.life(product)
        begun = period_holding(instant_us, life.payments, life.starts_us)
        return standing if begun is None else replace(standing, count=at(product, begun.start_us).count)

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
