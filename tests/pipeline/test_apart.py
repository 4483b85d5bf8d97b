"""The parts of the product apart, as real processes over a real broker and a store behind HTTP."""

import asyncio
import io
import random

import aiohttp
import pytest

from tests.peers.clickhouse.process import PASSWORD, ClickHouse
from tests.pipeline.apart import KEY, SECRET, Apart
from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import Client
from tests.pipeline.traffic import a_version, check

pytestmark = pytest.mark.slow

BATCHES = 24
PATIENT = aiohttp.ClientTimeout(total=300)
DUPLICATES, CORRECTIONS = 0.3, 0.2


async def send_some(client, sender, model):
    """Send batches of which 30 % are duplicates and 20 % corrections; the model hears what is acknowledged."""
    chance = random.Random(sender)
    sent, number, serial = [], sender, sender
    for _ in range(BATCHES):
        batch = []
        for _ in range(chance.randrange(20, 120)):
            draw = chance.random()
            if sent and draw < DUPLICATES:
                batch.append(chance.choice(sent))
                continue
            key = number
            if sent and draw < DUPLICATES + CORRECTIONS:
                key = int(chance.choice(sent)["record"]["id"][2:])
            else:
                number += 4
            batch.append(a_version(chance, key, serial))
            serial += 4
        assert (await client.send(batch))["events_failed"] == []
        for event in batch:
            model.receive(event)
        sent.extend(batch)


async def kill_one_of_each(apart, model):
    """kill -9 under load, each while the others work, and start it again at the same address."""
    for process in (apart.gateways[0], apart.consumers[0], apart.apis[0]):
        heard = model.received
        while model.received < heard + 200:
            await asyncio.sleep(0.05)
        process.kill()
        await asyncio.sleep(0.2)
        process.launch()


async def test_figures_are_exact_whatever_is_killed(tmp_path, kafka):
    """Two of each under load with duplicates and corrections, one of each killed, then the store: every figure equals
    the model's, what was sent while the store was away too."""
    with ClickHouse() as store, Apart(tmp_path, kafka, store.url) as apart:
        model = PlainModel()
        first, second = (Client(gateway, KEY) for gateway in apart.gateways)
        async with first, second:
            aggregators = []
            for body in ({"operation": "count"}, {"operation": "sum", "property": "amount"}):
                made = await first.call("POST", "/v1/aggregators", {"name": str(body), "entity": "call", **body})
                aggregators.append(made["id"])
            clients = (first, second, first, second)
            senders = [send_some(client, number, model) for number, client in enumerate(clients)]
            await asyncio.gather(*senders, kill_one_of_each(apart, model))
            await asyncio.to_thread(lambda: [process.until_ready() for process in apart.all])
            await check(second, model, aggregators)

            await while_the_store_is_away(apart, store, first, model)
            await check(first, model, aggregators)
            await the_rest_is_shared(apart, first)
        for process in apart.all:
            assert process.stop() == 0, process.output()
            assert PASSWORD not in process.output()
            assert SECRET not in process.output()


async def while_the_store_is_away(apart, store, client, model):
    """Events are taken; questions are answered 503 with Retry-After; the lag is told; then all goes on by itself."""
    before = [(await asyncio.to_thread(api.metrics))["meterline_lag_events"] for api in apart.apis]
    assert before == ["0", "0"]
    store.kill()
    chance = random.Random(99)
    batch = [a_version(chance, 1_000_000 + number, 500_000 + number) for number in range(50)]
    assert (await client.send(batch))["events_failed"] == []
    for event in batch:
        model.receive(event)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with client.session.get(f"{client.url}/v1/events?take=1", headers=headers) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert "127.0.0.1" not in await answer.text()
    for api in apart.apis:
        while await status_of(client, f"{api.url}/readyz") != 503:  # What was asked of the store a moment ago counts.
            await asyncio.sleep(0.2)
    assert (await client.get("/v1/ingest/lag"))["lag_events"] == 50
    for api in apart.apis:  # What is not told in time is absent from a scrape.
        while (await asyncio.to_thread(api.metrics)).get("meterline_lag_events") != "50":
            await asyncio.sleep(0.2)
    for consumer in apart.consumers:
        while (await asyncio.to_thread(consumer.health))["missing"] != ["the store"]:
            await asyncio.sleep(0.2)
    for gateway in apart.gateways:
        assert (await asyncio.to_thread(gateway.health))["ready"]
    await asyncio.to_thread(store.start)


async def status_of(client, url):
    async with client.session.get(url) as answer:
        return answer.status


async def the_rest_is_shared(apart, client):
    """A deletion, an import and a session of the pages hold whichever API answers; each process counts for itself."""
    assert await client.call("DELETE", "/v1/events", {"matching": "record_ids", "record_ids": ["k-1000000"]}) == 1

    form = aiohttp.FormData()
    rows = "".join(f"2024-01-15T10:30:00Z,imported,acme,{row}\n" for row in range(100))
    content = f"timestamp,event_type,customer_id,record/id\n{rows}".encode()
    form.add_field("file", io.BytesIO(content), filename="events.csv", content_type="text/csv")
    async with client.session.post(f"{client.url}/v1/events/import", data=form) as answer:
        assert answer.status == 202, await answer.text()
        job = await answer.json()
    while (told := await client.get(f"/v1/imports/{job['id']}"))["ended_at"] is None:
        await asyncio.sleep(0.1)
    assert (told["status"], told["rows_accepted"]) == ("done", 100)

    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(f"{client.url}/sign-in") as answer:
            token = (await answer.text()).partition('name="token" value="')[2].partition('"')[0]
        sent = {"key": KEY, "token": token, "next": "/customers"}
        async with browser.post(f"{client.url}/sign-in", data=sent) as answer:
            assert answer.url.path == "/customers", await answer.text()
        for _ in range(8):
            async with browser.get(f"{client.url}/customers", allow_redirects=False) as answer:
                assert answer.status == 200

    for api in apart.apis:
        async with client.session.get(f"{api.url}/v1/customers") as answer:
            assert answer.status == 403, "an API answers gateways alone"
    counted = [await asyncio.to_thread(gateway.metrics) for gateway in apart.gateways]
    assert all(int(samples["meterline_events_accepted_total"]) > 0 for samples in counted)
    consumed = [await asyncio.to_thread(consumer.metrics) for consumer in apart.consumers]
    assert sum(int(samples["meterline_consumer_partitions"]) for samples in consumed) == 4
    assert apart.command("dead-letters", "list", METERLINE_API_URL=apart.apis[0].url).stdout == (
        "there are no dead letters\n"
    )


async def test_a_part_that_lacks_something_says_so_in_one_line(tmp_path, kafka):
    """A variable, or a password that the store does not take; nothing of it is a traceback, no password is told."""
    with ClickHouse() as store:
        wrong = store.url.replace("%40", "x")
        apart = Apart(tmp_path, kafka, wrong, gateways=0, consumers=0, apis=0)
        for role, missing in (("gateway", "METERLINE_API_URL"), ("consumer", "METERLINE_LOG_URL")):
            result = await asyncio.to_thread(apart.command, role, **{missing: ""})
            assert (result.returncode, result.stdout) == (1, "")
            assert result.stderr.startswith(f"meterline: {missing} is missing"), result.stderr
            assert result.stderr.count("\n") == 1
        result = await asyncio.to_thread(apart.command, "consumer", METERLINE_PORT="0")
        assert result.returncode == 78
        assert "Authentication failed" in result.stderr
        assert "Traceback" not in result.stderr
        assert "rd%3A1" not in result.stderr


async def test_each_gateway_keeps_what_kafka_does_not_take(tmp_path, own_kafka):
    """The broker is killed; requests go on to be answered 2xx by both, deletions
    wait. Both gateways are killed with full spools; the broker comes back, then they do, and the figures are exact. A
    second gateway on one's folder is one clear line."""
    (broker,) = own_kafka.brokers
    with ClickHouse() as store, Apart(tmp_path, own_kafka, store.url, consumers=1, apis=1) as apart:
        spools = [tmp_path / f"spool-{number}" for number in range(2)]
        for gateway, spool in zip(apart.gateways, spools, strict=True):
            gateway.stop()
            gateway.environment["METERLINE_SPOOL_DIR"] = str(spool)
            gateway.launch().until_ready()
        taken = await asyncio.to_thread(
            apart.command, "gateway", METERLINE_SPOOL_DIR=str(spools[0]), METERLINE_PORT="0"
        )
        assert taken.returncode == 78
        assert f"METERLINE_SPOOL_DIR={spools[0]}: another process holds this spool" in taken.stderr
        assert taken.stderr.count("\n") == 1
        model = PlainModel()
        first, second = (Client(gateway, KEY) for gateway in apart.gateways)
        async with first, second:
            made = [{"operation": "count"}, {"operation": "sum", "property": "amount"}]
            aggregators = [
                (await first.call("POST", "/v1/aggregators", {"name": str(body), "entity": "call", **body}))["id"]
                for body in made
            ]
            await send_some(first, 0, model)
            await first.until_applied()
            broker.kill()
            await asyncio.gather(send_some(first, 1, model), send_some(second, 2, model))
            held = []
            for gateway, client in zip(apart.gateways, (first, second), strict=True):
                held.append(int((await asyncio.to_thread(gateway.metrics))["meterline_spool_events"]))
                assert held[-1] > 0
                assert (await asyncio.to_thread(gateway.health))["ready"], "a spool stands in for the log"
                retraction = {"matching": "customer_id", "customer_id": "nobody"}
                headers = {"Authorization": f"Bearer {KEY}"}
                path = f"{client.url}/v1/events"
                async with client.session.delete(path, json=retraction, headers=headers, timeout=PATIENT) as answer:
                    assert answer.status == 503
            for gateway in apart.gateways:
                gateway.kill()
            await asyncio.to_thread(own_kafka.start, broker)
            for gateway, client, events in zip(apart.gateways, (first, second), held, strict=True):
                gateway.launch().until_ready()
                assert events  # The lag that this gateway tells holds what it holds, until that is in the figures.
                await client.until_applied()
            await check(second, model, aggregators)
            assert await first.call("DELETE", "/v1/events", retraction) == 0
        for gateway in apart.gateways:
            assert (await asyncio.to_thread(gateway.metrics))["meterline_spool_events"] == "0"
        for process in apart.all:
            assert process.stop() == 0, process.output()
            assert "Traceback" not in process.output(), process.output()
