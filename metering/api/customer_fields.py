"""What a customer is over HTTP: the documented fields, how each is checked, and the object that comes back.

Fields that a figure depends on are columns of the registry. The others are kept in `details` as they were sent, and
come back with the values below when they never were.
"""

from collections.abc import Callable, Mapping
from typing import Any

from metering.http.fields import ITEMS_MAX, Fields
from metering.http.json import dumps
from metering.http.problem import too_large
from metering.http.shapes import (
    ANY_OBJECT,
    INSTANT,
    INTEGER,
    NUMBER,
    OPTIONAL_LONG_TEXT,
    OPTIONAL_NAME,
    OPTIONAL_TEXT,
    TEXT,
    Shape,
    array_of,
    bounded,
    described,
    object_of,
    one_of,
    request_of,
)
from metering.iso import country_codes, currency_codes
from metering.registry.customers import Customer, CustomerStatus, CustomerType
from metering.timestamps import format_instant
from metering.zones import ZoneError, zone_named

DETAILS_BYTES_MAX = 64 * 1024
PERCENT_MAX = 100
PAYMENT_DELAY_DAYS_MAX = 3_650
TAXABILITIES = ("taxable", "exempt")

_ADDRESS_LINES = ("name", "line1", "line2", "zip", "city", "state")

_DETAIL_DEFAULTS: Mapping[str, Any] = {
    "billing_email": None,
    "billing_address": None,
    "shipping_address": None,
    "invoice_emails": [],
    "language": None,
    "domain": None,
    "registration_number": None,
    "vat_number": None,
    "tax_ids": [],
    "tax_rate_custom": None,
    "vat_rate_custom": None,
    "taxability": None,
    "organisation_id": None,
    "organisation_invoicing": None,
    "invoicing_entity_id": None,
    "payment_method_type": None,
    "price_book_id": None,
    "custom_payment_delay": None,
    "custom_properties": {},
    "properties": {},
}


def read_customer(body: Mapping[str, Any], current: Customer | None = None) -> dict[str, Any]:
    """Give the columns that a body sets: of a new customer, or of `current`, whose absent fields stay as they are.

    Raises:
        ApiError: 400 with every fault, 413 when the details are too large to keep.
    """
    fields = Fields(body)
    values: dict[str, Any] = {name: read(fields) for name, read in _COLUMNS.items() if fields.has(name)}
    details = {name: read(fields, name) for name, read in _DETAILS.items() if fields.has(name)}
    _check_type(fields, values, current)
    if current is None and fields.raw("name") is None and fields.raw("external_id") is None:
        fields.fault("name", "required", "is needed, or an external_id: send what the customer is called")
    fields.refuse_faults()
    if details.get("billing_address") and not fields.has("country"):
        values["country"] = details["billing_address"].get("country")
    if values.get("type", ...) is None:
        del values["type"]
    merged = {**(current.details if current else {}), **details}
    if len(dumps(merged)) > DETAILS_BYTES_MAX:
        raise too_large(f"the customer's details are more than {DETAILS_BYTES_MAX} bytes: keep them elsewhere")
    return {**values, "details": merged}


def customer_object(customer: Customer) -> dict[str, Any]:
    """Give the customer as it goes out."""
    details = {name: customer.details.get(name, default) for name, default in _DETAIL_DEFAULTS.items()}
    return {
        "id": customer.id,
        "external_id": customer.external_id,
        "type": customer.type.value,
        "name": customer.name,
        "status": customer.status.value,
        "currency": customer.currency,
        "country": customer.country,
        "timezone": customer.timezone,
        **details,
        "created_at": format_instant(customer.created_at),
        "updated_at": format_instant(customer.updated_at),
    }


def _check_type(fields: Fields, values: Mapping[str, Any], current: Customer | None) -> None:
    """Refuse to make by hand what only events make; the type of such a customer may be sent back unchanged."""
    if values.get("type") is CustomerType.AUTOMATICALLY_CREATED and (
        current is None or current.type is not CustomerType.AUTOMATICALLY_CREATED
    ):
        fields.fault("type", "unknown_value", "only events make a customer of this type: send corporate or person")


def _currency(fields: Fields) -> str | None:
    code = fields.name("currency")
    if code is not None and code not in currency_codes():
        fields.fault("currency", "unknown_value", f"{code[:40]!r} is no ISO 4217 code: send one such as EUR")
    return code


def _country(fields: Fields) -> str | None:
    code = fields.name("country")
    if code is not None and code not in country_codes():
        fields.fault("country", "unknown_value", f"{code[:40]!r} is no ISO 3166-1 alpha-2 code: send one such as FR")
    return code


def _timezone(fields: Fields) -> str | None:
    name = fields.name("timezone")
    if name is None:
        return None
    try:
        return zone_named(name).key
    except ZoneError as error:
        fields.fault("timezone", "unknown_value", str(error))
        return None


def _address(fields: Fields, name: str) -> Any:
    address = fields.object(name)
    if address is None:
        return None
    out: dict[str, Any] = {line: address.text(line) for line in _ADDRESS_LINES if address.has(line)}
    if address.has("country"):
        out["country"] = _country(address)
    return out


def _taxability(fields: Fields, name: str) -> Any:
    value = fields.name(name)
    if value is not None and value not in TAXABILITIES:
        fields.fault(name, "unknown_value", f"{value[:40]!r} is not one of {', '.join(TAXABILITIES)}")
    return value


def _percent(fields: Fields, name: str) -> Any:
    return fields.number(name, least=0, most=PERCENT_MAX)


def _delay(fields: Fields, name: str) -> Any:
    return fields.integer(name, least=0, most=PAYMENT_DELAY_DAYS_MAX)


def _kept_object(fields: Fields, name: str) -> Any:
    value = fields.object(name)
    return {} if value is None else fields.raw(name)


def _tax_ids(fields: Fields, name: str) -> Any:
    return fields.array(name) or []


_COLUMNS: Mapping[str, Callable[[Fields], Any]] = {
    "type": lambda fields: fields.choice("type", CustomerType),
    "external_id": lambda fields: fields.name("external_id"),
    "name": lambda fields: fields.name("name"),
    "currency": _currency,
    "country": _country,
    "timezone": _timezone,
}
_DETAILS: Mapping[str, Callable[[Fields, str], Any]] = {
    "billing_email": Fields.email,
    "billing_address": _address,
    "shipping_address": _address,
    "invoice_emails": Fields.emails,
    "language": Fields.text,
    "domain": Fields.text,
    "registration_number": Fields.text,
    "vat_number": Fields.text,
    "tax_ids": _tax_ids,
    "tax_rate_custom": _percent,
    "vat_rate_custom": _percent,
    "taxability": _taxability,
    "organisation_id": Fields.name,
    "organisation_invoicing": Fields.boolean,
    "invoicing_entity_id": Fields.name,
    "payment_method_type": Fields.text,
    "price_book_id": Fields.name,
    "custom_payment_delay": _delay,
    "custom_properties": _kept_object,
    "properties": _kept_object,
}

_PERCENT: Shape = {**bounded(NUMBER, 0, PERCENT_MAX), "type": ["number", "null"]}
_COUNTRY: Shape = {**OPTIONAL_TEXT, "pattern": "^[A-Z]{2}$"}
_CURRENCY: Shape = {**OPTIONAL_TEXT, "pattern": "^[A-Z]{3}$"}
_EMAIL: Shape = {"type": "string", "maxLength": 254}
_ADDRESS_SHAPE: Shape = {
    **object_of({**dict.fromkeys(_ADDRESS_LINES, OPTIONAL_LONG_TEXT), "country": _COUNTRY}, required=()),
    "type": ["object", "null"],
}
_DETAIL_SHAPES: Mapping[str, Shape] = {
    "billing_email": {**_EMAIL, "type": ["string", "null"]},
    "billing_address": _ADDRESS_SHAPE,
    "shipping_address": _ADDRESS_SHAPE,
    "invoice_emails": array_of(_EMAIL, most=ITEMS_MAX),
    "language": OPTIONAL_LONG_TEXT,
    "domain": OPTIONAL_LONG_TEXT,
    "registration_number": OPTIONAL_LONG_TEXT,
    "vat_number": OPTIONAL_LONG_TEXT,
    "tax_ids": array_of({}, most=ITEMS_MAX),
    "tax_rate_custom": _PERCENT,
    "vat_rate_custom": _PERCENT,
    "taxability": one_of(TAXABILITIES, optional=True),
    "organisation_id": OPTIONAL_NAME,
    "organisation_invoicing": {"type": ["boolean", "null"]},
    "invoicing_entity_id": OPTIONAL_NAME,
    "payment_method_type": OPTIONAL_LONG_TEXT,
    "price_book_id": described(OPTIONAL_NAME, "Whose prices new subscriptions get first."),
    "custom_payment_delay": described(
        {**bounded(INTEGER, 0, PAYMENT_DELAY_DAYS_MAX), "type": ["integer", "null"]}, "Days until an invoice is due."
    ),
    "custom_properties": ANY_OBJECT,
    "properties": ANY_OBJECT,
}
_COLUMN_SHAPES: Mapping[str, Shape] = {
    "external_id": described(OPTIONAL_NAME, "Your id of the customer; events may name it."),
    "name": OPTIONAL_NAME,
    "currency": described(_CURRENCY, "ISO 4217."),
    "country": described(_COUNTRY, "ISO 3166-1 alpha-2; the billing address's when absent."),
    "timezone": described(OPTIONAL_NAME, "IANA name; UTC when there is none."),
}
CUSTOMER_BODY: Shape = request_of(
    {"type": one_of(("corporate", "person")), **_COLUMN_SHAPES, **_DETAIL_SHAPES}, title="CustomerFields"
)
NEW_CUSTOMER_BODY: Shape = {
    **CUSTOMER_BODY,
    "title": "NewCustomer",
    "anyOf": [object_of({"name": TEXT}), object_of({"external_id": TEXT})],
}
CUSTOMER: Shape = object_of(
    {
        "id": TEXT,
        "type": one_of([kind.value for kind in CustomerType]),
        "status": one_of([status.value for status in CustomerStatus]),
        **_COLUMN_SHAPES,
        **_DETAIL_SHAPES,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Customer",
)
