"""BPS: a percentage of the value that passes through, in tiers; the value and the tiers are in minor units.

0.5 is half a percent. Where a row sets a floor, a cap or a fee, these hold for each event, so the price needs the
events one by one; otherwise their sum is enough, and the price is graduated just as volume is.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from billing.pricing.full import Full
from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import ZERO, Fields
from billing.pricing.tiers import Begun, Tier, begun, reached, read_tiers, split

PER_EVENT_FIELDS = ("per_unit_floor", "per_unit_cap", "per_unit_fee")


@dataclass(frozen=True, slots=True)
class BpsPrices:
    """Percentages of a sum; a tier's rate is its percentage over 100."""

    tiers: tuple[Tier, ...]
    _begun: Begun = field(default_factory=dict, init=False, repr=False, compare=False)

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge each tier's percentage on the part of the sum that falls into it."""
        del terms, zero_begins
        if not units:
            return Charges([], 1)
        index = reached(self.tiers, units)
        parts, settled = self._begun.get(index) or self._begin(index)
        tier = self.tiers[index]
        quantity = units - tier.lower
        return Charges([*parts, Part(tier.lower, tier.upper, quantity, quantity * tier.rate)], 1, settled)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as large a sum."""
        del terms
        return Charges(mirrored(split(self.tiers, -units)), 1)

    def _begin(self, index: int) -> tuple[tuple[Part, ...], Full]:
        found = self._begun[index] = begun(split(self.tiers[:index], self.tiers[index].lower), 1)
        return found


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What a tier asks of each event that begins in it; None means no such limit."""

    floor: Decimal | None
    cap: Decimal | None
    fee: Decimal

    def sale(self, percentage: Decimal) -> Decimal:
        """Give the charge of one event: floor first, the cap wins over it, the fee comes on top."""
        charge = percentage if self.floor is None else max(percentage, self.floor)
        return (charge if self.cap is None else min(charge, self.cap)) + self.fee

    def refund(self, percentage: Decimal) -> Decimal:
        """Give back the percentage of an event below 0, at most the cap; floor and fee are for sales."""
        return percentage if self.cap is None else max(percentage, -self.cap)


@dataclass(frozen=True, slots=True)
class BpsEventPrices:
    """Percentages of each event in turn; `before[i]` is what all tiers below tier i cost together."""

    tiers: tuple[Tier, ...]
    limits: tuple[EventLimits, ...]
    uppers: tuple[Decimal, ...]
    before: tuple[Decimal, ...]

    def charge_events(self, values: Sequence[Decimal], billed: Decimal) -> Charges:
        """Charge event after event, each by the limits of the tier in which it begins.

        A tier's part holds the events that begin in it. Units that no event stands for cost their percentage alone.
        """
        quantities = [ZERO] * len(self.tiers)
        charges = [ZERO] * len(self.tiers)
        running = paid = ZERO
        for value in values:
            index = bisect_right(self.uppers, running)
            running += value
            until = self._percentage_of(running)
            quantities[index] += value
            limits = self.limits[index]
            charges[index] += limits.refund(until - paid) if value < 0 else limits.sale(until - paid)
            paid = until
        if billed != running:
            for part_index, part in enumerate(self._signed_parts(billed)):
                quantities[part_index] += part.quantity
                charges[part_index] += part.charge
            for part_index, part in enumerate(mirrored(self._signed_parts(running))):
                quantities[part_index] += part.quantity
                charges[part_index] += part.charge
        parts = [
            Part(tier.lower, tier.upper, quantity, charge)
            for tier, quantity, charge in zip(self.tiers, quantities, charges, strict=True)
            if quantity or charge
        ]
        return Charges(parts, 1)

    def _percentage_of(self, units: Decimal) -> Decimal:
        """Give the graduated percentage of a running sum; below 0 it is the mirror."""
        if units < 0:
            return -self._percentage_of(-units)
        index = bisect_right(self.uppers, units)
        tier = self.tiers[index]
        return self.before[index] + (units - tier.lower) * tier.rate

    def _signed_parts(self, units: Decimal) -> list[Part]:
        return mirrored(split(self.tiers, -units)) if units < 0 else split(self.tiers, units)


def read(rows: Sequence[Fields]) -> BpsPrices | BpsEventPrices:
    """Read rows of `from`, `to`, `percentage` and the three fields for each event."""
    percentages = [Fraction(row.number("percentage")) / 100 for row in rows]
    tiers, denominator = read_tiers(rows, percentages)
    assert denominator == 1, "hundredths end in decimals"
    limits = [_read_limits(row) for row in rows]
    by_sum = all(row.get(name) is None for row in rows for name in PER_EVENT_FIELDS)
    if by_sum or rows[0].faults:  # Faulty rows are thrown away by whoever asked, and have no bounds to go by.
        return BpsPrices(tuple(tiers))
    return BpsEventPrices(
        tuple(tiers),
        tuple(limits),
        tuple(tier.upper for tier in tiers if tier.upper is not None),
        tuple(accumulate((tier.whole for tier in tiers[:-1]), initial=ZERO)),
    )


def _read_limits(row: Fields) -> EventLimits:
    floor, cap = row.optional("per_unit_floor"), row.optional("per_unit_cap")
    return EventLimits(floor, cap, row.number("per_unit_fee", default=ZERO))
