"""The editor of prices: a new product with its first price, and what a price that is there is changed to.

A price is all groups of its matrix, with the parameters that these have in common. What is sent is read by the readers
of the API. What they refuse is shown beside the field, with all that was typed; nothing is kept before `save`, every
other button only shows the form again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import web

from billing.api.products import change_product, make_product
from billing.catalog.configurations import find_configuration
from billing.catalog.model import PriceConfiguration, Product, ProductType
from billing.catalog.price_books import list_price_books
from billing.catalog.reading import read_product
from billing.catalog.registry import find_product
from billing.interval import Interval
from billing.pricing.rows import named
from deploy.pages.matrix_form import (
    CONDITIONALS,
    CONDITIONS_MAX,
    GROUPS_MAX,
    OPERATORS,
    Groups,
    GroupTyped,
    fits_form,
    kept_groups,
    new_groups,
    typed_groups,
)
from deploy.pages.price_form import COLUMNS, LABELS, MODES, NAMES, ROWS_MAX, Beside, as_number, beside
from deploy.pages.price_preview import PricePreview, preview_prices
from deploy.pages.sent_form import may_write, read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from metering.http.problem import ApiError, Fault, conflict, not_found
from metering.registry.aggregators import active_aggregators
from metering.windows import Period
from metering.world import World

AGGREGATORS_MAX = 200
BOOKS_MAX = 200
PREFIX = "groups"
NO_COUNTRY = "none"
"""Typed in place of countries: for customers without one."""
_INTERVALS = ("billing_interval", "commitment_interval")
_PARAMETERS = (
    "currency",
    "countries",
    "price_book_id",
    *(f"{one}_{part}" for one in _INTERVALS for part in ("period", "count")),
)
_FIELDS = ("name", "type", "aggregator_id", *_PARAMETERS)
_NEW = {
    **dict.fromkeys(_FIELDS, ""),
    "type": "dynamic",
    "currency": "EUR",
    **{f"{one}_count": "1" for one in _INTERVALS},
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form."""

    fields: Mapping[str, str]
    groups: Groups
    up_to: str

    def configurations(self) -> list[dict[str, Any]]:
        """Give the price as the API takes it: a configuration for each group."""
        fields = self.fields
        price: dict[str, Any] = {"currency": fields["currency"].upper()}
        if fields["countries"]:
            codes = fields["countries"].upper().replace(",", " ").split()
            price["countries"] = [] if codes == [NO_COUNTRY.upper()] else codes
        for interval in _INTERVALS:
            if fields[f"{interval}_period"]:
                count = as_number(fields[f"{interval}_count"] or "1")
                price[interval] = {"period": fields[f"{interval}_period"], "count": count}
        if fields["price_book_id"]:
            price["price_book_id"] = fields["price_book_id"]
        return [
            {
                **({"id": group.id} if group.id else {}),
                **price,
                "metering_filter": group.metering_filter(),
                "prices": group.rows.document(),
            }
            for group in self.groups.groups
        ]


@dataclass(frozen=True, slots=True)
class Kept:
    """A price that is there: the groups of one matrix, in order, and how many configurations stand before them."""

    product: Product
    matrix: Sequence[PriceConfiguration]

    @property
    def before(self) -> int:
        """Give the place of its first group, once it is put where its last one stands."""
        last = self.matrix[-1]
        return self.product.configurations.index(last) - len(self.matrix) + 1

    def body(self, typed: Typed) -> dict[str, Any]:
        """Give the product's configurations with what was typed in the place of these."""
        ids = {one.id for one in self.matrix}
        plan = {"plan_id": self.matrix[0].plan_id}
        out: list[dict[str, Any]] = []
        for one in self.product.configurations:
            if one.id == self.matrix[-1].id:
                out += [{**group, **plan} for group in typed.configurations()]
            elif one.id not in ids:
                out.append({"id": one.id, **one.document()})
        return {"price_configurations": out}


async def new_product(visit: Visit) -> web.Response:
    """Make a product with one price."""
    require_write(visit)
    if visit.request.method != "POST":
        return await _form(visit, Typed(_NEW, new_groups(PREFIX), ""), None)
    sent = await read_own_form(visit)
    typed = _typed(sent, _FIELDS)
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
    """Give a price other rows, which makes a version of them; other groups; or make it for others."""
    identifier = visit.request.match_info["price"]
    kept = await visit.services.registry.read(_kept, visit.world, visit.request.match_info["id"], identifier)
    require_write(visit)
    if not fits_form([one.group for one in kept.matrix]):
        raise ApiError(422, f"This price has more than a form holds: change it by PUT /v1/products/{kept.product.id}.")
    if visit.request.method != "POST":
        return await _form(visit, _as_kept(kept), kept, previews=True)
    sent = await read_own_form(visit)
    typed = _typed(sent, _PARAMETERS)
    if sent.get("do") != "save":
        return await _form(visit, typed, kept, previews=sent.get("do") == "preview")
    services, session = visit.services, visit.session
    assert session is not None
    try:
        change = partial(_change, typed=typed, by=session.key.id)
        await services.registry.write(change, visit.world, kept.product.id, identifier, services.clock())
    except ApiError as error:
        return await _form(visit, typed, kept, error=error)
    return see_other(f"/products/{quote(kept.product.id, safe='')}")


def group_context(groups: Sequence[Groups]) -> dict[str, Any]:
    """Give what the template of groups needs."""
    return {
        "models": list(COLUMNS),
        "labels": LABELS,
        "modes": MODES,
        "names": NAMES,
        "rows_max": ROWS_MAX,
        "groups_max": GROUPS_MAX,
        "conditions_max": CONDITIONS_MAX,
        "conditionals": CONDITIONALS,
        "operators": OPERATORS,
        "focus": next((one.focus for one in groups if one.focus), ""),
    }


def preview_groups(groups: Groups, currency: str, up_to: Any = None) -> tuple[dict[str, PricePreview], list[ApiError]]:
    """Preview each group that can be, by its place, and give what stands against the others, told of their fields."""
    drawn: dict[str, PricePreview] = {}
    errors = []
    for group in groups.groups:
        try:
            drawn[group.place] = preview_prices(group.rows.document(), currency, up_to)
        except ApiError as error:
            errors.append(ApiError(error.status, error.message, [_of_group(fault, group) for fault in error.faults]))
    return drawn, errors


def _of_group(fault: Fault, group: GroupTyped) -> Fault:
    """Say of which group's rows a fault is."""
    if tuple(fault.path[:1]) != ("prices",):
        return fault
    place = tuple(int(part) if part.isdigit() else part for part in group.place.split("."))
    return Fault(fault.code, (*place, *fault.path), f"{named(place)}.{fault.message}")


def _typed(sent: Mapping[str, str], names: Sequence[str]) -> Typed:
    fields = {**_NEW, **{name: sent.get(name, "") for name in names}}
    return Typed(fields, typed_groups(sent, PREFIX).acted(sent), sent.get("up_to", ""))


def _as_kept(kept: Kept) -> Typed:
    one = kept.matrix[0]
    countries = None if one.countries is None else ", ".join(one.countries) or NO_COUNTRY
    fields = {**_NEW, "currency": one.currency, "countries": countries or "", "price_book_id": one.price_book_id or ""}
    intervals: Mapping[str, Interval | None] = {
        "billing_interval": one.billing_interval,
        "commitment_interval": one.commitment_interval,
    }
    for name, interval in intervals.items():
        if interval is not None:
            document = interval.document()
            fields |= {f"{name}_period": str(document["period"]), f"{name}_count": str(document["count"])}
    return Typed(fields, kept_groups(PREFIX, [(each.id, each.group) for each in kept.matrix]), "")


def _document(typed: Typed) -> dict[str, Any]:
    fields = typed.fields
    document = {"name": fields["name"], "type": fields["type"], "price_configurations": typed.configurations()}
    return {**document, **({"aggregator_id": fields["aggregator_id"]} if fields["aggregator_id"] else {})}


def _change(
    connection: sa.Connection, world: World, product_id: str, price_id: str, now: datetime, *, typed: Typed, by: str
) -> None:
    """Change a price as it is now: one whose groups are others by now is not written over."""
    kept = _kept(connection, world, product_id, price_id)
    if {group.id for group in typed.groups.groups if group.id} - {one.id for one in kept.matrix}:
        raise conflict("The groups of this price were changed meanwhile: open it again, and change it as it is now.")
    change_product(connection, world, product_id, kept.body(typed), now, by=by)


async def _form(
    visit: Visit, typed: Typed, kept: Kept | None, *, error: ApiError | None = None, previews: bool = False
) -> web.Response:
    drawn: Mapping[str, PricePreview] = {}
    known = {*typed.groups.names(), "up_to", *(_PARAMETERS if kept else _FIELDS)}
    if previews:
        up_to = as_number(typed.up_to) if typed.up_to else None
        drawn, errors = await asyncio.to_thread(preview_groups, typed.groups, typed.fields["currency"].upper(), up_to)
        error = as_one(errors)
    wrong = Beside() if error is None else beside(error.faults, error.message, known, _renamed(typed, kept))
    aggregators = await visit.services.registry.read(active_aggregators, visit.world)
    books = await visit.services.registry.read(_books, visit.world)
    context = {
        "title": "Edit prices" if kept else "New product",
        "current": "/products",
        "product": kept.product if kept else None,
        "plan_id": kept.matrix[0].plan_id if kept else None,
        "fields": typed.fields,
        "groups": typed.groups,
        "grouped": kept is None or kept.product.type is ProductType.DYNAMIC,
        "up_to": typed.up_to,
        "wrong": wrong,
        "drawn": drawn,
        "types": [kind.value for kind in ProductType if kind is not ProductType.CREDIT],
        "periods": [period.value for period in Period],
        "aggregators": aggregators[:AGGREGATORS_MAX],
        "books": books,
        "may_write": may_write(visit),
        **group_context([typed.groups]),
    }
    return visit.render("product_editor.html", context, error.status if error else 200)


def _renamed(typed: Typed, kept: Kept | None) -> dict[str, str]:
    """Say which fields the API speaks of: each group is a configuration, with the same parameters."""
    there, before = "price_configurations", kept.before if kept else 0
    out = typed.groups.renamed(there, at=before)
    for number in range(before, before + len(typed.groups.groups)):
        for interval in _INTERVALS:
            where = f"{there}.{number}.{interval}"
            out |= {f"{where}.period": f"{interval}_period", f"{where}.count": f"{interval}_count"}
            out[where] = f"{interval}_period"
        out[f"{there}.{number}"] = ""
    return out


def as_one(errors: Sequence[ApiError]) -> ApiError | None:
    """Give what stands against all groups as one refusal."""
    if not errors:
        return None
    return ApiError(errors[0].status, errors[0].message, [fault for error in errors for fault in error.faults])


def _books(connection: sa.Connection, world: World) -> list[Any]:
    return list_price_books(connection, world, conditions=(), take=BOOKS_MAX, skip=0)[0]


def _kept(connection: sa.Connection, world: World, product_id: str, price_id: str) -> Kept:
    """Give the price that a configuration is a group of.

    Raises:
        ApiError: 404 where this product has no such price, 409 where it is archived.
    """
    one, product = find_configuration(connection, world, price_id), find_product(connection, world, product_id)
    if one is None or product is None or one.product_id != product.id:
        raise not_found(f"No price has the id “{price_id[:80]}” here.")
    if one.configuration.archived_at is not None:
        raise conflict(f"This price is archived: POST /v1/price-configurations/{price_id}/unarchive puts it on sale.")
    same = one.configuration.parameters
    return Kept(product, [each for each in product.configurations if each.parameters == same])
