"""What is sold on a stage: made through the API, as an account would."""

from contextlib import asynccontextmanager

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

TIERS = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5_000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4_000},
    {"type": "volume", "from": 50, "to": None, "amount": 2_000},
]


@asynccontextmanager
async def selling(stage, client):
    """Give `made(path, body)`, which posts to the API of the stage's account and gives what was made."""
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

        yield made


async def sell(made, *, name="Seats", rows=TIERS, entity="seat", operation="sum", prop="n", terms=None):
    """Make a product that is metered, and the terms of a monthly subscription to it."""
    counted = {"name": name, "entity": entity, "operation": operation, "property": prop, "unit_name": "seats"}
    aggregator = await made("/v1/aggregators", {key: value for key, value in counted.items() if value is not None})
    prices = [{"currency": "EUR", "prices": rows}]
    body = {"name": name, "type": "dynamic", "aggregator_id": aggregator["id"], "price_configurations": prices}
    product = await made("/v1/products", body)
    return {"id": product["id"], "payment_interval": {"period": "months", "count": 1}, **(terms or {})}


async def subscribed(made, *products, external_id="acme", name="Acme"):
    """Make a customer that has been subscribed since November began."""
    customer = await made("/v1/customers", {"name": name, "external_id": external_id, "currency": "EUR"})
    body = {"customer_id": customer["id"], "starts_at": "2026-11-01", "products": list(products)}
    await made("/v2/subscriptions", body)
    return customer
