"""Customers, and the one namespace of ids in which an account's events name them.

Events keep the `customer_id` as it was sent; which customer that is, is told when reading, so attaching an external id
later needs no rewriting. Every id that was ever seen in an event belongs to some customer: an unknown one makes a
customer of type `automatically_created`, which an explicit customer with that external id adopts, and an id that an
explicit customer gives up becomes one again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from metering.ids import new_id
from metering.registry.tables import customer_ids, customers
from metering.world import Mode, World

_LOOKUP_MAX = 500
_LOOKUPS_MAX = 5
_GONE = "gone_ids"


class CustomerType(StrEnum):
    """What kind of customer; the last is made by events alone."""

    CORPORATE = "corporate"
    PERSON = "person"
    AUTOMATICALLY_CREATED = "automatically_created"


class CustomerStatus(StrEnum):
    """An archived customer keeps its usage and is hidden from choice."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class IdentifierTakenError(ValueError):
    """Another customer has this id or external id."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose usage it is. `details` holds the documented fields that no figure depends on, as they were sent."""

    id: str
    world: World
    type: CustomerType
    external_id: str | None
    name: str | None
    currency: str | None
    country: str | None
    timezone: str | None
    status: CustomerStatus
    created_at: datetime
    updated_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gone_ids(self) -> Sequence[str]:
        """Our ids of the deleted customers in whose place this one was made automatically."""
        return self.details.get(_GONE, ()) if self.type is CustomerType.AUTOMATICALLY_CREATED else ()


def create_customer(connection: sa.Connection, world: World, fields: Mapping[str, Any], now: datetime) -> Customer:
    """Create a customer, or adopt the automatically created one of the same external id, which keeps its id.

    `fields` are columns of `customers` besides ids and times.

    Raises:
        IdentifierTakenError: another explicit customer has the external id.
    """
    external_id = fields.get("external_id")
    holder = resolve(connection, world, external_id) if external_id is not None else None
    if holder is not None:
        if holder.type is not CustomerType.AUTOMATICALLY_CREATED or holder.id == external_id:
            raise IdentifierTakenError(f"external_id {external_id!r} belongs to customer {holder.id}")
        adopted = {"type": CustomerType.CORPORATE, **fields, "created_at": now}
        return update_customer(connection, holder, adopted, now)
    customer_id = new_id("cus")
    _insert(connection, world, customer_id, fields, now)
    held = [customer_id] if external_id is None else [customer_id, external_id]
    _attach(connection, world, [(customer_id, identifier) for identifier in held])
    found = resolve(connection, world, customer_id)
    assert found is not None
    return found


def update_customer(
    connection: sa.Connection, customer: Customer, changes: Mapping[str, Any], now: datetime
) -> Customer:
    """Change columns of a customer.

    A new external id is adopted from an automatically created customer that has it; one that is given up becomes such
    a customer again.

    Raises:
        IdentifierTakenError: another explicit customer has the new external id.
    """
    new, old = changes.get("external_id", customer.external_id), customer.external_id
    if new != old:
        if new is not None:
            _adopt(connection, customer, new)
        if old is not None:
            _release(connection, customer, old, now)
    values = {**_plain(changes), "updated_at": now}
    connection.execute(customers.update().where(customers.c.id == customer.id).values(**values))
    found = resolve(connection, customer.world, customer.id)
    assert found is not None
    return found


def delete_customer(connection: sa.Connection, customer: Customer, now: datetime) -> None:
    """Forget a customer. Its ids become those of an automatically created one, so that its events stay somebody's.

    That one is marked with the ids that are gone (`gone_ids`), this customer's own and those of customers that it had
    adopted or stood in for: events may name them, and nobody answers to them any more. What refers to the customer
    elsewhere (subscriptions) must have been checked before.
    """
    external_id = customer.external_id or customer.id
    others = [identifier for identifier in identifiers_of(connection, customer) if identifier != external_id]
    connection.execute(customer_ids.delete().where(customer_ids.c.customer_id == customer.id))
    connection.execute(customers.delete().where(customers.c.id == customer.id))
    details = {_GONE: sorted({customer.id, *others})}
    automatic = _make_automatic(connection, customer.world, external_id, now, details)
    _attach(connection, customer.world, [(automatic, identifier) for identifier in others])


def resolve(connection: sa.Connection, world: World, identifier: str) -> Customer | None:
    """Give the customer that has this id or external id."""
    query = (
        sa.select(customers)
        .join(customer_ids, customer_ids.c.customer_id == customers.c.id)
        .where(*_of(customer_ids, world), customer_ids.c.identifier == identifier)
    )
    row = connection.execute(query).first()
    return None if row is None else _customer(row)


def resolve_many(connection: sa.Connection, world: World, identifiers: Iterable[str]) -> dict[str, Customer]:
    """Give the customers of many ids at once; ids that nobody has are left out."""
    wanted = list(identifiers)
    found: dict[str, Customer] = {}
    for start in range(0, len(wanted), _LOOKUP_MAX):
        query = (
            sa.select(customers, customer_ids.c.identifier)
            .join(customer_ids, customer_ids.c.customer_id == customers.c.id)
            .where(*_of(customer_ids, world), customer_ids.c.identifier.in_(wanted[start : start + _LOOKUP_MAX]))
        )
        found.update({row.identifier: _customer(row) for row in connection.execute(query)})
    return found


def owners_of(connection: sa.Connection, world: World, identifiers: Iterable[str]) -> dict[str, str]:
    """Give whose ids these are, by customer id; ids that nobody has are left out.

    For more ids than a few look-ups are worth, all ids of the world are read at once.
    """
    wanted = list(identifiers)
    query = sa.select(customer_ids.c.identifier, customer_ids.c.customer_id).where(*_of(customer_ids, world))
    if len(wanted) > _LOOKUP_MAX * _LOOKUPS_MAX:
        known = {row.identifier: row.customer_id for row in connection.execute(query)}
        return {identifier: known[identifier] for identifier in wanted if identifier in known}
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _LOOKUP_MAX):
        some = query.where(customer_ids.c.identifier.in_(wanted[start : start + _LOOKUP_MAX]))
        found.update({row.identifier: row.customer_id for row in connection.execute(some)})
    return found


def identifiers_of(connection: sa.Connection, customer: Customer) -> list[str]:
    """Give every id under which events may name this customer, in order."""
    query = (
        sa.select(customer_ids.c.identifier)
        .where(*_of(customer_ids, customer.world), customer_ids.c.customer_id == customer.id)
        .order_by(customer_ids.c.identifier)
    )
    return list(connection.execute(query).scalars())


def ensure_customers(
    connection: sa.Connection,
    world: World,
    identifiers: Iterable[str],
    now: datetime,
    names: Mapping[str, str] | None = None,
) -> int:
    """Make an automatically created customer of each id that nobody has; tell how many. Harmless to repeat.

    `names` are what to call those that are made, by id; who is there already keeps the name it has.
    """
    called = names or {}
    wanted = sorted(set(identifiers))
    known = owners_of(connection, world, wanted)
    made = [(new_id("cus"), identifier) for identifier in wanted if identifier not in known]
    if made:
        rows = [
            _row(world, customer_id, {**_automatic(external_id), "name": called.get(external_id)}, now)
            for customer_id, external_id in made
        ]
        connection.execute(customers.insert(), rows)
        _attach(connection, world, [(own, identifier) for own, name in made for identifier in (own, name)])
    return len(made)


def list_customers(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Customer], int]:
    """Give a page of customers, newest first, and how many there are. Conditions are over `tables.customers`."""
    where = sa.and_(*_of(customers, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(customers).where(where)).scalar_one()
    query = (
        customers.select()
        .where(where)
        .order_by(customers.c.created_at.desc(), customers.c.id.desc())
        .limit(take)
        .offset(skip)
    )
    return [_customer(row) for row in connection.execute(query)], total


class DetailText(sa.sql.functions.FunctionElement[str]):
    """The text of one detail, `DetailText(customers.c.details, name)`."""

    type = sa.String()
    inherit_cache = True


@compiles(DetailText, "sqlite")
def _detail_in_sqlite(element: DetailText, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    return f"json_extract({compiler.process(column, **options)}, '$.' || {compiler.process(name, **options)})"


@compiles(DetailText, "postgresql")
def _detail_in_postgresql(element: DetailText, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    # Its JSON functions refuse U+0000 wherever in a document it stands, so another character takes its place.
    readable = rf"regexp_replace({compiler.process(column, **options)}, '(?<!\\)((\\\\)*)\\u0000', '\1\\ufffd', 'g')"
    return f'((CAST({readable} AS json) ->> {compiler.process(name, **options)}) COLLATE "C")'


def customer_with_detail(connection: sa.Connection, world: World, name: str, value: str) -> str | None:
    """Give the id of a customer whose detail has a text, None when there is none."""
    has = DetailText(customers.c.details, sa.literal(name)) == value
    return connection.execute(sa.select(customers.c.id).where(*_of(customers, world), has).limit(1)).scalar()


def _adopt(connection: sa.Connection, customer: Customer, external_id: str) -> None:
    holder = resolve(connection, customer.world, external_id)
    if holder is not None and holder.id != customer.id:
        if holder.type is not CustomerType.AUTOMATICALLY_CREATED or holder.id == external_id:
            raise IdentifierTakenError(f"external_id {external_id!r} belongs to customer {holder.id}")
        # Its own id goes along: events may name it too.
        connection.execute(
            customer_ids.update()
            .where(*_of(customer_ids, customer.world), customer_ids.c.customer_id == holder.id)
            .values(customer_id=customer.id)
        )
        connection.execute(customers.delete().where(customers.c.id == holder.id))
    elif holder is None:
        _attach(connection, customer.world, [(customer.id, external_id)])


def _release(connection: sa.Connection, customer: Customer, external_id: str, now: datetime) -> None:
    connection.execute(
        customer_ids.delete().where(
            *_of(customer_ids, customer.world),
            customer_ids.c.identifier == external_id,
            customer_ids.c.customer_id == customer.id,
        )
    )
    _make_automatic(connection, customer.world, external_id, now)


def _make_automatic(
    connection: sa.Connection, world: World, external_id: str, now: datetime, details: Mapping[str, Any] | None = None
) -> str:
    customer_id = new_id("cus")
    _insert(connection, world, customer_id, _automatic(external_id, details), now)
    _attach(connection, world, [(customer_id, customer_id), (customer_id, external_id)])
    return customer_id


def _automatic(external_id: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"type": CustomerType.AUTOMATICALLY_CREATED, "external_id": external_id, "details": details or {}}


def _insert(
    connection: sa.Connection, world: World, customer_id: str, fields: Mapping[str, Any], now: datetime
) -> None:
    connection.execute(customers.insert().values(**_row(world, customer_id, fields, now)))


def _row(world: World, customer_id: str, fields: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    values = _plain({"type": CustomerType.CORPORATE, "status": CustomerStatus.ACTIVE, "details": {}, **fields})
    owner = {"id": customer_id, "account_id": world.account_id, "mode": world.mode.value}
    return {**owner, "created_at": now, "updated_at": now, **values}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}


def _attach(connection: sa.Connection, world: World, owned: Iterable[tuple[str, str]]) -> None:
    """Note pairs of a customer's id and an identifier that is its."""
    rows = [
        {"account_id": world.account_id, "mode": world.mode.value, "identifier": identifier, "customer_id": customer_id}
        for customer_id, identifier in owned
    ]
    if rows:
        connection.execute(customer_ids.insert(), rows)


def _of(table: sa.Table, world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.account_id == world.account_id, table.c.mode == world.mode.value


def _customer(row: Any) -> Customer:
    return Customer(
        row.id,
        World(row.account_id, Mode(row.mode)),
        CustomerType(row.type),
        row.external_id,
        row.name,
        row.currency,
        row.country,
        row.timezone,
        CustomerStatus(row.status),
        row.created_at,
        row.updated_at,
        row.details,
    )
