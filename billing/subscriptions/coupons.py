"""The coupons of a subscription: what they were when it got them, from when to when they are there.

A coupon is of the invoices of the periods at whose end it is there: one that is added discounts the running period
whole, one that is removed no more, and what has ended keeps what it had.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from billing.catalog.coupons import CouponTerms, Repeat
from billing.interval import Interval
from billing.periods import Cycle, period_holding
from billing.tables import of, owner, subscription_coupons
from metering.ids import new_id
from metering.timestamps import EPOCH, microseconds
from metering.windows import Window, add_period
from metering.world import World

_LOOKED_UP_MAX = 500


@dataclass(frozen=True, slots=True)
class Removal:
    """That a coupon is taken away: from when on, and when that was asked for."""

    id: str
    effective_us: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AppliedCoupon:
    """A coupon that a subscription has. `product_ids` are those whose lines it discounts, None is all."""

    id: str
    coupon_id: str
    name: str
    terms: CouponTerms
    product_ids: Sequence[str] | None
    effective_us: int
    created_at: datetime
    removal: Removal | None = None

    def stands_at(self, instant_us: int, zone: ZoneInfo) -> bool:
        """Tell whether it is there at an instant."""
        return self.effective_us <= instant_us and not self.gone_by(instant_us, zone)

    def gone_by(self, instant_us: int, zone: ZoneInfo) -> bool:
        """Tell whether it was taken away, or its time is over, before an instant."""
        if self.removal is not None and self.removal.effective_us < instant_us:
            return True
        duration = self.terms.duration
        return duration is not None and self._ends_us(duration, zone) < instant_us

    def discounts(self, period: Window, interval: Interval, first: Cycle, starts_us: int) -> bool:
        """Tell whether it is of the invoice of a period.

        `first` is the cycle of the invoices of which one that is for once takes the first; `starts_us` is when the
        subscription starts.
        """
        if self.effective_us >= period.end_us or self.gone_by(period.end_us, first.zone):
            return False
        if self.terms.repeat is not Repeat.ONCE:
            return True
        once = period_holding(max(self.effective_us, starts_us), first, starts_us)
        return once is not None and interval == first.interval and once.start_us == period.start_us

    def _ends_us(self, duration: Interval, zone: ZoneInfo) -> int:
        return add_period(self.effective_us, duration.period, duration.count, zone)


def insert_coupon(connection: sa.Connection, world: World, subscription_id: str, one: AppliedCoupon) -> None:
    """Keep a coupon that a subscription gets."""
    connection.execute(
        subscription_coupons.insert().values(
            id=one.id,
            **owner(world),
            subscription_id=subscription_id,
            coupon_id=one.coupon_id,
            name=one.name,
            terms=one.terms.document(),
            product_ids=None if one.product_ids is None else list(one.product_ids),
            effective_at=EPOCH + timedelta(microseconds=one.effective_us),
            created_at=one.created_at,
        )
    )


def remove_coupon(connection: sa.Connection, one: AppliedCoupon, effective_us: int, now: datetime) -> Removal:
    """Take a coupon away from an instant on."""
    removal, table = Removal(new_id("supd"), effective_us, now), subscription_coupons
    removed_from = EPOCH + timedelta(microseconds=effective_us)
    taken = table.update().where(table.c.id == one.id)
    connection.execute(taken.values(removal_id=removal.id, removed_from=removed_from, removed_at=now))
    return removal


def coupons_of(
    connection: sa.Connection, world: World, subscription_ids: Iterable[str]
) -> dict[str, list[AppliedCoupon]]:
    """Give the coupons of some subscriptions, those that are there no more too, in the order in which they came."""
    wanted = list(subscription_ids)
    table, found = subscription_coupons, dict[str, list[AppliedCoupon]]()
    for start in range(0, len(wanted), _LOOKED_UP_MAX):
        within = table.c.subscription_id.in_(wanted[start : start + _LOOKED_UP_MAX])
        for row in connection.execute(table.select().where(of(table, world), within)):
            found.setdefault(row.subscription_id, []).append(_applied(row))
    for own in found.values():
        own.sort(key=lambda one: (one.effective_us, one.created_at, one.id))
    return found


def _applied(row: Any) -> AppliedCoupon:
    removal = None
    if row.removal_id is not None:
        removal = Removal(row.removal_id, microseconds(row.removed_from), row.removed_at)
    return AppliedCoupon(
        row.id,
        row.coupon_id,
        row.name,
        CouponTerms.from_document(row.terms),
        None if row.product_ids is None else tuple(row.product_ids),
        microseconds(row.effective_at),
        row.created_at,
        removal,
    )
