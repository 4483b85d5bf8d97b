"""Tiers that lie end to end from 0 to infinity, and the units that fall into each.

A tier covers `(lower, upper]`: its upper bound belongs to it, and to the next tier nothing but what lies beyond.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.pricing.full import Full, full
from billing.pricing.model import Part
from billing.pricing.rates import over_common_denominator
from billing.pricing.rows import ONE, ZERO, Fields, named, shown


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; `rate` is what a unit costs, over the denominator of the price it belongs to."""

    lower: Decimal
    upper: Decimal | None
    rate: Decimal

    @property
    def whole(self) -> Decimal:
        """What the full width of the tier costs; an open tier has none."""
        assert self.upper is not None
        return (self.upper - self.lower) * self.rate


def split(tiers: Sequence[Tier], units: Decimal) -> list[Part]:
    """Charge each tier for the units that fall into it. Tiers that the units, 0 or more, do not reach are left out.

    So all parts but the last are of full tiers.
    """
    parts: list[Part] = []
    for tier in tiers:
        lower, upper = tier.lower, tier.upper
        if units <= lower:
            break
        quantity = (units if upper is None or units < upper else upper) - lower
        parts.append(Part(lower, upper, quantity, quantity * tier.rate))
    return parts


def reached(tiers: Sequence[Tier], units: Decimal) -> int:
    """Give the index of the tier that holds the last of so many units; none at all are in the first."""
    for index, tier in enumerate(tiers):
        if tier.upper is None or units <= tier.upper:
            return index
    raise AssertionError("the last tier is open")


Begun = dict[int, tuple[tuple[Part, ...], Full]]
"""The parts of all tiers below a tier, which are full, and what they come to; kept once a line went beyond them."""


def begun(parts: Iterable[Part], denominator: int) -> tuple[tuple[Part, ...], Full]:
    """Give what `Begun` keeps."""
    kept = tuple(parts)
    return kept, full([(part.lower, part.upper, part.quantity, part.charge) for part in kept], denominator)


def read_tiers(rows: Sequence[Fields], rates: Sequence[Fraction], *, by_upper: bool = False) -> tuple[list[Tier], int]:
    """Give the tiers of these rows, and the denominator of their rates; `rates[i]` is what a unit costs in row i.

    With `by_upper` rows need no `from`: a row begins where the one before ends. Rows that leave a gap, overlap, are
    out of order, or do not end open are noted as faults.
    """
    bounds = _read_bounds(rows, by_upper=by_upper)
    common = over_common_denominator(rates)
    if common is None:
        message = "the unit_counts have no common multiple that can be computed with: let them divide each other"
        rows[0].note("out_of_range", "unit_count", f"{named(rows[0].path[:-1])}: {message}")
        common = [ONE for _ in rates], 1
    numerators, denominator = common
    return [Tier(*bound, numerator) for bound, numerator in zip(bounds, numerators, strict=True)], denominator


def read_unit_counts(rows: Sequence[Fields]) -> list[Decimal]:
    """Read how many units each row's amount pays for, 1 by default."""
    return [row.number("unit_count", default=ONE, above_zero=True) for row in rows]


def unit_rates(rows: Sequence[Fields], unit_counts: Sequence[Decimal]) -> list[Fraction]:
    """Read what one unit costs in each row: `amount` for `unit_count` units."""
    return [
        Fraction(row.number("amount")) / Fraction(unit_count) for row, unit_count in zip(rows, unit_counts, strict=True)
    ]


def _read_bounds(rows: Sequence[Fields], *, by_upper: bool) -> list[tuple[Decimal, Decimal | None]]:
    bounds: list[tuple[Decimal, Decimal | None]] = []
    expected: Decimal | None = ZERO  # Where the next row must begin; None once that cannot be told.
    for index, row in enumerate(rows):
        noted = len(row.faults)
        lower = _read_lower(row, expected, by_upper=by_upper)
        upper = _read_upper(row, lower if len(row.faults) == noted else None, last=index == len(rows) - 1)
        expected = upper if len(row.faults) == noted else None
        bounds.append((lower, upper))
    return bounds


def _read_lower(row: Fields, expected: Decimal | None, *, by_upper: bool) -> Decimal:
    if by_upper and row.get("from") is None:
        return ZERO if expected is None else expected
    noted = len(row.faults)
    lower = row.number("from")
    if len(row.faults) == noted and expected is not None and lower != expected:
        where, what = named((*row.path, "from")), "the first tier must begin at 0"
        code = "first_tier_not_at_zero"
        if row.path[-1] != 0:
            what = f"the tier before ends at {expected:f}"
            code = "gap" if lower > expected else "overlap"
        row.note(code, "from", f"{where} is {shown(row.get('from'))}, and {what}: set it to {expected:f}")
    return lower


def _read_upper(row: Fields, lower: Decimal | None, *, last: bool) -> Decimal | None:
    where = named((*row.path, "to"))
    if row.get("to") is None:
        if not last:
            message = f"{where} is null, and more rows follow: only the last tier is open"
            row.note("open_tier_not_last", "to", message)
        return None
    noted = len(row.faults)
    upper = row.number("to", above_zero=True)
    if len(row.faults) != noted:
        return None
    if last:
        message = f"{where} is {shown(row.get('to'))}: the last tier must be open, so set it to null or add a row"
        row.note("last_tier_not_open", "to", message)
    if lower is not None and upper <= lower:
        row.note("empty_tier", "to", f"{where} is {upper:f}: it must be greater than {lower:f}, where the tier begins")
    return upper
