"""What ingest asks of whoever knows prices; the composition fills it in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from metering.position import Cutoff, Position
from metering.world import World


@dataclass(frozen=True, slots=True)
class PricedEvent:
    """One version of an event. `record` holds its id, numbers as int or Decimal.

    `customer_id` is as it was sent; None, in simulations alone, is somebody who has agreed nothing. `position` is where
    it came in; None, in simulations, is after all that there are.
    """

    customer_id: str | None
    event_type: str
    record_id: str
    timestamp_us: int
    record: Mapping[str, Any]
    position: Position | None = None


class PriceGroup(NamedTuple):
    """Which prices of a matrix an event is charged by."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class EventPrice:
    """What an event adds to one product's line. Amounts are minor units, not rounded to whole ones."""

    product_id: str
    currency: str
    amount_excluding_tax: Decimal
    tax_amount: Decimal
    customer_id: str | None = None
    subscription_id: str | None = None
    price_group: PriceGroup | None = None


class Pricer(Protocol):
    """Who knows prices. Not promised: that the same is answered again once prices or customers have changed."""

    async def price(self, world: World, event: PricedEvent, cutoff: Cutoff) -> Sequence[EventPrice]:
        """Give what an event adds on top of the other events within the cut-off, for each product that counts it.

        Whether the event itself is within the cut-off makes no difference.

        Raises:
            QueryLimitError: it cannot be worked out within one question's limits.
            UnavailableError: ask again.
        """
        ...

    async def customer_of(self, world: World, subscription_id: str) -> str | None:
        """Give whose a subscription is, None when there is none of this id."""
        ...
