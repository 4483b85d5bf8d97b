"""What is changed of a subscription's products as time goes on: each change holds from an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from billing.catalog.model import PriceGroup
from billing.periods import Cycle, days_owed

_MILLISECOND_US = 1_000


class ChangeType(StrEnum):
    """What is changed."""

    ADD_PRODUCT = "add_product"
    REMOVE_PRODUCT = "remove_product"
    UPDATE_COUNT = "update_count"
    UPDATE_PRICES = "update_prices"


LIFE_CHANGES = frozenset({ChangeType.ADD_PRODUCT, ChangeType.REMOVE_PRODUCT})
"""Changes that say when a product is there."""


class CalculationMethod(StrEnum):
    """What of the running period is charged or given back for a change."""

    PRO_RATA = "pro_rata"
    """The share of the period that is left."""
    PAY_IN_FULL = "pay_in_full"
    """As if it had held for the whole period."""
    DO_NOT_CHARGE = "do_not_charge"
    """Nothing: it is charged from the next period on."""


class Precision(StrEnum):
    """In what the share of a period is counted."""

    CALENDAR_DAYS = "calendar_days"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one product, from `effective_us` on. `count` and `groups` are those after it, None as before.

    Of a count that was read from usage, `cutoff` says up to where and `reason` why it was read.
    """

    id: str
    subscription_product_id: str
    type: ChangeType
    effective_us: int
    method: CalculationMethod
    precision: Precision
    count: Decimal | None
    groups: Sequence[PriceGroup] | None
    created_at: datetime
    cutoff: str | None = None
    reason: str | None = None

    def share(self, cycle: Cycle) -> Fraction:
        """Give the share of the period that holds the change's instant which is charged or given back for it."""
        if self.method is CalculationMethod.DO_NOT_CHARGE:
            return Fraction(0)
        if self.method is CalculationMethod.PAY_IN_FULL:
            return Fraction(1)
        return share_left(self.effective_us, cycle, self.precision)


def share_left(instant_us: int, cycle: Cycle, precision: Precision) -> Fraction:
    """Give the share of a whole period that is left at an instant; its day counts whole where days are counted."""
    if precision is Precision.CALENDAR_DAYS:
        return days_owed(instant_us, cycle).share
    whole = cycle.holding(instant_us)
    return Fraction((whole.end_us - instant_us) // _MILLISECOND_US, (whole.end_us - whole.start_us) // _MILLISECOND_US)
