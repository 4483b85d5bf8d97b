"""A line of an invoice opened into its events, as people read it: the rows add up to the line, in both columns.

`exact` is what each row adds before rounding, `rounded` its share of the line's whole minor units. Both are in the
currency's major unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from billing.explained.beyond import Reason
from billing.explained.lines import ExplainedEvent, ExplainedLine
from billing.explained.naming import name_of, record_of
from billing.explained.standing import Added
from billing.marginal.lines import named_group
from billing.money import MONEY, minor_digits
from billing.pricing import AdjustmentKind
from deploy.pages.billed import tier_range
from deploy.pages.paths import event_path
from deploy.pages.quantities import quantity

REASONS = {
    Reason.FIRST_TIER: "First tier, owed in full before any event",
    Reason.COMMITMENT: "Agreed commitment",
    Reason.MINIMUM: "Up to the agreed minimum",
    Reason.MAXIMUM: "Down to the agreed maximum",
    Reason.EARLIER_LEVEL: "The level that stood before the period",
    Reason.ALREADY_BILLED: "Billed before",
    Reason.ROUNDING: "Rounding of the line",
    Reason.NOT_METERED: "Owed without events: a fee, seats or packs",
}
_ADJUSTED = {AdjustmentKind.MINIMUM: "kept at the minimum", AdjustmentKind.MAXIMUM: "kept at the maximum"}


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """One event of a line."""

    name: str
    record_id: str
    path: str
    timestamp_us: int
    quantity: str
    tiers: Sequence[str]
    group: str | None
    exact: str
    rounded: str
    versions: int


@dataclass(frozen=True, slots=True)
class Sum:
    """A row that is no event."""

    text: str
    exact: str
    rounded: str


@dataclass(frozen=True, slots=True)
class OpenedLine:
    """A page of a line's events, those on other pages as one row, what is owed beyond them, and what it comes to."""

    id: str
    name: str
    events: Sequence[ShownEvent]
    others: Sum | None
    entries: Sequence[Sum]
    total: Sum
    events_count: int


def opened_line(
    line: ExplainedLine, events: Sequence[ExplainedEvent], versions: Mapping[tuple[str, str], int]
) -> OpenedLine:
    """Format a line and a page of its events."""
    digits = minor_digits(line.line.currency)
    here = _plus(one.added for one in events)
    all_exact, all_rounded = _sum(
        (MONEY.subtract(window.last.exact, window.begun.exact), window.last.amount - window.begun.amount)
        for window in line.windows
    )
    elsewhere = line.events_count - len(events)
    others = None
    if elsewhere:
        text = f"{quantity(elsewhere)} {'event' if elsewhere == 1 else 'events'} on other pages"
        others = _row(text, MONEY.subtract(all_exact, here[0]), all_rounded - here[1], digits)
    entries = [*line.entries, *(entry for window in line.windows for entry in window.entries)]
    signed = line.line.signed_amount
    return OpenedLine(
        id=line.id,
        name=line.line.name,
        events=[_event(one, versions, digits) for one in events],
        others=others,
        entries=[_row(REASONS[entry.reason], entry.added.exact, entry.added.amount, digits) for entry in entries],
        total=_row("The line", Decimal(signed), signed, digits),
        events_count=line.events_count,
    )


def _event(one: ExplainedEvent, versions: Mapping[tuple[str, str], int], digits: int) -> ShownEvent:
    event = one.counted.event
    group = named_group(one.product, one.counted.group)
    return ShownEvent(
        name=name_of(one.aggregator, event, record_of(event)),
        record_id=event.record_id,
        path=event_path(event.event_type, event.record_id),
        timestamp_us=event.timestamp_us,
        quantity=quantity(one.quantity),
        tiers=_tiers(one.added),
        group=None if group is None else group.name or group.id,
        exact=_major(one.added.exact, digits),
        rounded=_major(Decimal(one.added.amount), digits),
        versions=versions.get((event.event_type, event.record_id), 1),
    )


def _tiers(added: Added) -> list[str]:
    tiers = [f"{tier_range(key.lower, key.upper)}: {quantity(share.quantity)}" for key, share in added.tiers]
    return [*tiers, *(_ADJUSTED[kind] for kind in added.adjustments)]


def _row(text: str, exact: Decimal, rounded: int, digits: int) -> Sum:
    return Sum(text, _major(exact, digits), _major(Decimal(rounded), digits))


def _major(minor_units: Decimal, digits: int) -> str:
    return quantity(MONEY.scaleb(minor_units, -digits))


def _plus(added: Iterable[Added]) -> tuple[Decimal, int]:
    return _sum((one.exact, one.amount) for one in added)


def _sum(pairs: Iterable[tuple[Decimal, int]]) -> tuple[Decimal, int]:
    exact, rounded = Decimal(0), 0
    with localcontext(MONEY):
        for one, whole in pairs:
            exact, rounded = exact + one, rounded + whole
    return exact, rounded
