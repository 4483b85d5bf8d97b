"""Read plans as clients send them, and start subscriptions from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.catalog.plans import Plan
from billing.interval import read_interval
from billing.periods import BillingCycleAlignment
from billing.subscriptions.credit_terms import CREDIT_FIELDS
from billing.subscriptions.reading import PRODUCTS_MAX, read_product_terms
from billing.subscriptions.seats import FIELDS
from metering.http.fields import Fields
from metering.http.json import dumps
from metering.http.problem import refused, too_large

CONFIGURATIONS_MAX = 100
DETAILS_BYTES_MAX = 64 * 1024
TERMS = (
    "payment_interval",
    "count",
    "min_amount",
    "max_amount",
    "min_committed_count",
    "metering_interval_type",
    "metering_interval",
    "metering_interval_start_at",
    "bill_usage_difference",
    "price_book_id",
    "payment_schedule",
    *FIELDS,
    *CREDIT_FIELDS,
)
"""What a plan says of a product, as a subscription does."""
TAKEN_OVER = ("commitment_interval", "billing_cycle_alignment")
"""What a subscription takes over from its plan, besides products."""


@dataclass(frozen=True, slots=True)
class PlanProductAsked:
    """One product of a plan. `configurations` are prices of the plan's own, unread; None leaves those it has."""

    product_id: str
    terms: Mapping[str, Any]
    configurations: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class PlanAsked:
    """A plan as it was asked for; None leaves what it has."""

    name: str | None
    details: Mapping[str, Any]
    products: Sequence[PlanProductAsked] | None


def read_plan(body: Mapping[str, Any], current: Plan | None = None) -> PlanAsked:
    """Read a new plan, or the changes to `current`.

    Raises:
        ApiError: 400 with every fault, 422 for what is not served, 413 when the details are too large to keep.
    """
    fields = Fields(body)
    name = fields.name("name", required=current is None or fields.has("name"))
    sent = {detail: read(fields, detail) for detail, read in _DETAILS.items() if fields.has(detail)}
    products = _read_products(fields)
    fields.refuse_faults()
    details = {**(current.details if current else {}), **sent}
    if len(dumps(details)) > DETAILS_BYTES_MAX:
        raise too_large(f"the plan's details are more than {DETAILS_BYTES_MAX} bytes: keep them elsewhere")
    return PlanAsked(name, details, products)


def from_plan(body: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Fill a request for a subscription in with what its plan says.

    What the request says goes before it. A product that both name has the plan's terms with those of the request put
    over them; products that only the request names come after the plan's.
    """
    filled = {name: plan.details[name] for name in TAKEN_OVER if plan.details.get(name) is not None}
    filled |= {name: value for name, value in body.items() if value is not None}
    own: dict[str, Any] = {one.product_id: {"id": one.product_id, **one.terms} for one in plan.products}
    sent = filled.get("products", [])
    if not isinstance(sent, list):
        return filled
    further = []
    for one in sent:
        product_id = one.get("id") if isinstance(one, Mapping) else None
        if isinstance(product_id, str) and product_id in own:
            own[product_id] |= one
        else:
            further.append(one)
    return {**filled, "products": [*own.values(), *further]}


def _read_products(fields: Fields) -> list[PlanProductAsked] | None:
    readers = fields.items("products", items_max=PRODUCTS_MAX)
    if readers is None:
        return None
    seen: set[str] = set()
    out = []
    for index, reader in enumerate(readers):
        for name in ("price", "prices", "price_groups"):
            if reader.raw(name) is not None:
                where = f"products[{index}].{name}"
                raise refused(
                    f"{where}: a plan is for several currencies: send price_configurations, each with its own"
                )
        asked = read_product_terms(reader, f"products[{index}]")
        configurations = reader.items("price_configurations", items_max=CONFIGURATIONS_MAX)
        if asked is None:
            continue
        if asked.product_id in seen:
            reader.fault("id", "repeated", f"{asked.product_id[:80]!r} stands twice: list it once, with a count")
        seen.add(asked.product_id)
        terms = {name: reader.raw(name) for name in TERMS if reader.raw(name) is not None}
        own = None if configurations is None else reader.raw("price_configurations")
        out.append(PlanProductAsked(asked.product_id, terms, own))
    return out


def _interval(fields: Fields, name: str) -> Any:
    interval = read_interval(fields, name)
    return None if interval is None else interval.document()


def _alignment(fields: Fields, name: str) -> Any:
    alignment = fields.choice(name, BillingCycleAlignment)
    return None if alignment is None else alignment.value


def _kept_object(fields: Fields, name: str) -> Any:
    return None if fields.object(name) is None else fields.raw(name)


_DETAILS: Mapping[str, Callable[[Fields, str], Any]] = {
    "description": Fields.text,
    "commitment_interval": _interval,
    "billing_cycle_alignment": _alignment,
    "properties": _kept_object,
    "custom_properties": _kept_object,
}
