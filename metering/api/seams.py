"""What the API of metering asks of billing, which is above it: small protocols that the composition fills in.

Each method is called with the connection of the transaction at hand, so that what it answers cannot change before the
transaction ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from metering.api.asof import AsOf
from metering.registry.aggregators import StoredAggregator
from metering.registry.customers import Customer
from metering.store.explorer import StoredEvent
from metering.world import World


class CustomerUse(Protocol):
    """What refers to customers, and what they may refer to."""

    def use_of_customer(self, connection: sa.Connection, customer: Customer, /) -> str | None:
        """Name what refers to the customer, such as `2 subscriptions`; None when nothing does."""
        ...

    def has_price_book(self, connection: sa.Connection, world: World, price_book_id: str, /) -> bool:
        """Tell whether there is a price book of this id."""
        ...


class AggregatorUse(Protocol):
    """What stands against deleting an aggregator."""

    def use_of_aggregator(self, connection: sa.Connection, aggregator: StoredAggregator, /) -> str | None:
        """Name what refers to the aggregator, such as `product itm_...`; None when nothing does."""
        ...


class SubscriptionsOf(Protocol):
    """Whose subscriptions are whose."""

    def subscription_ids(
        self, connection: sa.Connection, customers: Iterable[Customer], /
    ) -> Mapping[str, Sequence[str]]:
        """Give the subscription ids by customer id, oldest first; a customer without any may be left out.

        All customers are of one world, and at most a page of them is asked about.
        """
        ...


class Correction(NamedTuple):
    """A version that took the place of another one of the same event."""

    before: StoredEvent
    after: StoredEvent


class LinesMoved(Protocol):
    """Which lines of invoices a correction moved."""

    async def lines_moved(
        self, world: World, at: AsOf, corrections: Sequence[Correction], /
    ) -> Sequence[Sequence[Mapping[str, Any]]]:
        """Give for each correction what it added to lines, and took from them, as it goes out; all `at` one cut-off.

        All corrections are of one event, and at most a page of them is asked about.
        """
        ...


class Unused:
    """Nothing is above: no subscriptions, no products."""

    def use_of_customer(self, _connection: sa.Connection, _customer: Customer, /) -> str | None:
        """Find nothing."""
        return None

    def has_price_book(self, _connection: sa.Connection, _world: World, _price_book_id: str, /) -> bool:
        """Find nothing."""
        return False

    def use_of_aggregator(self, _connection: sa.Connection, _aggregator: StoredAggregator, /) -> str | None:
        """Find nothing."""
        return None

    def subscription_ids(
        self, _connection: sa.Connection, _customers: Iterable[Customer], /
    ) -> Mapping[str, Sequence[str]]:
        """Find nothing."""
        return {}

    async def lines_moved(
        self, _world: World, _at: AsOf, corrections: Sequence[Correction], /
    ) -> Sequence[Sequence[Mapping[str, Any]]]:
        """Find nothing."""
        return [()] * len(corrections)
