"""Turn what was asked for into an agreement: the customer's currency and calendar, each product's prices.

What is agreed here is complete: a subscription that was accepted can be billed, or it was refused with a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.catalog.credits import GrantMode
from billing.catalog.groups import read_sent_groups
from billing.catalog.model import PriceConfiguration, PriceGroup, Product, ProductStatus, ProductType
from billing.catalog.rows import is_matrix, read_rows
from billing.catalog.selection import Wanted, choose
from billing.errors import InvalidPriceError
from billing.interval import Interval
from billing.pricing import whole_packs
from billing.pricing.rows import named
from billing.subscriptions.credit_terms import CREDIT_FIELDS, CreditTerms
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.reading import MeteringAsked, ProductAsked, SubscriptionAsked, starts_within_reach
from billing.subscriptions.seats import FIELDS, ConnectedSeats, SeatTerms
from billing.subscriptions.upfront import PaymentSchedule
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
    price_book_id: str | None
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
    book_id = asked.price_book_id or customer.details.get("price_book_id")
    setting = Setting(currency, customer.country, zone, asked.commitment_interval, book_id, asked.plan_id)
    products = tuple(
        agree_product(("products", index), one, catalog, setting) for index, one in enumerate(asked.products)
    )
    return Agreement(customer.id, currency, zone.key, starts_at, book_id, products)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for all products of a subscription."""

    currency: str
    country: str | None
    zone: ZoneInfo
    commitment_interval: Interval | None
    price_book_id: str | None
    plan_id: str | None


def agree_product(
    path: Sequence[PathPart], asked: ProductAsked, catalog: Mapping[str, Product], setting: Setting
) -> SubscriptionProduct:
    """Settle one product; `path` leads to it in the request.

    Raises:
        ApiError: 400 for bad rows, 404 for an unknown product, 422 when no price matches or the terms cannot be held.
    """
    wanted = Wanted(
        setting.currency,
        setting.country,
        asked.payment_interval,
        setting.commitment_interval,
        asked.price_book_id or setting.price_book_id,
        setting.plan_id,
    )
    product = _product(path, asked, catalog)
    priced = _priced(path, asked, product, wanted)
    groups = tuple(one.group for one in priced)
    check_terms(path, asked.min_committed_count, product, groups)
    seats = _seats(path, asked, product)
    return SubscriptionProduct(
        new_id("spr"),
        product.id,
        product.aggregator_id if seats is None else None,
        asked.payment_interval,
        _count(path, asked, product, seats, groups),
        asked.min_amount,
        asked.max_amount,
        asked.min_committed_count,
        groups,
        _metering(path, asked, product, setting),
        tuple(one.id for one in priced if one.id),
        priced[0].price_book_id,
        seats=seats,
        payment_schedule=asked.payment_schedule,
        credits=_credits(path, asked, product),
    )


def _count(
    path: Sequence[PathPart],
    asked: ProductAsked,
    product: Product,
    seats: ConnectedSeats | None,
    groups: Sequence[PriceGroup],
) -> Decimal:
    """Give the count that a product begins with: one, or a pack of credits, where none was sent."""
    if product.type is not ProductType.CREDIT:
        return asked.count if asked.count is not None else Decimal(1 if seats is None else 0)
    pack = pack_of(groups)
    return pack if asked.count is None else check_packs((*path, "count"), asked.count, pack)


def pack_of(groups: Sequence[PriceGroup]) -> Decimal:
    """Give how many credits a pack holds."""
    return Decimal(groups[0].prices[0].get("unit_count") or 1)


def check_packs(path: Sequence[PathPart], count: Decimal, pack: Decimal) -> Decimal:
    """Give a number of credits back, once it is known to be whole packs.

    Raises:
        ApiError: 400.
    """
    try:
        whole_packs(count, pack, path)
    except InvalidPriceError as error:
        raise ApiError(400, str(error), error.faults) from None
    return count


def _credits(path: Sequence[PathPart], asked: ProductAsked, product: Product) -> CreditTerms | None:
    """Settle how credits are granted, or refuse terms where there are none."""
    if product.type is ProductType.CREDIT:
        mode = GrantMode(product.details.get("credits_grant_mode") or GrantMode.PRORATED)
        return replace(asked.credits or CreditTerms(), grant_mode=mode)
    if asked.credits is not None:
        where = named((*path, CREDIT_FIELDS[0]))
        message = f"this and its like are for credit products, which {product.id} is not"
        raise refused(f"{where}: {message}: leave {', '.join(CREDIT_FIELDS)} out")
    return None


def _start(text: str, zone: ZoneInfo) -> datetime:
    return EPOCH + timedelta(microseconds=instant_of_text(text, zone, ("starts_at",)))


def instant_of_text(text: str, zone: ZoneInfo, path: Sequence[PathPart]) -> int:
    """Read a date-time, or a date in a zone; `path` leads to it in the request.

    Raises:
        ApiError: 400.
    """
    name = str(path[-1])
    try:
        instant_us = parse_instant(text, name, zone)
    except RangeError as error:
        raise invalid_field(path, "timestamp", str(error)) from None
    if not starts_within_reach(instant_us):
        raise invalid_field(path, "out_of_range", f"{name}: {text} lies outside of 1980 to 2099")
    return instant_us


def _product(path: Sequence[PathPart], asked: ProductAsked, catalog: Mapping[str, Product]) -> Product:
    product = catalog.get(asked.product_id)
    where = named((*path, "id"))
    if product is None:
        message = f"{where}: there is no product {asked.product_id[:80]!r}: create it, or send another id"
        raise ApiError(404, message, [Fault("unknown", (*path, "id"), message)])
    if product.status is ProductStatus.ARCHIVED:
        remedy = f"PUT /v1/products/{product.id}/unarchive first"
        raise refused(f"{where}: product {product.id} is archived and sold no more: {remedy}")
    return product


def _priced(
    path: Sequence[PathPart], asked: ProductAsked, product: Product, wanted: Wanted
) -> Sequence[PriceConfiguration]:
    """Give the prices to bill by: those that were sent along, as configurations without an id, else the catalog's."""
    sent = read_sent(asked.prices, asked.price_groups, product.type, path)
    if sent is not None:
        return [PriceConfiguration("", wanted.currency, None, None, None, group) for group in sent]
    chosen = choose(product.configurations, wanted)
    if not chosen:
        message = f"{named(path)}: product {product.id} has no price for {wanted}"
        message = f"{message}: add a price configuration that matches, or send prices"
        raise refused(message, Fault("no_price", path, message))
    return chosen


def read_sent(rows: Any, groups: Any, kind: ProductType, path: Sequence[PathPart]) -> Sequence[PriceGroup] | None:
    """Read prices that are agreed with one subscription, as rows or as groups; None where neither was sent.

    Raises:
        ApiError: 400 with every fault.
    """
    if groups is not None:
        return read_sent_groups(groups, kind, path)
    return None if rows is None else (PriceGroup(None, _read_sent_rows(rows, kind, (*path, "prices"))),)


def _read_sent_rows(rows: Any, kind: ProductType, path: Sequence[PathPart]) -> tuple[Mapping[str, Any], ...]:
    faults: list[Fault] = []
    read = read_rows(rows, kind, path, faults)
    if faults:
        raise ApiError(400, faults[0].message, faults)
    return read


def check_terms(
    path: Sequence[PathPart], committed: Decimal | None, product: Product, groups: Sequence[PriceGroup]
) -> None:
    """Refuse a commitment where there are no units, or several groups of them.

    Raises:
        ApiError: 422.
    """
    where = named((*path, "min_committed_count"))
    if committed is not None and product.type is ProductType.FLAT_FEE:
        raise refused(f"{where}: a {product.type} product has no units to commit to: send count")
    if committed is not None and is_matrix(groups):
        raise refused(f"{where}: a commitment cannot be shared out among metering filters: leave it out")


def _seats(path: Sequence[PathPart], asked: ProductAsked, product: Product) -> ConnectedSeats | None:
    """Settle how the count of a seat product is read, or refuse what is none of its kind."""
    if product.type is ProductType.SEAT and product.aggregator_id is not None:
        return ConnectedSeats(product.aggregator_id, asked.seats or SeatTerms())
    if asked.seats is not None:
        where = named((*path, FIELDS[0]))
        raise refused(
            f"{where}: this and its like are for seat products that an aggregator counts, which {product.id} is not: "
            f"leave {', '.join(FIELDS)} out"
        )
    return None


def _metering(path: Sequence[PathPart], asked: ProductAsked, product: Product, setting: Setting) -> Metering:
    """Settle the windows of a product, or refuse what is none of its kind."""
    metering, where = asked.metering, named((*path, "metering_interval_type"))
    if metering != MeteringAsked() and product.type is not ProductType.DYNAMIC:
        raise refused(f"{where}: a {product.type} product has no usage to meter: leave it out")
    if metering != MeteringAsked() and asked.payment_schedule is PaymentSchedule.START:
        message = "usage that is billed at the start of its period is that of the period: leave it out"
        raise refused(f"{where}: {message}, or send the payment_schedule end")
    commits = metering.type is MeteringIntervalType.SUBSCRIPTION_COMMITMENT
    if commits and setting.commitment_interval is None:
        raise refused(f"{where}: the subscription is not committed: send its commitment_interval, or another type")
    at = (*path, "metering_interval_start_at")
    starts_us = None if metering.starts_at is None else instant_of_text(metering.starts_at, setting.zone, at)
    return Metering(metering.type, metering.interval, starts_us, metering.bill_usage_difference)
