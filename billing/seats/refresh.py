"""Work out what a count that was read changes in a subscription: pure, no I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from billing.errors import RefusedPriceError
from billing.invoices.lines import BilledProduct, invoice_lines
from billing.periods import days_owed, period_holding
from billing.subscriptions.changes import Change, ChangeType
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.seats import RefreshSchedule
from billing.subscriptions.timeline import at
from metering.ids import new_id
from metering.timestamps import DAY, EPOCH, microseconds
from metering.windows import Window

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """A count of seats, up to which cut-off it was counted (encoded), and why it was read."""

    count: Decimal
    cutoff: str
    reason: RefreshSchedule


@dataclass(frozen=True, slots=True)
class SeatUpdate:
    """A change of a count that was written. `adjustment` is what it adds to the running period, None beyond 64 bits."""

    change: Change
    product: SubscriptionProduct
    previous_count: Decimal
    adjustment: int | None
    next_refresh_at: datetime | None


def seats_standing(subscription: Subscription, now: datetime) -> list[SubscriptionProduct]:
    """Give the connected seats that are there now, or will be when the subscription starts; none once it has ended."""
    if subscription.cancelled_at is not None and subscription.cancelled_at <= now:
        return []
    instant_us = instant_of(subscription, now)
    return [
        product
        for product in subscription.products
        if product.seats is not None
        and (product.since_us is None or product.since_us <= instant_us)
        and (product.until_us is None or instant_us < product.until_us)
    ]


def instant_of(subscription: Subscription, now: datetime) -> int:
    """Give the instant from which a count that is read now can hold."""
    return max(microseconds(now), microseconds(subscription.starts_at))


def next_refresh(subscription: Subscription, product: SubscriptionProduct, now: datetime) -> datetime | None:
    """Give when seats are read next by the clock; realtime ones once a day, for what no event tells of."""
    assert product.seats is not None
    terms, instant_us = product.seats.terms, instant_of(subscription, now)
    if terms.refresh is RefreshSchedule.MANUAL:
        return None
    if terms.interval is None:
        return EPOCH + timedelta(microseconds=instant_us + DAY)
    return EPOCH + timedelta(microseconds=subscription.cycle(terms.interval).holding(instant_us).end_us)


def changes_of_reading(
    subscription: Subscription,
    product: SubscriptionProduct,
    reading: Reading,
    now: datetime,
    *,
    first: bool,
    due: datetime | None,
) -> list[Change]:
    """Give the changes that a reading makes: none where the count is the same.

    The first one is what the seats begin with, unless the product has a count of its own; a later one holds from now
    on, of periodic seats that were `due` from the end of the interval on. No period that has ended is changed. Where
    the highest count is charged, a lower one holds from the next period on.
    """
    assert product.seats is not None
    terms, instant_us = product.seats.terms, instant_of(subscription, now)
    period = running_period(subscription, product, instant_us)
    # What was read before holds from earlier on, whatever the clocks of several machines say.
    ahead = {period.end_us} if terms.charges_highest else set()
    made = [one.effective_us for one in product.changes if one.count is not None and one.effective_us not in ahead]
    earliest_us = max([period.start_us, *made])
    effective_us = max(instant_us, earliest_us)
    if first and product.count == 0:
        effective_us = earliest_us
    elif terms.interval is not None and due is not None and microseconds(due) <= instant_us:
        ended_us = subscription.cycle(terms.interval).holding(instant_us).start_us
        effective_us = max(earliest_us, microseconds(due), ended_us)
    standing, out = at(product, effective_us).count, []
    if reading.count > standing or (reading.count < standing and not terms.charges_highest):
        out.append(_change(product, reading, effective_us, now))
    if terms.charges_highest and at(_with(product, out), period.end_us).count != reading.count:
        out.append(_change(product, reading, period.end_us, now))
    return out


def running_period(subscription: Subscription, product: SubscriptionProduct, instant_us: int) -> Window:
    """Give the period of a product that holds an instant at which it is there."""
    life = subscription.life(product)
    period = period_holding(instant_us, life.payments, life.starts_us)
    assert period is not None, "the product is there then"
    return period


def amount_of(subscription: Subscription, product_id: str, instant_us: int) -> int | None:
    """Give what a product of a subscription comes to in the period that holds an instant, None beyond 64 bits.

    `product_id` is the id of the product within the subscription.
    """
    product = next(one for one in subscription.products if one.id == product_id)
    cycle = subscription.cycle(product.payment_interval)
    period = period_holding(instant_us, cycle, microseconds(subscription.starts_at))
    assert period is not None, "the subscription has started by then"
    billed = [BilledProduct(one, one.product_id, None) for one in subscription.lines_of(product, period)]
    try:
        lines = invoice_lines(billed, subscription.currency, days_owed(period.start_us, cycle).share)
    except RefusedPriceError:
        return None
    return sum(line.signed_amount for line in lines)


def with_changes(subscription: Subscription, product_id: str, changes: Sequence[Change]) -> Subscription:
    """Give a subscription as it is after changes of a product of it."""
    products = [_with(one, changes) if one.id == product_id else one for one in subscription.products]
    return replace(subscription, products=products)


def _with(product: SubscriptionProduct, changes: Sequence[Change]) -> SubscriptionProduct:
    together = sorted([*product.changes, *changes], key=lambda one: (one.effective_us, one.created_at, one.id))
    return replace(product, changes=tuple(together))


def _change(product: SubscriptionProduct, reading: Reading, effective_us: int, now: datetime) -> Change:
    assert product.seats is not None
    terms = product.seats.terms
    # After those before it, also where the clock stood still or went back.
    latest = max((one.created_at for one in product.changes), default=None)
    return Change(
        new_id("supd"),
        product.id,
        ChangeType.UPDATE_COUNT,
        effective_us,
        terms.method,
        terms.precision,
        reading.count,
        None,
        now if latest is None or latest < now else latest + _TICK,
        reading.cutoff,
        reading.reason.value,
    )
