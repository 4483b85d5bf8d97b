"""Lay out what a period bills of a product whose count, prices or presence change: pure.

A product that is counted from events is billed by segments: a change of its prices ends one, and the next begins with
windows of its own, so usage is charged by the prices of its time. A fee, a seat or a bundle is billed for its count at
the period's begin, and for each change within the period on a line of its own: what it adds or gives back. Connected
seats without refunds are paid for to the end of the period: fewer give nothing back, and more are charged beyond what
was paid for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from billing.catalog.model import PriceGroup
from billing.money import MONEY
from billing.periods import Cycle
from billing.subscriptions.changes import CalculationMethod, Change
from metering.windows import Window

if TYPE_CHECKING:
    from billing.subscriptions.model import SubscriptionProduct


_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Part:
    """What a line is about, where it is not a whole product for a whole period.

    Without `before` it is the product itself, for a share of the period. Otherwise it is the share of what the product
    costs more, or less, than before; with `removed` all of that. `gives_all_back` is all that the period had charged.
    `span` is when that share is of, None as long as the product is there in the period. `uncharged` are counts, from
    and to, for which nothing is charged or given back: they were not charged before, or are paid already.
    """

    share: Fraction
    before: "SubscriptionProduct | None" = None
    removed: bool = False
    gives_all_back: bool = False
    span: Window | None = None
    uncharged: Sequence[tuple[Decimal, Decimal]] = ()


def segments(product: "SubscriptionProduct") -> list["SubscriptionProduct"]:
    """Give a product counted from events as it is from each change of its prices to the next, ascending."""
    until_us = product.until_us
    changes = {
        change.effective_us: change
        for change in product.changes
        if change.groups is not None and (until_us is None or change.effective_us < until_us)
    }
    out = []
    for start, end in pairwise([product.since_us, *sorted(changes), until_us]):
        change = None if start is None else changes.get(start)
        if change is None:
            out.append(replace(product, until_us=end))
        else:
            assert change.groups is not None
            out.append(replace(product, groups=change.groups, since_us=start, until_us=end, line_suffix=change.id))
    return out


def at(product: "SubscriptionProduct", instant_us: int) -> "SubscriptionProduct":
    """Give a product with the count and prices that hold at an instant."""
    for change in product.changes:
        if change.effective_us <= instant_us:
            product = _after(product, change.count, change.groups)
    return product


def billed_in(
    product: "SubscriptionProduct", period: Window, life: Window, cycle: Cycle
) -> Iterator["SubscriptionProduct"]:
    """Yield what a period bills of a product, a line each, in the order of time.

    `life` is when the product is there within that of the subscription.
    """
    start_us, end_us = max(period.start_us, life.start_us), min(period.end_us, life.end_us)
    if start_us >= end_us:
        return
    if product.aggregator_id is not None:
        for one in segments(product):
            begins, ends = one.since_us, one.until_us
            if (begins is None or begins < end_us) and (ends is None or max(begins or start_us, start_us) < ends):
                yield one
        return
    current = at(product, start_us)
    added = product.added
    within = added is not None and added.effective_us == start_us
    yield replace(current, part=Part(added.share(cycle))) if added is not None and within else current
    paid = Paid(current.count, charged=added is None or not within or bool(added.share(cycle)))
    for change in product.changes:
        if start_us < change.effective_us < end_us:
            following = _charged_after(current, change)
            share = change.share(cycle)
            uncharged = paid.change(following.count, charged=bool(share))
            if share and following is not current and not _covers(uncharged, current, following):
                part = Part(share, current, span=Window(change.effective_us, end_us), uncharged=uncharged)
                yield replace(following, part=part, line_suffix=change.id)
            current = following
    removed = product.removed
    # The period itself ends here where nothing else is paid at its interval, so the whole one is asked.
    if removed is not None and removed.effective_us == end_us < cycle.holding(start_us).end_us:
        share = removed.share(cycle)
        uncharged = paid.change(_NOTHING, charged=True)
        if share and not _covers(uncharged, current, replace(current, count=_NOTHING)):
            whole = removed.method is CalculationMethod.PAY_IN_FULL
            given_back = Window(end_us, cycle.holding(start_us).end_us)
            part = Part(share, current, removed=True, gives_all_back=whole, span=given_back, uncharged=uncharged)
            yield replace(current, part=part, line_suffix=removed.id)


class Paid:
    """Which of a count a period has charged: the last that came go first, so that what is undone is given back."""

    def __init__(self, count: Decimal, *, charged: bool) -> None:
        """Begin with a count that was charged, or not."""
        self._levels = [(_NOTHING, count, charged)]
        self._count = count
        self._prepaid = _NOTHING

    def change(self, count: Decimal, *, charged: bool) -> list[tuple[Decimal, Decimal]]:
        """Go on to another count; give the counts between the two for which nothing is charged or given back.

        Counts that go without being given back stay paid: as many may come again.
        """
        before, self._count = self._count, count
        with localcontext(MONEY):
            if count < before:
                return self._lower(count, charged=charged)
            again = min(count - before, self._prepaid)
            self._prepaid -= again
            if again:
                self._levels.append((before, before + again, True))
            if before + again < count:
                self._levels.append((before + again, count, charged))
            return [(before, before + again)] if again else []

    def _lower(self, count: Decimal, *, charged: bool) -> list[tuple[Decimal, Decimal]]:
        uncharged = []
        while self._levels and self._levels[-1][1] > count:
            lower, upper, paid = self._levels.pop()
            kept = max(lower, count)
            if lower < kept:
                self._levels.append((lower, kept, paid))
            if not paid:
                uncharged.append((kept, upper))
            elif not charged:
                self._prepaid += upper - kept
        return uncharged


def _covers(
    uncharged: Sequence[tuple[Decimal, Decimal]], before: "SubscriptionProduct", after: "SubscriptionProduct"
) -> bool:
    """Tell whether a change of a count charges and gives back nothing at all."""
    if not uncharged or before.groups != after.groups:
        return False
    with localcontext(MONEY):
        return sum(upper - lower for lower, upper in uncharged) == abs(after.count - before.count)


def _charged_after(product: "SubscriptionProduct", change: Change) -> "SubscriptionProduct":
    """Give what is charged for in the running period after a change, the same object where nothing more is.

    Connected seats without refunds that are fewer are paid for all the same.
    """
    following = _after(product, change.count, change.groups)
    if product.seats is None or product.seats.terms.refunds:
        return following
    following = replace(following, count=max(product.count, following.count))
    unmoved = (following.count, following.groups) == (product.count, product.groups)
    return product if unmoved else following


def _after(
    product: "SubscriptionProduct", count: Decimal | None, groups: Sequence[PriceGroup] | None
) -> "SubscriptionProduct":
    return replace(
        product,
        count=product.count if count is None else count,
        groups=product.groups if groups is None else groups,
    )
