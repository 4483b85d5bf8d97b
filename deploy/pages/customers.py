"""The customers, with what their open invoices come to."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.as_of import read_as_of
from deploy.pages.billed import ask_open_invoices, totals_by_currency
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.paths import customer_path
from deploy.pages.questions import page_asked
from deploy.pages.serving import Visit
from metering.registry import tables
from metering.registry.customers import Customer, list_customers
from metering.world import World


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """One customer of the list. `open_count` None: it cannot be told now."""

    customer: Customer
    path: str
    open_count: int | None
    open_totals: Sequence[str]


async def customers(visit: Visit) -> web.Response:
    """List customers, newest first, those that only events made included."""
    services = visit.services
    as_of = await read_as_of(services)
    search = visit.query("search")
    page = page_asked(visit, PAGES_MAX)
    found, total = await services.registry.read(_found, visit.world, search, page)
    invoices = await ask_open_invoices(visit, as_of.cutoff, found)
    rows = []
    for customer in found:
        theirs = [] if invoices is None else invoices.of(customer.id)
        count = None if invoices is None else len(theirs)
        rows.append(CustomerRow(customer, customer_path(customer.id), count, totals_by_currency(theirs)))
    filters = {"search": search} if search else {}
    context = {
        "title": "Customers",
        "current": "/customers",
        "as_of": as_of,
        "search": search or "",
        "rows": rows,
        "invoices_known": invoices is not None,
        "invoices_left_out": invoices.left_out if invoices else 0,
        "pages": list_page("/customers", filters, page, len(found), total),
    }
    return visit.render("customers.html", context)


def _found(connection: sa.Connection, world: World, search: str | None, page: int) -> tuple[list[Customer], int]:
    conditions = []
    if search:
        columns = (tables.customers.c.name, tables.customers.c.external_id, tables.customers.c.id)
        conditions.append(sa.or_(*(column.icontains(search, autoescape=True) for column in columns)))
    return list_customers(connection, world, conditions=conditions, take=ROWS, skip=(page - 1) * ROWS)
