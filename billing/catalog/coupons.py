"""Coupons: a fixed amount or a percentage that subscriptions are discounted by, and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from billing.interval import Interval
from billing.tables import coupons, of, owner, subscription_coupons
from metering.ids import new_id
from metering.world import Mode, World


class Repeat(StrEnum):
    """For how many invoices a coupon is."""

    ONCE = "once"
    FOREVER = "forever"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """What a coupon takes off: `amount` minor units of a currency, or a `percent` from 0 to 100; and for how long.

    `duration` is there for the repeat `duration` alone.
    """

    amount: int | None
    currency: str | None
    percent: Decimal | None
    repeat: Repeat
    duration: Interval | None = None

    def document(self) -> dict[str, Any]:
        """Give what is kept."""
        return {
            "amount": self.amount,
            "currency": self.currency,
            "percent": self.percent,
            "repeat": self.repeat.value,
            "duration": None if self.duration is None else self.duration.document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "CouponTerms":
        """Give back what `document` gave."""
        percent, duration = document["percent"], document["duration"]
        return cls(
            document["amount"],
            document["currency"],
            None if percent is None else Decimal(percent),
            Repeat(document["repeat"]),
            None if duration is None else Interval.from_document(duration),
        )


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon of the catalog. `product_ids` None is all products; the limits are on its use from now on."""

    id: str
    world: World
    name: str
    description: str | None
    terms: CouponTerms
    product_ids: Sequence[str] | None
    redemption_limit: int | None
    expiration_date: datetime | None
    created_at: datetime
    updated_at: datetime


def create_coupon(connection: sa.Connection, world: World, values: Mapping[str, Any], now: datetime) -> Coupon:
    """Create one; `values` are its columns."""
    coupon_id = new_id("cou")
    connection.execute(coupons.insert().values(id=coupon_id, **owner(world), **values, created_at=now, updated_at=now))
    found = find_coupon(connection, world, coupon_id)
    assert found is not None
    return found


def update_coupon(connection: sa.Connection, coupon: Coupon, changes: Mapping[str, Any], now: datetime) -> Coupon:
    """Change columns of a coupon; subscriptions that have it keep what it was when they got it."""
    connection.execute(coupons.update().where(coupons.c.id == coupon.id).values(**changes, updated_at=now))
    found = find_coupon(connection, coupon.world, coupon.id)
    assert found is not None
    return found


def delete_coupon(connection: sa.Connection, coupon: Coupon) -> None:
    """Forget a coupon that no subscription ever had."""
    connection.execute(coupons.delete().where(coupons.c.id == coupon.id))


def find_coupon(connection: sa.Connection, world: World, coupon_id: str) -> Coupon | None:
    """Give the coupon of this id in this world."""
    found, _ = list_coupons(connection, world, conditions=[coupons.c.id == coupon_id], take=1, skip=0)
    return found[0] if found else None


def list_coupons(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Coupon], int]:
    """Give a page, newest first, and how many there are. Conditions are over `tables.coupons`."""
    where = sa.and_(of(coupons, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(coupons).where(where)).scalar_one()
    query = coupons.select().where(where).order_by(coupons.c.created_at.desc(), coupons.c.id.desc())
    return [_coupon(row) for row in connection.execute(query.limit(take).offset(skip))], total


def redemptions_of(connection: sa.Connection, coupon: Coupon) -> int:
    """Count how many times subscriptions got a coupon, be it that they have lost it since."""
    table = subscription_coupons
    return connection.execute(
        sa.select(sa.func.count()).select_from(table).where(table.c.coupon_id == coupon.id)
    ).scalar_one()


def _coupon(row: Any) -> Coupon:
    return Coupon(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.name,
        row.description,
        CouponTerms.from_document(row.terms),
        None if row.product_ids is None else tuple(row.product_ids),
        row.redemption_limit,
        row.expiration_date,
        row.created_at,
        row.updated_at,
    )
