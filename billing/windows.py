"""Metering windows: of when the usage is that a period bills, apart from how often it is billed.

A window is `[start, end)`. Its usage is rated as one, from its start to the end of the period that is billed: with a
year of usage billed monthly, the tiers of the year go on from month to month. A window begins where the one before it
ends, so usage is in one of them, and a period that reaches into several is billed for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from billing.interval import Interval
from billing.periods import Cycle
from metering.timestamps import DAY, EARLIEST_US, LATEST_US
from metering.windows import Window

GRACE_US = 3 * DAY
"""So long after a period's end what is stored still counts for it, where timestamps do not say which period it is."""


class MeteringIntervalType(StrEnum):
    """What a window is."""

    PAYMENT_INTERVAL = "payment_interval"
    """The billed period itself."""
    SUBSCRIPTION_COMMITMENT = "subscription_commitment"
    """The time of the subscription's commitment, one after the other from its start."""
    SUBSCRIPTION_DURATION = "subscription_duration"
    """All since the start."""
    FULL_DATABASE = "full_database"
    """All there is, whatever its timestamp."""
    CUSTOM = "custom"
    """An interval of its own."""


@dataclass(frozen=True, slots=True)
class Metering:
    """What was agreed about a product's windows.

    `interval` is that of custom windows, and `starts_us` where the first of them begins; without it they follow the
    cycle of the subscription. With `bill_usage_difference` a period is billed for what it adds to its window.
    """

    type: MeteringIntervalType = MeteringIntervalType.PAYMENT_INTERVAL
    interval: Interval | None = None
    starts_us: int | None = None
    bill_usage_difference: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> "Metering":
        """Give back what `document` gave."""
        if document is None:
            return EACH_PERIOD
        interval = document["interval"]
        return cls(
            MeteringIntervalType(document["type"]),
            None if interval is None else Interval.from_document(interval),
            document["starts_us"],
            document["bill_usage_difference"],
        )

    def document(self) -> dict[str, Any] | None:
        """Give what is kept; None for the usual."""
        if self == EACH_PERIOD:
            return None
        return {
            "type": self.type.value,
            "interval": None if self.interval is None else self.interval.document(),
            "starts_us": self.starts_us,
            "bill_usage_difference": self.bill_usage_difference,
        }


EACH_PERIOD = Metering()


@dataclass(frozen=True, slots=True)
class Life:
    """When a product is billed, and by which cycles.

    `payments` is the cycle of its periods, `windows` that of its windows where these have an interval. `made_us` is
    when the subscription was made, which may be after its start.
    """

    starts_us: int
    ends_us: int | None
    made_us: int
    payments: Cycle
    windows: Cycle | None = None


class Span(NamedTuple):
    """What is counted for one figure: usage of `[start_us, end_us)`, as far as it was stored by an instant.

    `stored_by_us` None is all within the cut-off of the answer.
    """

    start_us: int
    end_us: int
    stored_by_us: int | None = None


@dataclass(frozen=True, slots=True)
class MeteredWindow:
    """What a period bills of one window: the window up to the period's end, and up to the end of each one before.

    `earlier` is ascending, and empty unless only the difference is billed.
    """

    so_far: Span
    earlier: Sequence[Span] = ()


def metered_windows(period: Window, metering: Metering, life: Life) -> list[MeteredWindow]:
    """Give what a period bills of each window that it reaches into, ascending; none outside of the product's life."""
    start_us = max(period.start_us, life.starts_us)
    end_us = period.end_us if life.ends_us is None else min(period.end_us, life.ends_us)
    if start_us >= end_us:
        return []
    billed = Window(start_us, end_us)
    if metering.type is MeteringIntervalType.FULL_DATABASE:
        ends = [*(_ends_before(billed, life.starts_us, life) if metering.bill_usage_difference else ()), end_us]
        spans = [Span(EARLIEST_US, LATEST_US, max(end, life.made_us) + GRACE_US) for end in ends]
        return [MeteredWindow(spans[-1], spans[:-1])]
    return [
        MeteredWindow(
            Span(window.start_us, min(window.end_us, end_us)),
            [Span(window.start_us, end) for end in _ends_before(billed, window.start_us, life)]
            if metering.bill_usage_difference
            else (),
        )
        for window in _windows(billed, metering, life)
    ]


def _windows(billed: Window, metering: Metering, life: Life) -> Iterator[Window]:
    """Yield the windows that a period reaches into, none of them beginning before the product's life."""
    if metering.type is MeteringIntervalType.PAYMENT_INTERVAL:
        yield billed
    elif metering.type is MeteringIntervalType.SUBSCRIPTION_DURATION:
        yield Window(life.starts_us, billed.end_us)
    else:
        cycle = life.windows
        assert cycle is not None, "windows of an interval have a cycle"
        at_us = billed.start_us if cycle.anchor_us is None else max(billed.start_us, cycle.anchor_us)
        while at_us < billed.end_us:
            window = cycle.holding(at_us)
            yield Window(max(window.start_us, life.starts_us), window.end_us)
            at_us = window.end_us


def _ends_before(billed: Window, start_us: int, life: Life) -> list[int]:
    """Give where periods after `start_us` ended, up to the start of the one that is billed."""
    if billed.start_us <= start_us:
        return []
    return [edge for edge in life.payments.edges(start_us, billed.start_us) if start_us < edge <= billed.start_us]
