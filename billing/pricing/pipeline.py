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
from billing.pricing.full import NONE_FULL
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
        return _settled(charges, billed, terms)


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
    with Exactly():
        charges, billed = _charged_groups(groups, terms)
        return _settled(charges, billed, terms)


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
    with Exactly():
        return Charged(*_charged_groups(groups, terms))


def settle(charged: Charged, terms: Terms) -> Rated:
    """Make a line of what was charged: rounded once, then clamped.

    Raises:
        AmountTooLargeError: the amount does not fit 64 bits.
    """
    with Exactly():
        return _settled(charged.charges, charged.billed, terms)


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


def _charged_groups(groups: Sequence[tuple[UnitPrices, Decimal]], terms: Terms) -> tuple[Charges, Decimal]:
    if terms.min_committed_count is not None:
        raise RefusedPriceError(
            "min_committed_count cannot be shared out among price groups: leave it out, or price without groups"
        )
    billed = ZERO
    charged: list[Charges] = []
    for prices, units in groups:
        group_billed = units_billed(units, terms)
        billed += group_billed
        if group_billed < 0:
            charged.append(prices.credit(group_billed, terms))
        else:
            charged.append(prices.charge(group_billed, terms, zero_begins=False))
    return _joined(charged), billed


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
    amount, shared = _shared_out(charges)
    tiers: list[RatedTier | Adjustment] = list(shared)
    least = least_of(terms)
    if least is not None and amount < least:
        tiers.append(Adjustment(AdjustmentKind.MINIMUM, least - amount))
        amount = least
    most = terms.max_amount
    if most is not None and amount > most:
        tiers.append(Adjustment(AdjustmentKind.MAXIMUM, most - amount))
        amount = most
    return signed(amount, billed, tuple(tiers))


def _shared_out(charges: Charges) -> tuple[int, list[RatedTier]]:
    """Round the sum, and give each tier its share: what is cut off all of them goes where most was cut off.

    That is what `allocate` does where no tier costs less than 0 and one minor unit at most is to be placed. Such tiers
    cost no more than their sum.
    """
    denominator, full = charges.denominator, charges.full
    rest = charges.parts[full.count :]
    if len(rest) != 1:
        return _shared_out_among(charges, rest)
    (part,) = rest
    lower, upper, quantity, charge = part.lower, part.upper, part.quantity, part.charge
    amount = round_half_away(full.charge + charge, denominator)
    if not 0 <= amount <= AMOUNT_MAX:
        within_int64(amount)
        return amount, _allocated(charges, amount)
    if not full.count:
        return amount, [RatedTier(lower, upper, quantity, amount)]
    whole = int(charge) if denominator == 1 else int(charge // denominator)
    left = amount - full.amount - whole
    if charge.is_signed() or left > 1:
        return amount, _allocated(charges, amount)
    if not left:
        return amount, [*full.tiers, RatedTier(lower, upper, quantity, whole)]
    if charge - whole * denominator > full.remainder:
        return amount, [*full.tiers, RatedTier(lower, upper, quantity, whole + 1)]
    return amount, [*full.raised, RatedTier(lower, upper, quantity, whole)]


def _shared_out_among(charges: Charges, rest: Sequence[Part]) -> tuple[int, list[RatedTier]]:
    """Do so where several tiers, or none, are not settled beforehand."""
    denominator, full = charges.denominator, charges.full
    total, placed, below_zero = full.charge, full.amount, False
    cut: list[int] = []
    for part in rest:
        charge = part.charge
        below_zero = below_zero or charge.is_signed()
        total += charge
        whole = int(charge) if denominator == 1 else int(charge // denominator)
        placed += whole
        cut.append(whole)
    amount = within_int64(round_half_away(total, denominator))
    if below_zero or amount - placed > 1:
        return amount, _allocated(charges, amount)
    settled = full.tiers
    if amount != placed:
        remainders = [part.charge - whole * denominator for part, whole in zip(rest, cut, strict=True)]
        most = max(remainders, default=full.remainder)
        if most > full.remainder:
            cut[remainders.index(most)] += 1
        else:
            settled = full.raised
    tiers = list(settled)
    for part, share in zip(rest, cut, strict=True):
        tiers.append(RatedTier(part.lower, part.upper, part.quantity, share))
    return amount, tiers


def _allocated(charges: Charges, amount: int) -> list[RatedTier]:
    """Share an amount out among tiers in general. Where sales and refunds meet, a tier can be larger than the line."""
    shares = allocate(amount, [part.charge for part in charges.parts], charges.denominator)
    return [
        RatedTier(part.lower, part.upper, part.quantity, within_int64(share))
        for part, share in zip(charges.parts, shares, strict=True)
    ]


def least_of(terms: Terms) -> int | None:
    """Give the least that a line comes to, None where it may go below 0."""
    if terms.min_amount is None and not terms.allow_negative_values:
        return 0  # Refunds under a cap can outweigh sales; only a price that allows credits gives one.
    return terms.min_amount


def _joined(charged: Sequence[Charges]) -> Charges:
    """Bring the charges of all groups over one denominator."""
    denominators = {charges.denominator for charges in charged}
    common = denominators.pop() if len(denominators) == 1 else common_denominator(list(denominators))
    if common is None:
        message = "the unit_counts of the price groups have no common multiple that can be computed with: let them fit"
        raise InvalidPriceError([Fault("out_of_range", ("price_groups",), message)])
    parts: list[Part] = []
    for charges in charged:
        factor = common // charges.denominator
        parts.extend(charges.parts if factor == 1 else (part.charged(part.charge * factor) for part in charges.parts))
    first_as_it_is = charged and charged[0].denominator == common
    return Charges(parts, common, charged[0].full if first_as_it_is else NONE_FULL)
