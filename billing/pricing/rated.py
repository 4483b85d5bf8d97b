"""What rating gives: an amount in minor units, and the tiers it is made of.

Amounts here are never below 0 as a whole: a line that gives money back is a credit of a positive amount. Tiers and
adjustments take the sign of the line, so they always add up to its amount.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from enum import StrEnum

import msgspec

from billing.money import MONEY, within_int64


class EntryType(StrEnum):
    """Which way a line's amount goes."""

    DEBIT = "debit"
    CREDIT = "credit"


class AdjustmentKind(StrEnum):
    """Why a line is not what its tiers add up to."""

    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    ALREADY_BILLED = "already_billed"


# Structs and not dataclasses: several are made for every line, and a frozen dataclass takes ten times as long.
class RatedTier(msgspec.Struct, frozen=True, gc=False):
    """What the units in `(lower, upper]` cost; `upper` None is without end. `amount` is whole minor units."""

    lower: Decimal
    upper: Decimal | None
    quantity: Decimal
    amount: int


class Adjustment(msgspec.Struct, frozen=True, gc=False):
    """What a clamp, or the deduction of what is billed already, adds to the tiers; often below 0."""

    kind: AdjustmentKind
    amount: int


class Rated(msgspec.Struct, frozen=True):
    """A product line before discount and tax.

    `quantity` is the units billed, a commitment included. The amounts of `tiers` add up to `amount`.
    """

    entry_type: EntryType
    amount: int
    quantity: Decimal
    tiers: tuple[RatedTier | Adjustment, ...]

    @property
    def signed_amount(self) -> int:
        """The amount as it enters a sum: below 0 for a credit."""
        return -self.amount if self.entry_type is EntryType.CREDIT else self.amount


def signed(amount: int, quantity: Decimal, tiers: tuple[RatedTier | Adjustment, ...]) -> Rated:
    """Make a line of figures that may be below 0: a credit if the amount is. The tiers must add up to the amount."""
    if amount >= 0:
        return Rated(EntryType.DEBIT, amount, quantity, tiers)
    return Rated(EntryType.CREDIT, -amount, quantity.copy_negate(), tuple(negated(tier) for tier in tiers))


def joined(lines: Sequence[Rated]) -> Rated:
    """Make one line of several; without any it is of nothing."""
    if len(lines) == 1:
        return lines[0]
    amount, quantity = 0, Decimal(0)
    tiers: list[RatedTier | Adjustment] = []
    with localcontext(MONEY):
        for line in lines:
            is_credit = line.entry_type is EntryType.CREDIT
            amount += line.signed_amount
            quantity += line.quantity.copy_negate() if is_credit else line.quantity
            tiers += [negated(tier) for tier in line.tiers] if is_credit else line.tiers
    return signed(within_int64(amount), quantity, tuple(tiers))


def negated(tier: RatedTier | Adjustment) -> RatedTier | Adjustment:
    """Turn a tier or an adjustment round."""
    if isinstance(tier, Adjustment):
        return Adjustment(tier.kind, -tier.amount)
    return RatedTier(tier.lower, tier.upper, tier.quantity.copy_negate(), -tier.amount)
