"""Prices as the registry keeps them: each as it was first answered, for ever.

In the transaction that keeps one, a message `event.price_calculated` is put down too, for webhooks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ingest.prices.tables import event_prices
from metering.http.paging import Page
from metering.registry.outbox import Fact, put_message
from metering.timestamps import format_instant
from metering.world import World

PRICE_CALCULATED = "event.price_calculated"


@dataclass(frozen=True, slots=True)
class KeptPrices:
    """What a version of an event costs. `result` holds one document for each price; `cutoff` is encoded."""

    id: str
    event_type: str
    record_id: str
    event_timestamp: datetime
    record: Mapping[str, Any]
    result: Sequence[Mapping[str, Any]]
    cutoff: str
    calculated_at: datetime


@dataclass(frozen=True, slots=True)
class Sought:
    """Which prices: None sets no condition."""

    ids: Sequence[str] | None = None
    record_ids: Sequence[str] | None = None
    event_types: Sequence[str] | None = None


def find_prices(connection: sa.Connection, world: World, calculation_id: str) -> KeptPrices | None:
    """Give the prices that have an id in this world."""
    row = connection.execute(event_prices.select().where(_of(world), event_prices.c.id == calculation_id)).first()
    return None if row is None else _kept(row)


def keep_prices(connection: sa.Connection, world: World, prices: KeptPrices) -> KeptPrices:
    """Keep prices, and the message of it, unless there are some under their id already; give those that stand."""
    standing = find_prices(connection, world, prices.id)
    if standing is not None:
        return standing
    connection.execute(
        event_prices.insert().values(
            id=prices.id,
            account_id=world.account_id,
            mode=world.mode.value,
            event_type=prices.event_type,
            record_id=prices.record_id,
            event_timestamp=prices.event_timestamp,
            record=prices.record,
            result=prices.result,
            cutoff=prices.cutoff,
            calculated_at=prices.calculated_at,
        )
    )
    fact = Fact(PRICE_CALCULATED, f"{PRICE_CALCULATED}:{prices.id}", kept_object(prices))
    put_message(connection, world, fact, prices.calculated_at)
    return prices


def kept_object(prices: KeptPrices) -> dict[str, Any]:
    """Give prices as they are looked up, and as their message tells them."""
    of_event = {
        "event_type": prices.event_type,
        "record": prices.record,
        "event_timestamp": format_instant(prices.event_timestamp),
        "ingested": True,
        "pre_calculated_at": format_instant(prices.calculated_at),
    }
    return {"id": prices.id, "result": [{**of_event, **price} for price in prices.result]}


def list_prices(connection: sa.Connection, world: World, sought: Sought, page: Page) -> list[KeptPrices]:
    """Give a page of prices, those that were worked out last first."""
    query = event_prices.select().where(_of(world))
    columns = event_prices.c
    for column, values in (
        (columns.id, sought.ids),
        (columns.record_id, sought.record_ids),
        (columns.event_type, sought.event_types),
    ):
        if values is not None:
            query = query.where(column.in_(values))
    query = query.order_by(columns.calculated_at.desc(), columns.id.desc()).limit(page.take).offset(page.skip)
    return [_kept(row) for row in connection.execute(query)]


def _of(world: World) -> sa.ColumnElement[bool]:
    return sa.and_(event_prices.c.account_id == world.account_id, event_prices.c.mode == world.mode.value)


def _kept(row: Any) -> KeptPrices:
    return KeptPrices(
        row.id,
        row.event_type,
        row.record_id,
        row.event_timestamp,
        row.record,
        row.result,
        row.cutoff,
        row.calculated_at,
    )
