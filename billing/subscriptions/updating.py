"""Read updates of a subscription as clients send them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from billing.subscriptions.changes import CalculationMethod, ChangeType, Precision
from billing.subscriptions.reading import (
    CouponAsked,
    ProductAsked,
    read_coupon,
    read_product_terms,
    read_quantity,
    refuse_prices_twice,
)
from metering.http.fields import Fields
from metering.http.problem import refused

UPDATES_MAX = 20
APPLICATION_SCHEDULES = ("immediately", "scheduled")
PAYMENT_SCHEDULES = ("immediately", "next_invoice")


class CouponUpdate(StrEnum):
    """What an update does to coupons."""

    ADD_COUPON = "add_coupon"
    REMOVE_COUPON = "remove_coupon"


TYPES = (*(kind.value for kind in ChangeType), "add_item", "remove_item", *(kind.value for kind in CouponUpdate))
_ISO_MAX = 64
_OLD_NAMES = {"add_item": ChangeType.ADD_PRODUCT.value, "remove_item": ChangeType.REMOVE_PRODUCT.value}
_OF_ADDED = {
    "product_id": "id",
    "committed_count": "min_committed_count",
    "usage_interval_type": "metering_interval_type",
    "usage_interval_period_start": "metering_interval_start_at",
    "only_bill_usage_difference": "bill_usage_difference",
}
"""What an added product's terms are called in an update, and in a subscription."""
_QUARTER_MONTHS = 3


@dataclass(frozen=True, slots=True)
class UpdateAsked:
    """One update of a product. `product` is what is added; `count` and the prices are those after it.

    These are `prices`, rows, or `price_groups`, a matrix; both unread.
    """

    type: ChangeType
    product_id: str
    product: ProductAsked | None = None
    count: Decimal | None = None
    prices: Any = None
    price_groups: Any = None


@dataclass(frozen=True, slots=True)
class CouponUpdateAsked:
    """One update of a coupon."""

    type: CouponUpdate
    coupon: CouponAsked


@dataclass(frozen=True, slots=True)
class UpdatesAsked:
    """Updates that are made together. `apply_at` is text, as a subscription's start is; None is now."""

    updates: Sequence[UpdateAsked | CouponUpdateAsked]
    apply_at: str | None
    method: CalculationMethod
    precision: Precision


def read_updates(body: Mapping[str, Any], *, several: bool) -> UpdatesAsked:
    """Read one update, `{"type", "payload", …}`, or with `several` those of `updates`.

    Raises:
        ApiError: 400 with every fault, 422 for what is not served.
    """
    fields = Fields(body)
    schedule = _one_of(fields, "application_schedule", APPLICATION_SCHEDULES)
    apply_at = fields.name("apply_at", characters_max=_ISO_MAX)
    if schedule == "scheduled" and fields.raw("apply_at") is None:
        fields.fault("apply_at", "required", "is needed with the application_schedule scheduled: send a date-time")
    method = fields.choice("calculation_method", CalculationMethod)
    precision = fields.choice("precision", Precision)
    updates = _read_several(fields) if several else [_read_update(fields, "payload")]
    fields.refuse_faults()
    payment = fields.raw("payment_schedule")
    if payment is not None and payment not in PAYMENT_SCHEDULES:
        raise refused("payment_schedule: this is not served yet: send immediately or next_invoice, invoices are live")
    return UpdatesAsked(
        [update for update in updates if update is not None],
        None if schedule == "immediately" else apply_at,
        method or CalculationMethod.PRO_RATA,
        precision or Precision.CALENDAR_DAYS,
    )


def _read_several(fields: Fields) -> list[UpdateAsked | CouponUpdateAsked | None]:
    readers = fields.items("updates", items_max=UPDATES_MAX)
    if not readers:
        if not fields.raw("updates"):
            fields.fault("updates", "required", "is needed: send an array with at least one update")
        return []
    return [_read_update(reader, f"updates[{index}].payload") for index, reader in enumerate(readers)]


def _read_update(reader: Fields, where: str) -> UpdateAsked | CouponUpdateAsked | None:
    """Read one update; None once a fault was noted."""
    noted = len(reader.faults)
    sent = _one_of(reader, "type", TYPES, required=True)
    payload = reader.object("payload")
    if payload is None and reader.raw("payload") is None:
        reader.fault("payload", "required", "is needed: send an object with a product_id")
    if sent is None or payload is None:
        return None
    if sent in {kind.value for kind in CouponUpdate}:
        coupon = read_coupon(payload, "coupon_id")
        return None if coupon is None else CouponUpdateAsked(CouponUpdate(sent), coupon)
    kind = ChangeType(_OLD_NAMES.get(sent, sent))
    product_id = payload.name("product_id", required=True)
    product: ProductAsked | None = None
    count: Decimal | None = None
    if kind is ChangeType.ADD_PRODUCT and product_id is not None:
        product = _read_added(reader, where)
    elif kind is ChangeType.UPDATE_COUNT:
        count = read_quantity(payload, "count")
        if payload.raw("count") is None:
            payload.fault("count", "required", "is needed: send a number")
    prices, groups = _read_prices(payload) if kind is ChangeType.UPDATE_PRICES else (None, None)
    if product_id is None or len(reader.faults) != noted:
        return None
    return UpdateAsked(kind, product_id, product, count, prices, groups)


def _read_prices(payload: Fields) -> tuple[Any, Any]:
    """Give the new prices as rows or as groups, unread."""
    prices, groups = payload.raw("prices"), payload.raw("price_groups")
    refuse_prices_twice(payload)
    if prices is None and groups is None:
        payload.fault("prices", "required", "is needed: send an array of price rows, or price_groups")
    return prices, groups


def _read_added(reader: Fields, where: str) -> ProductAsked | None:
    """Read an added product, under the names of an update or those of a subscription."""
    sent = reader.raw("payload")
    terms = {_OF_ADDED.get(name, name): value for name, value in sent.items() if value is not None}
    if terms.get("metering_interval_type") == "item_payment_interval":
        terms["metering_interval_type"] = "payment_interval"
    for interval, prefix in (("payment_interval", "billing_interval"), ("metering_interval", "usage_interval")):
        period, count = terms.pop(f"{prefix}_period", None), terms.pop(f"{prefix}_count", None)
        if interval not in terms and period is not None:
            terms[interval] = _interval(period, count)
    return read_product_terms(reader.within("payload", terms), where)


def _interval(period: Any, count: Any) -> dict[str, Any]:
    if period not in ("quarter", "quarters") or isinstance(count, bool) or not isinstance(count, int | None):
        return {"period": period, "count": count}
    return {"period": "months", "count": (1 if count is None else count) * _QUARTER_MONTHS}


def _one_of(fields: Fields, name: str, known: Sequence[str], *, required: bool = False) -> str | None:
    value = fields.name(name, required=required)
    if value is not None and value not in known:
        fields.fault(name, "unknown_value", f"{value[:40]!r} is not one of {', '.join(known)}")
        return None
    return value
