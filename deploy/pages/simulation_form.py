"""The form of a simulation: a range, a currency, and drafts of prices that are entered as in the editor."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import web

from billing.api.simulations import begin_simulation
from billing.catalog.model import Product, ProductType
from billing.catalog.registry import find_product
from billing.simulations.reading import read_simulation
from deploy.pages.price_form import ROWS_MAX, Beside, PriceRows, beside, kept_rows, new_rows, typed_rows
from deploy.pages.price_preview import PricePreview, preview_prices
from deploy.pages.product_editor import acted, row_context
from deploy.pages.questions import ZONES_OFFERED
from deploy.pages.sent_form import read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from metering.http.problem import ApiError, Fault, not_found

DRAFTS_MAX = 4
"""A form holds so many; the API takes more."""
_FIELDS = ("start_date", "end_date", "timezone", "currency")
_DRAFT = re.compile(r"drafts\.(\d{1,2})\..+")


@dataclass(frozen=True, slots=True)
class DraftTyped:
    """One draft in the form: `place` begins the names of its fields."""

    place: str
    name: str
    rows: PriceRows


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form."""

    fields: Mapping[str, str]
    drafts: Sequence[DraftTyped]

    def document(self, product_id: str) -> dict[str, Any]:
        """Give the request as the API takes it."""
        given = {name: text for name, text in self.fields.items() if text}
        drafts = [
            {**({"name": draft.name} if draft.name else {}), "prices": draft.rows.document()} for draft in self.drafts
        ]
        return {"product_id": product_id, **given, "configurations": drafts}

    def names(self) -> set[str]:
        """Give the names beside which something can be said."""
        out = {*_FIELDS, "drafts"}
        for draft in self.drafts:
            out |= {draft.place, f"{draft.place}.name", *draft.rows.names()}
        return out


async def new_simulation(visit: Visit) -> web.Response:
    """Begin a simulation of a product's past usage by other prices."""
    product_id = visit.request.match_info["id"]
    product = await visit.services.registry.read(find_product, visit.world, product_id)
    if product is None:
        raise not_found(f"No product has the id “{product_id[:80]}” here.")
    require_write(visit)
    if product.type is not ProductType.DYNAMIC:
        raise ApiError(422, f"A {product.type} product is billed by its count: only dynamic ones are simulated.")
    if visit.request.method != "POST":
        return await _form(visit, product, _begun(visit, product))
    sent = await read_own_form(visit)
    typed = _typed(sent)
    if sent.get("do") != "start":
        return await _form(visit, product, typed, previews=sent.get("do") == "preview")
    services = visit.services
    try:
        asked = read_simulation(typed.document(product.id))
        cutoff = await services.cutoffs.applied()
        begun = await services.registry.write(begin_simulation, visit.world, asked, cutoff, services.clock())
    except ApiError as error:
        return await _form(visit, product, typed, error=error)
    services.simulations.wake()
    return see_other(f"/simulations/{quote(begun.id, safe='')}")


def _begun(visit: Visit, product: Product) -> Typed:
    """Begin with the last whole month, and with the present prices as a draft to change."""
    first = visit.services.clock().date().replace(day=1)
    start = (first - timedelta(days=1)).replace(day=1)
    plain = [one for one in product.configurations if one.group.metering_filter is None]
    present = next((one for one in plain if len(one.group.prices) <= ROWS_MAX), None)
    rows = kept_rows("drafts.0.prices", present.group.prices) if present else new_rows("drafts.0.prices")
    currency = present.currency if present else "EUR"
    fields = {
        "start_date": start.isoformat(),
        "end_date": first.isoformat(),
        "timezone": "UTC",
        "currency": currency,
    }
    return Typed(fields, [DraftTyped("drafts.0", "Draft 1", rows)])


def _typed(sent: Mapping[str, str]) -> Typed:
    """Give what was typed, and do what the button asks."""
    fields = {name: sent.get(name, "") for name in _FIELDS}
    fields["currency"] = fields["currency"].upper()
    numbers = sorted({int(matched[1]) for name in sent if (matched := _DRAFT.fullmatch(name))})[:DRAFTS_MAX]
    verb, _, rest = sent.get("do", "").partition(" ")
    drafts: list[DraftTyped] = []
    for number in numbers:
        if verb == "remove_draft" and rest == str(number) and len(numbers) > 1:
            continue
        rows = acted(typed_rows(sent, f"drafts.{number}.prices"), sent)
        drafts.append(_placed(len(drafts), sent.get(f"drafts.{number}.name", ""), rows))
    if not drafts:
        drafts = [_placed(0, "Draft 1", new_rows(""))]
    if verb == "add_draft" and len(drafts) < DRAFTS_MAX:
        drafts.append(_placed(len(drafts), f"Draft {len(drafts) + 1}", drafts[-1].rows))
    return Typed(fields, drafts)


def _placed(number: int, name: str, rows: PriceRows) -> DraftTyped:
    return DraftTyped(f"drafts.{number}", name, replace(rows, prefix=f"drafts.{number}.prices"))


async def _form(
    visit: Visit, product: Product, typed: Typed, *, error: ApiError | None = None, previews: bool = False
) -> web.Response:
    drawn: dict[str, PricePreview] = {}
    if previews:
        drawn, error = await asyncio.to_thread(_previews, typed)
    renamed = {"configurations": "drafts"}
    wrong = Beside() if error is None else beside(error.faults, error.message, typed.names(), renamed)
    context = {
        "title": "Simulate prices",
        "current": "/products",
        "product": product,
        "fields": typed.fields,
        "drafts": typed.drafts,
        "drafts_max": DRAFTS_MAX,
        "wrong": wrong,
        "drawn": drawn,
        "zones": ZONES_OFFERED,
        **row_context(),
    }
    return visit.render("simulation_form.html", context, error.status if error else 200)


def _previews(typed: Typed) -> tuple[dict[str, PricePreview], ApiError | None]:
    """Draw each draft that can be; what stands against the others is told as of one request."""
    drawn: dict[str, PricePreview] = {}
    faults: list[Fault] = []
    refused: ApiError | None = None
    for number, draft in enumerate(typed.drafts):
        try:
            drawn[draft.place] = preview_prices(draft.rows.document(), typed.fields["currency"])
        except ApiError as error:
            refused = error
            for fault in error.faults:
                of_draft = fault.path[:1] == ("prices",)
                path = ("configurations", number, *fault.path) if of_draft else tuple(fault.path)
                where = f"configurations[{number}]." if of_draft else ""
                faults.append(Fault(fault.code, path, where + fault.message))
    if refused is not None and faults:
        refused = ApiError(refused.status, refused.message, faults)
    return drawn, refused
