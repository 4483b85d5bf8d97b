"""Each version on an event's page says which figures it moved, and by how much."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.aggregation import Operation
from metering.errors import StoreUnavailableError
from tests.browser.shop import sell, selling, subscribed
from tests.browser.test_hostile_text import PAYLOADS
from tests.browser.visitor import PHONE, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST = datetime(2026, 11, 5, tzinfo=UTC)


def seat(count, days=0, **fields):
    return {
        "event_type": "seat",
        "timestamp": FIRST + timedelta(days=days),
        "record": {"id": "1", "n": count},
        **fields,
    }


async def moves(visitor, version):
    rows = visitor.page.locator(".version", has=visitor.page.get_by_role("heading", name=f"Version {version}"))
    return [row.split("\t") for row in await rows.locator(".moved tbody tr").all_inner_texts()]


async def test_a_correction_says_what_it_moved(visitor, client):
    """More seats move the figure and the line; another customer and month take them away again."""
    stage = visitor.stage
    async with selling(stage, client) as made:
        await subscribed(made, await sell(made))
    await stage.send(seat(4))
    await stage.send(seat(6.5, 1))
    await stage.send(seat(6.5, 2, customer_id="other"))
    await stage.send(seat(6.5, 3, customer_id="other"))
    await visitor.open("/events/seat/1")
    assert await moves(visitor, 1) == []
    assert await moves(visitor, 2) == [
        ["Seats figure", "Acme", "1 Nov 2026 to 30 Nov 2026", "+2.5"],
        ["Seats invoice line", "Acme", "1 Nov 2026 to 30 Nov 2026", "+125 EUR"],
    ]
    minus = "\N{MINUS SIGN}"
    assert await moves(visitor, 3) == [
        ["Seats figure", "Acme", "1 Nov 2026 to 30 Nov 2026", f"{minus}6.5"],
        ["Seats figure", "other", "1 Nov 2026 to 30 Nov 2026", "+6.5"],
        ["Seats invoice line", "Acme", "1 Nov 2026 to 30 Nov 2026", f"{minus}325 EUR"],
    ]
    assert "It moved no figure" in await visitor.page.locator(".version", has_text="Version 4").first.inner_text()
    await visitor.page.locator(".moved a", has_text="Seats").first.click()
    assert "what it is made of" in await visitor.text()


async def test_what_cannot_be_worked_out_breaks_nothing_else(visitor, monkeypatch):
    """The versions are shown all the same."""

    async def refuse(*_args):
        raise StoreUnavailableError("away")

    monkeypatch.setattr("deploy.pages.moved.moved_by", refuse)
    await visitor.stage.send(seat(4), seat(5, 1))
    await visitor.open("/events/seat/1")
    assert "cannot be worked out" in await visitor.page.get_by_role("status").inner_text()
    assert await visitor.page.locator(".version").count() == 2


async def test_moves_fit_a_phone_whatever_they_are_called(stage, chromium, tmp_path):
    """Long names and markup stay within the table's box."""
    for name in PAYLOADS:
        await stage.aggregator(name=name, entity="seat", operation=Operation.SUM, property="n")
    await stage.send(seat(4), seat(10**19, 1), seat(1, 2, customer_id="W" * 200))
    async with visiting(chromium, stage, PHONE) as visitor:
        await visitor.sign_in()
        await visitor.open("/events/seat/1")
        assert await visitor.overflow() <= 0
        assert await visitor.page.locator(".moved tbody tr").count() == len(PAYLOADS) * 3
        await visitor.page.screenshot(path=tmp_path / "moved.png", full_page=True)
