"""The form of a simulation: a range, a currency, and drafts of prices that are entered as in the editor."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import web

from billing.api.simulations import begin_simulation
from billing.catalog.model import PriceConfiguration, Product, ProductType
from billing.catalog.registry import find_product
from billing.simulations.reading import read_simulation
from deploy.pages.matrix_form import Groups, fits_form, kept_groups, new_groups, typed_groups
from deploy.pages.price_form import Beside, as_number, beside
from deploy.pages.price_preview import PricePreview
from deploy.pages.product_editor import as_one, group_context, preview_groups
from deploy.pages.questions import ZONES_OFFERED
from deploy.pages.sent_form import read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from metering.http.problem import ApiError, not_found

DRAFTS_MAX = 4
"""A form holds so many; the API takes more."""
_FIELDS = ("start_date", "end_date", "timezone", "currency", "customer_ids")
_TERMS = ("min_amount", "max_amount", "min_committed_count")
_DRAFT = re.compile(r"drafts\.(\d{1,2})\..+")


@dataclass(frozen=True, slots=True)
class DraftTyped:
    """One draft in the form: `place` begins the names of its fields."""

    place: str
    name: str
    terms: Mapping[str, str]
    groups: Groups

    def document(self) -> dict[str, Any]:
        """Give it as the API takes it."""
        out: dict[str, Any] = {name: as_number(text) for name, text in self.terms.items() if text}
        if self.name:
            out["name"] = self.name
        if self.groups.is_plain:
            return {**out, "prices": self.groups.groups[0].rows.document()}
        groups = [
            {"metering_filter": group.metering_filter(), "prices": group.rows.document()}
            for group in self.groups.groups
        ]
        return {**out, "price_groups": groups}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form."""

    fields: Mapping[str, str]
    drafts: Sequence[DraftTyped]

    def document(self, product_id: str) -> dict[str, Any]:
        """Give the request as the API takes it."""
        given: dict[str, Any] = {name: text for name, text in self.fields.items() if text}
        if "customer_ids" in given:
            given["customer_ids"] = [one.strip() for one in given["customer_ids"].splitlines() if one.strip()]
        return {"product_id": product_id, **given, "configurations": [draft.document() for draft in self.drafts]}

    def names(self) -> set[str]:
        """Give the names beside which something can be said."""
        out = {*_FIELDS, "drafts"}
        for draft in self.drafts:
            own = {f"{draft.place}.{name}" for name in ("name", *_TERMS)}
            out |= {draft.place, *own, *draft.groups.names()}
        return out

    def renamed(self) -> dict[str, str]:
        """Say which fields the API speaks of."""
        out: dict[str, str] = {}
        for number, draft in enumerate(self.drafts):
            out |= draft.groups.renamed(f"configurations.{number}.price_groups")
            out[f"configurations.{number}.prices"] = draft.groups.groups[0].rows.prefix
        return {**out, "configurations": "drafts"}


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
    matrices: dict[object, list[PriceConfiguration]] = {}
    for one in product.configurations:
        matrices.setdefault(one.parameters, []).append(one)
    present = next((own for own in matrices.values() if fits_form([one.group for one in own])), None)
    prefix, currency = "drafts.0.groups", "EUR"
    groups = new_groups(prefix)
    if present:
        groups, currency = kept_groups(prefix, [("", one.group) for one in present]), present[0].currency
    fields = {
        "start_date": start.isoformat(),
        "end_date": first.isoformat(),
        "timezone": "UTC",
        "currency": currency,
        "customer_ids": "",
    }
    return Typed(fields, [_placed(0, "Draft 1", {}, groups)])


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
        groups = typed_groups(sent, f"drafts.{number}.groups").acted(sent)
        terms = {name: sent.get(f"drafts.{number}.{name}", "") for name in _TERMS}
        drafts.append(_placed(len(drafts), sent.get(f"drafts.{number}.name", ""), terms, groups))
    if not drafts:
        drafts = [_placed(0, "Draft 1", {}, new_groups(""))]
    if verb == "add_draft" and len(drafts) < DRAFTS_MAX:
        drafts.append(_placed(len(drafts), f"Draft {len(drafts) + 1}", drafts[-1].terms, drafts[-1].groups))
    return Typed(fields, drafts)


def _placed(number: int, name: str, terms: Mapping[str, str], groups: Groups) -> DraftTyped:
    place = f"drafts.{number}"
    return DraftTyped(place, name, {**dict.fromkeys(_TERMS, ""), **terms}, groups.placed(f"{place}.groups"))


async def _form(
    visit: Visit, product: Product, typed: Typed, *, error: ApiError | None = None, previews: bool = False
) -> web.Response:
    drawn: dict[str, PricePreview] = {}
    if previews:
        drawn, error = await asyncio.to_thread(_previews, typed)
    wrong = Beside() if error is None else beside(error.faults, error.message, typed.names(), typed.renamed())
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
        **group_context([draft.groups for draft in typed.drafts]),
    }
    return visit.render("simulation_form.html", context, error.status if error else 200)


def _previews(typed: Typed) -> tuple[dict[str, PricePreview], ApiError | None]:
    """Draw each group that can be; what stands against the others is told as of one request."""
    drawn: dict[str, PricePreview] = {}
    errors: list[ApiError] = []
    for draft in typed.drafts:
        own, refused = preview_groups(draft.groups, typed.fields["currency"])
        drawn |= own
        errors += refused
    return drawn, as_one(errors)
