"""Work out the lines of an invoice: pure, from what was agreed and what was counted. No I/O, no clock.

A fee, a seat and a bundle are owed for the days of the period, and a change of them for its share; usage is never
prorated, and neither are its tiers, minimum, maximum and commitment: these hold for a metering window. What a window
comes to is rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec

from billing.catalog.rows import is_matrix, prices_of
from billing.errors import RefusedPriceError
from billing.invoices.model import LineItem
from billing.money import MONEY, round_half_away, within_int64
from billing.pricing import (
    Charged,
    EntryType,
    EventPrices,
    Rated,
    RatedTier,
    Terms,
    UnitPrices,
    bill_difference,
    charge,
    charge_events,
    charge_groups,
    joined,
    settle,
    true_up,
    unrounded,
)
from billing.pricing.model import Charges
from billing.pricing.rated import signed
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.purchases import Purchase
from billing.subscriptions.timeline import Part
from billing.subscriptions.upfront import UpfrontKind
from metering.windows import Window

_NOTHING = Decimal(0)
_NOTHING_OWED = Fraction(0)
_WHOLE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Counted:
    """What an aggregator makes of a span of time: one total for each price group, in order.

    `values` are those of the single events, in (timestamp, id) order, where prices are for each event; else None.
    `count` is how many events these are.
    """

    totals: Sequence[Decimal]
    values: Sequence[Decimal] | None = None
    allow_negative_values: bool = False
    count: int = 0


@dataclass(frozen=True, slots=True)
class WindowUsage:
    """What was counted of one metering window: so far, and up to the end of each earlier period, ascending."""

    so_far: Counted
    earlier: Sequence[Counted] = ()


@dataclass(frozen=True, slots=True)
class BilledProduct:
    """A product of a subscription, the name that its line bears, and its usage; None where `count` is billed.

    `usage` is that of each metering window that the period reaches into; `earlier` is there where only the difference
    is billed. `period` is of when the line is, None that of the invoice.
    """

    agreed: SubscriptionProduct
    name: str
    usage: Sequence[WindowUsage] | None
    period: Window | None = None


def invoice_lines(products: Sequence[BilledProduct], currency: str, share: Fraction) -> list[LineItem]:
    """Give one line for each product, in order, those without usage included; none for what is billed elsewhere.

    `share` is the part of the calendar period that is billed: 1 but for the first period. A change within a period
    gives back at most what the period had charged for its product before.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits; the message names the product.
    """
    out: list[LineItem] = []
    billed: dict[str, int] = {}
    for product in products:
        agreed = product.agreed
        begins = agreed.part is None or agreed.part.before is None
        so_far = 0 if begins else billed.get(agreed.id, 0)
        line = _line(product, currency, share, so_far)
        billed[agreed.id] = so_far + line.signed_amount
        if not agreed.elsewhere:
            out.append(line)
    return out


def purchase_line(one: Purchase, name: str, currency: str) -> LineItem:
    """Give the line of credits that were bought."""
    tier = RatedTier(_NOTHING, None, one.credits, one.amount)
    bought = Window(one.at_us, one.at_us)
    return LineItem(name, one.product_id, EntryType.DEBIT, one.credits, currency, one.amount, (tier,), one.id, bought)


def charged(agreed: SubscriptionProduct, counted: Counted | None, share: Fraction) -> tuple[Charged, Terms]:
    """Say what a product's line costs exactly, and the terms that it is settled by."""
    terms = Terms(
        count=agreed.count,
        share=share,
        min_committed_count=agreed.min_committed_count,
        min_amount=agreed.min_amount,
        max_amount=agreed.max_amount,
        allow_negative_values=counted is not None and counted.allow_negative_values,
    )
    prices = prices_of(agreed.groups[0])
    if counted is None:
        assert isinstance(prices, UnitPrices), "prices for each event need events"
        if _is_fee(agreed):
            return charge(prices, _NOTHING, terms), terms
        return charge(ProratedPrices(prices, share), agreed.count, terms), terms
    if is_matrix(agreed.groups):
        return charge_groups(_matrix(agreed, counted), terms), terms
    if isinstance(prices, EventPrices):
        assert counted.values is not None, "prices for each event need their values"
        return charge_events(prices, counted.values, terms), terms
    return charge(prices, counted.totals[0], terms), terms


@dataclass(frozen=True, slots=True)
class ProratedPrices:
    """Prices of which a share is owed: scaled exactly, so that the line is still rounded once."""

    whole: UnitPrices
    share: Fraction

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge a share of what the units cost."""
        return self._scaled(self.whole.charge(units, terms, zero_begins=zero_begins))

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Give a share back."""
        return self._scaled(self.whole.credit(units, terms))

    def _scaled(self, charges: Charges) -> Charges:
        parts = [part.charged(part.charge * self.share.numerator) for part in charges.parts]
        return Charges(parts, charges.denominator * self.share.denominator)


def _line(product: BilledProduct, currency: str, share: Fraction, billed: int) -> LineItem:
    agreed, part = product.agreed, product.agreed.part
    try:
        if product.usage is not None:
            rated = joined([window_rated(agreed, usage) for usage in product.usage])
        elif part is not None and part.before is not None:
            rated = _changed(agreed, part.before, part, billed)
        else:
            rated = _owed(agreed, share if part is None else part.share)
    except RefusedPriceError as error:
        raise type(error)(f"product {agreed.product_id}: {error}") from error
    return LineItem(
        product.name,
        agreed.product_id,
        rated.entry_type,
        rated.quantity,
        currency,
        rated.amount,
        rated.tiers,
        agreed.line_suffix,
        product.period,
        None if agreed.upfront is None else agreed.upfront.kind,
    )


def _owed(agreed: SubscriptionProduct, share: Fraction) -> Rated:
    """Rate what is billed for its count."""
    rated = settle(*charged(agreed, None, share))
    if _is_fee(agreed) and isinstance(rated.tiers[0], RatedTier):
        return msgspec.structs.replace(rated, quantity=rated.tiers[0].quantity)  # A fee has a count and no units.
    return rated


def _changed(agreed: SubscriptionProduct, before: SubscriptionProduct, part: Part, billed: int) -> Rated:
    """Rate what a change adds or gives back: the share of the difference that it makes for a whole period."""
    then, now = before.count, Decimal(0) if part.removed else agreed.count
    cost = Fraction(0) if part.removed else _cost_of(agreed, agreed.count)
    of_uncharged = sum(
        (_cost_of(before, upper) - _cost_of(before, lower) for lower, upper in part.uncharged), _NOTHING_OWED
    )
    more = cost - _cost_of(before, before.count) + (of_uncharged if now < then else -of_uncharged)
    amount = round_half_away(more * part.share)
    amount = within_int64(max(-billed if part.gives_all_back else amount, -max(billed, 0)))
    with localcontext(MONEY):
        count = abs(now - then) if now != then else now
        count -= sum((upper - lower for lower, upper in part.uncharged), _NOTHING)
    quantity = count.copy_negate() if amount < 0 else count
    lower, upper = (min(now, then), max(now, then)) if now != then else (_NOTHING, None)
    return signed(amount, quantity, (RatedTier(lower, upper, quantity, amount),))


def _cost_of(agreed: SubscriptionProduct, count: Decimal) -> Fraction:
    """Give what a count costs for a whole period, exactly."""
    return unrounded(*charged(replace(agreed, count=count), None, _WHOLE))


def window_rated(agreed: SubscriptionProduct, usage: WindowUsage) -> Rated:
    """Rate a window as far as it has come, and take off the most that it had come to before where that is billed.

    Of usage that is billed upfront it is the advance, or the true-up.
    """
    if agreed.upfront is not None:
        return _upfront_rated(agreed, usage)
    so_far = settle(*charged(agreed, usage.so_far, _WHOLE))
    if not agreed.metering.bill_usage_difference:
        return so_far
    billed = [settle(*charged(agreed, earlier, _WHOLE)).signed_amount for earlier in usage.earlier]
    return bill_difference(so_far, max(0, *billed) if billed else 0)


def nothing_counted(agreed: SubscriptionProduct) -> Counted:
    """Give what is counted where there is no usage."""
    return Counted([_NOTHING] * len(agreed.groups), [])


def _upfront_rated(agreed: SubscriptionProduct, usage: WindowUsage) -> Rated:
    """Rate an advance, or what settles it. An advance is for 0 units at the least: it gives nothing back."""
    assert agreed.upfront is not None
    advances = agreed.upfront.kind is UpfrontKind.ADVANCE
    stands_for = usage.so_far if advances else next(iter(usage.earlier), nothing_counted(agreed))
    advance = settle(*charged(agreed, replace(stands_for, allow_negative_values=False), _WHOLE))
    return advance if advances else true_up(settle(*charged(agreed, usage.so_far, _WHOLE)), advance)


def _matrix(agreed: SubscriptionProduct, counted: Counted) -> list[tuple[UnitPrices, Decimal]]:
    out = []
    for group, total in zip(agreed.groups, counted.totals, strict=True):
        prices = prices_of(group)
        assert isinstance(prices, UnitPrices), "a matrix with prices for each event is refused when it is made"
        out.append((prices, total))
    return out


def _is_fee(agreed: SubscriptionProduct) -> bool:
    return bool(agreed.groups[0].prices[0]["type"] == "fee")
