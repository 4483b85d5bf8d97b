"""Price events: one that was sent as it stood when it came in, once and for all; one that is imagined as things stand.

The price of an event that was sent is what it adds on top of all events before it (`metering.store.arrivals` says which
these are). It is kept before it is told: from then on it is looked up, whatever changes. A crash before that loses
nothing, because whoever sends the event again gets the price of where it first came in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from ingest.core_api import Place, Progress
from ingest.prices.event import SentToPrice, read_sent
from ingest.prices.kept import KeptPrices, Sought, find_prices, keep_prices, list_prices
from ingest.prices.pricer import EventPrice, PricedEvent, Pricer
from metering.errors import QueryLimitError
from metering.http.paging import Page
from metering.http.problem import refused, unavailable
from metering.position import Cutoff, Position
from metering.registry.engine import Registry
from metering.store.arrivals import Arrivals, Arrived
from metering.store.client import Store
from metering.timestamps import EPOCH
from metering.world import World

PRICE_WAIT_S_MAX = 10.0
"""How long to wait for an event to be in the figures before its sender is told to send it again."""


class Applied(Protocol):
    """How far the store may be read."""

    async def applied(self) -> Cutoff:
        """Give the newest cut-off."""
        ...


@dataclass(frozen=True, slots=True)
class EventPricing:
    """Prices events. `clock` gives aware date-times."""

    registry: Registry
    store: Store
    applied: Applied
    progress: Progress
    pricer: Pricer
    clock: Callable[[], datetime]
    wait_s_max: float = PRICE_WAIT_S_MAX

    async def price_sent(self, world: World, body: bytes, place: Place) -> KeptPrices:
        """Give the prices of the one event of a section of the log, as `ingest.wire` carries it.

        Raises:
            ApiError: 503 when it is not in the figures in time, 422 when it cannot be priced.
            UnavailableError: something does not answer.
        """
        sent = read_sent(world, body)
        standing = await self.registry.read(find_prices, world, sent.calculation_id)
        if standing is not None:
            return standing
        position = await self.progress.reached(place, self.wait_s_max)
        if position is None:
            raise unavailable("the event is stored and not in the figures yet: send it again for its price")
        prices = await self._price(world, sent, position)
        return await self.registry.write(keep_prices, world, prices)

    async def price_imagined(self, world: World, event: PricedEvent) -> tuple[Sequence[EventPrice], Cutoff]:
        """Give what an event would add to what is counted now, and the cut-off of that.

        Raises:
            QueryLimitError: there is too much to count for one answer.
            UnavailableError: something does not answer.
        """
        cutoff = await self.applied.applied()
        return await self.pricer.price(world, event, cutoff), cutoff

    async def list(self, world: World, sought: Sought, page: Page) -> Sequence[KeptPrices]:
        """Give a page of the prices that are kept, the latest first."""
        return await self.registry.read(list_prices, world, sought, page)

    async def _price(self, world: World, sent: SentToPrice, position: Position) -> KeptPrices:
        applied = await self.applied.applied()
        arrived, cutoff = await self.store.run(self._arrival, world, sent, position, applied)
        if arrived is None:
            raise refused("the event came in and could not be applied; `meterline dead-letters list` tells why")
        priced = replace(sent.priced, position=arrived.position)
        try:
            # One that came too late to be counted adds nothing to any line.
            prices = [] if arrived.beaten else await self.pricer.price(world, priced, cutoff)
        except QueryLimitError as error:
            raise refused(f"the event is stored, but it cannot be priced: {error}") from None
        return KeptPrices(
            sent.calculation_id,
            sent.priced.event_type,
            sent.priced.record_id,
            EPOCH + timedelta(microseconds=sent.priced.timestamp_us),
            sent.priced.record,
            [price_document(price) for price in prices],
            cutoff.encode(),
            self.clock(),
        )

    def _arrival(
        self, world: World, sent: SentToPrice, upto: Position, applied: Cutoff
    ) -> tuple[Arrived | None, Cutoff]:
        arrivals = Arrivals(self.store)
        arrived = arrivals.last_of(world, sent.version, upto)
        return arrived, arrivals.cutoff_at(upto if arrived is None else arrived.position, applied)


def price_document(price: EventPrice) -> dict[str, Any]:
    """Give a price as it goes out and is kept."""
    group = price.price_group
    return {
        "customer_id": price.customer_id,
        "subscription_id": price.subscription_id,
        "product_id": price.product_id,
        "price_group": None if group is None else {"id": group.id, "name": group.name},
        "amount_excluding_tax": price.amount_excluding_tax,
        "tax_amount": price.tax_amount,
        "total_amount": price.amount_excluding_tax + price.tax_amount,
        "currency": price.currency,
    }
