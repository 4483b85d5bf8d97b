"""The product while its log is down: events are answered 2xx, kept through kill -9 of everything, and counted once."""

import asyncio
import urllib.request

import aiohttp
import pytest

from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import Client, Product
from tests.pipeline.test_kafka import kafka_url
from tests.pipeline.traffic import SENDERS, check, keep_sending

pytestmark = pytest.mark.slow

PATIENT = aiohttp.ClientTimeout(total=120)
NOON = "2024-02-03T12:00:00Z"


def a_version(number, amount, customer="customer-1"):
    record = {"id": f"same-{number}", "amount": amount}
    return {"customer_id": customer, "timestamp": NOON, "event_type": "call", "record": record}


def scraped(product):
    with urllib.request.urlopen(f"{product.url}/metrics") as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


async def aggregators_of(client):
    made = []
    for body in ({"operation": "count"}, {"operation": "sum", "property": "amount"}):
        answer = await client.call("POST", "/v1/aggregators", {"name": str(body), "entity": "call", **body})
        made.append(answer["id"])
    return made


async def correct_again_and_again(client, model, stop):
    """One key after the other gets values under one timestamp: the last received has to win."""
    number = 0
    while not stop.is_set():
        for amount in (1, 2, 3):
            version = a_version(number, amount)
            await client.send([version])
            model.receive(version)
        number += 1


async def until_spooled(product, events):
    for _ in range(1200):
        if int((await asyncio.to_thread(scraped, product)).get("meterline_spool_events", 0)) >= events:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never spooled:\n{product.output()}")


async def test_what_was_accepted_while_kafka_was_down_survives_everything(tmp_path, own_kafka):
    """The broker is killed under load with corrections of equal timestamps; requests go on to be answered 2xx. Gateways
    and the spool's process, then all is killed with a full spool; the broker comes back, and figures are exact."""
    (broker,) = own_kafka.brokers
    environment = {
        "METERLINE_LOG_URL": kafka_url(own_kafka),
        "METERLINE_SPOOL_DIR": str(tmp_path / "spool"),
        "METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40,
    }
    product = Product(tmp_path / "data", environment=environment).start()
    model = PlainModel()
    try:
        async with Client(product) as client:
            aggregators = await aggregators_of(client)
            stop = asyncio.Event()
            senders = [asyncio.create_task(keep_sending(client, n, model, stop)) for n in range(SENDERS)]
            senders.append(asyncio.create_task(correct_again_and_again(client, model, stop)))
            await asyncio.sleep(1)
            broker.kill()
            await until_spooled(product, 500)
            for kind in ("gateway", "spool", "gateway", "spool"):
                await asyncio.to_thread(product.kill_part, kind)
                await asyncio.sleep(0.7)
            held = int((await asyncio.to_thread(scraped, product))["meterline_spool_events"])
            await asyncio.to_thread(product.kill_all)
            await asyncio.to_thread(own_kafka.start, broker)
            await asyncio.to_thread(product.start)
            for _ in range(3):
                await asyncio.to_thread(product.kill_part, "spool")
                await asyncio.sleep(0.4)
            stop.set()
            await asyncio.gather(*senders)
            await check(client, model, aggregators)
            told = await asyncio.to_thread(scraped, product)
            assert (told["meterline_spool_events"], told["meterline_spool_bytes"]) == ("0", "0")
        assert held >= 500
        assert "they are spooled from now on" in product.output()
        assert "the spool is empty" in product.output()
    finally:
        product.stop()


async def test_a_full_spool_and_a_deletion_are_answered_503(tmp_path, own_kafka):
    """With the broker away deletions are refused, events too once METERLINE_SPOOL_BYTES_MAX wait, and a start that
    would forget the spool is one clear line. What was answered 2xx is counted when the broker is back."""
    (broker,) = own_kafka.brokers
    environment = {
        "METERLINE_LOG_URL": kafka_url(own_kafka),
        "METERLINE_SPOOL_DIR": str(tmp_path / "spool"),
        "METERLINE_SPOOL_BYTES_MAX": str(1 << 20),
        "METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40,
    }
    product = Product(tmp_path / "data", environment=environment).start()
    try:
        async with Client(product) as client:
            broker.kill()
            accepted = 0
            while True:
                filler = [{**a_version(f"{accepted}-{n}", 1), "customer_id": "c" * 200} for n in range(1000)]
                answer = await client.session.post(f"{product.url}/v1/events/batch", json=filler)
                if answer.status == 503:
                    assert "METERLINE_SPOOL_BYTES_MAX" in (await answer.json())["message"]
                    assert answer.headers["Retry-After"]
                    break
                assert answer.status == 201
                accepted += 1
            assert 0 < accepted < 20
            retraction = {"matching": "customer_id", "customer_id": "nobody"}
            answer = await client.session.delete(f"{product.url}/v1/events", json=retraction, timeout=PATIENT)
            assert answer.status == 503
        assert product.stop() == 0
        product._environment.pop("METERLINE_SPOOL_DIR")
        refused = product.command("up")
        assert refused.returncode == 1
        assert f"holds {1000 * accepted} events: set METERLINE_SPOOL_DIR to it" in refused.stderr
        product._environment["METERLINE_SPOOL_DIR"] = environment["METERLINE_SPOOL_DIR"]
        await asyncio.to_thread(own_kafka.start, broker)
        product.start()
        async with Client(product) as client:
            await client.until_applied()
            assert (await client.get("/v1/events?take=1"))["meta"]["total"] == 1000 * accepted
            assert await client.call("DELETE", "/v1/events", retraction) == 0
    finally:
        product.stop()
