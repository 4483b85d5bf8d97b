"""Find the periods that have begun and are not closed: each is one open invoice. Pure.

Products of a subscription that are paid at the same interval share its invoices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from billing.interval import Interval
from billing.invoices.model import invoice_id
from billing.periods import BillingCycleAlignment, Calendar, Cycle, period_holding
from billing.subscriptions.model import Subscription
from metering.timestamps import LATEST_US, microseconds
from metering.windows import Window
from metering.zones import zone_named


class PartOfLife(NamedTuple):
    """When one of the products that are paid at an interval is there; None is from the start, or to the end."""

    interval: Interval
    since_us: int | None
    until_us: int | None


@dataclass(frozen=True, slots=True)
class Outline:
    """What a subscription's periods follow from. Instants are microseconds since 1970 UTC.

    `parts` is empty where all products are there as long as the subscription.
    """

    subscription_id: str
    timezone: str
    starts_us: int
    cancelled_us: int | None
    intervals: Sequence[Interval]
    alignment: BillingCycleAlignment = BillingCycleAlignment.CALENDAR_PERIOD
    parts: Sequence[PartOfLife] = ()

    def lives(self, interval: Interval) -> list[tuple[int, int | None]]:
        """Give when there is something to bill at an interval: `(start, end)`, ascending, apart from each other."""
        if not self.parts:
            return [(self.starts_us, self.cancelled_us)]
        last_us = LATEST_US if self.cancelled_us is None else self.cancelled_us
        spans = sorted(
            (
                max(self.starts_us, self.starts_us if part.since_us is None else part.since_us),
                min(last_us, last_us if part.until_us is None else part.until_us),
            )
            for part in self.parts
            if part.interval == interval
        )
        merged: list[tuple[int, int]] = []
        for start, end in spans:
            if start >= end:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return [(start, None if end == LATEST_US else end) for start, end in merged]

    def period_holding(self, interval: Interval, instant_us: int) -> Window | None:
        """Give the period of an interval that holds an instant, begun or not; None where there is none."""
        cycle = self.cycle(interval)
        found = (period_holding(instant_us, cycle, starts_us, ends_us) for starts_us, ends_us in self.lives(interval))
        return next((period for period in found if period is not None), None)

    def cycle(self, interval: Interval) -> Cycle:
        """Give the cycle of the periods of an interval."""
        aligned = self.alignment is BillingCycleAlignment.ANNIVERSARY
        return Cycle(interval, zone_named(self.timezone), self.starts_us if aligned else None)


def outline_of(subscription: Subscription) -> Outline:
    """Give the outline of one subscription that was read as a whole."""
    products = subscription.products
    return Outline(
        subscription.id,
        subscription.timezone,
        microseconds(subscription.starts_at),
        None if subscription.cancelled_at is None else microseconds(subscription.cancelled_at),
        list(dict.fromkeys(product.payment_interval for product in products)),
        subscription.billing_cycle_alignment,
        [PartOfLife(product.payment_interval, product.since_us, product.until_us) for product in products],
    )


class OpenPeriod(NamedTuple):
    """One period of a subscription, of the products that are paid at one interval."""

    subscription_id: str
    interval: Interval
    window: Window

    @property
    def invoice_id(self) -> str:
        """The id of its invoice."""
        return invoice_id(self.subscription_id, self.interval, self.window.start_us)


class StartsWithin(NamedTuple):
    """Only periods that start in `[least_us, end_us)`; None is without bound."""

    least_us: int | None = None
    end_us: int | None = None

    def holds(self, start_us: int) -> bool:
        """Tell whether a period that starts then is asked for."""
        return (self.least_us is None or self.least_us <= start_us) and (self.end_us is None or start_us < self.end_us)


EVER = StartsWithin()


def open_periods(outlines: Iterable[Outline], now_us: int, within: StartsWithin) -> list[OpenPeriod]:
    """Give the periods that have begun by `now_us`, those that started last first."""
    sharing: dict[Cycle, list[Outline]] = {}
    for outline in outlines:
        if outline.starts_us <= now_us:
            for interval in outline.intervals:
                sharing.setdefault(outline.cycle(interval), []).append(outline)
    found: list[OpenPeriod] = []
    for cycle, alike in sharing.items():
        calendar = Calendar(cycle, min(one.starts_us for one in alike), now_us)
        for outline in alike:
            for starts_us, ends_us in outline.lives(cycle.interval):
                begun = calendar.begun(starts_us, now_us, ends_us)
                found += [
                    OpenPeriod(outline.subscription_id, cycle.interval, window)
                    for window in begun
                    if within.holds(window.start_us)
                ]
    found.sort(key=_order, reverse=True)
    return found


def _order(period: OpenPeriod) -> tuple[int, str, str, int]:
    return period.window.start_us, period.subscription_id, period.interval.period.value, period.interval.count
