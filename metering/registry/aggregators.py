"""Aggregators as an account has defined them: what is counted, under which name and in which unit.

A change takes effect at once in every figure read from then on, past periods included, unless it is asked for as of
before; each definition is kept as a version, in the same transaction. `metering.registry.definitions` finds them again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from metering.aggregation import Aggregator, Operation
from metering.filters import decode_filter
from metering.formulas import Formula, parse_formula
from metering.ids import new_id
from metering.registry.tables import aggregator_versions, aggregators
from metering.world import Mode, World

_FORMULAS_MAX = 512
_DEFINITION = (
    "version",
    "name",
    "entity",
    "operation",
    "property",
    "formula_sql",
    "where",
    "unit_name",
    "status",
    "details",
)


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
    formula_sql: str | None = None
    version: int = 1

    def counted(self) -> Aggregator:
        """Give what is counted, ready to be asked of the store."""
        formula = None if self.formula_sql is None else _formula(self.formula_sql)
        return Aggregator(self.entity, self.operation, self.property, decode_filter(self.where), formula)


def create_aggregator(
    connection: sa.Connection, world: World, fields: Mapping[str, Any], now: datetime, changed_by: str | None = None
) -> StoredAggregator:
    """Create an aggregator; `fields` are columns of `aggregators` besides id, world and times.

    `changed_by` is the id of the key that asks for it.
    """
    aggregator_id = new_id("agg")
    values = {"status": AggregatorStatus.ACTIVE, "details": {}, **fields}
    connection.execute(
        aggregators.insert().values(
            id=aggregator_id,
            account_id=world.account_id,
            mode=world.mode.value,
            created_at=now,
            updated_at=now,
            version=1,
            **_plain(values),
        )
    )
    return _kept(connection, world, aggregator_id, now, changed_by)


def find_aggregator(connection: sa.Connection, world: World, aggregator_id: str) -> StoredAggregator | None:
    """Give the aggregator of this id in this world."""
    row = connection.execute(aggregators.select().where(*_of(world), aggregators.c.id == aggregator_id)).first()
    return None if row is None else _aggregator(row)


def update_aggregator(
    connection: sa.Connection,
    aggregator: StoredAggregator,
    changes: Mapping[str, Any],
    now: datetime,
    changed_by: str | None = None,
) -> StoredAggregator:
    """Change columns of an aggregator: that is its next version. What changes nothing is none."""
    if all(getattr(aggregator, name) == value for name, value in changes.items()):
        return aggregator
    values = {**_plain(changes), "updated_at": now, "version": aggregator.version + 1}
    connection.execute(aggregators.update().where(aggregators.c.id == aggregator.id).values(**values))
    return _kept(connection, aggregator.world, aggregator.id, now, changed_by)


def delete_aggregator(connection: sa.Connection, aggregator: StoredAggregator) -> None:
    """Forget an aggregator, but not its versions. What refers to it (products) must have been checked before."""
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


def _kept(
    connection: sa.Connection, world: World, aggregator_id: str, now: datetime, changed_by: str | None
) -> StoredAggregator:
    """Keep an aggregator as it is now as its newest version. Changes of a world take turns, so numbers are unique."""
    row = connection.execute(aggregators.select().where(aggregators.c.id == aggregator_id)).one()
    table = aggregator_versions
    own = (table.c.account_id == world.account_id, table.c.mode == world.mode.value)
    newest = connection.execute(table.select().where(*own).order_by(table.c.revision.desc()).limit(1)).first()
    connection.execute(
        table.insert().values(
            aggregator_id=aggregator_id,
            account_id=world.account_id,
            mode=world.mode.value,
            revision=1 if newest is None else newest.revision + 1,
            # Later than the change before it, so that an instant names one of them whatever the clock did.
            changed_at=now if newest is None else max(now, newest.changed_at + timedelta(microseconds=1)),
            changed_by=changed_by,
            **{name: getattr(row, name) for name in _DEFINITION},
        )
    )
    return _aggregator(row)


@lru_cache(_FORMULAS_MAX)
def _formula(text: str) -> Formula:
    return parse_formula(text)


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
        row.formula_sql,
        row.version,
    )
