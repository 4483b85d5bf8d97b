"""A bundle: packs of `unit_count` seats or credits; a pack begun is a pack sold.

That is one open tier of packages, each paid in full, so this file reads rows and leaves the rest to packages.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext

from billing.errors import InvalidPriceError
from billing.money import MONEY
from billing.pricing.packaged import PackagedPrices
from billing.pricing.rates import over_common_denominator
from billing.pricing.rows import ZERO, Fields, Incomplete, require_single
from billing.pricing.tiers import Tier, read_unit_counts, unit_rates
from metering.http.problem import Fault, PathPart


def read(rows: Sequence[Fields]) -> PackagedPrices:
    """Read the one row of a bundle: `amount` and `unit_count`."""
    require_single(rows, "bundle")
    unit_counts = read_unit_counts(rows[:1])
    common = over_common_denominator(unit_rates(rows[:1], unit_counts))
    assert common is not None, "one rate is within bounds"
    (rate,), denominator = common
    return PackagedPrices((Tier(ZERO, None, rate),), tuple(unit_counts), (Incomplete.PAY_IN_FULL,), denominator)


def whole_packs(quantity: Decimal, unit_count: Decimal, path: Sequence[PathPart] = ("quantity",)) -> int:
    """Tell how many packs of credits a quantity is. Seats need not come in whole packs, credits must.

    Raises:
        InvalidPriceError: the quantity is below 0 or no multiple of `unit_count`.
    """
    packs, rest = MONEY.divmod(quantity, unit_count)
    if rest or quantity < 0:
        message = f"quantity is {quantity:f}: credits are sold in whole packs, so send a multiple of {unit_count:f}"
        raise InvalidPriceError([Fault("not_whole_packs", tuple(path), message)])
    return int(packs)


def credits_used(weighted_usage: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Add up the credits that usage costs, from pairs of (weight of an aggregator, its usage). Not money."""
    with localcontext(MONEY):
        return sum((weight * usage for weight, usage in weighted_usage), start=ZERO)
