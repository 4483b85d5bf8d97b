"""Bulk: the number of units picks one tier, and every unit costs what that tier says.

So more units can cost less, which is what a bulk price is for. Rows say `to` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import ZERO, Fields, Incomplete
from billing.pricing.tiers import Tier, reached, read_tiers, read_unit_counts, unit_rates


@dataclass(frozen=True, slots=True)
class BulkPrices:
    """`modes[i]` says what tier i costs below its upper bound; an open tier is always pro rata."""

    tiers: tuple[Tier, ...]
    modes: tuple[Incomplete, ...]
    denominator: int

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge all units at the rate of the first tier that holds them; in full, as if they filled it up."""
        del terms
        index = reached(self.tiers, units)
        tier, mode = self.tiers[index], self.modes[index]
        upper = tier.upper
        if mode is Incomplete.PRO_RATA or upper is None or units == upper:
            charge = units * tier.rate
        elif mode is Incomplete.PAY_IN_FULL and (units or zero_begins):
            charge = upper * tier.rate
        else:
            charge = ZERO
        parts = [Part(tier.lower, upper, units, charge)] if units or charge else []
        return Charges(parts, self.denominator)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as many units, pro rata whatever the modes say."""
        del terms
        tier = self.tiers[reached(self.tiers, -units)]
        return Charges(mirrored([Part(tier.lower, tier.upper, -units, -units * tier.rate)]), self.denominator)


def read(rows: Sequence[Fields]) -> BulkPrices:
    """Read rows of `to`, `amount`, `unit_count` and `on_tier_incomplete`; a `from` may be there and must then fit."""
    tiers, denominator = read_tiers(rows, unit_rates(rows, read_unit_counts(rows)), by_upper=True)
    return BulkPrices(tuple(tiers), tuple(row.incomplete() for row in rows), denominator)
