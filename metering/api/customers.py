"""`/v1/customers`: whose usage it is. `{id}` is our id or the customer's external id."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from metering.api.customer_fields import CUSTOMER, CUSTOMER_BODY, NEW_CUSTOMER_BODY, customer_object, read_customer
from metering.api.services import Services
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_by, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, conflict, not_found
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.registry.customers import (
    Customer,
    CustomerStatus,
    CustomerType,
    DetailText,
    IdentifierTakenError,
    create_customer,
    delete_customer,
    list_customers,
    resolve,
    update_customer,
)
from metering.registry.tables import customers
from metering.world import World

TAG = "Customers"


def customer_routes(services: Services) -> list[Route]:
    """Give the routes of customers."""
    api = _Customers(services)
    one = "/v1/customers/{id}"
    body, answer = CUSTOMER_BODY, CUSTOMER
    return [
        Route(
            "POST",
            "/v1/customers",
            Scope.WRITE,
            api.create,
            "Create a customer",
            TAG,
            201,
            body=NEW_CUSTOMER_BODY,
            answer=answer,
        ),
        Route(
            "GET",
            "/v1/customers",
            Scope.READ,
            api.list,
            "List customers, newest first; those that events made only when `type` is filtered by",
            TAG,
            parameters=(*PARAMETERS, *filter_parameters(FILTERS)),
            answer=page_shape(answer),
        ),
        Route("GET", one, Scope.READ, api.get, "Get a customer", TAG, answer=answer),
        Route("PUT", one, Scope.WRITE, api.update, "Change the fields that are sent", TAG, body=body, answer=answer),
        Route("DELETE", one, Scope.WRITE, api.delete, "Delete an archived customer without subscriptions", TAG, 204),
        *(
            Route(method, f"{one}/{verb}", Scope.WRITE, handler, summary, TAG, answer=answer)
            for verb, handler, summary in (
                ("archive", api.archive, "Archive a customer"),
                ("unarchive", api.unarchive, "Take a customer out of the archive"),
            )
            for method in ("PUT", "POST")
        ),
    ]


def require_customer(connection: sa.Connection, world: World, identifier: str) -> Customer:
    """Give the customer that a path names.

    Raises:
        ApiError: 404; also for the id of a customer that was deleted.
    """
    found = resolve(connection, world, identifier)
    if found is None or identifier in found.gone_ids:
        raise not_found(f"there is no customer {identifier[:80]!r}")
    return found


FILTERS = (
    FilterField("id", customers.c.id, nullable=False),
    FilterField("external_id", customers.c.external_id),
    FilterField("name", customers.c.name),
    FilterField("type", customers.c.type, nullable=False),
    FilterField("status", customers.c.status, nullable=False),
    FilterField("currency", customers.c.currency),
    FilterField("country", customers.c.country),
    FilterField("timezone", customers.c.timezone),
    *(
        FilterField(name, DetailText(customers.c.details, sa.literal(name)))
        for name in ("billing_email", "domain", "organisation_id", "price_book_id", "vat_number")
    ),
    FilterField("created_at", customers.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", customers.c.updated_at, Kind.INSTANT, nullable=False),
)


class _Customers:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = services.registry

    async def create(self, call: Call) -> web.Response:
        values = read_customer(await read_object(call.request))
        made = await self._registry.write(self._create, call.world, values)
        return json_response(customer_object(made), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        if not filters_by(call, "type"):
            conditions.append(customers.c.type != CustomerType.AUTOMATICALLY_CREATED.value)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([customer_object(customer) for customer in found], total, page))

    async def get(self, call: Call) -> web.Response:
        found = await self._registry.read(require_customer, call.world, call.path("id"))
        return json_response(customer_object(found))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        changed = await self._registry.write(self._update, call.world, call.path("id"), body)
        return json_response(customer_object(changed))

    async def archive(self, call: Call) -> web.Response:
        return await self._set_status(call, CustomerStatus.ARCHIVED)

    async def unarchive(self, call: Call) -> web.Response:
        return await self._set_status(call, CustomerStatus.ACTIVE)

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(self._delete, call.world, call.path("id"))
        return web.Response(status=204)

    async def _set_status(self, call: Call, status: CustomerStatus) -> web.Response:
        changed = await self._registry.write(self._change_status, call.world, call.path("id"), status)
        return json_response(customer_object(changed))

    def _create(self, connection: sa.Connection, world: World, values: Mapping[str, Any]) -> Customer:
        self._check_price_book(connection, world, values)
        try:
            return create_customer(connection, world, values, self._services.clock())
        except IdentifierTakenError as error:
            raise _taken(error) from None

    def _update(self, connection: sa.Connection, world: World, identifier: str, body: Mapping[str, Any]) -> Customer:
        customer = require_customer(connection, world, identifier)
        changes = read_customer(body, customer)
        self._keep_adopted(connection, customer, changes.get("external_id"))
        if "price_book_id" in body:
            self._check_price_book(connection, world, changes)
        try:
            return update_customer(connection, customer, changes, self._services.clock())
        except IdentifierTakenError as error:
            raise _taken(error) from None

    def _check_price_book(self, connection: sa.Connection, world: World, values: Mapping[str, Any]) -> None:
        book_id = values["details"].get("price_book_id")
        if book_id is not None and not self._services.customer_use.has_price_book(connection, world, book_id):
            message = f"price_book_id: there is no price book {book_id[:80]!r}: create it first, or send null"
            raise ApiError(404, message, (Fault("unknown", ("price_book_id",), message),))

    def _keep_adopted(self, connection: sa.Connection, customer: Customer, external_id: str | None) -> None:
        """Refuse to swallow the automatically created holder of an external id while something refers to it."""
        holder = None if external_id is None else resolve(connection, customer.world, external_id)
        if holder is None or holder.id == customer.id:
            return
        use = self._services.customer_use.use_of_customer(connection, holder)
        if use is not None:
            raise conflict(f"external_id {external_id!r} belongs to customer {holder.id}, which has {use}")

    def _change_status(
        self, connection: sa.Connection, world: World, identifier: str, status: CustomerStatus
    ) -> Customer:
        customer = require_customer(connection, world, identifier)
        if customer.status is status:
            return customer
        return update_customer(connection, customer, {"status": status}, self._services.clock())

    def _delete(self, connection: sa.Connection, world: World, identifier: str) -> None:
        customer = require_customer(connection, world, identifier)
        use = self._services.customer_use.use_of_customer(connection, customer)
        if use is not None:
            raise conflict(f"customer {customer.id} has {use}: it can be archived, not deleted")
        if customer.status is not CustomerStatus.ARCHIVED:
            raise conflict(
                f"customer {customer.id} must be archived before it is deleted: PUT /v1/customers/{customer.id}/archive"
            )
        delete_customer(connection, customer, self._services.clock())


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[Customer], int]:
    return list_customers(connection, world, conditions=conditions, take=page.take, skip=page.skip)


def _taken(error: IdentifierTakenError) -> ApiError:
    return ApiError(409, str(error), (Fault("taken", ("external_id",), str(error)),))
