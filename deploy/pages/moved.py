"""What corrections of an event moved, as people read it: figures of customers, and lines of open invoices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from billing.catalog.registry import product_names
from billing.errors import BillingError
from billing.money import MONEY, minor_digits
from deploy.pages.clock_text import UTC, period_text
from deploy.pages.paths import customer_path, invoice_path
from deploy.pages.quantities import quantity
from deploy.pages.questions import zone_of
from deploy.pages.serving import Visit
from metering.api.asof import AsOf
from metering.api.corrections import Moved, corrections_of, moved_by
from metering.errors import QueryLimitError, UnavailableError
from metering.position import Cutoff
from metering.registry.customers import Customer, resolve_many
from metering.registry.definitions import newest_revision
from metering.store.explorer import VersionHistory
from metering.timestamps import parse_iso

CORRECTIONS_SHOWN_MAX = 20
"""What more corrections moved is not worked out for one page: the last ones are."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShownMove:
    """What one figure or line gained or lost; `path` leads to the line's invoice, or to nothing."""

    what: str
    kind: str
    path: str
    customer: str
    customer_path: str
    period: str
    by: str
    gained: bool


async def ask_moved(
    visit: Visit, cutoff: Cutoff, histories: Sequence[VersionHistory]
) -> Mapping[int, Sequence[ShownMove]] | None:
    """Give by version what it moved when it took another one's place; None when that cannot be worked out now."""
    services = visit.services
    latest = sorted(corrections_of(histories).items())[-CORRECTIONS_SHOWN_MAX:]
    try:
        place = visit.world, AsOf(cutoff, await services.registry.read(newest_revision, visit.world))
        moved = await moved_by(services.lines, services.registry, services.store, place, dict(latest))
    except (UnavailableError, QueryLimitError, BillingError) as error:
        _log.warning("no figures moved", reason=str(error))
        return None
    lines = [line for one in moved.values() for line in one.lines]
    named = {row["customer_id"] for one in moved.values() for row in (*one.figures, *one.lines)}
    products = await services.registry.read(product_names, visit.world, {line["product_id"] for line in lines})
    customers = await services.registry.read(resolve_many, visit.world, named)
    return {number: _shown(one, products, customers) for number, one in moved.items()}


def _shown(moved: Moved, products: Mapping[str, str], customers: Mapping[str, Customer]) -> list[ShownMove]:
    figures = [
        ShownMove(
            what=row["name"],
            kind="figure",
            path="",
            **_place(row, customers, UTC),
            **_by(row["quantity"], row["quantity"]),
        )
        for row in moved.figures
    ]
    lines = []
    for row in moved.lines:
        currency, amount = row["currency"], row["exact_amount"]
        owner = customers.get(row["customer_id"])
        lines.append(
            ShownMove(
                what=products.get(row["product_id"], row["product_id"]),
                kind="invoice line",
                path=invoice_path(row["invoice_id"], line=row["invoice_line_item_id"]) + "#line",
                **_place(row, customers, zone_of(owner) if owner else UTC),
                **_by(amount, MONEY.scaleb(amount, -minor_digits(currency)), currency),
            )
        )
    return [*figures, *lines]


def _place(row: Mapping[str, Any], customers: Mapping[str, Customer], zone: ZoneInfo) -> dict[str, Any]:
    """Say whose it is, and of when."""
    owner = customers.get(row["customer_id"])
    name = owner and (owner.name or owner.external_id)
    return {
        "customer": name or row["customer_id"],
        "customer_path": customer_path(row["customer_id"]),
        "period": period_text(parse_iso(row["period_starts_at"]), parse_iso(row["period_ends_at"]), zone),
    }


def _by(amount: Decimal, shown: Decimal, unit: str = "") -> dict[str, Any]:
    """Say by how much, with its sign."""
    text = f"{'+' if amount > 0 else ''}{quantity(shown)} {unit}".strip()
    return {"by": text, "gained": amount > 0}
