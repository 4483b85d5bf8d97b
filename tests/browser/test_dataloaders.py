"""From a database to its rows as events, through the pages, in a real browser and with a real PostgreSQL."""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect

from loaders.dataloaders.model import Counts
from loaders.dataloaders.runs import End, claim, finish
from metering.http.scope import Scope
from tests.browser.visitor import DESK, PHONE, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEAK_TEXTS = (Path(__file__).parent / "contrast.js").read_text()
LOOKS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]
TABLE = """CREATE TABLE api_calls AS
SELECT n AS id, 'company-' || n % 3 AS company_id, timestamptz '2026-11-01' + n * interval '1 hour' AS created_at,
       n * 1.5 AS tokens, CASE WHEN n = 2 THEN '<script>alert(1)</script>' END AS note
FROM generate_series(1, 40) AS n"""
LOWER = "SELECT id, company_id AS customerId, created_at AS timestamp, tokens, note FROM api_calls ORDER BY id"
QUERY = LOWER.replace("customerId", '"customerId"')


@pytest.fixture(scope="module")
def source(postgres):
    """A database with usage, and a user that may only read; gives both URLs."""
    database = postgres.database()
    postgres.run(TABLE, database=database)
    postgres.run("CREATE ROLE reader LOGIN", "GRANT SELECT ON api_calls TO reader", database=database)
    yield postgres.url(database, "reader", "hunter2"), postgres.url(database)
    postgres.drop(database)


async def as_admin(visitor):
    _, secret = await visitor.stage.key(Scope.ADMIN)
    await visitor.sign_in(secret)


async def connect(visitor, url, name="Warehouse"):
    page = visitor.page
    await visitor.open("/connections/new?provider=postgres")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("URL").fill(url)
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator(".note.good")).to_contain_text("It answered", timeout=60_000)


async def make_loader(visitor, **more):
    page = visitor.page
    await visitor.open("/dataloaders/new")
    for label, value in {"Event type of its rows": "api_calls", "Query": QUERY, **more}.items():
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("button", name="Create dataloader").click()
    await expect(page.locator("h1")).to_have_text("api_calls")


async def run_to_its_end(stage, counts, **how):
    """Work a run off, as the runner does."""

    def work(connection):
        taken = claim(connection, "worker", stage.now, of_connection_max=1)
        return finish(connection, taken, "worker", End(counts, **how), stage.now + timedelta(seconds=4))

    assert await stage.registry.write(work)


async def test_a_database_is_connected_queried_and_run(stage, chromium, source):
    """The whole way: connect, preview with what is missing, mend it, save, run, see the rejected rows."""
    reader, superuser = source
    async with visiting(chromium, stage) as visitor:
        page = visitor.page
        await as_admin(visitor)
        await visitor.open("/dataloaders")
        await page.get_by_role("link", name="New connection").click()
        await page.get_by_role("link", name="PostgreSQL").click()
        await page.get_by_label("Name").fill("Warehouse")
        await page.get_by_label("URL").fill(superuser.replace("//meterline@", "//nobody@"))
        await page.get_by_role("button", name="Connect").click()
        await expect(page.locator("#url-error-1")).to_contain_text("nobody", timeout=60_000)
        assert await page.get_by_label("Name").input_value() == "Warehouse"
        await connect(visitor, superuser)
        await expect(page.locator(".note.warn").first).to_be_visible()
        await page.get_by_label("URL").fill(reader)
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".note.good")).to_contain_text("Saved", timeout=60_000)
        assert "hunter2" not in await page.content()
        assert "reader:***@" in await page.get_by_label("URL").input_value()
        await page.get_by_role("button", name="Ping").click()
        await expect(page.locator(".note.good")).to_contain_text("It answered", timeout=60_000)

        await visitor.open("/dataloaders/new")
        await page.get_by_label("Event type of its rows").fill("api_calls")
        await page.get_by_label("Query", exact=True).fill(LOWER)
        await page.get_by_role("button", name="Preview 5 rows").click()
        await expect(page.locator(".note.bad").first).to_contain_text("customerId", timeout=60_000)
        await page.get_by_label("Query", exact=True).fill(QUERY)
        await page.get_by_role("button", name="Preview 5 rows").click()
        await expect(page.locator(".note.good")).to_contain_text("All columns that are needed", timeout=60_000)
        assert await page.locator("table tbody tr").count() == 5
        assert "alert(1)" in await visitor.text()
        await page.get_by_label("Query", exact=True).fill("DELETE FROM api_calls")
        await page.get_by_role("button", name="Create dataloader").click()
        await expect(page.locator("#query-error-1")).to_be_visible()
        await page.get_by_label("Query", exact=True).fill(QUERY)
        await page.get_by_label("Runs", exact=True).select_option("")
        await page.get_by_role("button", name="Create dataloader").click()
        await expect(page.locator("h1")).to_have_text("api_calls")
        await page.get_by_role("button", name="Run now").click()
        await expect(page.locator("h1")).to_have_text("Run waiting")
        fault = {"row": 7, "id": "7", "column": "tokens", "message": "<b>is no number</b>"}
        await run_to_its_end(stage, Counts(40, 39, 1, [fault]))
        await expect(page.locator("h1")).to_have_text("Run partial", timeout=60_000)
        assert "<b>is no number</b>" in await visitor.text()

        await visitor.open("/dataloaders")
        await page.get_by_role("link", name="Warehouse").click()
        await page.get_by_role("link", name="Delete…").click()
        await page.get_by_role("button", name="Delete the connection").click()
        await expect(page.locator(".note.bad")).to_contain_text("is used by 1 dataloader")


async def test_a_dataloader_is_paused_reloaded_edited_and_deleted(stage, chromium, source):
    """Each button does what it says, and what cannot be taken back is asked once more."""
    async with visiting(chromium, stage) as visitor:
        page = visitor.page
        await as_admin(visitor)
        await connect(visitor, source[0])
        await make_loader(visitor)
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("h1")).to_contain_text("paused")
        await page.get_by_role("button", name="Resume").click()
        await page.get_by_role("link", name="Reload…").click()
        await page.get_by_role("link", name="Keep it as it is").click()
        assert "It is due" in await visitor.text()
        stage.now += timedelta(minutes=5)
        await expect(page.locator(".note.warn")).to_contain_text("has waited for 5 minutes", timeout=60_000)
        await page.get_by_role("link", name="Reload…").click()
        await page.get_by_role("button", name="Reload from the start").click()
        await expect(page.locator("main")).to_contain_text("by hand, from the start")
        await run_to_its_end(stage, Counts(), message="the table is gone: name another")
        await expect(page.locator(".note.bad")).to_contain_text("the table is gone", timeout=60_000)
        await page.get_by_role("link", name="api_calls").click()
        await page.get_by_role("link", name="Edit").click()
        await page.get_by_label("Runs", exact=True).select_option("cron")
        await page.get_by_label("Cron expression, UTC").fill("61 * * * *")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#cron-error-1")).to_contain_text("61")
        await page.get_by_label("Cron expression, UTC").fill("0 4 * * *")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("main")).to_contain_text("cron 0 4 * * *")
        await page.get_by_role("link", name="Delete…").click()
        await page.get_by_role("button", name="Delete the dataloader").click()
        await expect(page.locator("main")).to_contain_text("No dataloaders yet")


async def test_who_may_only_read_sees_and_changes_nothing(stage, visitor, chromium, source):
    """No buttons, and the requests that they would send are refused; so are forged ones."""
    async with visiting(chromium, stage) as admin:
        await as_admin(admin)
        await connect(admin, source[0])
        await make_loader(admin)
        path = admin.page.url.removeprefix(stage.address)
        forged = await admin.page.request.post(stage.address + path + "/run", form={"token": "0" * 64})
        assert forged.status == 403
    await visitor.open(path)
    assert await visitor.page.get_by_role("button", name="Run now").count() == 0
    for action in ("run", "pause", "reload", "forget"):
        assert (await visitor.page.request.post(f"{stage.address}{path}/{action}")).status == 403
    for address in ("/connections/new", "/dataloaders/new", f"{path}/edit"):
        assert await visitor.open(address) == 403
    await visitor.open("/dataloaders")
    await visitor.page.get_by_role("link", name="Warehouse").click()
    assert "may not change connections" in await visitor.text()
    assert "hunter2" not in await visitor.page.content()


@pytest.mark.parametrize("look_of", LOOKS)
async def test_every_page_of_data_fits(stage, chromium, source, tmp_path, look_of):
    """No page is wider than the window, text stands out, fields have labels; pictures lie with the test's files."""
    width, scheme = look_of
    async with visiting(chromium, stage, width, scheme) as visitor:
        page = visitor.page
        await as_admin(visitor)

        async def look(name):
            await page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
            assert await visitor.overflow() <= 0, name
            assert await page.evaluate(WEAK_TEXTS) == [], name
            unlabelled = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
            assert await page.evaluate(f"{unlabelled}.filter(field => !field.labels.length).length") == 0, name

        await visitor.open("/dataloaders")
        await look("empty")
        for provider in ("", "?provider=postgres", "?provider=bigquery", "?provider=snowflake"):
            await visitor.open(f"/connections/new{provider}")
            await look(f"new-connection{provider.replace('?provider=', '-')}")
        await page.get_by_role("button", name="Connect").click()
        await look("wrong-connection")
        await connect(visitor, source[1])
        await look("connection")
        await make_loader(visitor)
        loader = page.url
        await page.get_by_role("button", name="Run now").click()
        await look("run-waiting")
        fault = {
            "row": 7,
            "id": "7",
            "column": "tokens",
            "message": "is NaN, and JSON has no such number: cast it to text",
        }
        await run_to_its_end(stage, Counts(1_234_567, 1_234_566, 1, [fault]))
        await expect(page.locator("h1")).to_have_text("Run partial", timeout=60_000)
        await look("run-partial")
        await page.goto(loader)
        await page.get_by_role("button", name="Run now").click()
        await run_to_its_end(stage, Counts(5, 0, 0), message='relation "api_calls" does not exist: check the query')
        await page.goto(loader)
        await look("dataloader")
        await page.get_by_role("link", name="Reload…").click()
        await look("reload")
        await visitor.open("/dataloaders")
        await look("data")
        await visitor.open("/dataloaders/new")
        await page.get_by_label("Query", exact=True).fill(LOWER)
        await page.get_by_role("button", name="Preview 5 rows").click()
        await expect(page.locator(".note.bad").first).to_be_visible(timeout=60_000)
        await look("missing")
        await page.get_by_label("Query", exact=True).fill(QUERY)
        await page.get_by_role("button", name="Preview 5 rows").click()
        await expect(page.locator(".note.good")).to_be_visible(timeout=60_000)
        await look("preview")
