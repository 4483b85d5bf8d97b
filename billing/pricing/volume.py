"""Volume: each unit costs what its tier says, so 63 units pass through every tier they reach.

Only the last tier reached can be incomplete, and the mode of that tier says what it then costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import ZERO, Fields, Incomplete
from billing.pricing.tiers import Tier, read_tiers, read_unit_counts, split, unit_rates


@dataclass(frozen=True, slots=True)
class VolumePrices:
    """`modes[i]` says what tier i costs while it is incomplete; an open tier is always pro rata."""

    tiers: tuple[Tier, ...]
    modes: tuple[Incomplete, ...]
    denominator: int

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge full tiers by their width and the last one as its mode says.

        In full means the price times the tier's width, so that a tier just begun costs what it costs complete.
        """
        del terms
        parts = split(self.tiers, units)
        reached = len(parts) - 1 if parts else 0
        tier, mode = self.tiers[reached], self.modes[reached]
        if mode is Incomplete.PRO_RATA or tier.upper is None or units >= tier.upper:
            return Charges(parts, self.denominator)
        if parts:
            cost = tier.whole if mode is Incomplete.PAY_IN_FULL else ZERO
            parts[-1] = parts[-1].charged(cost)
        elif zero_begins and mode is Incomplete.PAY_IN_FULL:
            parts = [Part(tier.lower, tier.upper, ZERO, tier.whole)]
        return Charges(parts, self.denominator)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as many units, pro rata whatever the modes say."""
        del terms
        return Charges(mirrored(split(self.tiers, -units)), self.denominator)


def read(rows: Sequence[Fields]) -> VolumePrices:
    """Read rows of `from`, `to`, `amount`, `unit_count` and `on_tier_incomplete`."""
    tiers, denominator = read_tiers(rows, unit_rates(rows, read_unit_counts(rows)))
    return VolumePrices(tuple(tiers), tuple(row.incomplete() for row in rows), denominator)
