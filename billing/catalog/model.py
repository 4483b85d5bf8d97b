"""What a product is: a name, how it is counted, and prices that depend on currency, country and interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from billing.interval import Interval
from metering.world import World


class ProductType(StrEnum):
    """How the units of a product come about."""

    FLAT_FEE = "flat_fee"
    """A fee a period, times the `count` that was subscribed."""
    DYNAMIC = "dynamic"
    """What an aggregator counts in the period."""
    SEAT = "seat"
    """The `count` that was subscribed, or is read from an aggregator, in tiers or packs."""
    BUNDLE = "bundle"
    """The `count` that was subscribed, in packs."""
    CREDIT = "credit"
    """Credits that usage of several aggregators draws on, each by its weight; sold in packs."""


ROW_TYPES: Mapping[ProductType, tuple[str, ...]] = {
    ProductType.FLAT_FEE: ("fee",),
    ProductType.DYNAMIC: ("volume", "packaged", "bulk", "bps"),
    ProductType.SEAT: ("volume", "packaged", "bulk", "bundle"),
    ProductType.BUNDLE: ("bundle",),
    ProductType.CREDIT: ("bundle",),
}
"""The price models that a product of a type may have."""


class ProductStatus(StrEnum):
    """An archived product is sold no more; whoever has it keeps it."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class PriceGroup:
    """The prices of the events that a filter lets through; without a filter, of all the rest."""

    metering_filter: Mapping[str, Any] | None
    """`{"name", "configuration": {"conditional", "fields"}}` as it was sent."""
    prices: Sequence[Mapping[str, Any]]
    """Price rows, as they were sent."""

    def document(self) -> dict[str, Any]:
        """Give what is kept with a subscription."""
        return {"metering_filter": self.metering_filter, "prices": list(self.prices)}


@dataclass(frozen=True, slots=True)
class PriceConfiguration:
    """Prices, and whom they are for. None means any; `countries=()` means customers without a country.

    Without a `price_book_id` they are those of the default catalog. Times are None until it is kept, and
    `archived_at` while it is for sale.
    """

    id: str
    currency: str
    countries: tuple[str, ...] | None
    billing_interval: Interval | None
    commitment_interval: Interval | None
    group: PriceGroup
    price_book_id: str | None = None
    plan_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def parameters(self) -> tuple[object, ...]:
        """Give all that decides whom it is for: configurations alike in this are the groups of one matrix."""
        countries = None if self.countries is None else frozenset(self.countries)
        within = self.price_book_id, self.plan_id
        return self.currency, countries, self.billing_interval, self.commitment_interval, within

    def document(self) -> dict[str, Any]:
        """Give what it says, as clients send it and as it is kept; not its id, its times and whether it is for sale."""
        return {
            "price_book_id": self.price_book_id,
            "plan_id": self.plan_id,
            "currency": self.currency,
            "countries": None if self.countries is None else list(self.countries),
            "billing_interval": self.billing_interval.document() if self.billing_interval else None,
            "commitment_interval": self.commitment_interval.document() if self.commitment_interval else None,
            **self.group.document(),
        }


@dataclass(frozen=True, slots=True)
class Product:
    """Something that is sold. Configurations are those for sale, in the order in which they were given, newest last.

    `details` holds the documented fields that no amount depends on, as they were sent.
    """

    id: str
    world: World
    name: str
    type: ProductType
    status: ProductStatus
    aggregator_id: str | None
    details: Mapping[str, Any]
    configurations: Sequence[PriceConfiguration]
    created_at: datetime
    updated_at: datetime
