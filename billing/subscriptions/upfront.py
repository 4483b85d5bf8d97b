"""Upfront metering: usage is billed when its period starts, by that of the one before, and settled afterwards. Pure.

When a period starts, its usage is not known yet. So an advance is billed for as many units as the period before came
to, the committed ones at least. The invoice of the next period settles it: the true-up is what the usage came to, less
the advance, a credit where that was more. The last period of a product has no next one, so its own invoice settles it.
What is billed of a period in the end is what its usage comes to, the commitment at least, as without the advance.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from billing.periods import period_holding
from billing.subscriptions.timeline import segments
from billing.windows import Life, MeteredWindow, Span
from metering.windows import Window

if TYPE_CHECKING:
    from billing.subscriptions.model import SubscriptionProduct

TRUE_UP, LAST_TRUE_UP = "true_up", "last_true_up"
"""What tells the lines of true-ups apart from the advance within an invoice: of the period before, of its own."""


class PaymentSchedule(StrEnum):
    """When a period's product is billed."""

    START = "start"
    """When the period starts: usage is billed upfront."""
    END = "end"
    """When the period has ended."""


class UpfrontKind(StrEnum):
    """What a line of usage that is billed upfront is."""

    ADVANCE = "advance"
    TRUE_UP = "true_up"


@dataclass(frozen=True, slots=True)
class Upfront:
    """What a line bills upfront, or settles: usage of `period`, by that of the period `before` it, None for the first.

    `segment` names the prices that hold in the period; see `timeline.segments`.
    """

    kind: UpfrontKind
    period: Window
    before: Window | None
    segment: str = ""

    def windows(self) -> list[MeteredWindow]:
        """Give what has to be counted; an advance of the first period stands on nothing that was."""
        if self.kind is UpfrontKind.ADVANCE:
            return [] if self.before is None else [MeteredWindow(Span(*self.before))]
        return [MeteredWindow(Span(*self.period), () if self.before is None else [Span(*self.before)])]


def upfront_lines(product: "SubscriptionProduct", period: Window, life: Life) -> Iterator["SubscriptionProduct"]:
    """Yield what an invoice's period bills of a product: the true-up of the period before, the advance of its own.

    The product's last period has its true-up too.
    """
    own = period_holding(max(period.start_us, life.starts_us), life.payments, life.starts_us, life.ends_us)
    if own is None or own.start_us >= period.end_us:
        return
    before = _before(own, life)
    if before is not None:
        yield _line(product, Upfront(UpfrontKind.TRUE_UP, before, _before(before, life)), TRUE_UP)
    yield _line(product, Upfront(UpfrontKind.ADVANCE, own, before), "")
    if life.ends_us == own.end_us:
        yield _line(product, Upfront(UpfrontKind.TRUE_UP, own, before), LAST_TRUE_UP)


def settled_at(period: Window, life: Life) -> tuple[int, str]:
    """Give an instant of the period whose invoice settles the usage of a product's period, and that line's suffix."""
    return (period.start_us, LAST_TRUE_UP) if life.ends_us == period.end_us else (period.end_us, TRUE_UP)


def _before(period: Window, life: Life) -> Window | None:
    return period_holding(period.start_us - 1, life.payments, life.starts_us, life.ends_us)


def _line(product: "SubscriptionProduct", upfront: Upfront, suffix: str) -> "SubscriptionProduct":
    """Give the product with the prices that held when a period began: within it they do not change."""
    at_us = upfront.period.start_us
    holding = [one for one in segments(product) if one.since_us is None or one.since_us <= at_us]
    segment = holding[-1] if holding else product
    upfront = replace(upfront, segment=segment.line_suffix)
    return replace(product, groups=segment.groups, upfront=upfront, line_suffix=suffix)
