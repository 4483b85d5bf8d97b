"""What an explained event and line are over HTTP: the documented fields of an invoice's events, and what adds up."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any
from urllib.parse import quote

import msgspec

from billing.api.invoice_objects import tier_object
from billing.explained.beyond import Reason
from billing.explained.lines import ExplainedEvent, ExplainedLine
from billing.explained.naming import exposed, exposed_keys, name_of, record_of
from billing.explained.standing import Added
from billing.marginal.lines import named_group
from billing.money import MONEY
from metering.http.shapes import (
    ANY_OBJECT,
    INSTANT,
    INTEGER,
    META,
    NUMBER,
    OPTIONAL_TEXT,
    TEXT,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
)
from metering.timestamps import format_instant

_EXACT = described(NUMBER, "Minor units before rounding, to 18 decimals where decimals go on.")
_WHOLE = described(INTEGER, "Minor units.")
_SHARE = {
    "anyOf": [
        object_of(
            {"from": NUMBER, "to": nullable(NUMBER), "quantity": NUMBER, "exact_amount": _EXACT}, title="TierShare"
        ),
        object_of({"adjustment": one_of(("minimum", "maximum")), "exact_amount": _EXACT}, title="ExactAdjustment"),
    ]
}
_TIERS = described(array_of(_SHARE), "What it adds to each tier, and what it leaves: they add up to exact_amount.")
EXPLAINED_EVENT = object_of(
    {
        "id": TEXT,
        "name": described(TEXT, "The aggregator's custom_event_name, else the event type."),
        "event_type": TEXT,
        "timestamp": INSTANT,
        "customer_id": described(TEXT, "As it was sent."),
        "record_id": TEXT,
        "properties": described(ANY_OBJECT, "The aggregator's exposed_event_keys, all when it names none."),
        "quantity": described(NUMBER, "By what it moves the units of the line, on top of those before it."),
        "received_at": INSTANT,
        "versions": object_of({"count": INTEGER, "href": TEXT}),
        "billing": object_of(
            {
                "invoice_id": TEXT,
                "invoice_line_item_id": TEXT,
                "product_id": TEXT,
                "price_name": described(OPTIONAL_TEXT, "The group of a matrix, null where there is none."),
                "price_group": nullable(object_of({"id": TEXT, "name": OPTIONAL_TEXT})),
                "currency": TEXT,
                "amount": described(INTEGER, "Minor units, so shared out that events and entries add up to the line."),
                "amount_excluding_tax": INTEGER,
                "exact_amount": _EXACT,
                "tiers": _TIERS,
            }
        ),
    },
    title="ExplainedEvent",
)
_ENTRY = object_of(
    {
        "reason": one_of([reason.value for reason in Reason]),
        "amount": _WHOLE,
        "exact_amount": _EXACT,
        "tiers": _TIERS,
    },
    title="OwedBeyondEvents",
)
EXPLAINED_LINE = object_of(
    {
        "id": TEXT,
        "product_id": described(OPTIONAL_TEXT, "null for a coupon."),
        "name": TEXT,
        "currency": TEXT,
        "entry_type": one_of(("debit", "credit")),
        "signed_amount": described(INTEGER, "Below 0 for a credit: events and entries add up to this."),
        "units_count": NUMBER,
        "tiers": array_of(ANY_OBJECT),
        "events": object_of({"count": INTEGER, "amount": _WHOLE, "exact_amount": _EXACT}),
        "windows": described(
            array_of(object_of({"starts_at": INSTANT, "ends_at": INSTANT, "events_count": INTEGER})),
            "Of when the usage is: the metering windows that the period bills, in the order of the events.",
        ),
        "entries": described(array_of(_ENTRY), "What the line owes that is no event's price."),
    },
    title="ExplainedLine",
)
EXPLAINED = object_of({"meta": META, "data": array_of(EXPLAINED_EVENT), "lines": array_of(EXPLAINED_LINE)})


def explained_event_object(
    one: ExplainedEvent, invoice_id: str, versions: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    """Give an event as it goes out."""
    event, line = one.counted.event, one.line
    record, aggregator = record_of(event), one.aggregator
    group = named_group(one.product, one.counted.group)
    shown = exposed(record, exposed_keys(aggregator))
    return {
        "id": event.id,
        "name": name_of(aggregator, event, record),
        "event_type": event.event_type,
        "timestamp": format_instant(event.timestamp_us),
        "customer_id": event.customer_id,
        "record_id": event.record_id,
        "properties": {name: msgspec.Raw(raw) for name, raw in shown.items()},
        "quantity": one.quantity,
        "received_at": format_instant(event.received_at_us),
        "versions": {
            "count": versions.get((event.event_type, event.record_id), 1),
            "href": f"/v1/events/{quote(event.event_type, safe='')}/{quote(event.record_id, safe='')}/versions",
        },
        "billing": {
            "invoice_id": invoice_id,
            "invoice_line_item_id": line.id,
            "product_id": one.product.product_id,
            "price_name": None if group is None else group.name,
            "price_group": None if group is None else {"id": group.id, "name": group.name},
            "currency": line.line.currency,
            "amount": one.added.amount,
            "amount_excluding_tax": one.added.amount,
            "exact_amount": one.added.exact,
            "tiers": _shares(one.added),
        },
    }


def explained_line_object(one: ExplainedLine) -> dict[str, Any]:
    """Give a line as it goes out."""
    line = one.line
    return {
        "id": one.id,
        "product_id": line.product_id,
        "name": line.name,
        "currency": line.currency,
        "entry_type": line.entry_type.value,
        "signed_amount": line.signed_amount,
        "units_count": line.units_count,
        "tiers": [tier_object(tier) for tier in line.tiers],
        "events": {
            "count": one.events_count,
            "amount": sum(window.last.amount - window.begun.amount for window in one.windows),
            "exact_amount": _sum(MONEY.subtract(window.last.exact, window.begun.exact) for window in one.windows),
        },
        "windows": [
            {
                "starts_at": format_instant(window.window.start_us),
                "ends_at": format_instant(window.window.end_us),
                "events_count": window.counted.count,
            }
            for window in one.windows
        ],
        "entries": [
            {
                "reason": entry.reason.value,
                "amount": entry.added.amount,
                "exact_amount": entry.added.exact,
                "tiers": _shares(entry.added),
            }
            for entry in (*one.entries, *(entry for window in one.windows for entry in window.entries))
        ],
    }


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(MONEY):
        return sum(amounts, start=Decimal(0))


def _shares(added: Added) -> Sequence[dict[str, Any]]:
    tiers: list[dict[str, Any]] = [
        {"from": key.lower, "to": key.upper, "quantity": share.quantity, "exact_amount": share.exact}
        for key, share in added.tiers
    ]
    return [*tiers, *({"adjustment": kind.value, "exact_amount": one} for kind, one in added.adjustments.items())]
