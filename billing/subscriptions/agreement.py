"""Turn what was asked for into an agreement: the customer's currency and calendar, each product's prices.

What is agreed here is complete: a subscription that was accepted can be billed, or it was refused with a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from billing.catalog.model import PriceGroup, Product, ProductStatus, ProductType
from billing.catalog.rows import is_matrix, read_rows
from billing.catalog.selection import Wanted, choose
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.reading import MeteringAsked, ProductAsked, SubscriptionAsked, starts_within_reach
from billing.windows import Metering, MeteringIntervalType
from metering.http.problem import ApiError, Fault, PathPart, invalid_field, refused
from metering.ids import new_id
from metering.ranges import RangeError, parse_instant
from metering.registry.customers import Customer, CustomerStatus
from metering.timestamps import EPOCH
from metering.zones import zone_named

WITHOUT_CURRENCY = "Cannot assign a subscription to a customer without a currency set"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a new subscription is made of."""

    customer_id: str
    currency: str
    timezone: str
    starts_at: datetime
    products: tuple[SubscriptionProduct, ...]


def agree(asked: SubscriptionAsked, customer: Customer, catalog: Mapping[str, Product]) -> Agreement:
    """Settle a subscription of a customer. `catalog` holds what this world has of the products asked for.

    Raises:
        ApiError: 400 without a currency or for a bad start or rows, 404 for an unknown product, 422 when no price
            matches or the terms cannot be held.
    """
    if customer.status is CustomerStatus.ARCHIVED:
        raise refused(f"customer {customer.id} is archived: PUT /v1/customers/{customer.id}/unarchive first")
    currency = asked.currency or customer.currency
    if currency is None:
        remedy = f"send a currency, or set the customer's: PUT /v1/customers/{customer.id}"
        raise ApiError(400, WITHOUT_CURRENCY, [Fault("required", ("currency",), remedy)])
    zone = zone_named(customer.timezone or "UTC")
    starts_at = _start(asked.starts_at, zone)
    products = []
    for index, one in enumerate(asked.products):
        wanted = Wanted(currency, customer.country, one.payment_interval, asked.commitment_interval)
        product = _product(index, one, catalog)
        groups = _groups(index, one, product, wanted)
        _check_terms(index, one, product, groups)
        metering = _metering(index, one, asked, product, zone)
        products.append(_agreed(one, product, groups, metering))
    return Agreement(customer.id, currency, zone.key, starts_at, tuple(products))


def _start(text: str, zone: ZoneInfo) -> datetime:
    return EPOCH + timedelta(microseconds=_instant(text, zone, ("starts_at",)))


def _instant(text: str, zone: ZoneInfo, path: Sequence[PathPart]) -> int:
    name = str(path[-1])
    try:
        instant_us = parse_instant(text, name, zone)
    except RangeError as error:
        raise invalid_field(path, "timestamp", str(error)) from None
    if not starts_within_reach(instant_us):
        raise invalid_field(path, "out_of_range", f"{name}: {text} lies outside of 1980 to 2099")
    return instant_us


def _product(index: int, asked: ProductAsked, catalog: Mapping[str, Product]) -> Product:
    product = catalog.get(asked.product_id)
    if product is None:
        message = f"products[{index}].id: there is no product {asked.product_id[:80]!r}: create it, or send another id"
        raise ApiError(404, message, [Fault("unknown", ("products", index, "id"), message)])
    if product.status is ProductStatus.ARCHIVED:
        remedy = f"PUT /v1/products/{product.id}/unarchive first"
        raise refused(f"products[{index}].id: product {product.id} is archived and sold no more: {remedy}")
    if product.type is ProductType.CREDIT:
        raise refused(f"products[{index}].id: product {product.id} holds credits, which are not subscribed to yet")
    return product


def _groups(index: int, asked: ProductAsked, product: Product, wanted: Wanted) -> tuple[PriceGroup, ...]:
    """Give the prices to bill by: those that were sent along, else the catalog's."""
    if asked.prices is not None:
        faults: list[Fault] = []
        rows = read_rows(asked.prices, product.type, ("products", index, "prices"), faults)
        if faults:
            raise ApiError(400, faults[0].message, faults)
        return (PriceGroup(None, rows),)
    chosen = choose(product.configurations, wanted)
    if not chosen:
        message = f"products[{index}]: product {product.id} has no price for {wanted}"
        message = f"{message}: add a price configuration that matches, or send prices"
        raise refused(message, Fault("no_price", ("products", index), message))
    return tuple(one.group for one in chosen)


def _check_terms(index: int, asked: ProductAsked, product: Product, groups: tuple[PriceGroup, ...]) -> None:
    where = f"products[{index}].min_committed_count"
    if asked.min_committed_count is not None and product.type is not ProductType.DYNAMIC:
        raise refused(f"{where}: a {product.type} product has no usage to commit to: send count")
    if asked.min_committed_count is not None and is_matrix(groups):
        raise refused(f"{where}: a commitment cannot be shared out among metering filters: leave it out")


def _metering(
    index: int, asked: ProductAsked, subscription: SubscriptionAsked, product: Product, zone: ZoneInfo
) -> Metering:
    """Settle the windows of a product, or refuse what is none of its kind."""
    metering = asked.metering
    if metering != MeteringAsked() and product.type is not ProductType.DYNAMIC:
        where = f"products[{index}].metering_interval_type"
        raise refused(f"{where}: a {product.type} product has no usage to meter: leave it out")
    commits = metering.type is MeteringIntervalType.SUBSCRIPTION_COMMITMENT
    if commits and subscription.commitment_interval is None:
        where = f"products[{index}].metering_interval_type"
        raise refused(f"{where}: the subscription is not committed: send its commitment_interval, or another type")
    path = ("products", index, "metering_interval_start_at")
    starts_us = None if metering.starts_at is None else _instant(metering.starts_at, zone, path)
    return Metering(metering.type, metering.interval, starts_us, metering.bill_usage_difference)


def _agreed(
    asked: ProductAsked, product: Product, groups: tuple[PriceGroup, ...], metering: Metering
) -> SubscriptionProduct:
    return SubscriptionProduct(
        new_id("spr"),
        product.id,
        product.aggregator_id,
        asked.payment_interval,
        asked.count,
        asked.min_amount,
        asked.max_amount,
        asked.min_committed_count,
        groups,
        metering,
    )
