"""Read a product as clients send it: fields checked one by one, every fault told at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from billing.catalog.credits import read_credits
from billing.catalog.model import PriceConfiguration, PriceGroup, Product, ProductType
from billing.catalog.rows import check_configurations, read_filter, read_rows
from billing.errors import InvalidPriceError
from billing.interval import Interval, read_interval
from billing.money import read_currency
from metering.api.aggregator_fields import read_aggregator
from metering.http.fields import Fields
from metering.http.json import dumps
from metering.http.problem import ApiError, Fault, PathPart, conflict, refused, too_large
from metering.ids import new_id
from metering.iso import country_codes

CONFIGURATIONS_MAX = 1_000
ROWS_MAX = 5_000
COUNTRIES_MAX = 300
DETAILS_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProductFields:
    """What a request says of a product. `None` leaves the current value, for a new product there is always a name.

    `aggregator` holds the columns of an aggregator to be made along with it.
    """

    name: str | None
    type: ProductType
    aggregator_id: str | None
    aggregator: Mapping[str, Any] | None
    details: Mapping[str, Any]
    configurations: list[PriceConfiguration] | None


def read_product(body: Mapping[str, Any], current: Product | None = None) -> ProductFields:
    """Read a new product, or the changes to `current`.

    Configurations replace the current ones; one that carries the id of a current one keeps that id.

    Raises:
        ApiError: 400 with every fault, 422 for what is not served, 413 when the details are too large to keep.
    """
    fields = Fields(body)
    kind = current.type if current else fields.choice("type", ProductType, required=True)
    name = fields.name("name", required=current is None or fields.has("name"))
    details = {detail: read(fields, detail) for detail, read in _DETAILS.items() if fields.has(detail)}
    details |= read_credits(fields, held=kind is ProductType.CREDIT, new=current is None)
    aggregator_id, aggregator = _read_aggregator(fields)
    if kind is None:
        fields.refuse_faults()
        raise AssertionError("an unknown type is a fault")
    counted = (aggregator_id, aggregator) != (None, None) or (current is not None and current.aggregator_id is not None)
    if kind is ProductType.DYNAMIC and not counted and not fields.faults:
        fields.fault("aggregator_id", "required", "a dynamic product needs one: send the id of an aggregator")
    configurations = _read_configurations(fields, kind, current)
    fields.refuse_faults()
    if kind not in {ProductType.DYNAMIC, ProductType.SEAT} and counted:
        raise refused(
            f"aggregator_id: dynamic and seat products are counted from events, a {kind} product is not: leave it out"
        )
    merged = {**(current.details if current else {}), **details}
    if len(dumps(merged)) > DETAILS_BYTES_MAX:
        raise too_large(f"the product's details are more than {DETAILS_BYTES_MAX} bytes: keep them elsewhere")
    return ProductFields(name, kind, aggregator_id, aggregator, merged, configurations)


def read_new_prices(rows: Any, product: Product, current: PriceConfiguration) -> PriceConfiguration:
    """Read the rows that take the place of those of one configuration of a product.

    Raises:
        ApiError: 400 with every fault.
    """
    faults: list[Fault] = []
    group = PriceGroup(current.group.metering_filter, read_rows(rows, product.type, (), faults))
    changed = replace(current, group=group)
    if not faults and current.archived_at is None:
        check_configurations(_among(product, changed), product.type, faults)
    if faults:
        raise ApiError(400, faults[0].message, faults)
    return changed


def read_configuration(
    body: Mapping[str, Any], product: Product, current: PriceConfiguration | None = None, plan_id: str | None = None
) -> PriceConfiguration:
    """Read a configuration that a product gets, or the changes to its `current` one; those of a plan are all its own.

    Raises:
        ApiError: 400 with every fault, 409 where another one takes all events of the same customers.
    """
    kept = {} if current is None else current.document()
    reader = Fields({**kept, **body, **({} if plan_id is None else {"plan_id": plan_id})})
    one = _read_configuration(reader, new_id("pri") if current is None else current.id, product.type, ())
    if current is not None:
        one = replace(one, archived_at=current.archived_at)
    reader.refuse_faults()
    if one.archived_at is None:
        check_configurations(_among(product, one), product.type, reader.faults)
    if any(fault.code == "shadowed" for fault in reader.faults):
        message = f"product {product.id} has a price configuration of the same currency, countries, intervals, book"
        message = f"{message} and plan that takes every event: change or archive that one, or tell them apart"
        raise conflict(message)
    reader.refuse_faults()
    return one


def _among(product: Product, one: PriceConfiguration) -> list[PriceConfiguration]:
    """Give those for sale with one in the place of its former self, or as the newest."""
    others = [one if other.id == one.id else other for other in product.configurations]
    return others if one in others else [*others, one]


def _read_aggregator(fields: Fields) -> tuple[str | None, Mapping[str, Any] | None]:
    """Give the id of an aggregator that is there, or the columns of one to be made."""
    named, inner = fields.name("aggregator_id"), fields.object("aggregator")
    if inner is None:
        return named, None
    if inner.raw("id") is not None:
        return named or inner.name("id"), None
    if named is not None:
        return named, None
    try:
        return None, read_aggregator(fields.raw("aggregator"))
    except ApiError as error:
        fields.faults.extend(
            Fault(fault.code, ("aggregator", *fault.path), f"aggregator.{fault.message}") for fault in error.faults
        )
        return None, None


def _read_configurations(fields: Fields, kind: ProductType, current: Product | None) -> list[PriceConfiguration] | None:
    name = "price_configurations"
    if fields.raw(name) is None and (current is not None or kind is ProductType.CREDIT):
        return None  # Credits may be granted without being for sale.
    readers = fields.items(name, items_max=CONFIGURATIONS_MAX)
    if readers is None:
        if fields.raw(name) is None:
            fields.fault(name, "required", "is needed: send an array of configurations with their prices")
        return None
    rows_count = sum(len(rows) for reader in readers if isinstance(rows := reader.raw("prices"), list))
    if rows_count > ROWS_MAX:
        fields.fault(name, "length", f"has {rows_count} price rows in all: {ROWS_MAX} is the most")
        return None
    ids = {one.id for one in current.configurations} if current else set()
    out: list[PriceConfiguration] = []
    for index, reader in enumerate(readers):
        sent_id = reader.raw("id")
        kept = isinstance(sent_id, str) and sent_id in ids
        ids.discard(sent_id if isinstance(sent_id, str) else "")
        path = ("price_configurations", index)
        out.append(_read_configuration(reader, sent_id if kept else new_id("pri"), kind, path))
    if not fields.faults:
        check_configurations(out, kind, fields.faults)
    return out


def _read_configuration(
    reader: Fields, configuration_id: str, kind: ProductType, path: tuple[PathPart, ...]
) -> PriceConfiguration:
    """Read one; what comes back is of no use if a fault was noted."""
    try:
        currency = read_currency(reader.raw("currency"), (*path, "currency"))
    except InvalidPriceError as error:
        currency = ""
        reader.faults.extend(error.faults)
    prices = read_rows(reader.raw("prices"), kind, (*path, "prices"), reader.faults)
    where = read_filter(reader.raw("metering_filter"), (*path, "metering_filter"), reader.faults)
    return PriceConfiguration(
        configuration_id,
        currency,
        _read_countries(reader),
        read_interval(reader, "billing_interval"),
        _read_commitment(reader),
        PriceGroup(where, prices),
        reader.name("price_book_id"),
        reader.name("plan_id"),
    )


def _read_commitment(reader: Fields) -> Interval | None:
    """Read a commitment; `{"period": "all"}` is any, as null is."""
    sent = reader.raw("commitment_interval")
    if isinstance(sent, Mapping) and sent.get("period") == "all":
        return None
    return read_interval(reader, "commitment_interval")


def _read_countries(reader: Fields) -> tuple[str, ...] | None:
    """Read `countries`, or in its place `country`, which names one."""
    countries = reader.names("countries", items_max=COUNTRIES_MAX)
    if countries is None:
        one = None if reader.raw("countries") is not None else reader.name("country")
        countries = None if one is None else [one]
    if countries is None:
        return None
    if reader.faults:
        return ()
    for country in countries:
        if country not in country_codes():
            message = f"{country[:40]!r} is no ISO 3166-1 alpha-2 code: send one such as FR"
            reader.fault("countries", "unknown_value", message)
    return tuple(dict.fromkeys(countries))


def _kept_object(fields: Fields, name: str) -> Any:
    return None if fields.object(name) is None else fields.raw(name)


_DETAILS: Mapping[str, Callable[[Fields, str], Any]] = {
    "description": Fields.text,
    "public_description": Fields.text,
    "description_display_interval_dates": Fields.boolean,
    "unit_name": Fields.name,
    "display_mode": Fields.name,
    "translations": _kept_object,
    "properties": _kept_object,
    "custom_properties": _kept_object,
    "accounting": _kept_object,
}
