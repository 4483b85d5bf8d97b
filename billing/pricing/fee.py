"""A fee: one amount for the period, whatever is used.

It is the only price that is billed for a share of a period; usage is never prorated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.model import Charges, Part, Terms
from billing.pricing.rows import ONE, ZERO, Fields, require_single


@dataclass(frozen=True, slots=True)
class FeePrices:
    """`amount` for each of `count`, which multiplies the count that `Terms` gives."""

    amount: Decimal
    count: Decimal

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Charge the fee; units do not matter."""
        del units, zero_begins
        count = self.count * terms.count
        charge = self.amount * count * terms.share.numerator
        return Charges([Part(ZERO, None, count, charge)], terms.share.denominator)

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Charge the fee just so: negative usage is no reason to pay it back."""
        return self.charge(units, terms, zero_begins=False)


def read(rows: Sequence[Fields]) -> FeePrices:
    """Read the one row of a fee: `amount`, and `count`, 1 by default."""
    require_single(rows, "fee")
    return FeePrices(rows[0].number("amount"), rows[0].number("count", default=ONE))
