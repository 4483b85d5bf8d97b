"""Volume: each unit costs what its tier says, so 63 units pass through every tier they reach.

Only the last tier reached can be incomplete, and the mode of that tier says what it then costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.pricing.full import Full
from billing.pricing.model import Charges, Part, Terms, mirrored
from billing.pricing.rows import ZERO, Fields, Incomplete
from billing.pricing.tiers import Begun, Tier, begun, reached, read_tiers, read_unit_counts, split, unit_rates


@dataclass(frozen=True, slots=True)
class VolumePrices:
    """`modes[i]` says what tier i costs while it is incomplete; an open tier is always pro rata."""

    tiers: tuple[Tier, ...]
    modes: tuple[Incomplete, ...]
    denominator: int
    _begun: Begun = field(default_factory=dict, init=False, repr=False, compare=False)

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge full tiers by their width and the last one as its mode says.

        In full means the price times the tier's width, so that a tier just begun costs what it costs complete.
        """
        del terms
        index = reached(self.tiers, units)
        tier, mode = self.tiers[index], self.modes[index]
        incomplete = mode is not Incomplete.PRO_RATA and tier.upper is not None and units < tier.upper
        if not units:
            owed = zero_begins and incomplete and mode is Incomplete.PAY_IN_FULL
            return Charges([Part(tier.lower, tier.upper, ZERO, tier.whole)] if owed else [], self.denominator)
        quantity = units - tier.lower
        charge = quantity * tier.rate
        if incomplete:
            charge = tier.whole if mode is Incomplete.PAY_IN_FULL else ZERO
        parts, settled = self._begun.get(index) or self._begin(index)
        return Charges([*parts, Part(tier.lower, tier.upper, quantity, charge)], self.denominator, settled)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Mirror as many units, pro rata whatever the modes say."""
        del terms
        return Charges(mirrored(split(self.tiers, -units)), self.denominator)

    def _begin(self, index: int) -> tuple[tuple[Part, ...], Full]:
        whole = split(self.tiers[:index], self.tiers[index].lower)
        found = self._begun[index] = begun(whole, self.denominator)
        return found


def read(rows: Sequence[Fields]) -> VolumePrices:
    """Read rows of `from`, `to`, `amount`, `unit_count` and `on_tier_incomplete`."""
    tiers, denominator = read_tiers(rows, unit_rates(rows, read_unit_counts(rows)))
    return VolumePrices(tuple(tiers), tuple(row.incomplete() for row in rows), denominator)
