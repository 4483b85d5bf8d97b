"""Every definition that an aggregator has had: kept when it is made or changed, and found again by a point in time.

A world's changes are numbered in the order in which they are committed, by `revision`; `changed_at` grows with it. So a
revision, or an instant, says for each aggregator which definition was in force, whatever clocks did. Before its first
one an aggregator has its first one: whoever defines it asks about the past.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metering.aggregation import Operation
from metering.registry.aggregators import AggregatorStatus, StoredAggregator
from metering.registry.tables import aggregator_versions
from metering.world import World

_TERMS = "allow_negative_values"
"""The one detail that changes what is charged for."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of an aggregator, since when it was in force, and the id of the key that made it so, if known."""

    aggregator: StoredAggregator
    changed_at: datetime
    changed_by: str | None


def newest_revision(connection: sa.Connection, world: World) -> int:
    """Give the number of the last change in a world, 0 when there was none."""
    query = sa.select(sa.func.max(aggregator_versions.c.revision)).where(*_of(world))
    return connection.execute(query).scalar() or 0


def revision_at(connection: sa.Connection, world: World, moment: datetime) -> int:
    """Give the number of the last change at or before a moment, 0 when there was none."""
    query = sa.select(sa.func.max(aggregator_versions.c.revision)).where(
        *_of(world), aggregator_versions.c.changed_at <= moment
    )
    return connection.execute(query).scalar() or 0


def in_force(
    connection: sa.Connection, world: World, aggregators: Sequence[StoredAggregator], revision: int
) -> list[StoredAggregator]:
    """Give the aggregators, in order, with what they counted at a revision; names, units and thresholds are today's."""
    table = aggregator_versions
    changed = sa.select(table.c.aggregator_id).where(*_of(world), table.c.revision > revision).distinct()
    later = set(connection.execute(changed).scalars())
    if not later:
        return list(aggregators)
    newest = (
        sa.select(table.c.aggregator_id, sa.func.max(table.c.version).label("version"))
        .where(*_of(world), table.c.revision <= revision)
        .group_by(table.c.aggregator_id)
        .subquery()
    )
    same = sa.and_(newest.c.aggregator_id == table.c.aggregator_id, newest.c.version == table.c.version)
    firsts = table.select().where(*_of(world), table.c.version == 1, table.c.revision > revision)
    then = {row.aggregator_id: row for row in connection.execute(sa.select(table).join(newest, same))}
    then |= {row.aggregator_id: row for row in connection.execute(firsts)}
    return [_as_of(one, then[one.id]) if one.id in later else one for one in aggregators]


def ever_counting(connection: sa.Connection, world: World, entity: str) -> list[str]:
    """Give the ids of the aggregators that count an entity by one of their definitions; `in_force` says by which."""
    table = aggregator_versions
    query = sa.select(table.c.aggregator_id).where(*_of(world), table.c.entity == entity).distinct()
    return sorted(connection.execute(query).scalars())


def list_definitions(
    connection: sa.Connection, aggregator: StoredAggregator, *, take: int, skip: int
) -> tuple[list[Definition], int]:
    """Give a page of an aggregator's definitions, newest first, and how many there are."""
    where = aggregator_versions.c.aggregator_id == aggregator.id
    total = connection.execute(sa.select(sa.func.count()).select_from(aggregator_versions).where(where)).scalar_one()
    query = aggregator_versions.select().where(where).order_by(aggregator_versions.c.version.desc())
    rows = connection.execute(query.limit(take).offset(skip))
    return [Definition(_defined(aggregator, row), row.changed_at, row.changed_by) for row in rows], total


def _as_of(aggregator: StoredAggregator, row: Any) -> StoredAggregator:
    """Give today's aggregator with what it counted then."""
    then = _defined(aggregator, row)
    details = {name: value for name, value in aggregator.details.items() if name != _TERMS}
    details |= {name: value for name, value in then.details.items() if name == _TERMS}
    return replace(
        then, name=aggregator.name, unit_name=aggregator.unit_name, status=aggregator.status, details=details
    )


def _defined(aggregator: StoredAggregator, row: Any) -> StoredAggregator:
    return replace(
        aggregator,
        name=row.name,
        entity=row.entity,
        operation=Operation(row.operation),
        property=row.property,
        formula_sql=row.formula_sql,
        where=row.where,
        unit_name=row.unit_name,
        status=AggregatorStatus(row.status),
        details=row.details,
        version=row.version,
    )


def _of(world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    table = aggregator_versions
    return table.c.account_id == world.account_id, table.c.mode == world.mode.value
