"""Whatever text an event, a customer or an aggregator carries is shown, and as text."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from metering.aggregation import Operation
from tests.browser.stage import NOW, a_line, an_invoice
from tests.browser.visitor import DESK, PHONE, visiting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</textarea></title></style></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>body{display:none}</style><base href='https://evil.test/'><form action='https://evil.test/'>",
    "\u202eevil\u2066 \u200b\ufeff zero",
    "שלום עולם مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🇫🇷 e\u0301\u0301\u0301\u0301",
    "W" * 250,
    "&lt;b&gt; &amp; %3Cscript%3E",
]


async def with_texts(stage, texts):
    """Put each text into every field that takes one; give the customers."""
    customers, first, second = [], [], []
    for text in texts:
        customers.append(await stage.customer(name=text, external_id=text, currency="EUR"))
        await stage.aggregator(name=text, entity=text, operation=Operation.SUM, property=text, unit_name=text)
        record = {"id": text, text: text, "list": [text, text], "long": text * 200}
        event = {"event_type": text, "customer_id": text, "timestamp": NOW - timedelta(hours=1), "record": record}
        first.append(event)
        second.append({**event, "timestamp": NOW, "record": {**record, "list": [], text: f"{text}!"}})
    await stage.send(*first)
    await stage.send(*second)
    stage.invoices = [an_invoice(customer.id, lines=[a_line(customer.name, 1_000, "1")]) for customer in customers]
    return customers


@pytest.mark.parametrize("width", [PHONE, DESK])
async def test_text_stays_text(stage, chromium, width):
    """On every page: nothing runs, nothing is loaded, nothing breaks the layout; and the text is there to be read."""
    customers = await with_texts(stage, PAYLOADS)
    async with visiting(chromium, stage, width) as visitor:

        async def unharmed():
            assert await visitor.overflow() <= 0, visitor.page.url
            foreign = visitor.page.locator("main script, main iframe, main img, main style, main form:not(.filters)")
            assert await foreign.count() == 0

        await visitor.sign_in()
        for path in ("/events", "/customers"):
            await visitor.open(path)
            await unharmed()
        for text, customer in zip(PAYLOADS, customers, strict=True):
            for path in (f"/customers/{customer.id}", "/?show=" + quote(f"events:{text}")):
                assert await visitor.open(path) == 200
                await unharmed()
            assert await visitor.open("/events?record_id=" + quote(text)) == 200
            await visitor.page.locator("table.events .id a").click()
            await unharmed()
            assert await as_sent(visitor.page.locator("h1")) == text


async def as_sent(heading):
    """Give the text behind a heading, the characters that are named put back in their place."""
    shown = await heading.locator("bdi").text_content()
    for code in await heading.locator(".unseen").all_text_contents():
        shown = shown.replace(code, chr(int(code.removeprefix("U+"), 16)), 1)
    return shown


async def test_hostile_filters_are_given_back_as_text(visitor):
    """What comes with the address is escaped like everything else."""
    await visitor.stage.send({"record": {"id": "1"}})
    for name in (
        "show",
        "customer",
        "timezone",
        "start_date",
        "granularity",
        "event_type",
        "record_id",
        "search",
        "id",
    ):
        for path in ("/", "/events", "/customers", "/customer", "/event", "/sign-in"):
            status = await visitor.open(f'{path}?{name}="><script>alert(1)</script><img src=x onerror=alert(2)>')
            assert status < 500
            assert await visitor.page.locator("main script, main img").count() == 0


async def test_unseen_characters_are_named(visitor):
    """Two ids that look alike and are not are told apart."""
    await visitor.stage.send({"record": {"id": "in\u202evoice"}}, {"record": {"id": "in\u200bvoice"}})
    await visitor.open("/events")
    assert sorted(await visitor.page.locator("table.events .id").all_inner_texts()) == [
        "inU+200Bvoice",
        "inU+202Evoice",
    ]
