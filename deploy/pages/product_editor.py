"""The editor of prices: a new product with one price, and other rows for a price that is there.

What is sent is read by the readers of the API. What they refuse is shown beside the field, with all that was typed;
nothing is kept before `save`, every other button only shows the form again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import web

from billing.api.price_configurations import put_prices
from billing.api.products import make_product
from billing.catalog.configurations import find_configuration
from billing.catalog.model import PriceConfiguration, Product, ProductType
from billing.catalog.price_books import list_price_books
from billing.catalog.reading import read_product
from billing.catalog.registry import find_product
from deploy.pages.price_form import (
    COLUMNS,
    LABELS,
    MODES,
    NAMES,
    ROWS_MAX,
    Beside,
    PriceRows,
    as_number,
    beside,
    kept_rows,
    new_rows,
    typed_rows,
)
from deploy.pages.price_preview import preview_prices
from deploy.pages.sent_form import may_write, read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from metering.http.problem import ApiError, Fault, not_found
from metering.registry.aggregators import active_aggregators
from metering.windows import Period
from metering.world import World

AGGREGATORS_MAX = 200
BOOKS_MAX = 200
_FIELDS = (
    "name",
    "type",
    "aggregator_id",
    "currency",
    "countries",
    "interval_period",
    "interval_count",
    "price_book_id",
)
_NEW = {**dict.fromkeys(_FIELDS, ""), "type": "dynamic", "currency": "EUR", "interval_count": "1"}
_RENAMED = {
    "price_configurations.0.billing_interval.period": "interval_period",
    "price_configurations.0.billing_interval.count": "interval_count",
    "price_configurations.0.billing_interval": "interval_period",
    "price_configurations.0": "",
}
PREFIX = "prices"


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form."""

    fields: Mapping[str, str]
    rows: PriceRows
    up_to: str


async def new_product(visit: Visit) -> web.Response:
    """Make a product with one price."""
    require_write(visit)
    if visit.request.method != "POST":
        return await _form(visit, Typed(_NEW, new_rows(PREFIX), ""), None)
    sent = await read_own_form(visit)
    typed = Typed({name: sent.get(name, "") for name in _FIELDS}, acted(typed_rows(sent, PREFIX), sent), _up_to(sent))
    if sent.get("do") != "save":
        return await _form(visit, typed, None, previews=sent.get("do") == "preview")
    services = visit.services
    try:
        asked = read_product(_document(typed))
        assert visit.session is not None
        made, _ = await services.registry.write(
            make_product, visit.world, asked, services.clock(), visit.session.key.id
        )
    except ApiError as error:
        return await _form(visit, typed, None, error=error)
    return see_other(f"/products/{quote(made.id, safe='')}")


async def edit_prices(visit: Visit) -> web.Response:
    """Give a price other rows, which makes a version."""
    identifier = visit.request.match_info["price"]
    found = await visit.services.registry.read(_found, visit.world, visit.request.match_info["id"], identifier)
    if found is None:
        raise not_found(f"No price has the id “{identifier[:80]}” here.")
    require_write(visit)
    _, one = found
    fields = {**_NEW, "currency": one.currency}
    if len(one.group.prices) > ROWS_MAX:
        raise ApiError(
            422, f"This price has more than {ROWS_MAX} rows: change it by PUT /v1/price-configurations/{one.id}/prices."
        )
    if visit.request.method != "POST":
        return await _form(visit, Typed(fields, kept_rows(PREFIX, one.group.prices), ""), found, previews=True)
    sent = await read_own_form(visit)
    typed = Typed(fields, acted(typed_rows(sent, PREFIX), sent), _up_to(sent))
    if sent.get("do") != "save":
        return await _form(visit, typed, found, previews=sent.get("do") == "preview")
    services = visit.services
    try:
        await services.registry.write(put_prices, visit.world, one.id, typed.rows.document(), services.clock())
    except ApiError as error:
        # The route takes rows alone, so what it says of them begins with a number.
        faults = [Fault(fault.code, (PREFIX, *fault.path), f"{PREFIX}{fault.message}") for fault in error.faults]
        return await _form(visit, typed, found, error=ApiError(error.status, error.message, faults))
    return see_other(f"/products/{quote(found[0].id, safe='')}")


def acted(rows: PriceRows, sent: Mapping[str, str]) -> PriceRows:
    """Do to rows what the button asks that the form was sent with."""
    verb, _, rest = sent.get("do", "").partition(" ")
    prefix, _, number = rest.partition(" ")
    if prefix != rows.prefix:
        return rows
    if verb == "add_row":
        return rows.with_row()
    if verb == "remove_row" and number.isascii() and number.isdigit():
        return rows.without_row(int(number[:4]))
    return rows


def row_context() -> dict[str, Any]:
    """Give what the template of rows needs."""
    return {"models": list(COLUMNS), "labels": LABELS, "modes": MODES, "names": NAMES, "rows_max": ROWS_MAX}


def _up_to(sent: Mapping[str, str]) -> str:
    return sent.get("up_to", "")


def _document(typed: Typed) -> dict[str, Any]:
    fields = typed.fields
    price: dict[str, Any] = {"currency": fields["currency"].upper(), "prices": typed.rows.document()}
    if fields["countries"]:
        price["countries"] = [part for part in fields["countries"].upper().replace(",", " ").split() if part]
    if fields["interval_period"]:
        count = as_number(fields["interval_count"] or "1")
        price["billing_interval"] = {"period": fields["interval_period"], "count": count}
    if fields["price_book_id"]:
        price["price_book_id"] = fields["price_book_id"]
    document = {"name": fields["name"], "type": fields["type"], "price_configurations": [price]}
    return {**document, **({"aggregator_id": fields["aggregator_id"]} if fields["aggregator_id"] else {})}


async def _form(
    visit: Visit,
    typed: Typed,
    found: tuple[Product, PriceConfiguration] | None,
    *,
    error: ApiError | None = None,
    previews: bool = False,
) -> web.Response:
    preview, known = None, {*typed.rows.names(), "up_to", *(() if found else _FIELDS)}
    if previews:
        up_to = as_number(typed.up_to) if typed.up_to else None
        try:
            currency = typed.fields["currency"].upper()
            preview = await asyncio.to_thread(preview_prices, typed.rows.document(), currency, up_to)
        except ApiError as refused:
            error = refused
    wrong = Beside() if error is None else beside(error.faults, error.message, known, _RENAMED)
    aggregators = await visit.services.registry.read(active_aggregators, visit.world)
    books = await visit.services.registry.read(_books, visit.world)
    context = {
        "title": "Edit prices" if found else "New product",
        "current": "/products",
        "product": found[0] if found else None,
        "configuration": found[1] if found else None,
        "fields": typed.fields,
        "rows": typed.rows,
        "up_to": typed.up_to,
        "wrong": wrong,
        "preview": preview,
        "types": [kind.value for kind in ProductType if kind is not ProductType.CREDIT],
        "periods": [period.value for period in Period],
        "aggregators": aggregators[:AGGREGATORS_MAX],
        "books": books,
        "may_write": may_write(visit),
        **row_context(),
    }
    return visit.render("product_editor.html", context, error.status if error else 200)


def _books(connection: sa.Connection, world: World) -> list[Any]:
    return list_price_books(connection, world, conditions=(), take=BOOKS_MAX, skip=0)[0]


def _found(
    connection: sa.Connection, world: World, product_id: str, price_id: str
) -> tuple[Product, PriceConfiguration] | None:
    one, product = find_configuration(connection, world, price_id), find_product(connection, world, product_id)
    if one is None or product is None or one.product_id != product.id:
        return None
    return product, one.configuration
