"""Bill only what is new since the last invoice of the same window, or settle what was billed in advance.

The difference is one of amounts, never of units: usage under a free allowance must not get the allowance again each
month. Rounding telescopes, because it is the cumulative amount that was rounded.
"""

from decimal import Decimal

from billing.money import Exactly
from billing.pricing.rated import Adjustment, AdjustmentKind, EntryType, Rated, RatedTier, negated, signed

_ZERO = Decimal(0)


def bill_difference(actual: Rated, previous_amount: int) -> Rated:
    """Give the line that bills `actual`, the window so far after minimum and maximum, less what is billed already.

    `previous_amount` is cumulative: 0 in a new window, and afterwards `previous_amount + line.amount`, which never
    falls, so usage that shrinks is not credited and its return not billed twice.
    """
    assert previous_amount >= 0, "what was billed is cumulative, and never below 0"
    amount = max(0, actual.signed_amount - previous_amount)
    tiers, quantity = _signed_tiers(actual), _signed_quantity(actual)
    if amount != actual.signed_amount:
        tiers = (*tiers, Adjustment(AdjustmentKind.ALREADY_BILLED, amount - actual.signed_amount))
    return signed(amount, quantity, tiers)


def true_up(actual: Rated, advance: Rated) -> Rated:
    """Give the line that settles an advance: what `actual` comes to less that, a credit where it comes to less.

    Units and tiers are differences too; groups of a matrix with the same tier are told as one. Without any difference
    it is a line of nothing.
    """
    tiers: dict[tuple[Decimal, Decimal | None] | AdjustmentKind, RatedTier | Adjustment] = {}
    with Exactly():
        for tier in (*_signed_tiers(actual), *map(negated, _signed_tiers(advance))):
            if isinstance(tier, Adjustment):
                adjusted = tiers.get(tier.kind)
                tiers[tier.kind] = Adjustment(tier.kind, tier.amount + (0 if adjusted is None else adjusted.amount))
                continue
            key = tier.lower, tier.upper
            other = tiers.get(key)
            quantity = other.quantity if isinstance(other, RatedTier) else _ZERO
            amount = 0 if other is None else other.amount
            tiers[key] = RatedTier(*key, quantity + tier.quantity, amount + tier.amount)
        quantity = _signed_quantity(actual) - _signed_quantity(advance)
    kept = [one for one in tiers.values() if one.amount or (isinstance(one, RatedTier) and one.quantity)]
    return signed(actual.signed_amount - advance.signed_amount, quantity, tuple(kept))


def _signed_tiers(rated: Rated) -> tuple[RatedTier | Adjustment, ...]:
    return tuple(negated(tier) for tier in rated.tiers) if rated.entry_type is EntryType.CREDIT else rated.tiers


def _signed_quantity(rated: Rated) -> Decimal:
    return rated.quantity.copy_negate() if rated.entry_type is EntryType.CREDIT else rated.quantity
