"""What billing's requests and answers look like, as JSON Schema fragments."""

from billing.catalog.coupons import Repeat
from billing.catalog.credits import GrantMode
from billing.catalog.groups import GROUPS_MAX
from billing.catalog.model import ProductStatus, ProductType
from billing.interval import COUNT_MAX
from billing.invoices.model import InvoiceStatus
from billing.money import AMOUNT_MAX
from billing.periods import BillingCycleAlignment
from billing.pricing import MODELS
from billing.subscriptions.changes import CalculationMethod, ChangeType, Precision
from billing.subscriptions.credit_terms import DAYS_MAX
from billing.subscriptions.model import SubscriptionStatus
from billing.subscriptions.reading import COUPONS_MAX, PRODUCTS_MAX
from billing.subscriptions.seats import (
    CHARGING_METHODS,
    INVOICING_SCHEDULES,
    ApplicationSchedule,
    RefreshSchedule,
)
from billing.subscriptions.updating import APPLICATION_SCHEDULES, PAYMENT_SCHEDULES, TYPES, UPDATES_MAX, CouponUpdate
from billing.subscriptions.upfront import PaymentSchedule, UpfrontKind
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
    OPTIONAL_LONG_TEXT,
    OPTIONAL_NAME,
    OPTIONAL_TEXT,
    TEXT,
    Shape,
    array_of,
    bounded,
    described,
    nullable,
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
GROUPS = array_of(object_of({"metering_filter": _optional(METERING_FILTER), "prices": ROWS}))
NEW_GROUPS = array_of(
    object_of({"metering_filter": _optional(METERING_FILTER), "prices": ROWS}, required=("prices",)), most=GROUPS_MAX
)
_CONFIGURATION_FIELDS = {
    "currency": described(_CURRENCY, "ISO 4217."),
    "countries": described(_optional(array_of(TEXT)), "null is everywhere, [] customers without a country."),
    "price_book_id": described(OPTIONAL_NAME, "null is the default catalog."),
    "plan_id": described(OPTIONAL_NAME, "For subscriptions from this plan alone; null is for all."),
    "billing_interval": _optional(INTERVAL),
    "commitment_interval": _optional(INTERVAL),
    "metering_filter": _optional(METERING_FILTER),
    "prices": ROWS,
}
_ANY_COMMITMENT: Shape = {"anyOf": [NEW_INTERVAL, object_of({"period": one_of(("all",))})]}
_SENT_CONFIGURATION = {
    **_CONFIGURATION_FIELDS,
    "country": described(OPTIONAL_TEXT, "One country, in place of countries."),
    "billing_interval": NEW_INTERVAL,
    "commitment_interval": _ANY_COMMITMENT,
}
NEW_CONFIGURATION = request_of(_SENT_CONFIGURATION, title="NewPriceConfiguration", required=("currency", "prices"))
NEW_CONFIGURATION_BODY = request_of(
    {"product_id": NAME, **_SENT_CONFIGURATION},
    title="NewPriceConfigurationOfProduct",
    required=("product_id", "currency", "prices"),
)
CONFIGURATION_BODY = request_of(
    _SENT_CONFIGURATION, title="PriceConfigurationFields", never_null=("currency", "prices")
)
CONFIGURATION = object_of(
    {
        "id": TEXT,
        "product_id": TEXT,
        "status": one_of([status.value for status in ProductStatus]),
        "type": one_of(list(MODELS)),
        **_CONFIGURATION_FIELDS,
        "country": OPTIONAL_TEXT,
        "archived_at": OPTIONAL_INSTANT,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="PriceConfiguration",
)
PRICE_VERSION = object_of(
    {
        "version": INTEGER,
        "prices": ROWS,
        "valid_from": INSTANT,
        "valid_until": OPTIONAL_INSTANT,
        "current": BOOLEAN,
    },
    title="PriceVersion",
)
_PRICE_BOOK_FIELDS = {"name": NAME, "description": OPTIONAL_LONG_TEXT, "user_role_ids": array_of(NAME, most=100)}
PRICE_BOOK_BODY = request_of(_PRICE_BOOK_FIELDS, title="PriceBookFields", never_null=("name",))
NEW_PRICE_BOOK_BODY = request_of(_PRICE_BOOK_FIELDS, title="NewPriceBook", required=("name",))
PRICE_BOOK = object_of(
    {
        "id": TEXT,
        "name": TEXT,
        "description": OPTIONAL_TEXT,
        "user_role_ids": array_of(TEXT),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="PriceBook",
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
    "aggregator_id": described(OPTIONAL_TEXT, "What counts a dynamic product, or connected seats."),
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
    "count": described(NUMBER, "1 when absent; connected seats begin with what is read first."),
    "min_amount": _optional(_AMOUNT),
    "max_amount": _optional(_AMOUNT),
    "min_committed_count": _OPTIONAL_NUMBER,
}
_WINDOW = one_of([kind.value for kind in MeteringIntervalType])
_SEATS = {
    "seat_refresh_schedule": described(
        one_of([one.value for one in RefreshSchedule]), "When the count of connected seats is read; realtime if absent."
    ),
    "seat_refresh_interval": described(NEW_INTERVAL, "For the schedule periodic."),
    "seat_application_schedule": described(
        one_of([one.value for one in ApplicationSchedule]), "From when the subscription shows a count that was read."
    ),
    "seat_invoicing_schedule": described(
        one_of(INVOICING_SCHEDULES),
        "Invoices are live: changes are in that of their period, with custom in those of an interval.",
    ),
    "seat_invoicing_interval": described(NEW_INTERVAL, "For the invoicing schedule custom."),
    "charging_method": described(
        one_of(CHARGING_METHODS), "What of the running period is charged for another count; prorata if absent."
    ),
    "charging_precision": described(
        one_of([one.value for one in Precision]), "In what its share is counted: calendar days, if absent."
    ),
    "charge_highest_value": described(BOOLEAN, "A lower count holds from the next period on."),
    "refund_on_decrease": described(BOOLEAN, "A lower count gives back what is left of the period."),
}
_SCHEDULE = one_of([schedule.value for schedule in PaymentSchedule])
_LASTING = {
    "credits_expiration_in_days": described(bounded(INTEGER, 1, DAYS_MAX), "So long a period's credits last."),
    "expire_credits_at_end_of_period": described(BOOLEAN, "A period's credits are no more when it ends."),
}
_ALIGNMENT = one_of([alignment.value for alignment in BillingCycleAlignment])
_NEW_PRODUCT_TERMS = {
    "payment_interval": described(NEW_INTERVAL, "Needed, but for products of the plan."),
    **_TERMS,
    "metering_interval_type": described(_WINDOW, "Of when the usage is that a period bills."),
    "metering_interval": described(NEW_INTERVAL, "For the type custom."),
    "metering_interval_start_at": described(
        {**NAME, "maxLength": 64}, "For the type custom: where the first window begins."
    ),
    "bill_usage_difference": described(BOOLEAN, "Bill what a period adds to its window; not for payment_interval."),
    "price_book_id": described(OPTIONAL_NAME, "Whose prices are asked first; the subscription's when absent."),
    "payment_schedule": described(
        _SCHEDULE, "Usage is billed at the end of its period; at the start, by that of the one before, with a true-up."
    ),
    **_SEATS,
    **_LASTING,
}
_NEW_SUBSCRIPTION_PRODUCT = {
    "id": NAME,
    **_NEW_PRODUCT_TERMS,
    "prices": described(ROWS, "In place of the catalog's."),
    "price": described(ROW, "In place of the catalog's, for prices of one row."),
    "price_groups": described(NEW_GROUPS, "In place of the catalog's: a matrix, whose groups take events in order."),
}
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
                _NEW_SUBSCRIPTION_PRODUCT,
                title="NewSubscriptionProduct",
                required=("id",),
            ),
            most=PRODUCTS_MAX,
        ),
        "plan_id": described(OPTIONAL_NAME, "The plan whose products and terms it starts with."),
        "price_book_id": described(OPTIONAL_NAME, "Whose prices are asked first; the customer's when absent."),
        "coupons": array_of(
            request_of(
                {"id": NAME, "product_ids": array_of(NAME, most=PRODUCTS_MAX)},
                title="NewSubscriptionCoupon",
                required=("id",),
            ),
            most=COUPONS_MAX,
        ),
    },
    title="NewSubscription",
    required=("customer_id", "starts_at"),
)
_PLAN_FIELDS = {
    "name": NAME,
    "description": OPTIONAL_LONG_TEXT,
    "commitment_interval": NEW_INTERVAL,
    "billing_cycle_alignment": _ALIGNMENT,
    "properties": ANY_OBJECT,
    "custom_properties": ANY_OBJECT,
    "products": array_of(
        request_of(
            {
                "id": NAME,
                **_NEW_PRODUCT_TERMS,
                "price_configurations": described(
                    array_of(NEW_CONFIGURATION), "Prices of the plan's own, before those of the catalog."
                ),
            },
            title="PlanProductFields",
            required=("id", "payment_interval"),
        ),
        most=PRODUCTS_MAX,
    ),
}
PLAN_BODY = request_of(_PLAN_FIELDS, title="PlanFields", never_null=("name",))
NEW_PLAN_BODY = request_of(_PLAN_FIELDS, title="NewPlan", required=("name",))
PLAN = object_of(
    {
        "id": TEXT,
        "name": TEXT,
        "status": one_of([status.value for status in ProductStatus]),
        "description": OPTIONAL_TEXT,
        "commitment_interval": _optional(INTERVAL),
        "billing_cycle_alignment": {"anyOf": [_ALIGNMENT, {"type": "null"}]},
        "properties": _optional(ANY_OBJECT),
        "custom_properties": _optional(ANY_OBJECT),
        "products": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "type": _PRODUCT_TYPE,
                    "payment_interval": NEW_INTERVAL,
                    **{
                        name: nullable(shape)
                        for name, shape in _NEW_PRODUCT_TERMS.items()
                        if name != "payment_interval"
                    },
                    "price_configurations": array_of(CONFIGURATION),
                },
                title="PlanProduct",
            )
        ),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Plan",
)
SUBSCRIPTION = object_of(
    {
        "id": TEXT,
        "name": OPTIONAL_TEXT,
        "status": one_of([status.value for status in SubscriptionStatus]),
        "customer_id": TEXT,
        "plan_id": OPTIONAL_TEXT,
        "price_book_id": OPTIONAL_TEXT,
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
                    "payment_schedule": _SCHEDULE,
                    "price_book_id": described(OPTIONAL_TEXT, "Of which its prices are; null is the default catalog."),
                    "price_configuration_ids": described(array_of(TEXT), "From which its prices were taken."),
                    "prices": _optional(ROWS),
                    "price_groups": _optional(GROUPS),
                    **{name: nullable(shape) for name, shape in (*_SEATS.items(), *_LASTING.items())},
                    "credits_grant_mode": one_of([mode.value for mode in GrantMode], optional=True),
                },
                title="SubscriptionProduct",
            )
        ),
        "coupons": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "discount_amount": nullable(INTEGER),
                    "currency": OPTIONAL_TEXT,
                    "discount_percent": _OPTIONAL_NUMBER,
                    "repeat": one_of([repeat.value for repeat in Repeat]),
                    "duration_count": nullable(INTEGER),
                    "duration_period": OPTIONAL_TEXT,
                    "product_ids": _optional(array_of(TEXT)),
                    "applied_at": INSTANT,
                    "removed_at": described(OPTIONAL_INSTANT, "From when on it is there no more."),
                },
                title="SubscriptionCoupon",
            )
        ),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Subscription",
)

_METHODS = one_of([method.value for method in CalculationMethod])
_UPDATE_FIELDS = {
    "type": one_of(TYPES),
    "payload": described(
        request_of(
            {
                "product_id": described(NAME, "Needed, but for coupons."),
                "coupon_id": described(NAME, "Of add_coupon and remove_coupon."),
                "product_ids": described(
                    array_of(NAME, most=PRODUCTS_MAX), "Of add_coupon: whose lines it discounts; all that it is for."
                ),
                **_NEW_PRODUCT_TERMS,
                "billing_interval_period": described(TEXT, "In place of payment_interval."),
                "billing_interval_count": INTEGER,
                "prices": described(ROWS, "Of an added product, in place of the catalog's; or the new ones."),
                "price_groups": described(NEW_GROUPS, "In place of prices: a matrix."),
            },
            title="SubscriptionUpdatePayload",
        ),
        "The terms of what is added as in a new subscription; `count` of update_count, `prices` of update_prices.",
    ),
}
_UPDATE_TERMS = {
    "application_schedule": one_of(APPLICATION_SCHEDULES),
    "apply_at": described({**NAME, "maxLength": 64}, "For scheduled: a date-time, or a date in the customer's zone."),
    "payment_schedule": described(one_of(PAYMENT_SCHEDULES), "Invoices are live: it is in that of the period."),
    "calculation_method": described(
        _METHODS, "What of the running period is charged or given back; pro_rata if absent."
    ),
    "precision": described(one_of([one.value for one in Precision]), "In what its share is counted: calendar days."),
}
UPDATE_BODY = request_of(
    {**_UPDATE_TERMS, **_UPDATE_FIELDS}, title="SubscriptionUpdateRequest", required=("type", "payload")
)
UPDATES_BODY = request_of(
    {
        **_UPDATE_TERMS,
        "updates": array_of(
            request_of(_UPDATE_FIELDS, title="SubscriptionUpdateItem", required=("type", "payload")),
            least=1,
            most=UPDATES_MAX,
        ),
    },
    title="SubscriptionUpdatesRequest",
    required=("updates",),
)
UPDATE = object_of(
    {
        "id": TEXT,
        "subscription_id": TEXT,
        "product_id": described(OPTIONAL_TEXT, "null for a coupon."),
        "coupon_id": OPTIONAL_TEXT,
        "product_ids": described(_optional(array_of(TEXT)), "Whose lines a coupon discounts; null is all."),
        "type": one_of([kind.value for kind in (*ChangeType, *CouponUpdate)]),
        "effective_at": INSTANT,
        "calculation_method": _METHODS,
        "precision": one_of([one.value for one in Precision]),
        "count": _OPTIONAL_NUMBER,
        "prices": _optional(ROWS),
        "price_groups": described(_optional(GROUPS), "In place of prices, where they are a matrix."),
        "cutoff": described(OPTIONAL_TEXT, "Of a count that was read: up to where usage was counted."),
        "reason": described(one_of([one.value for one in RefreshSchedule], optional=True), "Why it was read."),
        "created_at": INSTANT,
    },
    title="SubscriptionUpdate",
)
SEAT_UPDATE = object_of(
    {
        "id": TEXT,
        "application_schedule": one_of([one.value for one in ApplicationSchedule]),
        "apply_at": described(INSTANT, "From when the count holds."),
        "payment_schedule": one_of(INVOICING_SCHEDULES),
        "calculation_method": _METHODS,
        "adjustment_amount": described(
            nullable(INTEGER), "What it adds to the running period, below 0 gives back; null is beyond 64 bits."
        ),
        "subscription_id": TEXT,
        "product_id": TEXT,
        "previous_count": NUMBER,
        "new_count": NUMBER,
        "next_refresh_date": described(OPTIONAL_INSTANT, "Where seats are refreshed periodically."),
    },
    title="SeatUpdate",
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
        "discount_amount": described(INTEGER, "What coupons take off, each a line of its own."),
        "coupons": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "discount_amount": INTEGER,
                    "discount_percent": _OPTIONAL_NUMBER,
                    "line_item_ids": described(array_of(TEXT), "The lines that it is about."),
                },
                title="InvoiceCoupon",
            )
        ),
        "line_items": array_of(
            object_of(
                {
                    "id": TEXT,
                    "name": TEXT,
                    "product_id": described(OPTIONAL_TEXT, "null for a coupon."),
                    "coupon_id": OPTIONAL_TEXT,
                    "entry_type": one_of(("debit", "credit")),
                    "units_count": NUMBER,
                    "currency": TEXT,
                    "amount": INTEGER,
                    "period_starts_at": described(INSTANT, "Of when the line is: often that of the invoice."),
                    "period_ends_at": INSTANT,
                    "upfront": described(
                        one_of([kind.value for kind in UpfrontKind], optional=True),
                        "Of usage that is billed upfront: the advance for a period, or the true-up that settles it.",
                    ),
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
