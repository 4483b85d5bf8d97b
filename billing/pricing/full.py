"""Tiers that are full, settled once for all lines that pass through them.

Whatever a line's units are, the tiers below the last one it reaches cost the same. What they cost together, and the
minor units of each, are worked out when a price first needs them. Under `billing.money.MONEY`.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from billing.pricing.rated import RatedTier
from billing.pricing.rows import ZERO


class Full(msgspec.Struct, frozen=True):
    """The first parts of a line, none of which costs less than 0.

    `charge` is what they cost together, over the denominator of the line's `Charges`; `count` is how many they are.
    `tiers` are they with their whole minor units, cut off, of which there are `amount`; `remainder` is the most that
    was cut off one of them, -1 without any, and in `raised` the first of which it was has one minor unit more.
    """

    count: int
    charge: Decimal
    amount: int
    remainder: Decimal
    tiers: tuple[RatedTier, ...]
    raised: tuple[RatedTier, ...]


NONE_FULL = Full(0, ZERO, 0, Decimal(-1), (), ())


def full(tiers: Sequence[tuple[Decimal, Decimal | None, Decimal, Decimal]], denominator: int) -> Full:
    """Settle tiers, given as lower, upper, quantity and charge; `NONE_FULL` where one costs less than 0."""
    if not tiers or any(charge.is_signed() for *_, charge in tiers):
        return NONE_FULL
    charges = [charge for *_, charge in tiers]
    amounts = [int(charge // denominator) for charge in charges]
    remainders = [charge - amount * denominator for charge, amount in zip(charges, amounts, strict=True)]
    most = max(remainders)
    raised = list(amounts)
    raised[remainders.index(most)] += 1
    return Full(
        len(tiers),
        sum(charges, start=ZERO),
        sum(amounts),
        most,
        _rated(tiers, amounts),
        _rated(tiers, raised),
    )


def _rated(
    tiers: Sequence[tuple[Decimal, Decimal | None, Decimal, Decimal]], amounts: Sequence[int]
) -> tuple[RatedTier, ...]:
    return tuple(
        RatedTier(lower, upper, quantity, amount)
        for (lower, upper, quantity, _), amount in zip(tiers, amounts, strict=True)
    )
