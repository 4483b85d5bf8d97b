"""Aggregators as an account has defined them: what is counted, under which name and in which unit.

A change takes effect at once in every figure read from then on, past periods included; an invoice keeps the definition
it was made with, so what was billed does not move.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from metering.aggregation import Aggregator, Operation
from metering.filters import decode_filter
from metering.ids import new_id
from metering.registry.tables import aggregators
from metering.world import Mode, World


class AggregatorStatus(StrEnum):
    """An archived aggregator is left out of a customer's list of usage, and can still be asked for by its id."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class StoredAggregator:
    """A definition with its name. `where` is the filter as it was sent; `details` holds what no figure depends on."""

    id: str
    world: World
    name: str
    entity: str
    operation: Operation
    property: str | None
    where: Mapping[str, Any] | None
    unit_name: str | None
    status: AggregatorStatus
    created_at: datetime
    updated_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)

    def counted(self) -> Aggregator:
        """Give what is counted, ready to be asked of the store."""
        return Aggregator(self.entity, self.operation, self.property, decode_filter(self.where))


def create_aggregator(
    connection: sa.Connection, world: World, fields: Mapping[str, Any], now: datetime
) -> StoredAggregator:
    """Create an aggregator; `fields` are columns of `aggregators` besides id, world and times."""
    aggregator_id = new_id("agg")
    values = {"status": AggregatorStatus.ACTIVE, "details": {}, **fields}
    connection.execute(
        aggregators.insert().values(
            id=aggregator_id,
            account_id=world.account_id,
            mode=world.mode.value,
            created_at=now,
            updated_at=now,
            **_plain(values),
        )
    )
    found = find_aggregator(connection, world, aggregator_id)
    assert found is not None
    return found


def find_aggregator(connection: sa.Connection, world: World, aggregator_id: str) -> StoredAggregator | None:
    """Give the aggregator of this id in this world."""
    row = connection.execute(aggregators.select().where(*_of(world), aggregators.c.id == aggregator_id)).first()
    return None if row is None else _aggregator(row)


def update_aggregator(
    connection: sa.Connection, aggregator: StoredAggregator, changes: Mapping[str, Any], now: datetime
) -> StoredAggregator:
    """Change columns of an aggregator."""
    values = {**_plain(changes), "updated_at": now}
    connection.execute(aggregators.update().where(aggregators.c.id == aggregator.id).values(**values))
    found = find_aggregator(connection, aggregator.world, aggregator.id)
    assert found is not None
    return found


def delete_aggregator(connection: sa.Connection, aggregator: StoredAggregator) -> None:
    """Forget an aggregator. What refers to it elsewhere (products) must have been checked before."""
    connection.execute(aggregators.delete().where(aggregators.c.id == aggregator.id))


def active_aggregators(connection: sa.Connection, world: World) -> list[StoredAggregator]:
    """Give all active aggregators, oldest first."""
    query = (
        aggregators.select()
        .where(*_of(world), aggregators.c.status == AggregatorStatus.ACTIVE.value)
        .order_by(aggregators.c.created_at, aggregators.c.id)
    )
    return [_aggregator(row) for row in connection.execute(query)]


def aggregators_with_thresholds(connection: sa.Connection) -> list[StoredAggregator]:
    """Give the active aggregators of all worlds that have thresholds, oldest first."""
    query = (
        aggregators.select()
        .where(
            aggregators.c.status == AggregatorStatus.ACTIVE.value,
            # Texts with quotes in them have backslashes before these: no description is taken for a field.
            sa.cast(aggregators.c.details, sa.Text).contains('"threshold_value":', autoescape=True),
        )
        .order_by(aggregators.c.created_at, aggregators.c.id)
    )
    return [_aggregator(row) for row in connection.execute(query)]


def list_aggregators(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[StoredAggregator], int]:
    """Give a page of aggregators, newest first, and how many there are. Conditions are over `tables.aggregators`."""
    where = sa.and_(*_of(world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(aggregators).where(where)).scalar_one()
    query = (
        aggregators.select()
        .where(where)
        .order_by(aggregators.c.created_at.desc(), aggregators.c.id.desc())
        .limit(take)
        .offset(skip)
    )
    return [_aggregator(row) for row in connection.execute(query)], total


def _of(world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return aggregators.c.account_id == world.account_id, aggregators.c.mode == world.mode.value


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}


def _aggregator(row: Any) -> StoredAggregator:
    return StoredAggregator(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.name,
        row.entity,
        Operation(row.operation),
        row.property,
        row.where,
        row.unit_name,
        AggregatorStatus(row.status),
        row.created_at,
        row.updated_at,
        row.details,
    )
