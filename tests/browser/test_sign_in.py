"""Who comes in, and how one gets out again."""

import hashlib
import re
from datetime import timedelta

import pytest

from deploy.pages.attempts import FAILURES_MAX
from metering.http.scope import Scope
from metering.registry.keys import revoke_key
from metering.registry.tables import page_sessions
from metering.world import Mode
from tests.browser.stage import NOW, staged
from tests.browser.visitor import visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "test_" + "A1b2C3d4" * 5


async def form_of(client, stage, path="/sign-in"):
    """Give the fields of a sign-in form as a browser would send them."""
    async with client.get(stage.address + path) as response:
        text = await response.text()
    return {"token": re.search(r'name="token" value="([^"]+)"', text)[1], "next": "/"}


async def signed_in(client, stage):
    fields = await form_of(client, stage)
    async with client.post(
        f"{stage.address}/sign-in", data={**fields, "key": stage.secret}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        return answer


async def sessions(stage):
    return await stage.registry.read(lambda connection: connection.execute(page_sessions.select()).all())


async def test_a_good_key_signs_in_and_shows_whose_it_is(visitor):
    """After signing in, the page names the account and the mode of the key."""
    assert visitor.page.url == visitor.stage.address + "/"
    assert "Northwind" in await visitor.page.locator("header").inner_text()
    assert await visitor.page.locator(".mode").inner_text() == "TEST"


async def test_production_is_told_from_test(tmp_path, store, chromium):
    """The badge says PROD for a key of production."""
    async with staged(tmp_path, store, Mode.PROD) as stage, visiting(chromium, stage) as visitor:
        await visitor.sign_in()
        assert await visitor.page.locator(".mode").inner_text() == "PROD"


@pytest.mark.parametrize(
    ("secret", "line"),
    [
        (UNKNOWN, "This API key is not known here"),
        ("test_" + "A1b2C3d4" * 4 + "wrong1", "This API key has a typing error"),
        ("not a key, ключ", "This API key is not known here"),
        ("   ", "Enter an API key"),
    ],
)
async def test_a_wrong_key_is_answered_in_one_line(stage, chromium, secret, line):
    """What is wrong is said beside the field, with 401, and nobody is signed in."""
    async with visiting(chromium, stage) as visitor:
        await visitor.open("/sign-in")
        await visitor.page.get_by_label("API key").fill(secret)
        async with visitor.page.expect_navigation() as going:
            await visitor.page.get_by_role("button", name="Sign in").click()
        assert (await going.value).status == 401
        assert line in await visitor.page.get_by_role("alert").inner_text()
        await visitor.open("/")
        assert visitor.page.url.endswith("/sign-in")


async def test_a_key_must_be_allowed_to_read(stage, chromium):
    """A key that may only send events does not open the pages; one with admin does."""
    _, ingest_only = await stage.key(Scope.INGEST)
    _, admin = await stage.key(Scope.ADMIN)
    async with visiting(chromium, stage) as visitor:
        await visitor.sign_in(ingest_only)
        assert "may not read" in await visitor.page.get_by_role("alert").inner_text()
        await visitor.sign_in(admin)
        assert visitor.page.url == stage.address + "/"


async def test_signing_out_ends_the_session_itself(visitor):
    """The session is gone from the registry, so a copy of the cookie opens nothing."""
    cookies = await visitor.page.context.cookies()
    await visitor.page.get_by_role("button", name="Sign out").click()
    await visitor.page.wait_for_url("**/sign-in")
    assert await sessions(visitor.stage) == []
    await visitor.page.context.add_cookies(cookies)
    await visitor.open("/events")
    assert "/sign-in" in visitor.page.url


async def test_a_revoked_key_signs_out_at_the_next_click(visitor):
    """The key is looked up with every request."""
    await visitor.stage.registry.write(revoke_key, visitor.stage.key_id, NOW)
    await visitor.page.get_by_role("link", name="Events").click()
    assert "Your session has ended" in await visitor.text()


async def test_sessions_and_keys_run_out(stage, chromium):
    """After twelve hours, or when the key expires, one signs in again."""
    _, short = await stage.key(Scope.READ, expires_at=NOW + timedelta(hours=1))
    for secret, later in ((stage.secret, timedelta(hours=12)), (short, timedelta(hours=1))):
        stage.now = NOW
        async with visiting(chromium, stage) as visitor:
            await visitor.sign_in(secret)
            stage.now = NOW + later - timedelta(seconds=1)
            assert await visitor.open("/events") == 200
            assert visitor.page.url.endswith("/events")
            stage.now = NOW + later
            await visitor.open("/events")
            assert "/sign-in" in visitor.page.url


async def test_one_comes_back_to_the_page_that_was_asked_for(stage, chromium):
    """A link that somebody sent opens after signing in, filters included."""
    async with visiting(chromium, stage) as visitor:
        await visitor.open("/events?customer=acme%20%26%20co")
        await visitor.page.get_by_label("API key").fill(stage.secret)
        await visitor.page.get_by_role("button", name="Sign in").click()
        assert visitor.page.url == f"{stage.address}/events?customer=acme%20%26%20co"


@pytest.mark.parametrize(
    "elsewhere", ["//evil.test/", "https://evil.test/", "/\\evil.test", "/\t/evil.test", "javascript:x"]
)
async def test_signing_in_never_leads_elsewhere(stage, client, elsewhere):
    """Where to go on to must be a path here."""
    fields = await form_of(client, stage)
    data = {**fields, "next": elsewhere, "key": stage.secret}
    async with client.post(f"{stage.address}/sign-in", data=data, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/"


async def test_the_cookie_is_out_of_reach_and_its_text_is_kept_nowhere(stage, client):
    """HttpOnly, SameSite, Secure behind https; the registry holds a hash."""
    answer = await signed_in(client, stage)
    cookie = answer.cookies["meterline_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
    assert cookie["max-age"] == str(12 * 3600)
    assert len(cookie.value) >= 43
    (kept,) = await sessions(stage)
    assert kept.sha256 == hashlib.sha256(cookie.value.encode()).hexdigest()


async def test_the_cookie_stays_on_https(stage, client):
    """A proxy that speaks https to the browser says so; then the cookie is never sent over http."""
    fields = await form_of(client, stage)
    proxied = {"X-Forwarded-Proto": "https"}
    data = {**fields, "key": stage.secret}
    async with client.post(f"{stage.address}/sign-in", data=data, headers=proxied, allow_redirects=False) as answer:
        assert answer.cookies["meterline_session"]["secure"]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_somebody_elses_page_cannot_sign_anybody_in(stage, client, headers):
    """A form from another origin is refused, even with a token."""
    fields = await form_of(client, stage)
    data = {**fields, "key": stage.secret}
    async with client.post(f"{stage.address}/sign-in", data=data, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 403
    assert await sessions(stage) == []


async def test_a_form_without_its_cookie_is_refused(stage, client):
    """The token of the form must be that of the browser's cookie."""
    fields = await form_of(client, stage)
    client.cookie_jar.clear()
    data = {**fields, "key": stage.secret}
    async with client.post(f"{stage.address}/sign-in", data=data, allow_redirects=False) as answer:
        assert answer.status == 403


async def test_two_tabs_can_both_sign_in(stage, client):
    """Showing the form again does not make an earlier one stale."""
    first = await form_of(client, stage)
    await form_of(client, stage)
    data = {**first, "key": stage.secret}
    async with client.post(f"{stage.address}/sign-in", data=data, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_signing_out_needs_the_sessions_own_token(stage, client):
    """Another page cannot sign anybody out: the form carries a token that follows from the cookie."""
    await signed_in(client, stage)
    for token in ("", "x" * 64):
        async with client.post(f"{stage.address}/sign-out", data={"token": token}) as answer:
            assert answer.status == 403
            assert answer.content_type == "text/html"
    assert len(await sessions(stage)) == 1


async def test_many_wrong_keys_are_slowed_down(stage, client):
    """After so many failures the address waits, even with a good key; the answer says how long."""
    fields = await form_of(client, stage)
    for _ in range(FAILURES_MAX):
        async with client.post(f"{stage.address}/sign-in", data={**fields, "key": UNKNOWN}) as answer:
            assert answer.status == 401
    async with client.post(f"{stage.address}/sign-in", data={**fields, "key": stage.secret}) as answer:
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert "Too many wrong keys" in await answer.text()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"key=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"key=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded", 400),
        ("key=ключ".encode(), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_a_malformed_form_is_never_a_500(stage, client, body, kind, status):
    """Whatever is posted, the answer is a page that says what is wrong."""
    async with client.post(f"{stage.address}/sign-in", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == status
        assert answer.content_type == "text/html"


async def test_sessions_that_ran_out_are_swept(stage, client):
    """The table does not grow for ever."""
    await signed_in(client, stage)
    stage.now = NOW + timedelta(hours=13)
    client.cookie_jar.clear()
    await signed_in(client, stage)
    assert len(await sessions(stage)) == 1


async def test_what_was_typed_outlives_the_session(stage, chromium):
    """A form that is sent too late is shown again after signing in, a wrong key or not; nothing is saved by that."""
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage) as visitor:
        page = visitor.page
        await visitor.sign_in(secret)
        await visitor.open("/products/new")
        await page.get_by_label("Name", exact=True).fill('Late "calls" & <more>')
        await page.get_by_role("button", name="Add a row").click()
        await page.locator('[name="groups.0.prices.1.amount"]').fill("12.5")
        await page.context.clear_cookies(name="meterline_session")
        await page.get_by_role("button", name="Create product").click()
        assert "What you typed is kept" in await page.get_by_role("status").inner_text()
        await page.get_by_label("API key").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("API key").fill(secret)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Signed in again").wait_for()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/products/new")
        assert await page.get_by_label("Name", exact=True).input_value() == 'Late "calls" & <more>'
        assert await page.locator('[name="groups.0.prices.1.amount"]').input_value() == "12.5"
        assert await page.locator(".note.bad").count() == 0
        await visitor.open("/products")
        assert "No products yet" in await visitor.text()


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_nothing_is_held_of_somebody_elses_form(stage, client, headers):
    """What a visitor is shown to go on with was typed on a page of ours."""
    async with client.post(f"{stage.address}/products/new", data={"name": "evil"}, headers=headers) as answer:
        assert answer.status == 200
        assert answer.url.path == "/sign-in"
        assert "held" not in await answer.text()


@pytest.mark.parametrize("held", ["x", "%%%", "é", "=" * 50_000])
async def test_what_is_held_may_be_anything(stage, client, held):
    """A text that holds no form is none."""
    async with client.get(f"{stage.address}/sign-in") as shown:
        token = re.search(r'name="token" value="([^"]+)"', await shown.text())[1]
    form = {"token": token, "key": stage.secret, "next": "/products", "held": held}
    async with client.post(f"{stage.address}/sign-in", data=form) as answer:
        assert answer.status == 200
        assert answer.url.path == "/products"
