"""Keep products and their configurations in the registry. Every function works within one world and one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.catalog.configurations import configuration_of, keep_configurations
from billing.catalog.model import PriceConfiguration, Product, ProductStatus, ProductType
from billing.tables import of, owner, price_configurations, price_versions, products
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
    keep_configurations(connection, world, product_id, configurations, now)
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
    """Change columns of a product, and put other configurations in the place of those for sale; None leaves them.

    Those that are left out are archived.
    """
    connection.execute(products.update().where(products.c.id == product.id).values(**changes, updated_at=now))
    if configurations is not None:
        keep_configurations(connection, product.world, product.id, configurations, now)
    found = find_product(connection, product.world, product.id)
    assert found is not None
    return found


def delete_product(connection: sa.Connection, product: Product) -> None:
    """Forget a product that nothing refers to, with its configurations and their versions."""
    own = sa.select(price_configurations.c.id).where(price_configurations.c.product_id == product.id)
    connection.execute(price_versions.delete().where(price_versions.c.price_configuration_id.in_(own)))
    connection.execute(price_configurations.delete().where(price_configurations.c.product_id == product.id))
    connection.execute(products.delete().where(products.c.id == product.id))


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


def list_products(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Product], int]:
    """Give a page of products, newest first, and how many there are. Conditions are over `tables.products`."""
    where = sa.and_(of(products, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(products).where(where)).scalar_one()
    query = products.select().where(where).order_by(products.c.created_at.desc(), products.c.id.desc())
    return _with_configurations(connection, connection.execute(query.limit(take).offset(skip))), total


def _with_configurations(connection: sa.Connection, rows: Iterable[Any]) -> list[Product]:
    found = list(rows)
    by_product: dict[str, list[PriceConfiguration]] = {row.id: [] for row in found}
    query = (
        price_configurations.select()
        .where(price_configurations.c.product_id.in_(by_product), price_configurations.c.archived_at.is_(None))
        .order_by(price_configurations.c.product_id, price_configurations.c.position)
    )
    for row in connection.execute(query):
        by_product[row.product_id].append(configuration_of(row))
    return [_product(row, by_product[row.id]) for row in found]


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
