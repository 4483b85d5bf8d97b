"""Into a chart, from months to days to hours to events, and out again."""

from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def bars(visitor):
    return await visitor.page.locator(".chart a:has(rect.value) title").all_text_contents()


async def test_months_open_into_days_hours_and_events_and_back(visitor):
    """Each bar leads one step in, on the clocks of the zone; the way out leads back."""
    stamps = [datetime(2025, 3, 3, 9, 30, tzinfo=UTC), datetime(2025, 3, 3, 22, 30, tzinfo=UTC)]
    await visitor.stage.send(
        *({"timestamp": at, "record": {"id": str(number)}} for number, at in enumerate(stamps)),
        {"timestamp": datetime(2025, 9, 1, tzinfo=UTC), "record": {"id": "9"}},
    )
    page = visitor.page
    await visitor.open("/?granularity=month&timezone=Asia/Tokyo")
    assert await bars(visitor) == ["Mar 2025: 2", "Sep 2025: 1"]
    for into in (
        ["Mon 2025-03-03: 1", "Tue 2025-03-04: 1"],
        ["2025-03-03 18:00 JST: 1"],
    ):
        await page.locator(".chart a:has(rect.value)").first.click()
        assert await bars(visitor) == into
    await page.locator(".chart a:has(rect.value)").first.click()
    assert await page.locator("table.events tbody tr").count() == 1
    await page.go_back()
    for out in (
        ["Mon 2025-03-03: 1", "Tue 2025-03-04: 1"],
        ["Mar 2025: 2", "Sep 2025: 1"],
        ["Mar 2025: 2", "Sep 2025: 1"],
    ):
        await page.locator(".ways a[rel=up]").click()
        assert await bars(visitor) == out
    assert "timezone=Asia%2FTokyo" in page.url


async def test_the_table_leads_in_and_to_events(visitor):
    """By keyboard: a window's name zooms, its count opens the list."""
    await visitor.stage.send({"timestamp": datetime(2025, 3, 3, 9, tzinfo=UTC), "record": {"id": "1"}})
    await visitor.open("/?granularity=day")
    await visitor.page.get_by_text("Figures as a table").click()
    await visitor.page.get_by_role("link", name="1 events of Mon 2025-03-03").press("Enter")
    await visitor.page.wait_for_url("**/events?**")
    await visitor.page.go_back()
    await visitor.page.get_by_text("Figures as a table").click()
    await visitor.page.get_by_role("link", name="Mon 2025-03-03", exact=True).press("Enter")
    await visitor.page.wait_for_url("**granularity=hour")
