"""The registry and billing, as the protocols of ingest ask for them."""

from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa

from billing.marginal.model import CountedEvent, MarginalPrice
from billing.marginal.prices import marginal_prices
from billing.subscriptions.registry import find_subscription
from deploy.clock import now
from ingest.errors import LogMismatchError
from ingest.prices.pricer import EventPrice, PricedEvent, PriceGroup
from metering.position import Cutoff
from metering.registry.customers import ensure_customers, identifiers_of, resolve
from metering.registry.engine import Registry
from metering.registry.lanes import ForeignLogError, open_lane
from metering.store.client import Store
from metering.world import World

NO_TAX = Decimal(0)
"""Open invoices show no tax, so neither do prices of events."""


class RegistryLanes:
    """`ingest.consumer.seams.Lanes`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def lane_of(self, log_id: str, partition: int, older: Sequence[str] = ()) -> int:
        """Give the lane, opened at the first call.

        Raises:
            LogMismatchError: lanes belong to a log that is neither this one nor an older one.
        """
        try:
            return await self._registry.write(open_lane, log_id, partition, now(), older)
        except ForeignLogError as error:
            raise LogMismatchError(str(error)) from None


class RegistryCustomers:
    """`ingest.consumer.seams.CustomerRegistrar` and `ingest.gateway.deletion_request.Identifiers`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ensure(self, world: World, identifiers: set[str]) -> None:
        """Make an automatically created customer of each id that nobody has."""
        await self._registry.write(ensure_customers, world, identifiers, now())

    async def of(self, world: World, identifier: str) -> Sequence[str]:
        """Give every id of the customer that has this one; the one alone when nobody has it."""
        return await self._registry.read(_identifiers, world, identifier)


class BillingPricer:
    """`ingest.prices.pricer.Pricer`."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    async def price(self, world: World, event: PricedEvent, cutoff: Cutoff) -> Sequence[EventPrice]:
        """Give what an event adds to each line that it counts in.

        Raises:
            QueryLimitError: there is too much to count for one answer.
        """
        counted = CountedEvent(
            event.customer_id,
            event.event_type,
            event.record_id,
            event.timestamp_us,
            event.record,
            event.position,
        )
        return [_event_price(one) for one in await marginal_prices(self._registry, self._store, world, counted, cutoff)]

    async def customer_of(self, world: World, subscription_id: str) -> str | None:
        """Give whose a subscription is, None when there is none of this id."""
        found = await self._registry.read(find_subscription, world, subscription_id)
        return None if found is None else found.customer_id


def _event_price(price: MarginalPrice) -> EventPrice:
    return EventPrice(
        product_id=price.product_id,
        currency=price.currency,
        amount_excluding_tax=price.amount,
        tax_amount=NO_TAX,
        customer_id=price.customer_id,
        subscription_id=price.subscription_id,
        price_group=None if price.group is None else PriceGroup(*price.group),
    )


def _identifiers(connection: sa.Connection, world: World, identifier: str) -> Sequence[str]:
    customer = resolve(connection, world, identifier)
    return [identifier] if customer is None else identifiers_of(connection, customer)
