"""`/v1/customers/{id}/credits/{product_id}/usage`: how many credits a customer's usage has drawn. No money."""

from typing import Any, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from billing.api.services import Services
from billing.catalog.credits import CreditAggregator, credit_aggregators
from billing.catalog.model import Product, ProductType
from billing.catalog.registry import find_product
from billing.pricing import credits_used
from metering.api.asof import as_of_with_definitions
from metering.api.customers import require_customer
from metering.api.usage_fields import RANGE_PARAMETERS, period, range_of
from metering.http.app import json_response
from metering.http.problem import not_found
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import INSTANT, INTEGER, NUMBER, OPTIONAL_NUMBER, OPTIONAL_TEXT, TEXT, array_of, described
from metering.http.shapes import object_of as shape_of
from metering.registry.aggregators import StoredAggregator, find_aggregator
from metering.registry.customers import identifiers_of
from metering.registry.definitions import in_force
from metering.store.usage import Scope as UsageScope
from metering.store.usage import UsageReader
from metering.timestamps import microseconds
from metering.world import World

TAG = "Credits"
_CREDITS = described(NUMBER, "Usage times weight, with all its digits.")
CREDIT_USAGE = shape_of(
    {
        "product_id": TEXT,
        "name": TEXT,
        "credits_used": described(NUMBER, "The sum over the aggregators."),
        "aggregators": array_of(
            shape_of(
                {
                    "aggregator_id": TEXT,
                    "name": TEXT,
                    "unit_name": OPTIONAL_TEXT,
                    "weight": described(NUMBER, "Credits for each unit of usage."),
                    "total": OPTIONAL_NUMBER,
                    "count": INTEGER,
                    "credits_used": _CREDITS,
                },
                title="CreditAggregatorUsage",
            )
        ),
        "period_start": INSTANT,
        "period_end": INSTANT,
    },
    title="CreditUsage",
)


def credit_routes(services: Services) -> list[Route]:
    """Give the routes of credits."""
    return [
        Route(
            "GET",
            "/v1/customers/{id}/credits/{product_id}/usage",
            Scope.READ,
            _Credits(services).usage,
            "The credits that a customer's usage has drawn, by aggregator",
            TAG,
            parameters=RANGE_PARAMETERS,
            answer=CREDIT_USAGE,
        )
    ]


class _Drawn(NamedTuple):
    """Whose usage draws on the credits of which product, and by what."""

    customer_ids: list[str]
    product: Product
    weights: list[CreditAggregator]
    aggregators: list[StoredAggregator]


class _Credits:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def usage(self, call: Call) -> web.Response:
        services, now = self._services, self._services.clock()
        span = range_of(call, microseconds(now))
        at = await as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        names = call.path("id"), call.path("product_id")
        drawn = await services.registry.read(_drawn, call.world, names, at.revision)
        scope = UsageScope(call.world, at.cutoff, span.start_us, span.end_us, drawn.customer_ids)
        counted = [aggregator.counted() for aggregator in drawn.aggregators]
        usages = await services.store.run(UsageReader(services.store).totals, scope, counted)
        rows = [
            {
                "aggregator_id": aggregator.id,
                "name": aggregator.name,
                "unit_name": aggregator.unit_name,
                "weight": one.weight,
                "total": usage.total,
                "count": usage.count,
                "credits_used": credits_used([(one.weight, usage.rated)]),
            }
            for one, aggregator, usage in zip(drawn.weights, drawn.aggregators, usages, strict=True)
        ]
        pairs = [(one.weight, usage.rated) for one, usage in zip(drawn.weights, usages, strict=True)]
        answer: dict[str, Any] = {
            "product_id": drawn.product.id,
            "name": drawn.product.name,
            "credits_used": credits_used(pairs),
            "aggregators": rows,
            **period(span),
        }
        return json_response(answer, headers=at.headers)


def _drawn(connection: sa.Connection, world: World, names: tuple[str, str], revision: int) -> _Drawn:
    customer = require_customer(connection, world, names[0])
    product = find_product(connection, world, names[1])
    if product is None or product.type is not ProductType.CREDIT:
        raise not_found(f"there is no credit product {names[1][:80]!r}")
    weights = credit_aggregators(product.details)
    found = [find_aggregator(connection, world, one.aggregator_id) for one in weights]
    known = [aggregator for aggregator in found if aggregator is not None]
    assert len(known) == len(weights), "an aggregator that a product uses is not deleted"
    defined = in_force(connection, world, known, revision)
    return _Drawn(list(identifiers_of(connection, customer)), product, weights, defined)
