import asyncio

import pytest

from ingest.errors import LogUnavailableError
from ingest.gateway import gateway as module
from ingest.gateway.core_client import CoreUnavailableError
from metering.http.problem import refused
from tests.ingest.events import an_event
from tests.ingest.gateway.running import FailingLog

PRICE = {
    "product_id": "itm_1",
    "subscription_id": "sub_1",
    "amount_excluding_tax": 1,
    "tax_amount": 0,
    "total_amount": 1,
}


async def test_an_event_is_in_the_log_before_its_price_is_asked_for(gateway):
    """The core is told where it lies and what it is; the query narrows what is shown."""
    gateway.core.priced = {"id": "cal_1", "result": [PRICE, {**PRICE, "product_id": "itm_2"}]}
    status, told, _ = await gateway.send("/v1/events/prices?product_id=itm_2&include_tax=false", an_event())
    shown = {"product_id": "itm_2", "subscription_id": "sub_1", "amount_excluding_tax": 1}
    assert (status, told) == (201, {"id": "cal_1", "result": [shown]})
    assert gateway.logged() == [an_event()]
    ((offsets, body),) = gateway.core.asked
    assert (offsets, body) == ({0: (0, 0)}, gateway.sections()[0].body)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (CoreUnavailableError("too far behind"), 503, "the event is stored"),
        (refused("the event is stored, but"), 422, ""),
    ],
)
async def test_without_a_price_the_client_hears_that_the_event_is_stored(gateway, error, status, words):
    """503 with the time after which to send it again, or 422."""
    gateway.core.error = error
    answered, told, headers = await gateway.send("/v1/events/prices", an_event())
    assert answered == status
    assert words in told["message"]
    assert (headers.get("Retry-After") == "2") == (status == 503)
    assert gateway.logged() == [an_event()]


async def test_what_is_not_durable_has_no_price(start):
    """The core is not asked."""
    gateway = await start(FailingLog(LogUnavailableError("gone")))
    assert (await gateway.send("/v1/events/prices", an_event()))[0] == 503
    assert gateway.core.asked == []


async def test_no_more_events_wait_for_prices_than_leave_room_for_other_requests(gateway, monkeypatch):
    """Beyond that nothing is stored, and the client is told to wait."""
    monkeypatch.setattr(module, "PRICED_AT_ONCE_MAX", 3)
    go_on = asyncio.Event()

    async def wait(_world, _receipt, _body):
        await go_on.wait()
        return {"id": "cal_1", "result": []}

    gateway.core.prices = wait
    waiting = [asyncio.create_task(gateway.send("/v1/events/prices", an_event())) for _ in range(3)]
    while len(gateway.logged()) < 3:
        await asyncio.sleep(0.01)
    status, told, _ = await gateway.send("/v1/events/prices", an_event())
    assert (status, "nothing was stored" in told["message"]) == (503, True)
    assert len(gateway.logged()) == 3
    go_on.set()
    assert {status for status, _, _ in await asyncio.gather(*waiting)} == {201}


@pytest.mark.parametrize(("path", "status"), [("/v1/events", 201), ("/v2/events", 202)])
async def test_an_event_may_be_sent_with_its_price_calculated(gateway, path, status):
    """It is answered as ever, once the core has priced it; without a price the client hears that it is stored."""
    gateway.core.priced = {"id": "cal_1", "result": [PRICE]}
    answered, told, _ = await gateway.send(f"{path}?with_price_calculation=true", an_event())
    assert (answered, told) == (status, {})
    ((offsets, _),) = gateway.core.asked
    assert offsets == {0: (0, 0)}
    gateway.core.error = CoreUnavailableError("too far behind")
    answered, told, headers = await gateway.send(f"{path}?with_price_calculation=1", an_event())
    assert (answered, "the event is stored" in told["message"], headers["Retry-After"]) == (503, True, "2")


@pytest.mark.parametrize("query", ["", "?with_price_calculation=false", "?with_price_calculation=", "?x=1"])
async def test_unless_it_is_asked_for_nobody_waits_for_a_price(gateway, query):
    """The core is not asked."""
    assert (await gateway.send(f"/v1/events{query}", an_event()))[0] == 201
    assert gateway.core.asked == []


async def test_a_flag_that_is_none_is_refused_before_anything_is_stored(gateway):
    """400 names it."""
    status, told, _ = await gateway.send("/v1/events?with_price_calculation=perhaps", an_event())
    assert (status, told["errors"][0]["path"]) == (400, ["with_price_calculation"])
    assert gateway.logged() == []
