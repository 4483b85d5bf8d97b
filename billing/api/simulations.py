"""`/v1/simulations`: what customers would have paid for past usage by draft prices, beside what they pay."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.services import Services
from billing.api.shapes import NEW_GROUPS, ROWS
from billing.catalog.model import ProductType
from billing.catalog.registry import find_product
from billing.simulations.jobs import (
    UNFINISHED_MAX,
    create_simulation,
    delete_simulation,
    find_simulation,
    outcomes_of,
)
from billing.simulations.model import Asked, Outcome, Simulation, SimulationStatus
from billing.simulations.reading import CUSTOMERS_MAX, DRAFTS_MAX, read_simulation
from metering.api import asof
from metering.http.app import json_response
from metering.http.paging import PARAMETERS, page_of, paged
from metering.http.problem import ApiError, Fault, not_found, refused
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    ANY_OBJECT,
    DAY_OR_INSTANT,
    INSTANT,
    INTEGER,
    META,
    NAME,
    NUMBER,
    OPTIONAL_INSTANT,
    OPTIONAL_TEXT,
    TEXT,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    request_of,
)
from metering.position import Cutoff
from metering.registry.customers import resolve_many
from metering.registry.definitions import newest_revision
from metering.timestamps import format_instant
from metering.world import World

TAG = "Simulations"

_STATUS = one_of([status.value for status in SimulationStatus])
_DRAFT = request_of(
    {
        "name": NAME,
        "prices": ROWS,
        "price_groups": described(NEW_GROUPS, "A matrix, in place of prices."),
        "min_amount": INTEGER,
        "max_amount": INTEGER,
        "min_committed_count": NUMBER,
    },
    title="DraftPrices",
)
_BODY = request_of(
    {
        "product_id": NAME,
        "currency": {**TEXT, "pattern": "^[A-Z]{3}$"},
        "start_date": DAY_OR_INSTANT,
        "end_date": DAY_OR_INSTANT,
        "timezone": described(NAME, "Whose calendar months are the periods; UTC when absent."),
        "customer_ids": described(array_of(NAME, most=CUSTOMERS_MAX), "Our ids or external ids; all when absent."),
        "configurations": array_of(_DRAFT, least=1, most=DRAFTS_MAX),
    },
    title="NewSimulation",
    required=("product_id", "currency", "start_date", "end_date", "configurations"),
)
_BEGUN = object_of({"id": TEXT, "status": _STATUS}, title="SimulationBegun")
_AMOUNTS = array_of(object_of({"name": TEXT, "amount": INTEGER}))
_SIMULATION = object_of(
    {
        "id": TEXT,
        "status": _STATUS,
        "progress": described(INTEGER, "0 to 100."),
        "message": described(OPTIONAL_TEXT, "What stopped it, and the remedy."),
        "product_id": TEXT,
        "currency": TEXT,
        "start_date": INSTANT,
        "end_date": INSTANT,
        "timezone": TEXT,
        "cutoff": described(TEXT, "At which usage is read, whenever it is: see X-Usage-Cutoff."),
        "created_at": INSTANT,
        "ended_at": OPTIONAL_INSTANT,
        "totals": _AMOUNTS,
        "current_total": nullable(INTEGER),
        "customers": nullable(INTEGER),
        "without_current": described(nullable(INTEGER), "Customers whom no present price fits."),
        "comparison": described(array_of(ANY_OBJECT), "For each draft who pays less, who more, and by how much."),
        "meta": META,
        "data": array_of(
            object_of({"customer_id": TEXT, "current": nullable(INTEGER), "amounts": _AMOUNTS}, title="Simulated")
        ),
    },
    title="Simulation",
)


def simulation_routes(services: Services) -> list[Route]:
    """Give the routes of simulations."""
    api = _Simulations(services)
    every, one = "/v1/simulations", "/v1/simulations/{id}"
    begin = "Rate past usage by draft prices in the background"
    tell = "How far a simulation is, and what it came to"
    forget = "Stop a simulation, and forget it"
    return [
        Route(
            "POST",
            every,
            Scope.WRITE,
            api.begin,
            begin,
            TAG,
            202,
            parameters=(asof.PARAMETER,),
            body=_BODY,
            answer=_BEGUN,
        ),
        Route("GET", one, Scope.READ, api.tell, tell, TAG, parameters=PARAMETERS, answer=_SIMULATION),
        Route("DELETE", one, Scope.WRITE, api.forget, forget, TAG, 204),
    ]


class _Simulations:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def begin(self, call: Call) -> web.Response:
        services = self._services
        asked = read_simulation(await read_object(call.request))
        now = services.clock()
        at = await asof.as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        asked = replace(asked, revision=at.revision)
        made = await services.registry.write(begin_simulation, call.world, asked, at.cutoff, services.clock())
        services.simulations.wake()
        return json_response({"id": made.id, "status": made.status.value}, 202, at.headers)

    async def tell(self, call: Call) -> web.Response:
        page = page_of(call)
        found = await self._services.registry.read(_page, call.world, call.path("id"), page.take, page.skip)
        simulation, outcomes, total = found
        names = [draft.name for draft in simulation.asked.drafts]
        shown = paged([_outcome_object(one, names) for one in outcomes], total, page)
        return json_response({**_simulation_object(simulation), **shown})

    async def forget(self, call: Call) -> web.Response:
        if not await self._services.registry.write(delete_simulation, call.world, call.path("id")):
            raise _unknown(call.path("id"))
        return web.Response(status=204)


def begin_simulation(
    connection: sa.Connection, world: World, asked: Asked, cutoff: Cutoff, now: datetime
) -> Simulation:
    """Keep what was asked, to be worked off by whoever is woken.

    Raises:
        ApiError: 404 for what it names and is not there, 422 for a product that counts no events, 429 while too many
            are unfinished.
    """
    product = find_product(connection, world, asked.product_id)
    if product is None:
        message = f"product_id: there is no product {asked.product_id[:80]!r}: create it, or send another id"
        raise ApiError(404, message, [Fault("unknown", ("product_id",), message)])
    if product.type is not ProductType.DYNAMIC:
        raise refused(f"product_id: a {product.type} product is billed by its count: only dynamic ones are simulated")
    if asked.customer_ids is not None:
        asked = replace(asked, customer_ids=_ours(connection, world, asked.customer_ids))
    revision = newest_revision(connection, world) if asked.revision is None else asked.revision
    asked = replace(asked, aggregator_id=product.aggregator_id, revision=revision)
    made = create_simulation(connection, world, asked, cutoff, now)
    if made is None:
        message = f"{UNFINISHED_MAX} simulations of this account wait or are under way: wait, or DELETE one"
        raise ApiError(429, message, headers={"Retry-After": "10"})
    return made


def _ours(connection: sa.Connection, world: World, named: Sequence[str]) -> list[str]:
    """Give our ids of customers, each once."""
    found = resolve_many(connection, world, named)
    for index, one in enumerate(named):
        if one not in found:
            message = f"customer_ids[{index}]: there is no customer {one[:80]!r}"
            raise ApiError(404, message, [Fault("unknown", ("customer_ids", index), message)])
    return sorted({customer.id for customer in found.values()})


def _page(
    connection: sa.Connection, world: World, simulation_id: str, take: int, skip: int
) -> tuple[Simulation, list[Outcome], int]:
    found = find_simulation(connection, world, simulation_id)
    if found is None:
        raise _unknown(simulation_id)
    return found, *outcomes_of(connection, found, take=take, skip=skip)


def _unknown(simulation_id: str) -> ApiError:
    return not_found(f"there is no simulation {simulation_id[:80]!r}: POST /v1/simulations answers with the id")


def _outcome_object(one: Outcome, names: Sequence[str]) -> dict[str, Any]:
    amounts = [{"name": name, "amount": amount} for name, amount in zip(names, one.amounts, strict=True)]
    return {"customer_id": one.customer_id, "current": one.current, "amounts": amounts}


def _simulation_object(one: Simulation) -> dict[str, Any]:
    asked = one.asked
    nothing: dict[str, Any] = {
        "totals": [],
        "current_total": None,
        "customers": None,
        "without_current": None,
        "comparison": [],
    }
    return {
        "id": one.id,
        "status": one.status.value,
        "progress": one.progress,
        "message": one.message,
        "product_id": asked.product_id,
        "currency": asked.currency,
        "start_date": format_instant(asked.start_us),
        "end_date": format_instant(asked.end_us),
        "timezone": asked.timezone,
        "cutoff": one.cutoff.encode(),
        "created_at": format_instant(one.created_at),
        "ended_at": None if one.ended_at is None else format_instant(one.ended_at),
        **(nothing if one.summary is None else one.summary),
    }
