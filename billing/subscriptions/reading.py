"""Read what a client asks of a new subscription; whether its products and prices exist is told later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.errors import InvalidPriceError
from billing.interval import Interval, read_interval
from billing.money import AMOUNT_MAX, read_currency
from billing.periods import BillingCycleAlignment
from billing.subscriptions.credit_terms import CreditTerms, read_credit_terms
from billing.subscriptions.seats import SeatTerms, read_seats
from billing.subscriptions.upfront import PaymentSchedule
from billing.windows import MeteringIntervalType
from metering.decimals import exact_number
from metering.http.fields import Fields
from metering.http.problem import refused
from metering.timestamps import EARLIEST_US, LATEST_US

PRODUCTS_MAX = 100
COUPONS_MAX = 20
_STRATEGY = "start_date"
_ISO_MAX = 64


@dataclass(frozen=True, slots=True)
class MeteringAsked:
    """The windows of a product as they were asked for. `starts_at` is text, as that of the subscription."""

    type: MeteringIntervalType = MeteringIntervalType.PAYMENT_INTERVAL
    interval: Interval | None = None
    starts_at: str | None = None
    bill_usage_difference: bool = False


@dataclass(frozen=True, slots=True)
class ProductAsked:
    """One product as it was asked for.

    `prices` are rows that take the place of the catalog's, unread, and `price_groups` those of a matrix. `count` is
    None where it was not sent, and `seats` where nothing was sent of it.
    """

    product_id: str
    payment_interval: Interval
    count: Decimal | None
    min_amount: int | None
    max_amount: int | None
    min_committed_count: Decimal | None
    prices: Any
    metering: MeteringAsked = MeteringAsked()
    price_book_id: str | None = None
    seats: SeatTerms | None = None
    payment_schedule: PaymentSchedule | None = None
    price_groups: Any = None
    credits: CreditTerms | None = None


@dataclass(frozen=True, slots=True)
class CouponAsked:
    """A coupon as it was asked for; `product_ids` None are all that it is for."""

    coupon_id: str
    product_ids: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class SubscriptionAsked:
    """A subscription as it was asked for. `starts_at` is text that may mean a date in the customer's time zone."""

    customer_id: str
    name: str | None
    currency: str | None
    commitment_interval: Interval | None
    starts_at: str
    products: Sequence[ProductAsked]
    billing_cycle_alignment: BillingCycleAlignment = BillingCycleAlignment.CALENDAR_PERIOD
    plan_id: str | None = None
    price_book_id: str | None = None
    coupons: Sequence[CouponAsked] = ()

    @property
    def price_book_ids(self) -> set[str]:
        """Name the price books that it asks for, its products included."""
        named = {self.price_book_id, *(product.price_book_id for product in self.products)}
        return {book_id for book_id in named if book_id is not None}


def read_subscription(body: Mapping[str, Any]) -> SubscriptionAsked:
    """Read a new subscription.

    Raises:
        ApiError: 400 with every fault, 422 for what is not served.
    """
    fields = Fields(body)
    customer_id = fields.name("customer_id", required=True)
    name = fields.name("name")
    currency = _read_currency(fields)
    commitment = read_interval(fields, "commitment_interval")
    starts_at = fields.name("starts_at", required=True, characters_max=_ISO_MAX)
    plan_id, price_book_id = fields.name("plan_id"), fields.name("price_book_id")
    strategy = fields.name("activation_strategy")
    alignment = fields.choice("billing_cycle_alignment", BillingCycleAlignment)
    products, coupons = _read_products(fields), _read_coupons(fields)
    fields.refuse_faults()
    if strategy not in {None, _STRATEGY}:
        raise refused(f"activation_strategy: {strategy!r:.40} is not served yet: send start_date")
    assert customer_id is not None
    assert starts_at is not None
    return SubscriptionAsked(
        customer_id,
        name,
        currency,
        commitment,
        starts_at,
        products,
        alignment or BillingCycleAlignment.CALENDAR_PERIOD,
        plan_id,
        price_book_id,
        coupons,
    )


def read_coupon(reader: Fields, name: str) -> CouponAsked | None:
    """Read a coupon whose id is in the field `name`; None once a fault was noted."""
    coupon_id = reader.name(name, required=True)
    product_ids = reader.names("product_ids", items_max=PRODUCTS_MAX)
    return None if coupon_id is None else CouponAsked(coupon_id, product_ids)


def _read_coupons(fields: Fields) -> list[CouponAsked]:
    read = [read_coupon(reader, "id") for reader in fields.items("coupons", items_max=COUPONS_MAX) or ()]
    return [one for one in read if one is not None]


def read_quantity(fields: Fields, name: str) -> Decimal | None:
    """Give a number of units, 0 or more, with its digits: below 10^20, at most 18 decimals."""
    sent = fields.number(name, least=0, most=10**20)
    if sent is None:
        return None
    quantity = exact_number(str(sent))
    if quantity is None:
        fields.fault(name, "out_of_range", "must be below 10^20 and have at most 18 decimals")
    return quantity


def starts_within_reach(instant_us: int) -> bool:
    """Tell whether a subscription may start then: when events may be."""
    return EARLIEST_US <= instant_us < LATEST_US


def _read_currency(fields: Fields) -> str | None:
    if fields.raw("currency") is None:
        return None
    try:
        return read_currency(fields.raw("currency"))
    except InvalidPriceError as error:
        fields.faults.extend(error.faults)
        return None


def _read_products(fields: Fields) -> list[ProductAsked]:
    readers = fields.items("products", items_max=PRODUCTS_MAX)
    if not readers:
        if not fields.raw("products"):
            fields.fault("products", "required", "is needed: send an array with at least one product")
        return []
    seen: set[str] = set()
    out = []
    for index, reader in enumerate(readers):
        asked = read_product_terms(reader, f"products[{index}]")
        if asked is None:
            continue
        if asked.product_id in seen:
            reader.fault("id", "repeated", f"{asked.product_id[:80]!r} stands twice: list it once, with a count")
        seen.add(asked.product_id)
        out.append(asked)
    return out


def read_product_terms(reader: Fields, where: str) -> ProductAsked | None:
    """Read one product of a subscription, or of a plan; None once a fault was noted. `where` names it in refusals.

    Raises:
        ApiError: 422 for what is not served.
    """
    noted = len(reader.faults)
    product_id = reader.name("id", required=True)
    interval = read_interval(reader, "payment_interval", required=True)
    count = read_quantity(reader, "count")
    committed = read_quantity(reader, "min_committed_count")
    least = reader.integer("min_amount", least=0, most=AMOUNT_MAX)
    most = reader.integer("max_amount", least=0, most=AMOUNT_MAX)
    if least is not None and most is not None and least > most:
        reader.fault("min_amount", "min_above_max", f"is {least}, above the max_amount {most}: lower it")
    metering, seats, held = _read_metering(reader), read_seats(reader), read_credit_terms(reader)
    book_id, schedule = reader.name("price_book_id"), reader.choice("payment_schedule", PaymentSchedule)
    refuse_prices_twice(reader)
    if product_id is None or interval is None or len(reader.faults) != noted:
        return None
    _refuse_unserved(reader, where)
    _refuse_difference(metering, where)
    prices, groups = _sent_prices(reader), reader.raw("price_groups")
    return ProductAsked(
        product_id, interval, count, least, most, committed, prices, metering, book_id, seats, schedule, groups, held
    )


def refuse_prices_twice(reader: Fields) -> None:
    """Note where prices are sent in several ways."""
    if reader.raw("price") is not None and reader.raw("prices") is not None:
        reader.fault("price", "contradiction", "stands for prices of one row: send one of the two")
    if reader.raw("price_groups") is not None and (reader.raw("price"), reader.raw("prices")) != (None, None):
        reader.fault("price_groups", "contradiction", "stands in place of prices: send one of the two")


def _sent_prices(reader: Fields) -> Any:
    """Give the rows that were sent along, `price` being one row alone."""
    single = reader.raw("price")
    return reader.raw("prices") if single is None else [single]


def _read_metering(reader: Fields) -> MeteringAsked:
    kind = reader.choice("metering_interval_type", MeteringIntervalType) or MeteringIntervalType.PAYMENT_INTERVAL
    interval = read_interval(reader, "metering_interval")
    starts_at = reader.name("metering_interval_start_at", characters_max=_ISO_MAX)
    difference = reader.boolean("bill_usage_difference")
    if kind is MeteringIntervalType.CUSTOM:
        if reader.raw("metering_interval") is None:
            message = 'is needed with the type custom: send {"period": "years", "count": 1}'
            reader.fault("metering_interval", "required", message)
    else:
        for name in ("metering_interval", "metering_interval_start_at"):
            if reader.raw(name) is not None:
                reader.fault(
                    name, "not_custom", "is for metering_interval_type custom alone: send that, or leave it out"
                )
    return MeteringAsked(kind, interval, starts_at, difference or False)


def _refuse_difference(metering: MeteringAsked, where: str) -> None:
    if metering.bill_usage_difference and metering.type is MeteringIntervalType.PAYMENT_INTERVAL:
        message = "each payment interval is a window of its own, so there is no difference to bill"
        raise refused(f"{where}.bill_usage_difference: {message}: send another metering_interval_type, or false")


def _refuse_unserved(reader: Fields, where: str) -> None:
    """Refuse what would change amounts and is not reckoned with, rather than bill as if it had not been asked."""
    if reader.raw("children_usage_aggregation") is not None:
        raise refused(f"{where}.children_usage_aggregation: this is not served yet: send null or leave it out")
