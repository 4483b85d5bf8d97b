"""Price books: prices beside those of the default catalog, for the customers and subscriptions that name one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.tables import of, owner, price_books, price_configurations, subscription_prices, subscriptions
from metering.ids import new_id
from metering.registry.customers import customer_with_detail
from metering.world import Mode, World


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The name under which configurations are gathered. `user_role_ids` are whose choice it is, for those who ask."""

    id: str
    world: World
    name: str
    description: str | None
    user_role_ids: Sequence[str]
    created_at: datetime
    updated_at: datetime


def create_price_book(connection: sa.Connection, world: World, values: Mapping[str, Any], now: datetime) -> PriceBook:
    """Create one; `values` are its name, description and user_role_ids."""
    book_id = new_id("prib")
    row = {"id": book_id, **owner(world), **values, "created_at": now, "updated_at": now}
    connection.execute(price_books.insert().values(**row))
    return PriceBook(book_id, world, created_at=now, updated_at=now, **values)


def update_price_book(
    connection: sa.Connection, book: PriceBook, changes: Mapping[str, Any], now: datetime
) -> PriceBook:
    """Change columns of a price book."""
    connection.execute(price_books.update().where(price_books.c.id == book.id).values(**changes, updated_at=now))
    found = find_price_book(connection, book.world, book.id)
    assert found is not None
    return found


def delete_price_book(connection: sa.Connection, book: PriceBook) -> None:
    """Forget a price book that nothing refers to."""
    connection.execute(price_books.delete().where(price_books.c.id == book.id))


def find_price_book(connection: sa.Connection, world: World, book_id: str) -> PriceBook | None:
    """Give the price book of this id in this world."""
    query = price_books.select().where(of(price_books, world), price_books.c.id == book_id)
    row = connection.execute(query).first()
    return None if row is None else _price_book(row)


def list_price_books(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[PriceBook], int]:
    """Give a page, newest first, and how many there are. Conditions are over `tables.price_books`."""
    where = sa.and_(of(price_books, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(price_books).where(where)).scalar_one()
    query = price_books.select().where(where).order_by(price_books.c.created_at.desc(), price_books.c.id.desc())
    return [_price_book(row) for row in connection.execute(query.limit(take).offset(skip))], total


def use_of_price_book(connection: sa.Connection, book: PriceBook) -> str | None:
    """Name what refers to a price book: its prices, archived ones too, a subscription, a customer; or None."""
    own = price_configurations.c.price_book_id == book.id
    for what, query in (
        ("price configuration", sa.select(price_configurations.c.id).where(of(price_configurations, book.world), own)),
        ("subscription", sa.select(subscriptions.c.id).where(subscriptions.c.price_book_id == book.id)),
        (
            "subscription product",
            sa.select(subscription_prices.c.subscription_product_id).where(
                subscription_prices.c.price_book_id == book.id
            ),
        ),
    ):
        found = connection.execute(query.limit(1)).scalar()
        if found is not None:
            return f"{what} {found}"
    customer_id = customer_with_detail(connection, book.world, "price_book_id", book.id)
    return None if customer_id is None else f"customer {customer_id}"


def _price_book(row: Any) -> PriceBook:
    world = World(row.account_id, Mode(row.mode))
    return PriceBook(row.id, world, row.name, row.description, tuple(row.user_role_ids), row.created_at, row.updated_at)
