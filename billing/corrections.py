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
from billing.subscriptions.model import line_key
from billing.subscriptions.upfront import settled_at
from metering.api.asof import AsOf
from metering.api.seams import Correction
from metering.http.json import loads
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.explorer import StoredEvent
from metering.timestamps import format_instant
from metering.windows import Window
from metering.world import World

_Place = tuple[str, Window, Window, str]
_Priced = dict[_Place, tuple[TouchedLine, MarginalPrice]]


class MovedLines:
    """Billing's side of `metering.api.seams.LinesMoved`."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    async def lines_moved(
        self, world: World, at: AsOf, corrections: Sequence[Correction], /
    ) -> list[list[Mapping[str, Any]]]:
        """Give for each correction what lines gained and lost; each version is priced once.

        Raises:
            QueryLimitError: there is too much to count for one answer.
        """
        priced: dict[int, _Priced] = {}
        for event in (one for correction in corrections for one in correction):
            if event.position not in priced:
                priced[event.position] = await self._priced(world, at, event)
        return [_moved(priced[before.position], priced[after.position]) for before, after in corrections]

    async def _priced(self, world: World, at: AsOf, event: StoredEvent) -> _Priced:
        counted = CountedEvent(
            event.customer_id,
            event.event_type,
            event.record_id,
            event.timestamp_us,
            loads(event.record),
            event.position,
        )
        found = await priced_lines(self._registry, self._store, world, counted, at)
        return {(line.product.id, line.window, *_billed_in(line, event)): (line, price) for line, price in found}


def _billed_in(line: TouchedLine, event: StoredEvent) -> tuple[Window, str]:
    """Give the period whose invoice the line is in, and what tells it apart there: a true-up is in that of the next."""
    subscription, product = line.subscription, line.product
    assert subscription is not None, "what an event of a customer costs is agreed"
    at_us, suffix = event.timestamp_us, product.line_suffix
    if product.is_upfront:
        (whole,) = (one for one in subscription.products if one.id == product.id)
        at_us, suffix = settled_at(line.window, subscription.life(whole))
    period = outline_of(subscription).period_holding(product.payment_interval, at_us)
    assert period is not None, "a line is of the period that holds the event, or settled in the next"
    return period, suffix


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
    subscription, product, (_, _, period, suffix) = line.subscription, line.product, place
    assert subscription is not None
    invoice = invoice_id(subscription.id, product.payment_interval, period.start_us)
    return {
        "invoice_id": invoice,
        "invoice_line_item_id": line_item_id(invoice, line_key(product.product_id, suffix)),
        "subscription_id": subscription.id,
        "product_id": product.product_id,
        "customer_id": subscription.customer_id,
        "period_starts_at": format_instant(period.start_us),
        "period_ends_at": format_instant(period.end_us),
        "currency": line.currency,
        "exact_amount": amount,
    }
