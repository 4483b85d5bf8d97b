"""Keep price configurations and the prices that they had before. Every function works within one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from billing.catalog.model import PriceConfiguration, PriceGroup
from billing.interval import Interval
from billing.tables import of, owner, price_configurations, price_versions
from metering.ids import new_id
from metering.world import World


class OfProduct(NamedTuple):
    """A configuration, and the product that it is of."""

    product_id: str
    configuration: PriceConfiguration


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """The prices of a configuration in `[valid_from, valid_until)`; the current ones have no end."""

    version: int
    prices: Sequence[Any]
    valid_from: datetime
    valid_until: datetime | None


def keep_configurations(
    connection: sa.Connection,
    world: World,
    product_id: str,
    configurations: Sequence[PriceConfiguration],
    now: datetime,
) -> None:
    """Put these, in order, in the place of those of a product that are for sale.

    One with the id of a current one is changed, and what its prices were becomes a version; those left out are
    archived.
    """
    kept = {one.id for one in configurations}
    current = {one.configuration.id: one.configuration for one in _of_product(connection, product_id)}
    dropped = [one for one in current.values() if one.archived_at is None and one.id not in kept]
    for one in dropped:
        archive_configuration(connection, one, now)
    for position, one in enumerate(configurations, _next_position(connection, product_id)):
        if one.id in current:
            change_configuration(connection, current[one.id], one, now, position)
        else:
            row = {"id": one.id, **owner(world), "product_id": product_id, "created_at": now}
            connection.execute(_inserted(row, one, position, now))


def add_configuration(
    connection: sa.Connection, world: World, product_id: str, one: PriceConfiguration, now: datetime
) -> None:
    """Add a configuration to a product as its newest."""
    row = {"id": one.id, **owner(world), "product_id": product_id, "created_at": now}
    connection.execute(_inserted(row, one, _next_position(connection, product_id), now))


def change_configuration(
    connection: sa.Connection,
    current: PriceConfiguration,
    changed: PriceConfiguration,
    now: datetime,
    position: int | None = None,
) -> None:
    """Change a configuration; other prices make a version of those it had."""
    if list(changed.group.prices) != list(current.group.prices):
        connection.execute(_version_of(connection, current, now))
    values = changed.document() | ({} if position is None else {"position": position})
    table = price_configurations
    connection.execute(table.update().where(table.c.id == current.id).values(**values, updated_at=now))


def archive_configuration(connection: sa.Connection, one: PriceConfiguration, now: datetime) -> None:
    """Take a configuration from sale."""
    table = price_configurations
    connection.execute(table.update().where(table.c.id == one.id).values(archived_at=now, updated_at=now))


def unarchive_configuration(connection: sa.Connection, one: OfProduct, now: datetime) -> None:
    """Put a configuration on sale again, as the newest of its product."""
    table, position = price_configurations, _next_position(connection, one.product_id)
    changed = table.update().where(table.c.id == one.configuration.id)
    connection.execute(changed.values(archived_at=None, position=position, updated_at=now))


def delete_configuration(connection: sa.Connection, one: PriceConfiguration) -> None:
    """Forget a configuration that nothing refers to."""
    connection.execute(price_versions.delete().where(price_versions.c.price_configuration_id == one.id))
    connection.execute(price_configurations.delete().where(price_configurations.c.id == one.id))


def find_configuration(connection: sa.Connection, world: World, configuration_id: str) -> OfProduct | None:
    """Give the configuration of this id in this world, archived or not."""
    query = price_configurations.select().where(
        of(price_configurations, world), price_configurations.c.id == configuration_id
    )
    row = connection.execute(query).first()
    return None if row is None else OfProduct(row.product_id, configuration_of(row))


def list_configurations(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[OfProduct], int]:
    """Give a page, newest first, and how many there are. Conditions are over `tables.price_configurations`."""
    table = price_configurations
    where = sa.and_(of(table, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(table).where(where)).scalar_one()
    query = table.select().where(where).order_by(table.c.created_at.desc(), table.c.position.desc(), table.c.id.desc())
    rows = connection.execute(query.limit(take).offset(skip))
    return [OfProduct(row.product_id, configuration_of(row)) for row in rows], total


def versions_of(connection: sa.Connection, one: PriceConfiguration) -> list[PriceVersion]:
    """Give the prices of a configuration from the first to the current ones, numbered from 1."""
    assert one.created_at is not None, "it is kept"
    query = price_versions.select().where(price_versions.c.price_configuration_id == one.id)
    rows = connection.execute(query.order_by(price_versions.c.valid_until, price_versions.c.id)).all()
    former = [
        PriceVersion(number, row.prices, row.valid_from, row.valid_until) for number, row in enumerate(rows, start=1)
    ]
    since = former[-1].valid_until if former else one.created_at
    assert since is not None
    return [*former, PriceVersion(len(former) + 1, one.group.prices, since, None)]


def configurations_at(connection: sa.Connection, product_id: str, moment: datetime) -> list[PriceConfiguration]:
    """Give the configurations of a product that were for sale at a moment, in their order, at the prices of then.

    For whom they are is what they say now: that has no versions.
    """
    table = price_configurations
    there = sa.and_(
        table.c.product_id == product_id,
        table.c.created_at <= moment,
        sa.or_(table.c.archived_at.is_(None), table.c.archived_at > moment),
    )
    found = []
    for row in connection.execute(table.select().where(there).order_by(table.c.position)).all():
        one = configuration_of(row)
        if row.updated_at > moment:
            held = [version for version in versions_of(connection, one) if version.valid_from <= moment]
            one = replace(one, group=replace(one.group, prices=tuple(held[-1].prices if held else one.group.prices)))
        found.append(one)
    return found


def configuration_of(row: Any) -> PriceConfiguration:
    """Give the configuration of a row of `tables.price_configurations`."""
    return PriceConfiguration(
        row.id,
        row.currency,
        None if row.countries is None else tuple(row.countries),
        None if row.billing_interval is None else Interval.from_document(row.billing_interval),
        None if row.commitment_interval is None else Interval.from_document(row.commitment_interval),
        PriceGroup(row.metering_filter, tuple(row.prices)),
        row.price_book_id,
        row.plan_id,
        row.created_at,
        row.updated_at,
        row.archived_at,
    )


def _of_product(connection: sa.Connection, product_id: str) -> list[OfProduct]:
    query = price_configurations.select().where(price_configurations.c.product_id == product_id)
    return [OfProduct(row.product_id, configuration_of(row)) for row in connection.execute(query)]


def _next_position(connection: sa.Connection, product_id: str) -> int:
    query = sa.select(sa.func.max(price_configurations.c.position))
    last = connection.execute(query.where(price_configurations.c.product_id == product_id)).scalar()
    return 0 if last is None else last + 1


def _inserted(row: Mapping[str, Any], one: PriceConfiguration, position: int, now: datetime) -> sa.Insert:
    return price_configurations.insert().values(**row, **one.document(), position=position, updated_at=now)


def _version_of(connection: sa.Connection, one: PriceConfiguration, now: datetime) -> sa.Insert:
    table = price_configurations
    row = connection.execute(sa.select(table.c.account_id, table.c.mode).where(table.c.id == one.id)).one()
    return price_versions.insert().values(
        id=new_id("prv"),
        account_id=row.account_id,
        mode=row.mode,
        price_configuration_id=one.id,
        prices=list(one.group.prices),
        valid_from=versions_of(connection, one)[-1].valid_from,
        valid_until=now,
    )
