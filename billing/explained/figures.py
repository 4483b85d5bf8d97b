"""Follow a metering window from event to event: what each moves its figure by, and what that moves the line by.

An event brings to a count or a sum what it is worth. Any other figure is worked out anew with each event: the event
brings what the figure is with it less what it was without, on top of those before it. So the quantities of all events
add up to the figure, to the last decimal, whatever the operation.
"""

from collections.abc import Sequence
from decimal import Decimal

from billing.explained.running import Running
from billing.explained.standing import Added
from metering.aggregation import ADDS_UP, Brought, Operation, Usage, grown
from metering.decimals import EXACT
from metering.store.ordered import CountedEvent
from metering.windows import Window

_ZERO = Decimal(0)


class RunningFigures:
    """The figure of each group of prices after some events, and the line that it makes."""

    def __init__(self, operation: Operation, window: Window, usages: Sequence[Usage], line: Running) -> None:
        """Begin where the groups have these figures, and the line is what these come to."""
        self._operation = operation
        self._window = window
        self._usages = list(usages)
        self._line = line

    def add(self, one: CountedEvent) -> tuple[Decimal, Added]:
        """Go on to the next event, and give by what it moves its group's figure and the line.

        Raises:
            AmountTooLargeError: the line does not fit 64 bits there.
        """
        quantity = (one.value or _ZERO) if self._operation in ADDS_UP else self._moved(one)
        return quantity, self._line.add(one.group, quantity)

    def _moved(self, one: CountedEvent) -> Decimal:
        before = self._usages[one.group]
        brought = Brought(one.value, one.event.timestamp_us, one.event.position)
        after = self._usages[one.group] = grown(self._operation, before, brought, self._window)
        return EXACT.subtract(after.rated, before.rated)
