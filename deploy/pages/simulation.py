"""One simulation: how far it is, and what it came to for all and for each customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from aiohttp import web

from billing.catalog.registry import product_names
from billing.money import minor_digits
from billing.simulations.jobs import delete_simulation, find_simulation, outcomes_of
from billing.simulations.model import UNFINISHED, Outcome, Simulation
from deploy.pages.clock_text import period_text
from deploy.pages.distribution import Distribution, customers_text, lay_out_steps
from deploy.pages.lists import PAGES_MAX, ROWS, ListPage, list_page
from deploy.pages.paths import customer_path
from deploy.pages.quantities import money
from deploy.pages.questions import page_asked
from deploy.pages.sent_form import may_write, read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from metering.http.problem import not_found
from metering.registry.customers import Customer, resolve_many
from metering.world import World

RELOAD_S = 2


@dataclass(frozen=True, slots=True)
class ShownDraft:
    """What a draft comes to beside present prices; amounts with their currency."""

    name: str
    total: str
    change: str
    winners: str
    winners_amount: str
    losers: str
    losers_amount: str
    unchanged: int
    not_compared: int
    distribution: Distribution


@dataclass(frozen=True, slots=True)
class ShownOutcome:
    """What a customer pays; of each draft the amount, and the change where there is something to compare with."""

    name: str
    path: str
    current: str
    amounts: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class _Money:
    currency: str

    def text(self, minor_units: int) -> str:
        return money(minor_units, self.currency, minor_digits(self.currency))

    def change(self, minor_units: int) -> str:
        return f"+{self.text(minor_units)}" if minor_units > 0 else self.text(minor_units)


async def simulation(visit: Visit) -> web.Response:
    """Show a simulation; while it is under way the browser is asked to load the page again."""
    identifier, page = visit.request.match_info["id"], page_asked(visit, PAGES_MAX)
    found = await visit.services.registry.read(_read, visit.world, identifier, page)
    if found is None:
        raise not_found(
            f"No simulation has the id “{identifier[:80]}” here: it was cancelled, or made room for others."
        )
    one, name, outcomes, total, customers = found
    unfinished = one.status.value in UNFINISHED
    written = _Money(one.asked.currency)
    summary = one.summary
    context = {
        "title": "Simulation",
        "current": "/products",
        "simulation": one,
        "product_name": name,
        "range_text": period_text(one.asked.start_us, one.asked.end_us, ZoneInfo(one.asked.timezone)),
        "unfinished": unfinished,
        "may_write": may_write(visit),
        "current_total": None if summary is None else written.text(summary["current_total"]),
        "customers": None if summary is None else customers_text(summary["customers"]),
        "without_current": 0 if summary is None else summary["without_current"],
        "drafts": [] if summary is None else _drafts(summary, written),
        "outcomes": [_outcome(outcome, customers, written) for outcome in outcomes],
        "pages": _pages(one, page, len(outcomes), total),
    }
    response = visit.render("simulation.html", context)
    if unfinished:
        response.headers["Refresh"] = str(RELOAD_S)
    return response


async def forget_simulation(visit: Visit) -> web.Response:
    """Stop a simulation, and forget it."""
    require_write(visit)
    await read_own_form(visit)
    identifier = visit.request.match_info["id"]
    product_id = await visit.services.registry.write(_forget, visit.world, identifier)
    return see_other("/products" if product_id is None else f"/products/{product_id}")


def _forget(connection: sa.Connection, world: World, identifier: str) -> str | None:
    one = find_simulation(connection, world, identifier)
    delete_simulation(connection, world, identifier)
    return None if one is None else one.asked.product_id


def _read(
    connection: sa.Connection, world: World, identifier: str, page: int
) -> tuple[Simulation, str, list[Outcome], int, dict[str, Customer]] | None:
    one = find_simulation(connection, world, identifier)
    if one is None:
        return None
    name = product_names(connection, world, [one.asked.product_id]).get(one.asked.product_id, one.asked.product_id)
    outcomes, total = outcomes_of(connection, one, take=ROWS, skip=(page - 1) * ROWS)
    customers = resolve_many(connection, world, [outcome.customer_id for outcome in outcomes])
    return one, name, outcomes, total, dict(customers)


def _pages(one: Simulation, page: int, shown: int, total: int) -> ListPage:
    return list_page(f"/simulations/{one.id}", {}, page, shown, total, words=("Previous", "Next"))


def _drafts(summary: Any, written: _Money) -> list[ShownDraft]:
    return [
        ShownDraft(
            total["name"],
            written.text(total["amount"]),
            written.change(total["amount"] - summary["current_total"]),
            customers_text(compared["winners"]["count"]),
            written.change(compared["winners"]["amount"]),
            customers_text(compared["losers"]["count"]),
            written.change(compared["losers"]["amount"]),
            compared["unchanged"],
            compared["not_compared"],
            lay_out_steps(compared["distribution"]),
        )
        for total, compared in zip(summary["totals"], summary["comparison"], strict=True)
    ]


def _outcome(one: Outcome, customers: dict[str, Customer], written: _Money) -> ShownOutcome:
    customer = customers.get(one.customer_id)
    name = one.customer_id if customer is None else customer.name or customer.external_id or customer.id
    amounts = []
    for amount in one.amounts:
        change = 0 if one.current is None else amount - one.current
        amounts.append((written.text(amount), written.change(change) if change else "", change))
    current = "no price" if one.current is None else written.text(one.current)
    return ShownOutcome(name, customer_path(one.customer_id), current, amounts)
