"""The HTTP API of metering: customers, aggregators, usage, events out, messages, health. One table of routes."""

from metering.api.aggregators import aggregator_routes
from metering.api.customers import customer_routes
from metering.api.events import event_routes
from metering.api.health import health_routes
from metering.api.messages import message_routes
from metering.api.services import Services
from metering.api.usage import usage_routes
from metering.http.route import Route

__all__ = ["Services", "routes"]


def routes(services: Services) -> list[Route]:
    """Give every route of metering; `metering.http.docs.with_docs` describes them, with those of other packages."""
    return [
        *customer_routes(services),
        *aggregator_routes(services),
        *usage_routes(services),
        *event_routes(services),
        *message_routes(services),
        *health_routes(services),
    ]
