"""What goes out around the pages: the policy, what is kept, and errors as pages."""

import pytest

from deploy.pages.assets import STYLESHEET
from metering.errors import QueryLimitError, StoreUnavailableError
from tests.browser.test_sign_in import signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = [
    "/",
    "/events",
    "/events/a/b",
    "/customers",
    "/customers/x",
    "/imports",
    "/imports/x",
    "/compare",
    "/values",
    "/invoices/x",
    "/sign-in",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_forbids_what_it_does_not_need(stage, client, path):
    """No script can run, nothing foreign is loaded, no frame, and nothing is kept."""
    await signed_in(client, stage)
    async with client.get(stage.address + path, allow_redirects=False) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;")
        for part in ("form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [*PATHS[:-1], "/event", "/customer"])
async def test_nothing_is_shown_to_strangers(stage, client, path):
    """Whoever is not signed in is sent to sign in, and comes back to the same page."""
    async with client.get(stage.address + path, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/sign-in")
        assert (await answer.read()) == b""


async def test_a_made_up_cookie_opens_nothing(stage, client):
    """Only a token that was handed out is a session."""
    for token in ("x", "A" * 43, "A" * 5_000, "'; DROP TABLE page_sessions; --"):
        headers = {"Cookie": f"meterline_session={token}"}
        async with client.get(f"{stage.address}/", headers=headers, allow_redirects=False) as answer:
            assert answer.status == 303


async def test_the_stylesheet_is_kept_for_ever(stage, client):
    """Its address changes with its content."""
    async with client.get(stage.address + STYLESHEET) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/css"
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("error", [StoreUnavailableError("no, says /secret/path"), QueryLimitError("SELECT secret")])
async def test_a_store_that_does_not_answer_is_an_error_page(stage, client, monkeypatch, error):
    """The page says what to do, and nothing of what is behind."""

    async def refuse(*_args, **_kwargs):
        raise error

    await signed_in(client, stage)
    monkeypatch.setattr(type(stage.store), "run", refuse)
    async with client.get(f"{stage.address}/events") as answer:
        text = await answer.text()
        assert answer.content_type == "text/html"
        if isinstance(error, QueryLimitError):
            assert answer.status == 422
            assert "choose a shorter range" in text
        else:
            assert answer.status == 503
            assert "Nothing is lost: reload the page" in text
        assert "secret" not in text
        assert "Sign out" in text


async def test_pages_hold_no_style_and_no_script(visitor):
    """What the policy forbids is not there either, so nothing is silently lost."""
    await visitor.stage.send({"record": {"id": "1"}})
    for path in ("/", "/events", "/customers", "/customers/acme"):
        await visitor.open(path)
        assert await visitor.page.locator("[style], style, script, [onclick], [onload]").count() == 0
