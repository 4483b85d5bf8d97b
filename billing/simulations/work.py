"""Work a simulation out, step by step: count a period, count the next, then rate customers, some hundred at a time.

Each step blocks for as long as one statement, or a moment of rating, so that whoever runs them can stop in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

from billing.catalog.model import PriceGroup
from billing.errors import RefusedPriceError
from billing.invoices.lines import Counted
from billing.simulations.model import Asked, Outcome
from billing.simulations.parties import Had, Parties
from billing.simulations.rating import Tariff, Tariffs, rated
from billing.simulations.usage import Counter
from metering.aggregation import Usage, no_usage, together
from metering.position import Cutoff
from metering.ranges import Range
from metering.registry.aggregators import StoredAggregator
from metering.store.client import Store
from metering.windows import Granularity, Window, boundaries
from metering.world import World
from metering.zones import zone_named

_Ways = dict[bytes, tuple[str, Sequence[PriceGroup]]]

RATED_AT_ONCE = 500
WAYS_MAX = 20
"""In so many ways may prices tell events apart in one simulation: each is a statement a period."""


class SimulationError(Exception):
    """A simulation that cannot be worked out; the message says why, for whoever asked for it."""


@dataclass(slots=True)
class Work:
    """One simulation under way. `steps` does it; afterwards `outcomes` are all there, by customer id."""

    store: Store
    world: World
    cutoff: Cutoff
    asked: Asked
    parties: Parties
    outcomes: list[Outcome] = field(default_factory=list)

    def steps(self) -> Iterator[int]:
        """Yield how far it is after each step, 0 to 100. Blocks.

        Raises:
            SimulationError: it cannot be worked out.
            QueryLimitError, StoreUnavailableError: as the store says.
        """
        tariffs, drafts, current = self._tariffs()
        ways = self._ways(tariffs)
        counters = {name: self._counter(aggregator) for name, aggregator in self.parties.aggregators.items()}
        windows = self._windows()
        usages: list[dict[bytes, dict[str, list[Usage]]]] = []
        for number, window in enumerate(windows):
            counted: dict[bytes, dict[str, list[Usage]]] = {}
            for at, (way, (aggregator_id, groups)) in enumerate(ways.items()):
                counter = counters[aggregator_id]
                divided = _divided(aggregator_id, groups, ways) if counter.adds_up else None
                if divided in counted:
                    counted[way] = {
                        customer: [reduce(together, usages)] for customer, usages in counted[divided].items()
                    }
                else:
                    counted[way] = counter.totals(window, groups)
                yield 80 * (number * len(ways) + at + 1) // (len(windows) * len(ways))
            usages.append(counted)
        own_ways = [way for way, (aggregator_id, _) in ways.items() if aggregator_id == self.parties.aggregator.id]
        customers = self._customers([[period[way] for way in own_ways] for period in usages])
        for start in range(0, len(customers), RATED_AT_ONCE):
            for customer in customers[start : start + RATED_AT_ONCE]:
                own = current.get(customer)
                used = [*drafts, *(own or ())]
                periods = [
                    {
                        id(one): self._counted(counters[one.aggregator_id], window, one, counted, customer)
                        for one in used
                    }
                    for window, counted in zip(windows, usages, strict=True)
                ]
                try:
                    self.outcomes.append(rated(customer, drafts, own, periods))
                except RefusedPriceError as error:
                    raise SimulationError(f"customer {customer}: {error}") from error
            yield 80 + 19 * min(start + RATED_AT_ONCE, len(customers)) // len(customers)

    def _tariffs(self) -> tuple[Tariffs, list[Tariff], dict[str, list[Tariff]]]:
        """Give all tariffs, those of the drafts, and those that customers have."""
        tariffs, own = Tariffs(self.parties.aggregators), self.parties.aggregator.id

        def of(one: Had) -> Tariff:
            return tariffs.of(one.aggregator_id, one.groups, one.min_amount, one.max_amount, one.min_committed_count)

        drafts = [
            of(Had(own, one.groups, one.min_amount, one.max_amount, one.min_committed_count))
            for one in self.asked.drafts
        ]
        current = {}
        for customer, catalog in self.parties.of_catalog.items():
            had = self.parties.agreed.get(customer) or ([] if catalog is None else [catalog])
            if had:
                current[customer] = [of(one) for one in had]
        return tariffs, drafts, current

    def _counter(self, aggregator: StoredAggregator) -> Counter:
        everybody = self.asked.customer_ids is None
        return Counter(self.store, self.world, self.cutoff, aggregator, self.parties.identifiers, everybody)

    def _ways(self, tariffs: Tariffs) -> _Ways:
        """Give the ways in which prices tell events apart, each with what counts them and groups to count by."""
        ways: _Ways = {}
        for tariff in tariffs.all():
            groups = [PriceGroup(one, ()) for one in tariff.filters]
            ways.setdefault(tariff.way, (tariff.aggregator_id, groups))
        if len(ways) > WAYS_MAX:
            raise SimulationError(
                f"prices tell events apart in {len(ways)} ways, and {WAYS_MAX} is the most: send fewer customer_ids"
            )
        # The most groups first: what they leave no event of need not be counted once more as a whole.
        return dict(sorted(ways.items(), key=lambda way: -len(way[1][1])))

    def _windows(self) -> list[Window]:
        span = Range(self.asked.start_us, self.asked.end_us, zone_named(self.asked.timezone))
        return [Window(*edges) for edges in pairwise(boundaries(span, Granularity.MONTH))]

    def _customers(self, usages: Sequence[Sequence[dict[str, list[Usage]]]]) -> list[str]:
        """Give whom it is about, by id: those that were named, or all that used the product or have it."""
        if self.asked.customer_ids is not None:
            return sorted(self.parties.identifiers)
        using = {
            customer
            for period in usages
            for way in period
            for customer, figures in way.items()
            if any(not usage.is_nothing for usage in figures)
        }
        return sorted(using | set(self.parties.agreed))

    def _counted(
        self,
        counter: Counter,
        window: Window,
        tariff: Tariff,
        counted: dict[bytes, dict[str, list[Usage]]],
        customer: str,
    ) -> Counted:
        nothing = no_usage(counter.aggregator.operation)
        usages = counted[tariff.way].get(customer) or [nothing] * len(tariff.filters)
        count = sum(usage.count for usage in usages)
        values = None
        if tariff.needs_values:
            values = counter.values(window, customer, usages[0])
        return Counted([usage.rated for usage in usages], values, count=count)


def _divided(aggregator_id: str, groups: Sequence[PriceGroup], ways: _Ways) -> bytes | None:
    """Give the way whose groups take every event between them, for one that takes all of them together."""
    if any(group.metering_filter is not None for group in groups):
        return None
    return next(
        (
            way
            for way, (counted_by, other) in ways.items()
            if counted_by == aggregator_id and len(other) > 1 and other[-1].metering_filter is None
        ),
        None,
    )
