"""Packaged: units are sold in buckets of `unit_count`, tier by tier, and the mode counts begun buckets.

Buckets start afresh at each tier's lower bound: a tier of 50 units by 20 holds two buckets and a half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import Fields, Incomplete
from billing.pricing.tiers import Tier, read_tiers, read_unit_counts, split, unit_rates


@dataclass(frozen=True, slots=True)
class PackagedPrices:
    """Tier i comes in buckets of `unit_counts[i]`, of which an incomplete one costs what `modes[i]` says."""

    tiers: tuple[Tier, ...]
    unit_counts: tuple[Decimal, ...]
    modes: tuple[Incomplete, ...]
    denominator: int

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge each tier's units, rounded up or down to whole buckets unless pro rata. No units, no bucket."""
        del terms, zero_begins
        parts = [self._in_buckets(index, part) for index, part in enumerate(split(self.tiers, units))]
        return Charges(parts, self.denominator)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as many units, pro rata whatever the modes say."""
        del terms
        return Charges(mirrored(split(self.tiers, -units)), self.denominator)

    def _in_buckets(self, index: int, part: Part) -> Part:
        mode, unit_count = self.modes[index], self.unit_counts[index]
        if mode is Incomplete.PRO_RATA:
            return part
        sold = part.quantity // unit_count * unit_count
        if sold == part.quantity:
            return part
        if mode is Incomplete.PAY_IN_FULL:
            sold += unit_count
        return part.charged(sold * self.tiers[index].rate)


def read(rows: Sequence[Fields]) -> PackagedPrices:
    """Read rows of `from`, `to`, `amount`, `unit_count` and `on_bucket_incomplete`."""
    unit_counts = read_unit_counts(rows)
    tiers, denominator = read_tiers(rows, unit_rates(rows, unit_counts))
    return PackagedPrices(tuple(tiers), tuple(unit_counts), tuple(row.incomplete() for row in rows), denominator)
