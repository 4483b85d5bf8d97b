"""What a product is over HTTP."""

from collections.abc import Mapping
from typing import Any

from billing.catalog.model import PriceConfiguration, Product
from metering.api.aggregator_fields import aggregator_object
from metering.registry.aggregators import StoredAggregator
from metering.timestamps import format_instant

_DETAIL_DEFAULTS: Mapping[str, Any] = {
    "description": None,
    "public_description": None,
    "description_display_interval_dates": None,
    "unit_name": None,
    "display_mode": None,
    "translations": None,
    "properties": None,
    "custom_properties": None,
    "accounting": None,
    "credit_aggregators": [],
    "low_credits_threshold": None,
    "credits_grant_mode": None,
}


def product_object(product: Product, aggregator: StoredAggregator | None) -> dict[str, Any]:
    """Give the product as it goes out."""
    return {
        "id": product.id,
        "name": product.name,
        "type": product.type.value,
        "status": product.status.value,
        "aggregator_id": product.aggregator_id,
        "aggregator": None if aggregator is None else aggregator_object(aggregator),
        "price_configurations": [configuration_object(product.id, one) for one in product.configurations],
        **_DETAIL_DEFAULTS,
        **product.details,
        "created_at": format_instant(product.created_at),
        "updated_at": format_instant(product.updated_at),
    }


def configuration_object(product_id: str, one: PriceConfiguration) -> dict[str, Any]:
    """Give a price configuration as it goes out; its type is that of its rows."""
    return {
        "id": one.id,
        "product_id": product_id,
        "price_book_id": None,
        "status": "active",
        "currency": one.currency,
        "countries": None if one.countries is None else list(one.countries),
        "billing_interval": one.billing_interval.document() if one.billing_interval else None,
        "commitment_interval": one.commitment_interval.document() if one.commitment_interval else None,
        "type": one.group.prices[0]["type"],
        "metering_filter": one.group.metering_filter,
        "prices": list(one.group.prices),
    }
