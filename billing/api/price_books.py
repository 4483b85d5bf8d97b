"""`/v1/price-books`: prices beside those of the default catalog. A configuration says which book it is of."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.services import Services
from billing.api.shapes import NEW_PRICE_BOOK_BODY, PRICE_BOOK, PRICE_BOOK_BODY
from billing.catalog.price_books import (
    PriceBook,
    create_price_book,
    delete_price_book,
    find_price_book,
    list_price_books,
    update_price_book,
    use_of_price_book,
)
from billing.tables import price_books
from metering.http.app import json_response
from metering.http.fields import Fields
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import conflict, not_found
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.timestamps import format_instant
from metering.world import World

TAG = "Price books"
ROLES_MAX = 100

FILTERS = (
    FilterField("id", price_books.c.id, nullable=False),
    FilterField("name", price_books.c.name, nullable=False),
    FilterField("created_at", price_books.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", price_books.c.updated_at, Kind.INSTANT, nullable=False),
)


def price_book_routes(services: Services) -> list[Route]:
    """Give the routes of price books."""
    api = _PriceBooks(services)
    every, one = "/v1/price-books", "/v1/price-books/{id}"
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, *filter_parameters(FILTERS))
    listing, update = "List price books, newest first", "Change the fields that are sent"
    delete = "Delete a price book without prices, that no customer and no subscription names"
    new, body, answer = NEW_PRICE_BOOK_BODY, PRICE_BOOK_BODY, PRICE_BOOK
    return [
        Route("POST", every, write, api.create, "Create a price book", TAG, 201, body=new, answer=answer),
        Route("GET", every, read, api.list, listing, TAG, parameters=parameters, answer=page_shape(answer)),
        Route("GET", one, read, api.get, "Get a price book", TAG, answer=answer),
        Route("PUT", one, write, api.update, update, TAG, body=body, answer=answer),
        Route("DELETE", one, write, api.delete, delete, TAG, 204),
    ]


class _PriceBooks:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        values = _read(await read_object(call.request))
        made = await self._registry.write(self._create, call.world, values)
        return json_response(price_book_object(made), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([price_book_object(one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        return json_response(price_book_object(await self._registry.read(_require, call.world, call.path("id"))))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        changed = await self._registry.write(self._update, call.world, call.path("id"), body)
        return json_response(price_book_object(changed))

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(_delete, call.world, call.path("id"))
        return web.Response(status=204)

    def _create(self, connection: sa.Connection, world: World, values: Mapping[str, Any]) -> PriceBook:
        whole = {"description": None, "user_role_ids": [], **values}
        return create_price_book(connection, world, whole, self._clock())

    def _update(self, connection: sa.Connection, world: World, book_id: str, body: Mapping[str, Any]) -> PriceBook:
        book = _require(connection, world, book_id)
        return update_price_book(connection, book, _read(body, book), self._clock())


def price_book_object(book: PriceBook) -> dict[str, Any]:
    """Give the price book as it goes out."""
    return {
        "id": book.id,
        "name": book.name,
        "description": book.description,
        "user_role_ids": list(book.user_role_ids),
        "created_at": format_instant(book.created_at),
        "updated_at": format_instant(book.updated_at),
    }


def _read(body: Mapping[str, Any], current: PriceBook | None = None) -> dict[str, Any]:
    """Give the columns that a body sets."""
    fields = Fields(body)
    values: dict[str, Any] = {}
    if current is None or fields.has("name"):
        values["name"] = fields.name("name", required=True)
    if fields.has("description"):
        values["description"] = fields.text("description")
    if fields.has("user_role_ids"):
        values["user_role_ids"] = fields.names("user_role_ids", items_max=ROLES_MAX) or []
    fields.refuse_faults()
    return values


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[PriceBook], int]:
    return list_price_books(connection, world, conditions=conditions, take=page.take, skip=page.skip)


def _require(connection: sa.Connection, world: World, book_id: str) -> PriceBook:
    found = find_price_book(connection, world, book_id)
    if found is None:
        raise not_found(f"there is no price book {book_id[:80]!r}")
    return found


def _delete(connection: sa.Connection, world: World, book_id: str) -> None:
    book = _require(connection, world, book_id)
    use = use_of_price_book(connection, book)
    if use is not None:
        raise conflict(f"price book {book.id} is used by {use}: take it away there first")
    delete_price_book(connection, book)
