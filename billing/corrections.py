"""Tell which lines of invoices a correction of an event moved, and by how much.

What a version adds to a line is its marginal price: on top of all other events within the cut-off. So what a correction
moved is the price of the version that came less that of the one that went, each on the line of its own customer and
period; over the versions of an event it adds up to what the event costs now, less what its first version did.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.invoices.begun import outline_of
from billing.invoices.model import invoice_id, line_item_id
from billing.marginal.lines import TouchedLine
from billing.marginal.model import CountedEvent, MarginalPrice
from billing.marginal.prices import priced_lines
from billing.money import MONEY
from metering.api.seams import Correction
from metering.http.json import loads
from metering.position import Cutoff
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.explorer import StoredEvent
from metering.timestamps import format_instant
from metering.windows import Window
from metering.world import World

_Place = tuple[str, Window, Window]
_Priced = dict[_Place, tuple[TouchedLine, MarginalPrice]]


class MovedLines:
    """Billing's side of `metering.api.seams.LinesMoved`."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    async def lines_moved(
        self, world: World, cutoff: Cutoff, corrections: Sequence[Correction], /
    ) -> list[list[Mapping[str, Any]]]:
        """Give for each correction what lines gained and lost; each version is priced once.

        Raises:
            QueryLimitError: there is too much to count for one answer.
        """
        priced: dict[int, _Priced] = {}
        for event in (one for correction in corrections for one in correction):
            if event.position not in priced:
                priced[event.position] = await self._priced(world, cutoff, event)
        return [_moved(priced[before.position], priced[after.position]) for before, after in corrections]

    async def _priced(self, world: World, cutoff: Cutoff, event: StoredEvent) -> _Priced:
        counted = CountedEvent(
            event.customer_id,
            event.event_type,
            event.record_id,
            event.timestamp_us,
            loads(event.record),
            event.position,
        )
        found = await priced_lines(self._registry, self._store, world, counted, cutoff)
        return {(line.product.id, line.window, _period(line, event)): (line, price) for line, price in found}


def _period(line: TouchedLine, event: StoredEvent) -> Window:
    subscription = line.subscription
    assert subscription is not None, "what an event of a customer costs is agreed"
    period = outline_of(subscription).period_holding(line.product.payment_interval, event.timestamp_us)
    assert period is not None, "a line is of the period that holds the event"
    return period


def _moved(before: _Priced, after: _Priced) -> list[Mapping[str, Any]]:
    out: list[Mapping[str, Any]] = []
    for place in {**before, **after}:
        line = (after.get(place) or before[place])[0]
        gained = after[place][1].amount if place in after else Decimal(0)
        lost = before[place][1].amount if place in before else Decimal(0)
        if gained != lost:
            out.append(_line_object(line, place, MONEY.subtract(gained, lost)))
    return out


def _line_object(line: TouchedLine, place: _Place, amount: Decimal) -> dict[str, Any]:
    subscription, product, period = line.subscription, line.product, place[2]
    assert subscription is not None
    invoice = invoice_id(subscription.id, product.payment_interval, period.start_us)
    return {
        "invoice_id": invoice,
        "invoice_line_item_id": line_item_id(invoice, product.line_key),
        "subscription_id": subscription.id,
        "product_id": product.product_id,
        "customer_id": subscription.customer_id,
        "period_starts_at": format_instant(period.start_us),
        "period_ends_at": format_instant(period.end_us),
        "currency": line.currency,
        "exact_amount": amount,
    }
