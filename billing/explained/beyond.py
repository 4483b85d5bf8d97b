"""What a line owes beyond its events, so that events and these entries add up to it. Pure.

What stands before the first event is owed by the terms: a first tier paid in full, a commitment, a minimum; or it is a
level that lasts from before the metering window. What stands after the last is the rounding, and what was billed
before. A line without events is one entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from billing.catalog.model import PriceGroup
from billing.explained.running import running_after
from billing.explained.standing import NOTHING, Added, Standing, added
from billing.invoices.model import LineItem
from billing.money import MONEY
from billing.pricing import Rated, Terms

_ZERO = Decimal(0)


class Reason(StrEnum):
    """Why something is owed that is no event's price."""

    FIRST_TIER = "first_tier"
    COMMITMENT = "commitment"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    EARLIER_LEVEL = "earlier_level"
    """Of a weighted sum: changes before the metering window, which go on to weigh in it."""
    ALREADY_BILLED = "already_billed"
    ROUNDING = "rounding"
    NOT_METERED = "not_metered"
    """A fee, seats or packs: no event stands behind them."""
    DISCOUNT = "discount"
    """What a coupon takes off."""
    ADVANCE = "advance"
    """Usage that is billed upfront: its events stand behind the true-up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line owes for a reason; see `Added`."""

    reason: Reason
    added: Added


def owed_before(groups: Sequence[PriceGroup], terms: Terms) -> list[Entry]:
    """Give what is owed without any event."""
    free = replace(terms, min_amount=None, max_amount=None, min_committed_count=None)
    committed = replace(free, min_committed_count=terms.min_committed_count)
    steps = (
        (Reason.FIRST_TIER, free),
        (Reason.COMMITMENT, committed),
        (Reason.MINIMUM, replace(committed, min_amount=terms.min_amount)),
        (Reason.MAXIMUM, terms),
    )
    entries, standing = [], NOTHING
    for reason, own in steps:
        before, standing = standing, running_after(groups, own, [_ZERO] * len(groups), []).standing
        if standing != before:
            entries.append(Entry(reason, added(before, standing)))
    return entries


def owed_for_level(begun: Standing, level: Standing) -> list[Entry]:
    """Give what a level from before the metering window is owed for, beyond what is owed without any event."""
    return [] if begun == level else [Entry(Reason.EARLIER_LEVEL, added(begun, level))]


def owed_after(rated: Rated, last: Standing) -> list[Entry]:
    """Give what makes a metering window's part of the line of its standing after all events."""
    entries = []
    deducted = rated.signed_amount - last.amount
    exact = MONEY.subtract(Decimal(last.amount), last.exact)
    if exact:
        entries.append(Entry(Reason.ROUNDING, Added(exact, 0, (), {})))
    if deducted:
        entries.append(Entry(Reason.ALREADY_BILLED, Added(Decimal(deducted), deducted, (), {})))
    return entries


def owed_without_events(line: LineItem) -> list[Entry]:
    """Give the one entry of a line that no event of its period stands behind; none when it is 0."""
    amount = line.signed_amount
    reason = Reason.NOT_METERED if line.upfront is None else Reason.ADVANCE
    reason = reason if line.coupon is None else Reason.DISCOUNT
    return [Entry(reason, Added(Decimal(amount), amount, (), {}))] if amount else []
