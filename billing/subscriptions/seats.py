"""What is agreed about connected seats: a seat product whose count is read from an aggregator."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from billing.interval import Interval, read_interval
from billing.subscriptions.changes import CalculationMethod, Precision
from metering.http.fields import Fields

PRO_RATA = "prorata"
"""What `charging_method` calls `pro_rata`; both are taken."""
CHARGING_METHODS = (PRO_RATA, *(method.value for method in CalculationMethod))
CUSTOM = "custom"
INVOICING_SCHEDULES = ("immediately", "next_invoice", CUSTOM)
FIELDS = (
    "seat_refresh_schedule",
    "seat_refresh_interval",
    "seat_application_schedule",
    "seat_invoicing_schedule",
    "seat_invoicing_interval",
    "charging_method",
    "charging_precision",
    "charge_highest_value",
    "refund_on_decrease",
)
"""What a request says of connected seats."""


class RefreshSchedule(StrEnum):
    """When the count is read."""

    REALTIME = "realtime"
    """As soon as usage changed it."""
    PERIODIC = "periodic"
    """At the end of each interval."""
    MANUAL = "manual"
    """When a client asks for it."""


class ApplicationSchedule(StrEnum):
    """From when a subscription shows another count; it is charged from when it was read, whatever this says."""

    IMMEDIATELY = "immediately"
    NEXT_PERIOD = "next_period"


@dataclass(frozen=True, slots=True)
class SeatTerms:
    """How a count is refreshed and charged. `interval` is there for the periodic schedule alone.

    `invoicing_interval` is that of the invoices in which changes are, of the schedule `custom` alone.
    """

    refresh: RefreshSchedule = RefreshSchedule.REALTIME
    interval: Interval | None = None
    application: ApplicationSchedule = ApplicationSchedule.IMMEDIATELY
    invoicing: str = "immediately"
    method: CalculationMethod = CalculationMethod.PRO_RATA
    precision: Precision = Precision.CALENDAR_DAYS
    charges_highest: bool = False
    refunds: bool = False
    invoicing_interval: Interval | None = None

    def document(self) -> dict[str, Any]:
        """Give them as they go out."""
        return {
            "seat_refresh_schedule": self.refresh.value,
            "seat_refresh_interval": None if self.interval is None else self.interval.document(),
            "seat_application_schedule": self.application.value,
            "seat_invoicing_schedule": self.invoicing,
            "seat_invoicing_interval": None if self.invoicing_interval is None else self.invoicing_interval.document(),
            "charging_method": PRO_RATA if self.method is CalculationMethod.PRO_RATA else self.method.value,
            "charging_precision": self.precision.value,
            "charge_highest_value": self.charges_highest,
            "refund_on_decrease": self.refunds,
        }


@dataclass(frozen=True, slots=True)
class ConnectedSeats:
    """The aggregator that counts the seats of a subscription's product, and the terms."""

    aggregator_id: str
    terms: SeatTerms

    @classmethod
    def from_document(cls, aggregator_id: str, document: Mapping[str, Any]) -> "ConnectedSeats":
        """Give back what `SeatTerms.document` gave."""
        interval, method = document["seat_refresh_interval"], document["charging_method"]
        terms = SeatTerms(
            RefreshSchedule(document["seat_refresh_schedule"]),
            None if interval is None else Interval.from_document(interval),
            ApplicationSchedule(document["seat_application_schedule"]),
            document["seat_invoicing_schedule"],
            CalculationMethod.PRO_RATA if method == PRO_RATA else CalculationMethod(method),
            Precision(document["charging_precision"]),
            document["charge_highest_value"],
            document["refund_on_decrease"],
            invoicing_interval_of(document),
        )
        return cls(aggregator_id, terms)


def invoicing_interval_of(document: Mapping[str, Any]) -> Interval | None:
    """Give the interval of the invoices in which changes are, from what `SeatTerms.document` gave."""
    interval = document.get("seat_invoicing_interval")  # Terms from before there was one have none.
    return None if interval is None else Interval.from_document(interval)


def read_seats(reader: Fields) -> SeatTerms | None:
    """Read the terms of connected seats, None where none is sent; of no use once a fault was noted."""
    if all(reader.raw(name) is None for name in FIELDS):
        return None
    schedule = reader.choice("seat_refresh_schedule", RefreshSchedule) or RefreshSchedule.REALTIME
    interval = read_interval(reader, "seat_refresh_interval")
    if schedule is RefreshSchedule.PERIODIC and reader.raw("seat_refresh_interval") is None:
        message = 'is needed with the schedule periodic: send {"period": "months", "count": 1}'
        reader.fault("seat_refresh_interval", "required", message)
    if schedule is not RefreshSchedule.PERIODIC and reader.raw("seat_refresh_interval") is not None:
        message = "is for the seat_refresh_schedule periodic alone: send that, or leave it out"
        reader.fault("seat_refresh_interval", "not_periodic", message)
    application = reader.choice("seat_application_schedule", ApplicationSchedule)
    invoicing, invoicing_interval = _read_invoicing(reader)
    method = _one_of(reader, "charging_method", CHARGING_METHODS)
    precision = reader.choice("charging_precision", Precision)
    highest, refunds = reader.boolean("charge_highest_value"), reader.boolean("refund_on_decrease")
    if highest and refunds:
        message = "contradicts charge_highest_value, by which a lower count is charged from the next period: send one"
        reader.fault("refund_on_decrease", "contradiction", message)
    return SeatTerms(
        schedule,
        interval,
        application or ApplicationSchedule.IMMEDIATELY,
        invoicing or "immediately",
        CalculationMethod.PRO_RATA if method in {None, PRO_RATA} else CalculationMethod(method or PRO_RATA),
        precision or Precision.CALENDAR_DAYS,
        bool(highest),
        bool(refunds),
        invoicing_interval,
    )


def _read_invoicing(reader: Fields) -> tuple[str | None, Interval | None]:
    """Read when changes are invoiced."""
    schedule = _one_of(reader, "seat_invoicing_schedule", INVOICING_SCHEDULES)
    interval = read_interval(reader, "seat_invoicing_interval")
    sent = reader.raw("seat_invoicing_interval") is not None
    if schedule == CUSTOM and not sent:
        message = 'is needed with the schedule custom: send {"period": "months", "count": 1}'
        reader.fault("seat_invoicing_interval", "required", message)
    if schedule != CUSTOM and sent:
        message = "is for the seat_invoicing_schedule custom alone: send that, or leave it out"
        reader.fault("seat_invoicing_interval", "not_custom", message)
    return schedule, interval


def _one_of(fields: Fields, name: str, known: tuple[str, ...]) -> str | None:
    value = fields.name(name)
    if value is not None and value not in known:
        fields.fault(name, "unknown_value", f"{value[:40]!r} is not one of {', '.join(known)}")
        return None
    return value
