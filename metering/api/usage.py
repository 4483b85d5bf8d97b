"""Usage: `/v1/customers/{id}/usage...` and `/v1/aggregators/{id}/usage...`.

Who and what is meant comes from the registry, at which cut-off from what is applied, the figures from the store. A
customer's events are those that name any of its ids.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from metering.aggregation import ADDS_UP, Usage, together
from metering.api.aggregators import require_aggregator
from metering.api.asof import AsOf, as_of_with_definitions
from metering.api.customers import require_customer
from metering.api.events import EVENTS, events_page
from metering.api.seams import SubscriptionsOf
from metering.api.services import Services
from metering.api.usage_by_property import BY_PROPERTY, GROUPING, property_of, values_page
from metering.api.usage_fields import (
    AGGREGATOR_USAGE,
    BY_CUSTOMER,
    CUSTOMER_USAGE,
    RANGE_PARAMETERS,
    SERIES,
    SERIES_PARAMETERS,
    USAGE_ROWS,
    period,
    range_of,
    series,
    usage_row,
    windows_of,
)
from metering.http.app import json_response
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.ranges import Range
from metering.registry.aggregators import StoredAggregator, active_aggregators
from metering.registry.customers import identifiers_of, owners_of, resolve_many
from metering.registry.definitions import in_force
from metering.store.usage import Scope as UsageScope
from metering.timestamps import microseconds
from metering.windows import Window
from metering.world import World

TAG = "Usage"


def usage_routes(services: Services) -> list[Route]:
    """Give the routes of usage."""
    api = _Usage(services)
    read = Scope.READ
    customer, aggregator = "/v1/customers/{id}/usage", "/v1/aggregators/{id}/usage"
    one, series_path, events_path = "/{aggregator_id}", "/{aggregator_id}/timeseries", "/{aggregator_id}/events"
    plain, over_time, pages = RANGE_PARAMETERS, SERIES_PARAMETERS, (*PARAMETERS, *RANGE_PARAMETERS)
    return [
        Route("GET", path, read, handler, summary, TAG, parameters=parameters, answer=answer)
        for path, handler, summary, parameters, answer in (
            (customer, api.of_customer, "A customer's usage of each active aggregator", plain, USAGE_ROWS),
            (customer + one, api.of_one, "A customer's usage of one aggregator", plain, CUSTOMER_USAGE),
            (customer + series_path, api.series_of_one, "A customer's usage over time", over_time, SERIES),
            (customer + events_path, api.events_of_one, "The events behind a customer's usage", pages, EVENTS),
            (aggregator, api.of_all, "All customers' usage of an aggregator", plain, AGGREGATOR_USAGE),
            (aggregator + "/timeseries", api.series_of_all, "All customers' usage over time", over_time, SERIES),
            (aggregator + "/group-by-customer", api.by_customer, "Usage by customer", pages, BY_CUSTOMER),
            (
                aggregator + "/group-by-property",
                api.by_property,
                "Usage by the values of a property",
                (*GROUPING, *pages),
                BY_PROPERTY,
            ),
        )
    ]


_WhoAndWhat = Callable[[sa.Connection, World, str, str | None], tuple[Sequence[str] | None, Sequence[StoredAggregator]]]


@dataclass(frozen=True, slots=True)
class _Question:
    """Whose usage (None: everybody's), of what, of when, as of when."""

    world: World
    customer_ids: Sequence[str] | None
    aggregators: Sequence[StoredAggregator]
    span: Range
    as_of: AsOf

    @property
    def aggregator(self) -> StoredAggregator:
        (only,) = self.aggregators
        return only

    @property
    def scope(self) -> UsageScope:
        return UsageScope(
            self.world, self.as_of.cutoff, self.span.start_us, self.span.end_us, customer_ids=self.customer_ids
        )


class _Usage:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def of_customer(self, call: Call) -> web.Response:
        question = await self._question(call, _customer_and_all)
        figures = await self._totals(question)
        rows = [usage_row(aggregator, usage) for aggregator, usage in zip(question.aggregators, figures, strict=True)]
        return json_response(rows, headers=question.as_of.headers)

    async def of_one(self, call: Call) -> web.Response:
        question = await self._question(call, _customer_and_one)
        (usage,) = await self._totals(question)
        answer = {**usage_row(question.aggregator, usage), **period(question.span)}
        return json_response(answer, headers=question.as_of.headers)

    async def of_all(self, call: Call) -> web.Response:
        question = await self._question(call, _everybody_and_one)
        (usage,) = await self._totals(question)
        row = usage_row(question.aggregator, usage)
        thresholds = question.aggregator.details.get("thresholds", [])
        answer = {"id": row.pop("aggregator_id"), **row, "thresholds": thresholds, **period(question.span)}
        return json_response(answer, headers=question.as_of.headers)

    async def series_of_one(self, call: Call) -> web.Response:
        return await self._series(call, await self._question(call, _customer_and_one))

    async def series_of_all(self, call: Call) -> web.Response:
        return await self._series(call, await self._question(call, _everybody_and_one))

    async def events_of_one(self, call: Call) -> web.Response:
        page = page_of(call)
        question = await self._question(call, _customer_and_one)
        answer = await events_page(self._services, question.scope, question.aggregator.counted(), page)
        return json_response(answer, headers=question.as_of.headers)

    async def by_customer(self, call: Call) -> web.Response:
        page = page_of(call)
        question = await self._question(call, _everybody_and_one)
        services = self._services
        counted = question.aggregator.counted()
        found = await services.store.run(services.usage.by_customer, question.scope, counted)
        owners = await services.registry.read(owners_of, question.world, found)
        merged = _merged(found, owners)
        if counted.operation not in ADDS_UP:
            shared = _sharing(found, owners)
            again = await services.store.run(services.usage.by_owner, question.scope, counted, shared)
            merged = {who: usage for who, usage in merged.items() if who[0] not in shared}
            merged |= {(owner, ""): usage for owner, usage in again.items()}
        answer = await services.registry.read(_by_customer, question.world, merged, page, services.subscriptions)
        return json_response(answer, headers=question.as_of.headers)

    async def by_property(self, call: Call) -> web.Response:
        page, prop = page_of(call), property_of(call)
        question = await self._question(call, _everybody_and_one)
        services, scope = self._services, question.scope
        customer_id = call.query("customer_id")
        if customer_id is not None:
            ids, _ = await services.registry.read(_customer_and_all, question.world, customer_id, None)
            scope = replace(scope, customer_ids=ids)
        found = await services.store.run(services.usage.by_property, scope, question.aggregator.counted(), prop)
        return json_response(values_page(found, prop, page), headers=question.as_of.headers)

    async def _question(self, call: Call, who_and_what: _WhoAndWhat) -> _Question:
        services = self._services
        now = services.clock()
        span = range_of(call, microseconds(now))
        names = call.request.match_info
        at = await as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        ids, aggregators = await services.registry.read(
            _as_defined, who_and_what, call.world, (names["id"], names.get("aggregator_id")), at.revision
        )
        return _Question(call.world, ids, aggregators, span, at)

    async def _totals(self, question: _Question) -> list[Usage]:
        counted = [aggregator.counted() for aggregator in question.aggregators]
        return await self._services.store.run(self._services.usage.totals, question.scope, counted)

    async def _series(self, call: Call, question: _Question) -> web.Response:
        divided = windows_of(call, question.span)
        figures = await self._services.store.run(
            self._services.usage.timeseries, question.scope, question.aggregator.counted(), _edges(divided)
        )
        return json_response(series(divided, figures), headers=question.as_of.headers)


def _as_defined(
    connection: sa.Connection,
    who_and_what: _WhoAndWhat,
    world: World,
    names: tuple[str, str | None],
    revision: int,
) -> tuple[Sequence[str] | None, Sequence[StoredAggregator]]:
    """Give who and what is meant, and what was counted at a revision."""
    ids, aggregators = who_and_what(connection, world, *names)
    return ids, in_force(connection, world, aggregators, revision)


def _customer_and_all(
    connection: sa.Connection, world: World, customer_id: str, _: str | None
) -> tuple[Sequence[str], Sequence[StoredAggregator]]:
    customer = require_customer(connection, world, customer_id)
    return identifiers_of(connection, customer), active_aggregators(connection, world)


def _customer_and_one(
    connection: sa.Connection, world: World, customer_id: str, aggregator_id: str | None
) -> tuple[Sequence[str], Sequence[StoredAggregator]]:
    assert aggregator_id is not None
    customer = require_customer(connection, world, customer_id)
    return identifiers_of(connection, customer), [require_aggregator(connection, world, aggregator_id)]


def _everybody_and_one(
    connection: sa.Connection, world: World, aggregator_id: str, _: str | None
) -> tuple[None, Sequence[StoredAggregator]]:
    return None, [require_aggregator(connection, world, aggregator_id)]


def _edges(divided: Sequence[Window]) -> list[int]:
    """Give the instants that divide a range, as the store takes them."""
    return [divided[0].start_us, *(window.end_us for window in divided)]


_Whose = tuple[str | None, str]
"""A customer's id, or None and an id that nobody has."""


def _merged(found: Mapping[str, Usage], owners: Mapping[str, str]) -> dict[_Whose, Usage]:
    """Put the figures of a customer's ids together, as far as they add up. An id that nobody has stands for itself."""
    merged: dict[_Whose, Usage] = {}
    for identifier, usage in found.items():
        owner = owners.get(identifier)
        key = (owner, identifier if owner is None else "")
        merged[key] = together(merged[key], usage) if key in merged else usage
    return merged


def _sharing(found: Iterable[str], owners: Mapping[str, str]) -> dict[str, list[str]]:
    """Give the customers that events name by several ids, each with these."""
    ids: dict[str, list[str]] = {}
    for identifier in found:
        if identifier in owners:
            ids.setdefault(owners[identifier], []).append(identifier)
    return {owner: named for owner, named in ids.items() if len(named) > 1}


def _by_customer(
    connection: sa.Connection,
    world: World,
    merged: Mapping[_Whose, Usage],
    page: Page,
    subscriptions: SubscriptionsOf,
) -> dict[str, Any]:
    """Describe one page of customers: total descending, those without one last, then customer id."""
    ranked = sorted(
        merged.items(),
        key=lambda item: (item[1].total is None, item[1].rated.copy_negate(), item[0][0] is None, item[0]),
    )
    shown = ranked[page.skip : page.skip + page.take]
    customers = resolve_many(connection, world, [owner for (owner, _), _ in shown if owner is not None])
    held = subscriptions.subscription_ids(connection, customers.values())
    rows = []
    for (owner, identifier), usage in shown:
        named = customers.get(owner or "")  # One that was deleted just now has no name any more.
        external_id = identifier if owner is None else named and named.external_id
        row = {"customer_id": owner, "external_id": external_id, "total": usage.total, "count": usage.count}
        rows.append({**row, "subscription_ids": list(held.get(owner or "", ()))})
    return paged(rows, len(ranked), page)
