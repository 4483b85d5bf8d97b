"""The page that imports a CSV file, in a real browser."""

import re

import pytest
from playwright.async_api import expect

from metering.http.scope import Scope

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = b"timestamp,event_type,customer_id,record/id\n2024-01-15T10:30:00Z,call,acme,1\n"
BAD = GOOD + b"<script>alert(1)</script>,call,acme,2\n"


def a_file(content):
    return {"name": "events.csv", "mimeType": "text/csv", "buffer": content}


async def sign_in_anew(visitor, secret):
    await visitor.page.get_by_role("button", name="Sign out").click()
    await visitor.page.get_by_label("API key").wait_for()
    await visitor.sign_in(secret)


async def test_a_file_is_imported_by_the_form(stage, visitor):
    """Choose it, send it, see it end, read the rejected line; hostile text is shown as text."""
    _, secret = await stage.key(Scope.READ, Scope.INGEST)
    await sign_in_anew(visitor, secret)
    assert await visitor.open("/imports") == 200
    page = visitor.page
    await page.get_by_label("CSV file, at most").set_input_files(a_file(BAD))
    await page.get_by_role("button", name="Import CSV file").click()
    await expect(page.locator("h1")).to_have_text("Import partial", timeout=15_000)
    assert re.search(r"/imports/imp_\w+$", page.url)
    text = await visitor.text()
    assert "1 rows accepted, 1 rejected" in text
    assert "alert(1)" in text
    await visitor.open("/imports")
    assert await page.locator("tbody tr").count() == 1


async def test_a_forged_form_imports_nothing(stage, visitor):
    """Without the session's token before the file: 403, and no import is there."""
    _, secret = await stage.key(Scope.ADMIN)
    await sign_in_anew(visitor, secret)
    for fields in ({}, {"token": "0" * 64}):
        form = {**fields, "file": a_file(GOOD)}
        answer = await visitor.page.request.post(stage.address + "/imports", multipart=form)
        assert answer.status == 403
    await visitor.open("/imports")
    assert await visitor.page.locator("tbody tr").count() == 0


async def test_a_key_that_may_only_read_is_told_so(stage, visitor):
    """There is no form, and sending one all the same is 403."""
    await visitor.open("/imports")
    assert "may not import" in await visitor.text()
    answer = await visitor.page.request.post(stage.address + "/imports", multipart={"file": a_file(GOOD)})
    assert answer.status == 403
