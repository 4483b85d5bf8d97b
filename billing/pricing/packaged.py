"""Packaged: units are sold in buckets of `unit_count`, tier by tier, and the mode counts begun buckets.

Buckets start afresh at each tier's lower bound: a tier of 50 units by 20 holds two buckets and a half.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.pricing.full import Full
from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import ZERO, Fields, Incomplete
from billing.pricing.tiers import Begun, Tier, begun, reached, read_tiers, read_unit_counts, split, unit_rates


@dataclass(frozen=True, slots=True)
class PackagedPrices:
    """Tier i comes in buckets of `unit_counts[i]`, of which an incomplete one costs what `modes[i]` says."""

    tiers: tuple[Tier, ...]
    unit_counts: tuple[Decimal, ...]
    modes: tuple[Incomplete, ...]
    denominator: int
    _begun: Begun = field(default_factory=dict, init=False, repr=False, compare=False)

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge each tier's units, rounded up or down to whole buckets unless pro rata. No units, no bucket."""
        del terms, zero_begins
        if not units:
            return Charges([], self.denominator)
        index = reached(self.tiers, units)
        tier = self.tiers[index]
        quantity = units - tier.lower
        parts, settled = self._begun.get(index) or self._begin(index)
        last = Part(tier.lower, tier.upper, quantity, self._sold(index, quantity) * tier.rate)
        return Charges([*parts, last], self.denominator, settled)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as many units, pro rata whatever the modes say."""
        del terms
        return Charges(mirrored(split(self.tiers, -units)), self.denominator)

    def _begin(self, index: int) -> tuple[tuple[Part, ...], Full]:
        whole = enumerate(split(self.tiers[:index], self.tiers[index].lower))
        sold = (part.charged(self._sold(at, part.quantity) * self.tiers[at].rate) for at, part in whole)
        found = self._begun[index] = begun(sold, self.denominator)
        return found

    def _sold(self, index: int, quantity: Decimal) -> Decimal:
        """Give how many units of a tier are paid for."""
        mode, unit_count = self.modes[index], self.unit_counts[index]
        if mode is Incomplete.PRO_RATA:
            return quantity
        incomplete = quantity % unit_count
        if not incomplete:
            return quantity
        return quantity - incomplete + (unit_count if mode is Incomplete.PAY_IN_FULL else ZERO)


def read(rows: Sequence[Fields]) -> PackagedPrices:
    """Read rows of `from`, `to`, `amount`, `unit_count` and `on_bucket_incomplete`."""
    unit_counts = read_unit_counts(rows)
    tiers, denominator = read_tiers(rows, unit_rates(rows, unit_counts))
    return PackagedPrices(tuple(tiers), tuple(unit_counts), tuple(row.incomplete() for row in rows), denominator)
