"""Follow a line from event to event: the pure half of explaining it.

A line begins with what it owes without any event, or in the middle, with what was counted before. Each event then
moves one group's total, and the line to another standing.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Protocol

from billing.catalog.model import PriceGroup
from billing.catalog.rows import is_matrix, prices_of
from billing.explained.standing import Added, Standing, added, standing_of
from billing.money import MONEY
from billing.pricing import EventPrices, Terms, UnitPrices, charge, charge_groups, units_billed
from billing.pricing.model import Charges, Part, mirrored

_ZERO = Decimal(0)


class Running(Protocol):
    """A line after some of its events."""

    standing: Standing

    def add(self, group: int, value: Decimal, /) -> Added:
        """Go on to an event that adds a value to its group's total, and give what it adds to the line.

        Raises:
            AmountTooLargeError: the line does not fit 64 bits there.
        """
        ...


def running_after(
    groups: Sequence[PriceGroup], terms: Terms, totals: Sequence[Decimal], values: Sequence[Decimal] | None
) -> Running:
    """Give a line after the events with these totals; where they are charged one by one, with these values in order."""
    if charged_by_event(groups):
        assert values is not None, "prices for each event need their values"
        return RunningEvents(groups[0], terms, values)
    return RunningLine(groups, terms, totals)


def running_figure(
    groups: Sequence[PriceGroup], terms: Terms, totals: Sequence[Decimal], values: Sequence[Decimal] | None
) -> Running:
    """Give a line of figures that events do not add up to; by prices for each event the figure is that of `values`."""
    if charged_by_event(groups):
        assert values is not None, "prices for each event need their values"
        return RunningWhole(groups[0], terms, values)
    return RunningLine(groups, terms, totals)


def charged_by_event(groups: Sequence[PriceGroup]) -> bool:
    """Tell whether events are charged one by one, so that their order matters."""
    return not is_matrix(groups) and isinstance(prices_of(groups[0]), EventPrices)


class RunningLine:
    """A total for each group of prices, and what they come to together."""

    def __init__(self, groups: Sequence[PriceGroup], terms: Terms, totals: Sequence[Decimal]) -> None:
        """Begin where the groups have these totals: zeros are before the first event."""
        self._grouped = is_matrix(groups)
        self._terms = terms
        self._totals = list(totals)
        self._prices: list[UnitPrices] = []
        for group in groups:
            prices = prices_of(group)
            assert isinstance(prices, UnitPrices), "prices for each event are followed by `RunningEvents`"
            self._prices.append(prices)
        self._charged = [self._charge(index) for index in range(len(groups))]
        self.standing = standing_of(self._charged, terms)

    def add(self, group: int, value: Decimal) -> Added:
        """Go on to an event of one of the groups."""
        total = MONEY.add(self._totals[group], value)
        if total != self._totals[group]:
            self._totals[group] = total
            self._charged[group] = self._charge(group)
        before, self.standing = self.standing, standing_of(self._charged, self._terms)
        return added(before, self.standing)

    def _charge(self, group: int) -> Charges:
        prices, units = self._prices[group], self._totals[group]
        if self._grouped:
            return charge_groups([(prices, units)], self._terms).charges
        return charge(prices, units, self._terms).charges


class RunningEvents:
    """A line whose events are charged one by one, in order of timestamp and record id."""

    def __init__(self, group: PriceGroup, terms: Terms, values: Sequence[Decimal]) -> None:
        """Begin after the events that have these values."""
        prices = prices_of(group)
        assert isinstance(prices, EventPrices)
        self._prices = prices
        self._terms = terms
        with localcontext(MONEY):
            self._total = sum(values, start=_ZERO)
            self._parts = list(prices.charge_events(values, self._total).parts)
        self.standing = self._stand()

    def add(self, group: int, value: Decimal) -> Added:
        """Go on to the next event."""
        del group
        before = self._total
        with localcontext(MONEY):
            self._total = before + value
            # An event is charged by the sum before it alone; what that sum stands for is charged here and taken off.
            both = self._prices.charge_events([before, value], self._total).parts
            first = self._prices.charge_events([before], before).parts
            self._parts = _joined(self._parts, both, mirrored(first))
        stood, self.standing = self.standing, self._stand()
        return added(stood, self.standing)

    def _stand(self) -> Standing:
        """Charge what is billed beyond the events: a commitment, or the clamp at 0."""
        parts = self._parts
        with localcontext(MONEY):
            billed = units_billed(self._total, self._terms)
            if billed != self._total:
                instead = self._prices.charge_events([], billed).parts
                parts = _joined(parts, instead, mirrored(self._prices.charge_events([], self._total).parts))
        return standing_of([Charges(parts, 1)], self._terms)


class RunningWhole:
    """A line whose figure is charged as one event is; it is none before the first event."""

    def __init__(self, group: PriceGroup, terms: Terms, figure: Sequence[Decimal]) -> None:
        """Begin with a figure, or with none."""
        self._group = group
        self._terms = terms
        self._figure = figure[0] if figure else _ZERO
        self.standing = RunningEvents(group, terms, figure).standing

    def add(self, group: int, value: Decimal) -> Added:
        """Go on to an event that moves the figure by a value."""
        del group
        self._figure = MONEY.add(self._figure, value)
        before, self.standing = self.standing, RunningEvents(self._group, self._terms, [self._figure]).standing
        return added(before, self.standing)


def _joined(*many: Sequence[Part]) -> list[Part]:
    """Add up the parts of each tier; to be called under `MONEY`."""
    joined: dict[tuple[Decimal, Decimal | None], Part] = {}
    for part in (one for parts in many for one in parts):
        key = part.lower, part.upper
        other = joined.get(key)
        if other is not None:
            part = Part(part.lower, part.upper, other.quantity + part.quantity, other.charge + part.charge)  # noqa: PLW2901
        joined[key] = part
    return [part for part in joined.values() if part.quantity or part.charge]
