"""An event as its price follows from it, and what that price is."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """One version of an event. `record` holds the id, numbers as int or Decimal.

    `customer_id` is as it was sent, None for somebody who has agreed nothing. `position` is where it came in; one that
    has not come in has None, and will do so after all others.
    """

    customer_id: str | None
    event_type: str
    record_id: str
    timestamp_us: int
    record: Mapping[str, Any]
    position: int | None = None


class Group(NamedTuple):
    """Which prices of a matrix an event is charged by."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class MarginalPrice:
    """What an event adds to one line. `amount` is minor units, not rounded to whole ones; below 0 it takes away.

    `customer_id` and `subscription_id` are None together: then it is what the catalog says.
    """

    customer_id: str | None
    subscription_id: str | None
    product_id: str
    group: Group | None
    currency: str
    amount: Decimal
