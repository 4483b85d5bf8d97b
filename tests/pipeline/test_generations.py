"""More partitions while events come in: nothing is lost or doubled, and what was told before stays as it was told."""

import asyncio
import random
import subprocess
import sys

import pytest

from tests.peers.clickhouse.process import ClickHouse
from tests.pipeline.apart import KEY, Apart
from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import ROOT, Client, Product
from tests.pipeline.test_kafka import an_event, kafka_url
from tests.pipeline.test_spool import a_version, aggregators_of, correct_again_and_again
from tests.pipeline.traffic import CUSTOMERS, RANGE, SENDERS, check, keep_sending

pytestmark = pytest.mark.slow


def add_and_kill(product):
    """Begin to add partitions, and kill that once it has begun to seal."""
    command = [sys.executable, "-m", "deploy.cli", "log", "generations", "add", "--partitions", "4"]
    with subprocess.Popen(command, cwd=ROOT, env=product._environment, stdout=subprocess.PIPE, text=True) as adding:
        line = adding.stdout.readline()
        adding.kill()
    return line


async def test_from_two_to_four_partitions_under_load(tmp_path, kafka):
    """The command is killed at its worst moment and run again, gateways and the core are killed; the figures equal
    the model's, equal timestamps included, and a figure asked for as of before is what it was."""
    chance = random.Random(7)
    environment = {"METERLINE_LOG_URL": kafka_url(kafka, 2), "METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40}
    product = Product(tmp_path / "data", environment=environment).start()
    model = PlainModel()
    try:
        async with Client(product) as client:
            aggregators = await aggregators_of(client)
            first = a_version("first", 5, CUSTOMERS[1])
            await client.send([first])
            model.receive(first)
            await client.until_applied()
            stop = asyncio.Event()
            senders = [asyncio.create_task(keep_sending(client, n, model, stop)) for n in range(SENDERS)]
            senders.append(asyncio.create_task(correct_again_and_again(client, model, stop)))
            await asyncio.sleep(2)
            path = f"/v1/customers/{CUSTOMERS[1]}/usage?{RANGE}"
            before = await client.get(path)
            cutoff = client.answer_headers["X-Usage-Cutoff"]
            assert "sealing" in await asyncio.to_thread(add_and_kill, product)
            await asyncio.to_thread(product.kill_part, "gateway")
            added = await asyncio.to_thread(product.command, "log", "generations", "add", "--partitions", "4")
            assert added.returncode == 0, added.stderr
            for kind in ("core", "gateway", "core"):
                await asyncio.sleep(chance.uniform(0.2, 1))
                await asyncio.to_thread(product.kill_part, kind)
            received = model.received
            while model.received < received + 500:
                await asyncio.sleep(0.1)
            stop.set()
            await asyncio.gather(*senders)
            await check(client, model, aggregators)
            assert await client.get(f"{path}&as_of={cutoff}") == before
            listed = product.command("log", "generations", "list").stdout
            assert [line.split()[2:] for line in listed.splitlines()[1:]] == [["2", "sealed"], ["4", "appended", "to"]]
            again = product.command("log", "generations", "add", "--partitions", "4")
            assert "has 4 partitions already" in again.stdout
            await client.send([{**an_event(n), "customer_id": "gone"} for n in range(100)])
            told = await client.call("DELETE", "/v1/events", {"matching": "customer_id", "customer_id": "gone"})
            assert told == 100
    finally:
        product.stop()


async def test_consumers_that_share_partitions_follow(tmp_path, kafka):
    """From two to four and six under load with two consumer processes: one is killed while the log grows, none has to
    be stopped, and every figure equals the model's; equal timestamps show what overtakes."""
    with ClickHouse() as store, Apart(tmp_path, kafka, store.url, partitions=2, gateways=1, apis=1) as apart:
        model = PlainModel()
        async with Client(apart.gateways[0], KEY) as client:
            aggregators = await aggregators_of(client)
            stop = asyncio.Event()
            senders = [asyncio.create_task(keep_sending(client, n, model, stop)) for n in range(SENDERS)]
            senders.append(asyncio.create_task(correct_again_and_again(client, model, stop)))
            await until_received(model, 300)
            for number in (4, 6):
                added = await asyncio.to_thread(apart.command, "log", "generations", "add", "--partitions", str(number))
                assert added.returncode == 0, added.stderr
                apart.consumers[0].kill()
                await until_received(model, 300)
                apart.consumers[0].launch()
                await until_received(model, 300)
            stop.set()
            await asyncio.gather(*senders)
            await check(client, model, aggregators)
            await until_shared(apart, 2 + 4 + 6)
            batch = [{**an_event(n), "customer_id": "gone"} for n in range(100)]
            assert (await client.send(batch))["events_failed"] == []
            assert await client.call("DELETE", "/v1/events", {"matching": "customer_id", "customer_id": "gone"}) == 100
        for process in apart.all:
            assert process.stop() == 0, process.output()
            assert "Traceback" not in process.output(), process.output()


async def until_received(model, more):
    wanted = model.received + more
    while model.received < wanted:
        await asyncio.sleep(0.1)


async def until_shared(apart, partitions):
    """Each consumer has some, and together they have all."""
    while True:
        await asyncio.to_thread(lambda: [consumer.until_ready() for consumer in apart.consumers])
        told = [
            int((await asyncio.to_thread(each.metrics))["meterline_consumer_partitions"]) for each in apart.consumers
        ]
        if sum(told) == partitions and all(told):
            return
        await asyncio.sleep(0.5)
