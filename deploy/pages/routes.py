"""Which page is at which address, and how an application comes to serve them."""

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from deploy.pages.assets import STYLESHEET, stylesheet
from deploy.pages.attempts import Attempts
from deploy.pages.compare import compare
from deploy.pages.connections import connection, forget_connection, new_connection, ping_connection
from deploy.pages.customer import customer
from deploy.pages.customers import customers
from deploy.pages.dataloader import (
    dataloader,
    dataloader_run,
    forget_dataloader,
    pause_dataloader,
    reload_dataloader,
    resume_dataloader,
    run_dataloader,
)
from deploy.pages.dataloader_editor import edit_dataloader, new_dataloader
from deploy.pages.dataloaders import dataloaders
from deploy.pages.event import event
from deploy.pages.explorer import explorer
from deploy.pages.imports import imports, one_import, take_import, template
from deploy.pages.invoice import invoice
from deploy.pages.invoice_file import invoice_events
from deploy.pages.overview import overview
from deploy.pages.product import product
from deploy.pages.product_editor import edit_prices, new_product
from deploy.pages.products import products
from deploy.pages.services import PageServices
from deploy.pages.serving import for_everybody, for_signed_in
from deploy.pages.sign_in import hold_form, show_sign_in, sign_in, sign_out
from deploy.pages.simulation import forget_simulation, simulation
from deploy.pages.simulation_form import new_simulation
from deploy.pages.templating import add_templates
from deploy.pages.values import values

_ANY = "[^/]+"
"""One segment of a path, whatever it holds: left to itself, aiohttp matches none with a brace in it."""


class PageRoute(NamedTuple):
    """One method and path. `signed_in`: whoever is not is sent to sign in first."""

    method: str
    path: str
    serve: Callable[[web.Request], Awaitable[web.StreamResponse]]
    signed_in: bool


def page_routes(services: PageServices) -> list[PageRoute]:
    """Give all pages, ready to be served."""
    attempts = Attempts(time.monotonic)
    shown_to_all = (
        ("GET", "/sign-in", show_sign_in),
        ("POST", "/sign-in", sign_in(attempts)),
    )
    long_forms = (
        ("POST", f"/dataloaders/{{id:{_ANY}}}/edit", edit_dataloader),
        ("POST", "/dataloaders/new", new_dataloader),
        ("POST", "/products/new", new_product),
        ("POST", f"/products/{{id:{_ANY}}}/simulations/new", new_simulation),
        ("POST", f"/products/{{id:{_ANY}}}/prices/{{price:{_ANY}}}", edit_prices),
        ("POST", "/dataloaders/new", new_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/edit", edit_dataloader),
    )
    shown_to_signed_in = (
        ("GET", "/", overview),
        ("GET", "/compare", compare),
        ("GET", "/values", values),
        ("GET", "/events", explorer),
        ("GET", f"/events/{{event_type:{_ANY}}}/{{record_id:{_ANY}}}", event),
        ("GET", "/event", event),
        ("GET", "/imports", imports),
        ("POST", "/imports", take_import),
        ("GET", "/imports/template", template),
        ("GET", f"/imports/{{id:{_ANY}}}", one_import),
        ("GET", "/customers", customers),
        ("GET", f"/customers/{{id:{_ANY}}}", customer),
        ("GET", "/customer", customer),
        ("GET", f"/invoices/{{id:{_ANY}}}", invoice),
        ("GET", f"/invoices/{{id:{_ANY}}}/events", invoice_events()),
        ("GET", "/products", products),
        ("GET", "/products/new", new_product),
        ("GET", f"/products/{{id:{_ANY}}}", product),
        ("GET", f"/products/{{id:{_ANY}}}/simulations/new", new_simulation),
        ("GET", f"/simulations/{{id:{_ANY}}}", simulation),
        ("POST", f"/simulations/{{id:{_ANY}}}/forget", forget_simulation),
        ("GET", f"/products/{{id:{_ANY}}}/prices/{{price:{_ANY}}}", edit_prices),
        ("GET", "/dataloaders", dataloaders),
        ("GET", "/dataloaders/new", new_dataloader),
        ("GET", f"/dataloaders/{{id:{_ANY}}}", dataloader),
        ("GET", f"/dataloaders/{{id:{_ANY}}}/edit", edit_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/run", run_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/pause", pause_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/resume", resume_dataloader),
        ("GET", f"/dataloaders/{{id:{_ANY}}}/reload", reload_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/reload", reload_dataloader),
        ("GET", f"/dataloaders/{{id:{_ANY}}}/forget", forget_dataloader),
        ("POST", f"/dataloaders/{{id:{_ANY}}}/forget", forget_dataloader),
        ("GET", f"/dataloaders/{{id:{_ANY}}}/runs/{{run:{_ANY}}}", dataloader_run),
        ("GET", "/connections/new", new_connection),
        ("POST", "/connections/new", new_connection),
        ("GET", f"/connections/{{id:{_ANY}}}", connection),
        ("POST", f"/connections/{{id:{_ANY}}}", connection),
        ("POST", f"/connections/{{id:{_ANY}}}/ping", ping_connection),
        ("GET", f"/connections/{{id:{_ANY}}}/forget", forget_connection),
        ("POST", f"/connections/{{id:{_ANY}}}/forget", forget_connection),
        ("POST", "/sign-out", sign_out),
    )
    return [
        PageRoute("GET", STYLESHEET, stylesheet, signed_in=False),
        *(
            PageRoute(method, path, for_everybody(services, handler), signed_in=False)
            for method, path, handler in shown_to_all
        ),
        *(
            PageRoute(method, path, for_signed_in(services, handler), signed_in=True)
            for method, path, handler in shown_to_signed_in
        ),
        *(
            PageRoute(method, path, for_signed_in(services, handler, hold_form), signed_in=True)
            for method, path, handler in long_forms
        ),
    ]


def add_pages(app: web.Application, services: PageServices) -> None:
    """Serve the pages from an application; to be called once, before it starts."""
    add_templates(app)
    for route in page_routes(services):
        app.router.add_route(route.method, route.path, route.serve)
