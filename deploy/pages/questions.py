"""Read what a page is asked through its address, and say what is wrong with it beside the field that it is wrong in."""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from deploy.pages.clock_text import UTC
from deploy.pages.serving import Visit
from metering.ranges import Range
from metering.registry.customers import Customer, identifiers_of, resolve
from metering.windows import Granularity
from metering.zones import ZoneError, wall_of, zone_named

CUSTOMERS_OFFERED_MAX = 100
_DAY = re.compile(r"\d{4}-\d\d-\d\d")

ZONES_OFFERED = (
    "UTC",
    "Africa/Johannesburg",
    "America/Chicago",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Paris",
    "Europe/Zurich",
    "Pacific/Auckland",
)
GRANULARITIES = (Granularity.HOUR, Granularity.DAY, Granularity.MONTH)


@dataclass(frozen=True, slots=True)
class NamedCustomer:
    """A customer that a page is asked about, with all ids that events may name it by."""

    customer: Customer
    identifiers: list[str]


async def customer_asked(visit: Visit, faults: dict[str, str]) -> NamedCustomer | None:
    """Give the customer of the field `customer`; None when the field is empty, or wrong and in `faults`."""
    wanted = visit.query("customer")
    if wanted is None:
        return None
    found = await find_customer(visit, wanted)
    if found is None:
        faults["customer"] = f"No customer has the id “{wanted[:80]}”: give our id or the external id."
    return found


async def find_customer(visit: Visit, identifier: str) -> NamedCustomer | None:
    """Give the customer of this world that has an id or external id."""
    customer = await visit.services.registry.read(resolve, visit.world, identifier)
    if customer is None:
        return None
    return NamedCustomer(customer, await visit.services.registry.read(identifiers_of, customer))


def zone_of(customer: Customer) -> ZoneInfo:
    """Give the zone of a customer: UTC when it has none, or one that is not known any more."""
    try:
        return zone_named(customer.timezone or "UTC")
    except ZoneError:
        return UTC


def zone_asked(visit: Visit, faults: dict[str, str]) -> ZoneInfo:
    """Give the zone of the field `timezone`: UTC when it is empty or wrong."""
    try:
        return zone_named(visit.query("timezone") or "UTC")
    except ZoneError as error:
        faults["timezone"] = str(error)
        return UTC


def granularity_asked(visit: Visit) -> Granularity | None:
    """Give the granularity asked for; None to let the data decide."""
    return next((known for known in GRANULARITIES if known == visit.query("granularity")), None)


def date_fields(visit: Visit, shown: Range) -> dict[str, tuple[str, str]]:
    """Give the kind and the value of the two date fields: what was sent, or what is shown instead.

    A field of the kind `date` shows nothing but dates; a time of day needs one of text.
    """
    out = {}
    for name, instant in (("start_date", shown.start_us), ("end_date", shown.end_us)):
        wall = wall_of(instant, shown.timezone)
        opened = wall.date().isoformat() if wall.time() == wall.time().min else f"{wall:%Y-%m-%dT%H:%M}"
        value = visit.query(name) or opened
        out[name] = ("date" if _DAY.fullmatch(value) else "text", value)
    return out


def page_asked(visit: Visit, pages_max: int) -> int:
    """Give the page asked for, from 1; anything else is the first."""
    text = visit.query("page") or "1"
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return min(max(number, 1), pages_max)
