"""Credits that were bought beside what a subscription comes with: each a line of the invoice of its period."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from billing.tables import credit_transactions
from metering.timestamps import microseconds

_LOOKED_UP_MAX = 500


@dataclass(frozen=True, slots=True)
class Purchase:
    """Credits of a product that were bought at an instant, for so many minor units of the subscription's currency."""

    id: str
    product_id: str
    credits: Decimal
    amount: int
    at_us: int
    created_at: datetime


def purchases_of(connection: sa.Connection, subscription_ids: Iterable[str]) -> dict[str, list[Purchase]]:
    """Give the purchases of some subscriptions in the order of time."""
    wanted, table = list(subscription_ids), credit_transactions
    found: dict[str, list[Purchase]] = {}
    for start in range(0, len(wanted), _LOOKED_UP_MAX):
        within = table.c.subscription_id.in_(wanted[start : start + _LOOKED_UP_MAX])
        for row in connection.execute(table.select().where(within).order_by(table.c.created_at, table.c.id)):
            at_us = microseconds(row.created_at)
            one = Purchase(row.id, row.product_id, Decimal(row.credits), row.amount, at_us, row.created_at)
            found.setdefault(row.subscription_id, []).append(one)
    return found
