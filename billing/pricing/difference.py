"""Bill only what is new since the last invoice of the same window.

The difference is one of amounts, never of units: usage under a free allowance must not get the allowance again each
month. Rounding telescopes, because it is the cumulative amount that was rounded.
"""

from billing.pricing.rated import Adjustment, AdjustmentKind, EntryType, Rated, negated, signed


def bill_difference(actual: Rated, previous_amount: int) -> Rated:
    """Give the line that bills `actual`, the window so far after minimum and maximum, less what is billed already.

    `previous_amount` is cumulative: 0 in a new window, and afterwards `previous_amount + line.amount`, which never
    falls, so usage that shrinks is not credited and its return not billed twice.
    """
    assert previous_amount >= 0, "what was billed is cumulative, and never below 0"
    amount = max(0, actual.signed_amount - previous_amount)
    is_credit = actual.entry_type is EntryType.CREDIT
    tiers = tuple(negated(tier) for tier in actual.tiers) if is_credit else actual.tiers
    quantity = actual.quantity.copy_negate() if is_credit else actual.quantity
    if amount != actual.signed_amount:
        tiers = (*tiers, Adjustment(AdjustmentKind.ALREADY_BILLED, amount - actual.signed_amount))
    return signed(amount, quantity, tiers)
