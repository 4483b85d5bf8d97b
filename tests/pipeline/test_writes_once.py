"""The whole product: a write under an Idempotency-Key, kill -9 of everything, and the same write again."""

import aiohttp
import pytest

from tests.pipeline.product import Product

pytestmark = pytest.mark.slow


async def test_a_write_sent_again_after_kill_9_is_carried_out_once(tmp_path):
    """The answer given before the kill comes again after it; requests are counted over both gateways."""
    product = Product(
        tmp_path / "data", environment={"METERLINE_RATE_LIMITS": "1", "METERLINE_RATE_INGEST": "3"}
    ).start()
    headers = {"Authorization": f"Bearer {product.key}", "Idempotency-Key": "3b0c9c1e-0c1d-4a7e-9a55-6f7c3c1d2e4f"}
    told = []
    try:
        for again in (False, True):
            if again:
                product.kill_all()
                product.start()
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{product.url}/v1/customers", json={"name": "Acme"}) as answer,
            ):
                assert int(answer.headers["X-RateLimit-Remaining"]) < 50
                told.append((answer.status, await answer.text()))
                listed = await (await session.get(f"{product.url}/v1/customers")).json()
                assert listed["meta"]["total"] == 1
        assert told[0] == told[1]
        assert told[0][0] == 201
        statuses = []
        for number in range(6):
            event = {
                "customer_id": "a",
                "timestamp": "2024-01-01T00:00:00Z",
                "event_type": "x",
                "record": {"id": number},
            }
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{product.url}/v1/events", json=event) as answer,
            ):
                statuses.append(answer.status)
        assert statuses == [201] * 3 + [429] * 3
    finally:
        product.stop()
