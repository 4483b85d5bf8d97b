"""Billing over HTTP: the catalog, subscriptions, invoices and the preview of prices, as one table of routes."""

from billing.api.coupons import coupon_routes
from billing.api.credit_accounts import credit_account_routes
from billing.api.credits import credit_routes
from billing.api.invoice_events import invoice_event_routes
from billing.api.invoices import invoice_routes
from billing.api.plans import plan_routes
from billing.api.preview import preview_routes
from billing.api.price_books import price_book_routes
from billing.api.price_configurations import price_configuration_routes
from billing.api.products import product_routes
from billing.api.seats import seat_routes
from billing.api.services import Services
from billing.api.simulations import simulation_routes
from billing.api.subscription_updates import update_routes
from billing.api.subscriptions import subscription_routes
from metering.http.route import Route

__all__ = ["Services", "routes"]


def routes(services: Services) -> list[Route]:
    """Give every route of billing."""
    return [
        *product_routes(services),
        *price_configuration_routes(services),
        *price_book_routes(services),
        *plan_routes(services),
        *coupon_routes(services),
        *subscription_routes(services),
        *update_routes(services),
        *seat_routes(services),
        *invoice_routes(services),
        *invoice_event_routes(services),
        *credit_routes(services),
        *credit_account_routes(services),
        *preview_routes(),
        *simulation_routes(services),
    ]
