"""Read seats from the store: all that a customer has, whatever the timestamps, at one cut-off."""

from collections.abc import Iterable
from decimal import Decimal

from billing.seats.registry import Seats
from metering.filters import EVERYTHING
from metering.position import Cutoff
from metering.store.client import Store
from metering.store.questions import Counting, Question, figures_of
from metering.timestamps import EARLIEST_US, LATEST_US
from metering.world import World


def count_seats(store: Store, world: World, cutoff: Cutoff, seats: Iterable[Seats]) -> dict[str, Decimal]:
    """Give the count of each, by the id of the product within its subscription. Blocks.

    Raises:
        QueryLimitError: there is too much to count for one answer.
        StoreUnavailableError: no answer.
    """
    alike: dict[str, list[Seats]] = {}
    for one in seats:
        alike.setdefault(one.aggregator.id, []).append(one)
    counted: dict[str, Decimal] = {}
    for together in alike.values():
        counting = Counting(world, cutoff, together[0].aggregator.counted(), [EVERYTHING])
        questions = [Question(one.customer_ids, EARLIEST_US, LATEST_US) for one in together]
        for one, (usage,) in zip(together, figures_of(store, counting, questions), strict=True):
            counted[one.product.id] = usage.rated
    return counted
