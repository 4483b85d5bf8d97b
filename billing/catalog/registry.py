"""Keep products and their configurations in the registry. Every function works within one world and one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.catalog.model import PriceConfiguration, PriceGroup, Product, ProductStatus, ProductType
from billing.interval import Interval
from billing.tables import of, owner, price_configurations, products
from metering.ids import new_id
from metering.world import Mode, World

_LOOKUP_MAX = 500


def create_product(
    connection: sa.Connection,
    world: World,
    values: Mapping[str, Any],
    configurations: Sequence[PriceConfiguration],
    now: datetime,
) -> Product:
    """Create a product; `values` are its name, type, aggregator_id and details."""
    product_id = new_id("itm")
    connection.execute(
        products.insert().values(
            id=product_id, **owner(world), status=ProductStatus.ACTIVE.value, created_at=now, updated_at=now, **values
        )
    )
    _insert_configurations(connection, world, product_id, configurations, now)
    found = find_product(connection, world, product_id)
    assert found is not None
    return found


def update_product(
    connection: sa.Connection,
    product: Product,
    changes: Mapping[str, Any],
    now: datetime,
    configurations: Sequence[PriceConfiguration] | None = None,
) -> Product:
    """Change columns of a product, and put other configurations in the place of all it has; None leaves them."""
    connection.execute(products.update().where(products.c.id == product.id).values(**changes, updated_at=now))
    if configurations is not None:
        connection.execute(price_configurations.delete().where(price_configurations.c.product_id == product.id))
        _insert_configurations(connection, product.world, product.id, configurations, now)
    found = find_product(connection, product.world, product.id)
    assert found is not None
    return found


def replace_prices(
    connection: sa.Connection, product: Product, configuration_id: str, group: PriceGroup, now: datetime
) -> Product:
    """Put other rows in the place of one configuration's. Subscriptions keep what they were made with."""
    connection.execute(
        price_configurations.update()
        .where(price_configurations.c.id == configuration_id, price_configurations.c.product_id == product.id)
        .values(prices=list(group.prices), updated_at=now)
    )
    return update_product(connection, product, {}, now)


def find_product(connection: sa.Connection, world: World, product_id: str) -> Product | None:
    """Give the product of this id in this world."""
    return find_products(connection, world, [product_id]).get(product_id)


def find_products(connection: sa.Connection, world: World, product_ids: Iterable[str]) -> dict[str, Product]:
    """Give many products at once, by id; ids that are not in this world are left out."""
    wanted = sorted(set(product_ids))
    found: dict[str, Product] = {}
    for start in range(0, len(wanted), _LOOKUP_MAX):
        query = products.select().where(of(products, world), products.c.id.in_(wanted[start : start + _LOOKUP_MAX]))
        found.update({product.id: product for product in _with_configurations(connection, connection.execute(query))})
    return found


def product_names(connection: sa.Connection, world: World, product_ids: Iterable[str]) -> dict[str, str]:
    """Give the names of products by id; ids that are not in this world are left out."""
    wanted = sorted(set(product_ids))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _LOOKUP_MAX):
        within = products.c.id.in_(wanted[start : start + _LOOKUP_MAX])
        query = sa.select(products.c.id, products.c.name).where(of(products, world), within)
        found.update({row.id: row.name for row in connection.execute(query)})
    return found


def find_configuration_product(connection: sa.Connection, world: World, configuration_id: str) -> Product | None:
    """Give the product that a price configuration is of."""
    query = sa.select(price_configurations.c.product_id).where(
        of(price_configurations, world), price_configurations.c.id == configuration_id
    )
    product_id = connection.execute(query).scalar()
    return None if product_id is None else find_product(connection, world, product_id)


def list_products(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Product], int]:
    """Give a page of products, newest first, and how many there are. Conditions are over `tables.products`."""
    where = sa.and_(of(products, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(products).where(where)).scalar_one()
    query = products.select().where(where).order_by(products.c.created_at.desc(), products.c.id.desc())
    return _with_configurations(connection, connection.execute(query.limit(take).offset(skip))), total


def _insert_configurations(
    connection: sa.Connection,
    world: World,
    product_id: str,
    configurations: Sequence[PriceConfiguration],
    now: datetime,
) -> None:
    rows = [
        {
            "id": one.id,
            **owner(world),
            "product_id": product_id,
            "position": position,
            "currency": one.currency,
            "countries": None if one.countries is None else list(one.countries),
            "billing_interval": one.billing_interval.document() if one.billing_interval else None,
            "commitment_interval": one.commitment_interval.document() if one.commitment_interval else None,
            "metering_filter": one.group.metering_filter,
            "prices": list(one.group.prices),
            "created_at": now,
            "updated_at": now,
        }
        for position, one in enumerate(configurations)
    ]
    if rows:
        connection.execute(price_configurations.insert(), rows)


def _with_configurations(connection: sa.Connection, rows: Iterable[Any]) -> list[Product]:
    found = list(rows)
    by_product: dict[str, list[PriceConfiguration]] = {row.id: [] for row in found}
    query = (
        price_configurations.select()
        .where(price_configurations.c.product_id.in_(by_product))
        .order_by(price_configurations.c.product_id, price_configurations.c.position)
    )
    for row in connection.execute(query):
        by_product[row.product_id].append(_configuration(row))
    return [_product(row, by_product[row.id]) for row in found]


def _configuration(row: Any) -> PriceConfiguration:
    return PriceConfiguration(
        row.id,
        row.currency,
        None if row.countries is None else tuple(row.countries),
        None if row.billing_interval is None else Interval.from_document(row.billing_interval),
        None if row.commitment_interval is None else Interval.from_document(row.commitment_interval),
        PriceGroup(row.metering_filter, tuple(row.prices)),
    )


def _product(row: Any, configurations: Sequence[PriceConfiguration]) -> Product:
    return Product(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.name,
        ProductType(row.type),
        ProductStatus(row.status),
        row.aggregator_id,
        row.details,
        configurations,
        row.created_at,
        row.updated_at,
    )
