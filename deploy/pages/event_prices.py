"""What an event costs, where that was asked for: each version's prices as they were answered, formatted."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.catalog.registry import product_names
from billing.money import minor_digits
from deploy.pages.quantities import quantity
from deploy.pages.serving import Visit
from ingest.prices.kept import Sought, list_prices
from metering.http.paging import Page
from metering.timestamps import microseconds

VERSIONS_PRICED_MAX = 20


@dataclass(frozen=True, slots=True)
class ShownPrice:
    """A price, its amount with all its digits; `timestamp_us` is that of the version it is of."""

    timestamp_us: int
    product: str
    group: str | None
    amount: str


async def ask_prices(visit: Visit, event_type: str, record_id: str) -> Sequence[ShownPrice]:
    """Give the prices of an event's versions, those that were worked out last first."""
    registry, sought = visit.services.registry, Sought(record_ids=[record_id], event_types=[event_type])
    kept = await registry.read(list_prices, visit.world, sought, Page(VERSIONS_PRICED_MAX, 0))
    if not kept:
        return []
    products = {price["product_id"] for prices in kept for price in prices.result}
    names = await registry.read(product_names, visit.world, products)
    return [
        ShownPrice(
            timestamp_us=microseconds(prices.event_timestamp),
            product=names.get(price["product_id"], price["product_id"]),
            group=price["price_group"]["name"] if price["price_group"] else None,
            amount=_amount(Decimal(price["amount_excluding_tax"]), price["currency"]),
        )
        for prices in kept
        for price in prices.result
    ]


def _amount(minor_units: Decimal, currency: str) -> str:
    return f"{quantity(minor_units.scaleb(-minor_digits(currency)))} {currency}"
