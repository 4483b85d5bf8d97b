"""Rate a customer's usage by drafts and by the prices it has, period by period, and sum them all up. Pure.

Prices are read once, and shared by all who have the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.catalog.model import PriceGroup
from billing.catalog.rows import is_matrix, prices_of
from billing.invoices.lines import Counted
from billing.money import within_int64
from billing.pricing import EventPrices, Prices, Terms, UnitPrices, charge, charge_events, charge_groups, settle
from billing.simulations.model import Outcome
from metering.http.json import dumps
from metering.registry.aggregators import StoredAggregator

STEPS = (-50, -20, -5, 0, 5, 20, 50)
"""Per cent by which a customer pays more; the distribution counts who lies between two of them."""


class Tariff:
    """Prices and terms that rate a period; what is equal is read once, see `Tariffs`."""

    def __init__(self, aggregator_id: str, groups: Sequence[PriceGroup], terms: Terms) -> None:
        self.aggregator_id = aggregator_id
        self.filters = [group.metering_filter for group in groups]
        self.way = dumps([aggregator_id, *self.filters])
        self._prices: list[Prices] = [prices_of(group) for group in groups]
        self._terms = terms
        self._matrix = is_matrix(groups)

    @property
    def needs_values(self) -> bool:
        """Tell whether events are charged one by one."""
        return not self._matrix and isinstance(self._prices[0], EventPrices)

    def amount(self, counted: Counted) -> int:
        """Give what a period comes to; below 0 is a credit.

        Raises:
            AmountTooLargeError: it does not fit 64 bits.
        """
        first = self._prices[0]
        if self._matrix:
            pairs = [
                (one, total)
                for one, total in zip(self._prices, counted.totals, strict=True)
                if isinstance(one, UnitPrices)
            ]
            return settle(charge_groups(pairs, self._terms), self._terms).signed_amount
        if isinstance(first, EventPrices):
            assert counted.values is not None, "prices for each event need their values"
            return settle(charge_events(first, counted.values, self._terms), self._terms).signed_amount
        return settle(charge(first, counted.totals[0], self._terms), self._terms).signed_amount


class Tariffs:
    """Tariffs by what they say, each read once."""

    def __init__(self, aggregators: Mapping[str, StoredAggregator]) -> None:
        """`aggregators` are by id all that count."""
        self._aggregators = aggregators
        self._read: dict[tuple[object, ...], Tariff] = {}

    def of(
        self,
        aggregator_id: str,
        groups: Sequence[PriceGroup],
        min_amount: int | None = None,
        max_amount: int | None = None,
        min_committed_count: Decimal | None = None,
    ) -> Tariff:
        """Give the tariff of some groups and terms, of what an aggregator counts."""
        shown = dumps([aggregator_id, *(group.document() for group in groups)])
        key = shown, min_amount, max_amount, min_committed_count
        if key not in self._read:
            terms = Terms(
                min_amount=min_amount,
                max_amount=max_amount,
                min_committed_count=min_committed_count,
                allow_negative_values=self._aggregators[aggregator_id].details.get("allow_negative_values") is True,
            )
            self._read[key] = Tariff(aggregator_id, groups, terms)
        return self._read[key]

    def all(self) -> list[Tariff]:
        """Give every tariff that was asked for."""
        return list(self._read.values())


def rated(
    customer_id: str,
    drafts: Sequence[Tariff],
    current: Sequence[Tariff] | None,
    usage: Sequence[Mapping[int, Counted]],
) -> Outcome:
    """Give what a customer comes to. `usage` holds for each period what each tariff counts, by `id` of the tariff.

    Raises:
        AmountTooLargeError: it does not fit 64 bits.
    """
    amounts = [within_int64(sum(one.amount(period[id(one)]) for period in usage)) for one in drafts]
    now = None
    if current is not None:
        now = within_int64(sum(one.amount(period[id(one)]) for one in current for period in usage))
    return Outcome(customer_id, now, amounts)


@dataclass(slots=True)
class Compared:
    """How many pay more or less by a draft, and by how much in all."""

    amount: int = 0
    winners: list[int] = field(default_factory=lambda: [0, 0])
    losers: list[int] = field(default_factory=lambda: [0, 0])
    unchanged: int = 0
    not_compared: int = 0
    steps: list[int] = field(default_factory=lambda: [0] * (len(STEPS) + 1))
    from_nothing: int = 0

    def add(self, current: int | None, amount: int) -> None:
        """Count one more customer."""
        self.amount += amount
        if current is None:
            self.not_compared += 1
            return
        change = amount - current
        if not change:
            self.unchanged += 1
            return
        counted = self.losers if change > 0 else self.winners
        counted[0] += 1
        counted[1] += change
        if not current:
            self.from_nothing += 1
            return
        # 100 * change / |current| per cent, compared without dividing; a step holds its upper bound when below 0.
        index = sum(100 * change > step * abs(current) for step in STEPS)
        self.steps[index] += 1


def summary_of(names: Sequence[str], outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Give totals, and for each draft who wins and who loses by it, as they go out."""
    compared = [Compared() for _ in names]
    current = count = without = 0
    for outcome in outcomes:
        count += 1
        current += outcome.current or 0
        without += outcome.current is None
        for one, amount in zip(compared, outcome.amounts, strict=True):
            one.add(outcome.current, amount)
    return {
        "customers": count,
        "without_current": without,
        "current_total": current,
        "totals": [{"name": name, "amount": one.amount} for name, one in zip(names, compared, strict=True)],
        "comparison": [
            {
                "name": name,
                "winners": {"count": one.winners[0], "amount": one.winners[1]},
                "losers": {"count": one.losers[0], "amount": one.losers[1]},
                "unchanged": one.unchanged,
                "not_compared": one.not_compared,
                "distribution": _distribution(one),
            }
            for name, one in zip(names, compared, strict=True)
        ],
    }


def _distribution(one: Compared) -> list[dict[str, Any]]:
    bounds: list[int | None] = [None, *STEPS, None]
    steps = [
        {"above_percent": lower, "up_to_percent": upper, "customers": count}
        for lower, upper, count in zip(bounds[:-1], bounds[1:], one.steps, strict=True)
    ]
    return [*steps, {"above_percent": None, "up_to_percent": None, "customers": one.from_nothing}]
