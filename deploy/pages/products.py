"""The products, newest first."""

import sqlalchemy as sa
from aiohttp import web

from billing.catalog.model import Product
from billing.catalog.registry import list_products
from billing.tables import products as table
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.questions import page_asked
from deploy.pages.sent_form import may_write
from deploy.pages.serving import Visit
from metering.registry.aggregators import find_aggregator
from metering.world import World


async def products(visit: Visit) -> web.Response:
    """List products, those of the archive included."""
    search, page = visit.query("search"), page_asked(visit, PAGES_MAX)
    found, total, counted = await visit.services.registry.read(_found, visit.world, search, page)
    filters = {"search": search} if search else {}
    context = {
        "title": "Products",
        "current": "/products",
        "search": search or "",
        "products": found,
        "counted": counted,
        "may_write": may_write(visit),
        "pages": list_page("/products", filters, page, len(found), total),
    }
    return visit.render("products.html", context)


def _found(
    connection: sa.Connection, world: World, search: str | None, page: int
) -> tuple[list[Product], int, dict[str, str]]:
    conditions = []
    if search:
        conditions.append(sa.or_(*(column.icontains(search, autoescape=True) for column in (table.c.name, table.c.id))))
    found, total = list_products(connection, world, conditions=conditions, take=ROWS, skip=(page - 1) * ROWS)
    used = {one.aggregator_id for one in found if one.aggregator_id is not None}
    aggregators = [find_aggregator(connection, world, identifier) for identifier in sorted(used)]
    return found, total, {one.id: one.name for one in aggregators if one is not None}
