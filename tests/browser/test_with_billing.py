"""An invoice that billing itself worked out, from the API to the page."""

from datetime import UTC, datetime

import pytest

from tests.browser.shop import sell, selling, subscribed

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_subscription_is_seen_as_its_running_invoice(visitor, client):
    """Made through the API, used by events, the period that runs shows each tier and the documented 2,360 EUR."""
    stage = visitor.stage
    async with selling(stage, client) as made:
        await subscribed(made, await sell(made))
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
