"""Hold what a request names in the catalog against what there is."""

from collections.abc import Iterable

import sqlalchemy as sa

from billing.catalog.model import PriceConfiguration
from billing.catalog.plans import find_plan
from billing.catalog.price_books import find_price_book
from metering.http.problem import ApiError, Fault
from metering.world import World


def check_named(connection: sa.Connection, world: World, configurations: Iterable[PriceConfiguration]) -> None:
    """Refuse configurations of a price book or a plan that there is not.

    Raises:
        ApiError: 404, naming the field and the id.
    """
    named = list(configurations)
    check_price_books(connection, world, {one.price_book_id for one in named if one.price_book_id is not None})
    for plan_id in sorted({one.plan_id for one in named if one.plan_id is not None}):
        if find_plan(connection, world, plan_id) is None:
            raise unknown("plan_id", "plan", plan_id)


def check_price_books(connection: sa.Connection, world: World, book_ids: Iterable[str]) -> None:
    """Refuse a price book that there is not.

    Raises:
        ApiError: 404.
    """
    for book_id in sorted(book_ids):
        if find_price_book(connection, world, book_id) is None:
            raise unknown("price_book_id", "price book", book_id)


def unknown(field: str, what: str, identifier: str) -> ApiError:
    """404 for something that a field of the body names."""
    message = f"{field}: there is no {what} {identifier[:80]!r}: create it first, or send another id"
    return ApiError(404, message, [Fault("unknown", (field,), message)])
