"""An invoice that billing itself worked out, from the API to the page."""

from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestServer

import billing.api
import metering.api
from billing.references import BillingReferences
from metering.http.app import build_app
from metering.http.scope import Scope
from metering.registry.authenticator import KeyAuthenticator
from metering.store.chains import ChainStore
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIERS = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5_000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4_000},
    {"type": "volume", "from": 50, "to": None, "amount": 2_000},
]


async def test_a_subscription_is_seen_as_its_running_invoice(visitor, client):
    """Made through the API, used by events, the period that runs shows each tier and the documented 2,360 EUR."""
    stage = visitor.stage
    stage.invoices = None
    _, key = await stage.key(Scope.ADMIN)
    held, chains = BillingReferences(), ChainStore(stage.store)

    def clock():
        return stage.now

    below = metering.api.Services(
        stage.registry, stage.store, UsageReader(stage.store), Explorer(stage.store), chains, clock, held, held, held
    )
    above = billing.api.Services(stage.registry, stage.store, chains, clock)
    routes = [*metering.api.routes(below), *billing.api.routes(above)]
    async with TestServer(build_app(routes, KeyAuthenticator(stage.registry, clock)), host="127.0.0.1") as server:

        async def made(path, body):
            headers = {"Authorization": f"Bearer {key}"}
            async with client.post(server.make_url(path), json=body, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                return await answer.json()

        customer = await made("/v1/customers", {"name": "Acme", "external_id": "acme", "currency": "EUR"})
        counted = {"name": "Seats", "entity": "seat", "operation": "sum", "property": "n", "unit_name": "seats"}
        aggregator = await made("/v1/aggregators", counted)
        prices = [{"currency": "EUR", "prices": TIERS}]
        product = await made(
            "/v1/products",
            {"name": "Seats", "type": "dynamic", "aggregator_id": aggregator["id"], "price_configurations": prices},
        )
        terms = {"id": product["id"], "payment_interval": {"period": "months", "count": 1}}
        await made("/v2/subscriptions", {"customer_id": customer["id"], "starts_at": "2026-11-01", "products": [terms]})

    inside, before = (datetime(2026, month, 20, tzinfo=UTC) for month in (11, 10))
    await stage.send(
        {"event_type": "seat", "timestamp": inside, "record": {"id": "1", "n": 63}},
        {"event_type": "seat", "timestamp": before, "record": {"id": "2", "n": 1_000}},
    )
    await visitor.open("/customers")
    assert "€2,360.00" in await visitor.page.locator("tbody tr", has_text="Acme").inner_text()
    await visitor.page.get_by_role("link", name="Acme").click()
    rows = await visitor.page.locator(".invoice tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["Seats", "63", "€2,360.00"],
        ["up to 10", "10", "€500.00"],
        ["over 10, up to 50", "40", "€1,600.00"],
        ["over 50", "13", "€260.00"],
    ]
