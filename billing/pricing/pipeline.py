"""From units to a line's amount, in the one order that makes invoices repeatable.

Units below 0 count as 0, or make a credit where negative values are allowed; the commitment replaces fewer units;
the model says what they cost; the sum is rounded once; minimum and then maximum clamp it. Rounding stands before
the clamps so that these are met to the minor unit, and after the sum so that tiers and groups lose nothing.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from billing.errors import InvalidPriceError, RefusedPriceError
from billing.money import AMOUNT_MAX, Exactly, allocate, round_half_away, within_int64
from billing.pricing.model import NO_TERMS, Charges, EventPrices, Part, Terms, UnitPrices
from billing.pricing.rated import Adjustment, AdjustmentKind, Rated, RatedTier, signed
from billing.pricing.rates import common_denominator
from billing.pricing.rows import ZERO
from metering.http.problem import Fault

ZERO_UNITS_BEGIN_THE_FIRST_TIER = True
"""Whether a line without any usage owes a first tier that is paid in full. "250 EUR between 0 and 5 units regardless
of consumption" is read by the letter; set it to False for the other reading. Groups of a matrix never do."""


class Charged(NamedTuple):
    """What units cost exactly, and how many are billed; below 0 they make a credit."""

    charges: Charges
    billed: Decimal


def rate(prices: UnitPrices, units: Decimal, terms: Terms = NO_TERMS) -> Rated:
    """Rate a number of units.

    Raises:
        AmountTooLargeError: the amount does not fit 64 bits.
    """
    with Exactly():
        charges, billed = _charged(prices, units, terms)
        return _tiers_within_int64(_settled(charges, billed, terms))


def rate_events(prices: EventPrices, values: Sequence[Decimal], terms: Terms = NO_TERMS) -> Rated:
    """Rate events one by one; `values` are in (timestamp, id) order, and their sum is the units.

    Raises:
        AmountTooLargeError: the amount does not fit 64 bits.
    """
    return settle(charge_events(prices, values, terms), terms)


def rate_groups(groups: Sequence[tuple[UnitPrices, Decimal]], terms: Terms = NO_TERMS) -> Rated:
    """Rate each group of a matrix on its own units, and make one line of their sum. A group without units is free.

    Raises:
        RefusedPriceError, InvalidPriceError: as `charge_groups`.
        AmountTooLargeError: the amount does not fit 64 bits.
    """
    return settle(charge_groups(groups, terms), terms)


def charge(prices: UnitPrices, units: Decimal, terms: Terms = NO_TERMS) -> Charged:
    """Say what a number of units costs, before anything is rounded or clamped."""
    with Exactly():
        return Charged(*_charged(prices, units, terms))


def charge_events(prices: EventPrices, values: Sequence[Decimal], terms: Terms = NO_TERMS) -> Charged:
    """Say what events cost one by one, as `charge`; `values` are in (timestamp, id) order."""
    with Exactly():
        billed = units_billed(sum(values, start=ZERO), terms)
        return Charged(prices.charge_events(values, billed), billed)


def charge_groups(groups: Sequence[tuple[UnitPrices, Decimal]], terms: Terms = NO_TERMS) -> Charged:
    """Say what the groups of a matrix cost together, as `charge`.

    Raises:
        RefusedPriceError: the terms commit to a number of units, which says nothing of its groups.
        InvalidPriceError: the groups' unit counts have no common multiple that can be computed with.
    """
    if terms.min_committed_count is not None:
        raise RefusedPriceError(
            "min_committed_count cannot be shared out among price groups: leave it out, or price without groups"
        )
    with Exactly():
        billed = ZERO
        charged: list[Charges] = []
        for prices, units in groups:
            group_billed = units_billed(units, terms)
            billed += group_billed
            if group_billed < 0:
                charged.append(prices.credit(group_billed, terms))
            else:
                charged.append(prices.charge(group_billed, terms, zero_begins=False))
        return Charged(_joined(charged), billed)


def settle(charged: Charged, terms: Terms) -> Rated:
    """Make a line of what was charged: rounded once, then clamped.

    Raises:
        AmountTooLargeError: the amount does not fit 64 bits.
    """
    with Exactly():
        return _tiers_within_int64(_settled(charged.charges, charged.billed, terms))


def unrounded(charged: Charged, terms: Terms) -> Fraction:
    """Give the exact amount of the line that `settle` makes: clamped as it is, and rounding it gives its amount."""
    with Exactly():
        total = sum((part.charge for part in charged.charges.parts), start=ZERO)
    amount = Fraction(total) / charged.charges.denominator
    least = least_of(terms)
    if least is not None:
        amount = max(amount, Fraction(least))
    return amount if terms.max_amount is None else min(amount, Fraction(terms.max_amount))


def _charged(prices: UnitPrices, units: Decimal, terms: Terms) -> tuple[Charges, Decimal]:
    billed = units_billed(units, terms)
    if billed < 0:
        return prices.credit(billed, terms), billed
    return prices.charge(billed, terms, zero_begins=ZERO_UNITS_BEGIN_THE_FIRST_TIER), billed


def units_billed(units: Decimal, terms: Terms) -> Decimal:
    """Give the units to bill in place of those counted; below 0 means a credit."""
    if units < 0:
        if terms.allow_negative_values:
            return units
        units = ZERO
    committed = terms.min_committed_count
    return units if committed is None or committed <= units else committed


def _settled(charges: Charges, billed: Decimal, terms: Terms) -> Rated:
    """Round the sum, share the rounding out among the tiers, and clamp."""
    exact = [part.charge for part in charges.parts]
    amount = within_int64(round_half_away(sum(exact, start=ZERO), charges.denominator))
    shares = allocate(amount, exact, charges.denominator)
    tiers: list[RatedTier | Adjustment] = [
        RatedTier(part.lower, part.upper, part.quantity, share)
        for part, share in zip(charges.parts, shares, strict=True)
    ]
    least = least_of(terms)
    if least is not None and amount < least:
        tiers.append(Adjustment(AdjustmentKind.MINIMUM, least - amount))
        amount = least
    most = terms.max_amount
    if most is not None and amount > most:
        tiers.append(Adjustment(AdjustmentKind.MAXIMUM, most - amount))
        amount = most
    return signed(amount, billed, tuple(tiers))


def least_of(terms: Terms) -> int | None:
    """Give the least that a line comes to, None where it may go below 0."""
    if terms.min_amount is None and not terms.allow_negative_values:
        return 0  # Refunds under a cap can outweigh sales; only a price that allows credits gives one.
    return terms.min_amount


def _tiers_within_int64(rated: Rated) -> Rated:
    """Refuse tiers too large to store. Only where sales and refunds meet can a tier be larger than the line."""
    for tier in rated.tiers:
        if not -AMOUNT_MAX <= tier.amount <= AMOUNT_MAX:
            within_int64(tier.amount)
    return rated


def _joined(charged: Sequence[Charges]) -> Charges:
    """Bring the charges of all groups over one denominator."""
    common = common_denominator([charges.denominator for charges in charged])
    if common is None:
        message = "the unit_counts of the price groups have no common multiple that can be computed with: let them fit"
        raise InvalidPriceError([Fault("out_of_range", ("price_groups",), message)])
    parts: list[Part] = []
    for charges in charged:
        factor = common // charges.denominator
        parts.extend(part.charged(part.charge * factor) for part in charges.parts)
    return Charges(parts, common)
