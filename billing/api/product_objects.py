"""What a product is over HTTP."""

from collections.abc import Mapping
from typing import Any

from billing.catalog.configurations import PriceVersion
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
        "status": "active" if one.archived_at is None else "archived",
        "type": one.group.prices[0]["type"],
        **one.document(),
        "country": one.countries[0] if one.countries is not None and len(one.countries) == 1 else None,
        "archived_at": None if one.archived_at is None else format_instant(one.archived_at),
        "created_at": None if one.created_at is None else format_instant(one.created_at),
        "updated_at": None if one.updated_at is None else format_instant(one.updated_at),
    }


def version_object(one: PriceVersion) -> dict[str, Any]:
    """Give the prices of a time as they go out."""
    return {
        "version": one.version,
        "prices": list(one.prices),
        "valid_from": format_instant(one.valid_from),
        "valid_until": None if one.valid_until is None else format_instant(one.valid_until),
        "current": one.valid_until is None,
    }
