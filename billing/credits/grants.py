"""The credits that the periods of subscriptions come with: they follow from what was agreed, and are not kept. Pure."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from billing.catalog.credits import GrantMode
from billing.credits.ledger import Incoming, MovementKind
from billing.money import to_decimal
from billing.periods import days_owed, period_holding
from billing.subscriptions.credit_terms import CreditTerms
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.timeline import at
from billing.windows import Life
from metering.timestamps import DAY
from metering.windows import Window

_WHOLE = Fraction(1)
_DIGEST_CHARACTERS = 24


def grants_of(subscription: Subscription, product_id: str, now_us: int) -> Iterator[Incoming]:
    """Yield what the periods that have begun by now granted of a product, in the order of time.

    A period grants the count that holds when it begins, and within it each count that is added to that; one that
    becomes less takes nothing back. Of a first period that is not whole, and of a count that is added, `prorated`
    grants the share of days that is left.
    """
    for product in subscription.products:
        if product.product_id == product_id and product.credits is not None:
            life = subscription.life(product)
            period = period_holding(life.starts_us, life.payments, life.starts_us, life.ends_us)
            while period is not None and period.start_us <= now_us:
                yield from _of_period(product, product.credits, period, life, now_us)
                period = period_holding(period.end_us, life.payments, life.starts_us, life.ends_us)


def _of_period(
    product: SubscriptionProduct, terms: CreditTerms, period: Window, life: Life, now_us: int
) -> Iterator[Incoming]:
    share = days_owed(period.start_us, life.payments).share
    count = at(product, period.start_us).count
    granted = _incoming(product, terms, period, period.start_us, _credits(count, share, terms))
    if granted is not None:
        yield granted
    for change in product.changes:
        if change.count is None or not period.start_us < change.effective_us < min(period.end_us, now_us + 1):
            continue
        more, count = change.count - count, change.count
        if more > 0:
            added = _credits(more, days_owed(change.effective_us, life.payments).share, terms)
            granted = _incoming(product, terms, period, change.effective_us, added)
            if granted is not None:
                yield granted


def _credits(count: Decimal, share: Fraction, terms: CreditTerms) -> Decimal:
    return to_decimal(Fraction(count) * (share if terms.grant_mode is GrantMode.PRORATED else _WHOLE))


def _incoming(
    product: SubscriptionProduct, terms: CreditTerms, period: Window, at_us: int, amount: Decimal
) -> Incoming | None:
    if not amount:
        return None
    expires_us = period.end_us if terms.expires_with_period else None
    if terms.expires_in_days is not None:
        expires_us = at_us + terms.expires_in_days * DAY
    digest = hashlib.sha256(f"{product.id}/{at_us}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return Incoming(f"cdt_{digest}", MovementKind.GRANT, amount, at_us, expires_us)
