"""Plans: templates of subscriptions, products with their terms and, where they have some, prices of their own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.catalog.model import ProductStatus
from billing.tables import of, owner, plan_products, plans, price_configurations, subscriptions
from metering.ids import new_id
from metering.world import Mode, World

PlanStatus = ProductStatus
"""An archived plan starts no subscription any more; those that it started go on."""


@dataclass(frozen=True, slots=True)
class PlanProduct:
    """A product of a plan. `terms` are those of a product of a new subscription, as they were sent, its id left out."""

    product_id: str
    terms: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A template. `details` are the fields that a subscription takes over, and those that are merely kept."""

    id: str
    world: World
    name: str
    status: PlanStatus
    details: Mapping[str, Any]
    products: Sequence[PlanProduct]
    created_at: datetime
    updated_at: datetime


def create_plan(connection: sa.Connection, world: World, name: str, details: Mapping[str, Any], now: datetime) -> Plan:
    """Create a plan without products."""
    plan_id = new_id("plan")
    values = {"name": name, "status": PlanStatus.ACTIVE.value, "details": details}
    connection.execute(plans.insert().values(id=plan_id, **owner(world), **values, created_at=now, updated_at=now))
    return Plan(plan_id, world, name, PlanStatus.ACTIVE, details, (), now, now)


def update_plan(
    connection: sa.Connection,
    plan: Plan,
    changes: Mapping[str, Any],
    now: datetime,
    products: Sequence[PlanProduct] | None = None,
) -> Plan:
    """Change columns of a plan, and put other products in the place of all it has; None leaves them."""
    connection.execute(plans.update().where(plans.c.id == plan.id).values(**changes, updated_at=now))
    if products is not None:
        connection.execute(plan_products.delete().where(plan_products.c.plan_id == plan.id))
        rows = [
            {
                "id": new_id("plp"),
                **owner(plan.world),
                "plan_id": plan.id,
                "position": position,
                "product_id": one.product_id,
                "terms": one.terms,
            }
            for position, one in enumerate(products)
        ]
        if rows:
            connection.execute(plan_products.insert(), rows)
    found = find_plan(connection, plan.world, plan.id)
    assert found is not None
    return found


def delete_plan(connection: sa.Connection, plan: Plan, now: datetime) -> None:
    """Forget a plan that no subscription was made from; prices of its own are archived."""
    table = price_configurations
    own = sa.and_(of(table, plan.world), table.c.plan_id == plan.id, table.c.archived_at.is_(None))
    connection.execute(table.update().where(own).values(archived_at=now, updated_at=now))
    connection.execute(plan_products.delete().where(plan_products.c.plan_id == plan.id))
    connection.execute(plans.delete().where(plans.c.id == plan.id))


def find_plan(connection: sa.Connection, world: World, plan_id: str) -> Plan | None:
    """Give the plan of this id in this world."""
    found, _ = list_plans(connection, world, conditions=[plans.c.id == plan_id], take=1, skip=0)
    return found[0] if found else None


def list_plans(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Plan], int]:
    """Give a page, newest first, and how many there are. Conditions are over `tables.plans`."""
    where = sa.and_(of(plans, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(plans).where(where)).scalar_one()
    query = plans.select().where(where).order_by(plans.c.created_at.desc(), plans.c.id.desc())
    rows = connection.execute(query.limit(take).offset(skip)).all()
    own: dict[str, list[PlanProduct]] = {row.id: [] for row in rows}
    within = plan_products.select().where(plan_products.c.plan_id.in_(own))
    for row in connection.execute(within.order_by(plan_products.c.plan_id, plan_products.c.position)):
        own[row.plan_id].append(PlanProduct(row.product_id, row.terms))
    return [_plan(row, own[row.id]) for row in rows], total


def use_of_plan(connection: sa.Connection, plan: Plan) -> str | None:
    """Name a subscription that was made from a plan, None when there is none."""
    query = sa.select(subscriptions.c.id).where(of(subscriptions, plan.world), subscriptions.c.plan_id == plan.id)
    found = connection.execute(query.limit(1)).scalar()
    return None if found is None else f"subscription {found}"


def _plan(row: Any, products: Sequence[PlanProduct]) -> Plan:
    return Plan(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.name,
        PlanStatus(row.status),
        row.details,
        products,
        row.created_at,
        row.updated_at,
    )
