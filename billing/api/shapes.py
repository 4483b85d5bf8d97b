"""What billing's requests and answers look like, as JSON Schema fragments."""

from billing.catalog.credits import GrantMode
from billing.catalog.model import ProductStatus, ProductType
from billing.interval import COUNT_MAX
from billing.invoices.model import InvoiceStatus
from billing.money import AMOUNT_MAX
from billing.periods import BillingCycleAlignment
from billing.pricing import MODELS
from billing.subscriptions.model import SubscriptionStatus
from billing.subscriptions.reading import PRODUCTS_MAX
from billing.windows import MeteringIntervalType
from metering.api.aggregator_fields import AGGREGATOR, FILTER
from metering.http.shapes import (
    ANY_OBJECT,
    BOOLEAN,
    INSTANT,
    INTEGER,
    NAME,
    NUMBER,
    OPTIONAL_INSTANT,
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
from metering.windows import Period

_OPTIONAL_NUMBER: Shape = {"type": ["number", "null"]}
_CURRENCY: Shape = {**TEXT, "pattern": "^[A-Z]{3}$"}
_AMOUNT = bounded(INTEGER, 0, AMOUNT_MAX)
_MODES = one_of(("pro_rata", "pay_in_full", "do_not_charge"), optional=True)


def _optional(shape: Shape) -> Shape:
    return {"anyOf": [shape, {"type": "null"}]}


_INTERVAL_FIELDS = {
    "period": one_of([period.value for period in Period]),
    "count": bounded(INTEGER, 1, COUNT_MAX),
}
INTERVAL = object_of(_INTERVAL_FIELDS, title="Interval")
NEW_INTERVAL = request_of(_INTERVAL_FIELDS, title="NewInterval", required=("period",))
ROW = object_of(
    {
        "type": one_of(list(MODELS)),
        "amount": described(NUMBER, "Minor units for `unit_count` units; may have decimals."),
        "count": NUMBER,
        "unit_count": NUMBER,
        "from": NUMBER,
        "to": described(_OPTIONAL_NUMBER, "Included; null is without end."),
        "on_tier_incomplete": _MODES,
        "on_bucket_incomplete": _MODES,
        "percentage": described(NUMBER, "0.5 is half a percent."),
        "per_unit_floor": _OPTIONAL_NUMBER,
        "per_unit_cap": _OPTIONAL_NUMBER,
        "per_unit_fee": _OPTIONAL_NUMBER,
    },
    title="PriceRow",
    required=("type",),
)
ROWS = array_of(ROW)
METERING_FILTER = object_of({"name": OPTIONAL_TEXT, "configuration": FILTER}, title="MeteringFilter", required=())
_CONFIGURATION_FIELDS = {
    "currency": described(_CURRENCY, "ISO 4217."),
    "countries": described(_optional(array_of(TEXT)), "null is everywhere, [] customers without a country."),
    "billing_interval": _optional(INTERVAL),
    "commitment_interval": _optional(INTERVAL),
    "metering_filter": _optional(METERING_FILTER),
    "prices": ROWS,
}
NEW_CONFIGURATION = request_of(
    {
        **_CONFIGURATION_FIELDS,
        "billing_interval": NEW_INTERVAL,
        "commitment_interval": NEW_INTERVAL,
    },
    title="NewPriceConfiguration",
    required=("currency", "prices"),
)
CONFIGURATION = object_of(
    {
        "id": TEXT,
        "product_id": TEXT,
        "price_book_id": OPTIONAL_TEXT,
        "status": one_of(("active",)),
        "type": one_of(list(MODELS)),
        **_CONFIGURATION_FIELDS,
    },
    title="PriceConfiguration",
)
_DETAILS = {
    "description": OPTIONAL_TEXT,
    "public_description": OPTIONAL_TEXT,
    "description_display_interval_dates": _optional(BOOLEAN),
    "unit_name": OPTIONAL_TEXT,
    "display_mode": OPTIONAL_TEXT,
    "translations": _optional(ANY_OBJECT),
    "properties": _optional(ANY_OBJECT),
    "custom_properties": _optional(ANY_OBJECT),
    "accounting": _optional(ANY_OBJECT),
}
_CREDITS = {
    "credit_aggregators": array_of(
        object_of(
            {"aggregator_id": TEXT, "weight": described(NUMBER, "Credits for each unit of usage; above 0.")},
            title="CreditAggregator",
            required=("aggregator_id", "weight"),
        )
    ),
    "low_credits_threshold": _optional(NUMBER),
    "credits_grant_mode": one_of([mode.value for mode in GrantMode], optional=True),
}
_PRODUCT_TYPE = one_of([kind.value for kind in ProductType])
_PRODUCT_FIELDS = {
    "name": NAME,
    "aggregator_id": described(OPTIONAL_TEXT, "What a dynamic product is counted by."),
    "aggregator": described(ANY_OBJECT, "In its place: an aggregator by its id, or one to be created."),
    "price_configurations": array_of(NEW_CONFIGURATION),
    **_DETAILS,
    **_CREDITS,
}
NEW_PRODUCT_BODY = request_of({"type": _PRODUCT_TYPE, **_PRODUCT_FIELDS}, title="NewProduct", required=("name", "type"))
PRODUCT_BODY = request_of(_PRODUCT_FIELDS, title="ProductFields", never_null=("name",))
PRODUCT = object_of(
    {
        "id": TEXT,
        "name": TEXT,
        "type": _PRODUCT_TYPE,
        "status": one_of([status.value for status in ProductStatus]),
        "aggregator_id": OPTIONAL_TEXT,
        "aggregator": _optional(AGGREGATOR),
        "price_configurations": array_of(CONFIGURATION),
        **_DETAILS,
        **_CREDITS,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Product",
)

_TERMS = {
    "count": described(NUMBER, "1 when absent."),
    "min_amount": _optional(_AMOUNT),
    "max_amount": _optional(_AMOUNT),
    "min_committed_count": _OPTIONAL_NUMBER,
}
_WINDOW = one_of([kind.value for kind in MeteringIntervalType])
_ALIGNMENT = one_of([alignment.value for alignment in BillingCycleAlignment])
NEW_SUBSCRIPTION_BODY = request_of(
    {
        "customer_id": described(NAME, "Our id or the external id."),
        "name": OPTIONAL_NAME,
        "currency": described(_CURRENCY, "The customer's when absent."),
        "commitment_interval": described(NEW_INTERVAL, "How long the customer is committed."),
        "billing_cycle_alignment": described(
            _ALIGNMENT, "With what periods begin: the calendar's, when absent, or the day of the start."
        ),
        "starts_at": described({**NAME, "maxLength": 64}, "A date-time, or a date in the customer's time zone."),
        "activation_strategy": one_of(("start_date",)),
        "products": array_of(
            request_of(
                {
                    "id": NAME,
                    "payment_interval": NEW_INTERVAL,
                    **_TERMS,
                    "metering_interval_type": described(_WINDOW, "Of when the usage is that a period bills."),
                    "metering_interval": described(NEW_INTERVAL, "For the type custom."),
                    "metering_interval_start_at": described(
                        {**NAME, "maxLength": 64}, "For the type custom: where the first window begins."
                    ),
                    "bill_usage_difference": described(
                        BOOLEAN, "Bill what a period adds to its window; not for payment_interval."
                    ),
                    "prices": described(ROWS, "In place of the catalog's."),
                },
                title="NewSubscriptionProduct",
                required=("id", "payment_interval"),
            ),
            least=1,
            most=PRODUCTS_MAX,
        ),
    },
    title="NewSubscription",
    required=("customer_id", "starts_at", "products"),
)
SUBSCRIPTION = object_of(
    {
        "id": TEXT,
        "name": OPTIONAL_TEXT,
        "status": one_of([status.value for status in SubscriptionStatus]),
        "customer_id": TEXT,
        "currency": TEXT,
        "timezone": TEXT,
        "activation_strategy": one_of(("start_date",)),
        "commitment_interval": _optional(INTERVAL),
        "billing_cycle_alignment": _ALIGNMENT,
        "starts_at": INSTANT,
        "cancelled_at": OPTIONAL_INSTANT,
        "products": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "aggregator_id": OPTIONAL_TEXT,
                    "payment_interval": INTERVAL,
                    **_TERMS,
                    "metering_interval_type": _WINDOW,
                    "metering_interval": _optional(INTERVAL),
                    "metering_interval_start_at": OPTIONAL_INSTANT,
                    "bill_usage_difference": BOOLEAN,
                    "prices": _optional(ROWS),
                    "price_groups": _optional(
                        array_of(object_of({"metering_filter": _optional(METERING_FILTER), "prices": ROWS}))
                    ),
                },
                title="SubscriptionProduct",
            )
        ),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Subscription",
)

_ADJUSTMENT = object_of({"adjustment": TEXT, "amount": INTEGER}, title="Adjustment")
_TIER: Shape = {
    "anyOf": [
        object_of({"from": NUMBER, "to": _OPTIONAL_NUMBER, "quantity": NUMBER, "amount": INTEGER}, title="RatedTier"),
        _ADJUSTMENT,
    ]
}
INVOICE = object_of(
    {
        "id": TEXT,
        "status": one_of([status.value for status in InvoiceStatus]),
        "customer": object_of({"id": TEXT, "external_id": OPTIONAL_TEXT}),
        "subscription_id": TEXT,
        "currency": TEXT,
        "period_starts_at": INSTANT,
        "period_ends_at": INSTANT,
        "amount_excluding_tax": INTEGER,
        "tax_amount": INTEGER,
        "total_amount": INTEGER,
        "line_items": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "product_id": TEXT,
                    "entry_type": one_of(("debit", "credit")),
                    "units_count": NUMBER,
                    "currency": TEXT,
                    "amount": INTEGER,
                    "tiers": array_of(_TIER),
                },
                title="LineItem",
            )
        ),
    },
    title="Invoice",
)

PREVIEW_BODY = request_of(
    {
        "currency": _CURRENCY,
        "prices": ROWS,
        "quantities": array_of(NUMBER),
        "events": described(array_of(NUMBER), "In place of quantities, for prices of each event."),
        "price_groups": array_of(object_of({"prices": ROWS, "quantity": NUMBER})),
        **_TERMS,
        "allow_negative_values": BOOLEAN,
    },
    title="PricePreviewRequest",
    required=("currency",),
)
PREVIEW = object_of(
    {"amounts": array_of(object_of({"quantity": NUMBER, "amount": INTEGER, "tiers": array_of(_TIER)}))},
    title="PricePreview",
)
