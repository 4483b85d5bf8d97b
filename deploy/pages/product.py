"""One product: what it is, its prices with whom they are for, and the versions of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.catalog.configurations import PriceVersion, versions_of
from billing.catalog.model import PriceConfiguration, Product
from billing.catalog.price_books import find_price_book
from billing.catalog.registry import find_product
from billing.money import minor_digits
from billing.simulations.jobs import latest_simulations
from billing.simulations.model import Simulation
from deploy.pages.matrix_form import conditions_text, fits_form
from deploy.pages.price_form import COLUMNS, ROWS_MAX, text_of
from deploy.pages.quantities import minor_money, quantity
from deploy.pages.sent_form import may_write
from deploy.pages.serving import Visit
from metering.http.problem import not_found
from metering.registry.aggregators import StoredAggregator, find_aggregator
from metering.world import World

CONFIGURATIONS_MAX = 50
VERSIONS_MAX = 20
_HEADS = {
    "from": "From",
    "to": "To",
    "amount": "Amount",
    "unit_count": "For units",
    "mode": "Incomplete",
    "percentage": "Per cent",
    "per_unit_floor": "Least per event",
    "per_unit_cap": "Most per event",
    "per_unit_fee": "Fee per event",
    "count": "Times",
}
_MONEY = {"amount", "per_unit_floor", "per_unit_cap", "per_unit_fee"}


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """The prices of a time as a table of texts."""

    version: PriceVersion
    heads: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    rows_left_out: int


@dataclass(frozen=True, slots=True)
class ShownConfiguration:
    """Prices, and whom they are for. `former` are earlier versions, the newest first."""

    configuration: PriceConfiguration
    model: str
    countries: str
    book: str | None
    events: str | None
    """Which events it prices; None where these are all."""
    current: ShownVersion
    former: Sequence[ShownVersion]
    former_left_out: int
    editable: bool


async def product(visit: Visit) -> web.Response:
    """Show a product."""
    identifier = visit.request.match_info["id"]
    found = await visit.services.registry.read(_read, visit.world, identifier)
    if found is None:
        raise not_found(f"No product has the id “{identifier[:80]}” here.")
    one, aggregator, shown, simulations = found
    context = {
        "title": one.name[:80],
        "current": "/products",
        "product": one,
        "aggregator": aggregator,
        "configurations": shown,
        "simulations": simulations,
        "left_out": len(one.configurations) - len(shown),
        "may_write": may_write(visit),
        "simulated": one.type.value == "dynamic",
    }
    return visit.render("product.html", context)


def _read(
    connection: sa.Connection, world: World, identifier: str
) -> tuple[Product, StoredAggregator | None, list[ShownConfiguration], list[Simulation]] | None:
    one = find_product(connection, world, identifier)
    if one is None:
        return None
    aggregator = None if one.aggregator_id is None else find_aggregator(connection, world, one.aggregator_id)
    shown = [_configuration(connection, world, each, one) for each in one.configurations[:CONFIGURATIONS_MAX]]
    return one, aggregator, shown, latest_simulations(connection, world, one.id)


def _configuration(connection: sa.Connection, world: World, one: PriceConfiguration, of: Product) -> ShownConfiguration:
    *former, current = versions_of(connection, one)
    former = former[::-1]
    book = None if one.price_book_id is None else find_price_book(connection, world, one.price_book_id)
    return ShownConfiguration(
        one,
        one.group.prices[0]["type"],
        "any" if one.countries is None else ", ".join(one.countries) or "customers without a country",
        book.name if book else one.price_book_id,
        _events_of(one, [each for each in of.configurations if each.parameters == one.parameters]),
        _version(current, one.currency),
        [_version(each, one.currency) for each in former[:VERSIONS_MAX]],
        max(0, len(former) - VERSIONS_MAX),
        fits_form([each.group for each in of.configurations if each.parameters == one.parameters]),
    )


def _events_of(one: PriceConfiguration, matrix: Sequence[PriceConfiguration]) -> str | None:
    where = one.group.metering_filter
    if where is None:
        return "all others" if len(matrix) > 1 else None
    said = conditions_text(one.group)
    return f"{where['name']}: {said}" if where["name"] else said


def _version(version: PriceVersion, currency: str) -> ShownVersion:
    names = COLUMNS[version.prices[0]["type"]]
    rows = [[_cell(row, name, currency) for name in names] for row in version.prices[:ROWS_MAX]]
    heads = [(_HEADS[name], name != "mode") for name in names]
    return ShownVersion(version, heads, rows, max(0, len(version.prices) - ROWS_MAX))


def _cell(row: Any, name: str, currency: str) -> str:
    if name == "mode":
        mode = row.get("on_tier_incomplete") or row.get("on_bucket_incomplete") or "pro_rata"
        return str(mode).replace("_", " ")
    value = row.get(name)
    if value is None:
        return "no end" if name == "to" else "1" if name in {"unit_count", "count"} else "\N{EN DASH}"
    if name in _MONEY:
        return minor_money(value, currency, minor_digits(currency))
    return f"{text_of(value)} %" if name == "percentage" else quantity(value)
