"""What a line has come to after some of its events, and what one more changes. Pure: no I/O, no clock.

Amounts are minor units, twofold. `exact` is what is owed before anything is rounded, to 18 decimals where its decimals
go on. `amount` is whole: what the line would say if these were all its events. Each event adds the difference between
two standings, so both columns add up, whatever the price model and the order of the events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from billing.money import MONEY, PRECISION_DIGITS, round_half_away, within_int64
from billing.pricing import AdjustmentKind, Terms, least_of
from billing.pricing.model import Charges
from metering.decimals import DECIMALS_MAX

_ZERO = Decimal(0)
_LAST = Decimal(1).scaleb(-DECIMALS_MAX)
_ROUNDING = Context(prec=PRECISION_DIGITS, rounding=ROUND_HALF_UP)


class TierKey(NamedTuple):
    """A tier `(lower, upper]` of one group's prices; None is without end."""

    group: int
    lower: Decimal
    upper: Decimal | None


class Share(NamedTuple):
    """How much of a quantity is in a tier, and what it is charged there; below 0 it leaves the tier."""

    quantity: Decimal
    exact: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """What a line has come to: the shares of its tiers, and what minimum and maximum add to these."""

    tiers: Mapping[TierKey, Share]
    adjustments: Mapping[AdjustmentKind, Decimal]
    exact: Decimal
    amount: int


@dataclass(frozen=True, slots=True)
class Added:
    """The difference of two standings: the exact shares of tiers and the adjustments add up to `exact`."""

    exact: Decimal
    amount: int
    tiers: Sequence[tuple[TierKey, Share]]
    adjustments: Mapping[AdjustmentKind, Decimal]


NOTHING = Standing({}, {}, _ZERO, 0)


def standing_of(groups: Sequence[Charges], terms: Terms) -> Standing:
    """Give the standing of what each group was charged; terms say where the line is clamped.

    Raises:
        AmountTooLargeError: it does not fit 64 bits.
    """
    tiers: dict[TierKey, Share] = {}
    exact, true = _ZERO, Fraction(0)
    for index, charges in enumerate(groups):
        total = _ZERO
        for part in charges.parts:
            total = MONEY.add(total, part.charge)
            shown = _to_decimals(part.charge, charges.denominator)
            tiers[TierKey(index, part.lower, part.upper)] = Share(part.quantity, shown)
            exact = MONEY.add(exact, shown)
        if len(groups) == 1:
            return _clamped(tiers, exact, round_half_away(total, charges.denominator), terms)
        true += Fraction(total) / charges.denominator
    return _clamped(tiers, exact, round_half_away(true), terms)


def added(before: Standing, after: Standing) -> Added:
    """Give what lies between two standings of a line; tiers are in order, those that stay as they are left out."""
    tiers = []
    for key in sorted({**before.tiers, **after.tiers}, key=_in_order):
        old, new = before.tiers.get(key, _NO_SHARE), after.tiers.get(key, _NO_SHARE)
        if old != new:
            share = Share(MONEY.subtract(new.quantity, old.quantity), MONEY.subtract(new.exact, old.exact))
            tiers.append((key, share))
    adjustments = {}
    for kind in (AdjustmentKind.MINIMUM, AdjustmentKind.MAXIMUM):
        change = MONEY.subtract(after.adjustments.get(kind, _ZERO), before.adjustments.get(kind, _ZERO))
        if change:
            adjustments[kind] = change
    return Added(MONEY.subtract(after.exact, before.exact), after.amount - before.amount, tiers, adjustments)


_NO_SHARE = Share(_ZERO, _ZERO)


def _in_order(key: TierKey) -> tuple[int, Decimal]:
    return key.group, key.lower


def _clamped(tiers: Mapping[TierKey, Share], exact: Decimal, amount: int, terms: Terms) -> Standing:
    adjustments: dict[AdjustmentKind, Decimal] = {}
    least, most = least_of(terms), terms.max_amount
    if least is not None and exact < least:
        adjustments[AdjustmentKind.MINIMUM] = MONEY.subtract(Decimal(least), exact)
        exact = Decimal(least)
    if most is not None and exact > most:
        adjustments[AdjustmentKind.MAXIMUM] = MONEY.subtract(Decimal(most), exact)
        exact = Decimal(most)
    amount = amount if least is None else max(amount, least)
    return Standing(tiers, adjustments, exact, within_int64(amount if most is None else min(amount, most)))


def _to_decimals(charge: Decimal, denominator: int) -> Decimal:
    """Give a charge over its denominator, to 18 decimals where its decimals go on."""
    if denominator == 1:
        exponent = charge.as_tuple().exponent
        assert isinstance(exponent, int)
        return charge if exponent >= -DECIMALS_MAX else charge.quantize(_LAST, context=_ROUNDING)
    scaled = round_half_away(MONEY.scaleb(charge, DECIMALS_MAX), denominator)
    return MONEY.scaleb(Decimal(scaled), -DECIMALS_MAX)
