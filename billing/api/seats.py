"""`POST /v2/subscriptions/{id}/refresh-seat-products`: read the counts of connected seats now."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.refusals import answered
from billing.api.services import Services
from billing.api.shapes import SEAT_UPDATE
from billing.api.subscriptions import REFRESH_WAIT_S_MAX, TAG, require_subscription
from billing.seats.reading import count_seats
from billing.seats.refresh import Reading, SeatUpdate
from billing.seats.registry import Seats, read_seats, write_refresh
from billing.subscriptions.model import SubscriptionStatus
from billing.subscriptions.seats import RefreshSchedule
from metering.aggregation import Operation
from metering.api.asof import AsOf
from metering.http.app import json_response
from metering.http.problem import refused, unavailable
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import array_of
from metering.registry.definitions import newest_revision
from metering.timestamps import format_instant
from metering.world import World

_TRIES_MAX = 5


def seat_routes(services: Services) -> list[Route]:
    """Give the routes of connected seats."""
    api = _Seats(services)
    summary = "Read the counts of connected seats now, all at one cut-off, and update those that differ"
    path, answer = "/v2/subscriptions/{id}/refresh-seat-products", array_of(SEAT_UPDATE)
    return [Route("POST", path, Scope.WRITE, api.refresh, summary, TAG, 201, answer=answer)]


class _Seats:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def refresh(self, call: Call) -> web.Response:
        services, subscription_id = self._services, call.path("id")
        await services.registry.read(self._require, call.world, subscription_id)
        if not await services.progress.wait_until_applied(REFRESH_WAIT_S_MAX):
            raise unavailable("what was accepted earlier is not in the figures yet: try again", retry_after_s=5)
        for _ in range(_TRIES_MAX):
            at = AsOf(await services.cutoffs.applied())
            at = replace(at, revision=await services.registry.read(newest_revision, call.world))
            seats = await services.registry.read(self._require, call.world, subscription_id)
            with answered():
                counted = await services.store.run(count_seats, services.store, call.world, at.cutoff, seats)
            readings = {
                product: Reading(count, at.cutoff.encode(), RefreshSchedule.MANUAL)
                for product, count in counted.items()
            }
            made = await services.registry.write(write_refresh, call.world, subscription_id, readings, services.clock)
            if not made.overtaken:
                return json_response(
                    [_update_object(subscription_id, one) for one in made.updates], 201, headers=at.headers
                )
        raise unavailable("other refreshes of these seats go on at the same time: try again", retry_after_s=1)

    def _require(self, connection: sa.Connection, world: World, subscription_id: str) -> Sequence[Seats]:
        """Give the seats to refresh, or say why there are none."""
        now = self._services.clock()
        subscription = require_subscription(connection, world, subscription_id)
        if subscription.status_at(now) is SubscriptionStatus.CANCELLED:
            raise refused(f"subscription {subscription.id} is cancelled: its seats are counted no more")
        seats = read_seats(connection, world, [subscription.id], now)[subscription.id]
        if not seats:
            message = f"subscription {subscription.id} has no connected seats: give a seat product an aggregator_id"
            raise refused(f"{message} (PUT /v1/products/{{id}}), and subscribe to it")
        for one in seats:
            if one.aggregator.operation is not Operation.COUNT:
                aggregator = one.aggregator
                message = f"aggregator {aggregator.id} counts the seats of product {one.product.product_id}, and is a"
                raise refused(f"{message} {aggregator.operation.value} by now: make it a count again")
        return seats


def _update_object(subscription_id: str, one: SeatUpdate) -> dict[str, Any]:
    assert one.product.seats is not None
    terms, next_at = one.product.seats.terms, one.next_refresh_at
    return {
        "id": one.change.id,
        "application_schedule": terms.application.value,
        "apply_at": format_instant(one.change.effective_us),
        "payment_schedule": terms.invoicing,
        "calculation_method": one.change.method.value,
        "adjustment_amount": one.adjustment,
        "subscription_id": subscription_id,
        "product_id": one.product.product_id,
        "previous_count": one.previous_count,
        "new_count": one.change.count,
        "next_refresh_date": format_instant(next_at) if terms.interval is not None and next_at is not None else None,
    }
