"""The product with its log in Kafka: events in, everything killed that can be killed, exact figures out."""

import asyncio
import itertools
import random
from uuid import uuid4

import pytest

from tests.peers.kafka.cluster import Cluster
from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import Client, Product
from tests.pipeline.test_kill import SENDERS, check, keep_sending

pytestmark = pytest.mark.slow

KILLS = 8


def kafka_url(cluster, partitions=4):
    return f"kafka://{cluster.addresses}/events-{uuid4().hex}?partitions={partitions}"


async def test_kills_of_the_product_and_of_the_broker_lose_nothing_and_double_nothing(tmp_path):
    """Core and gateways are killed under load with duplicates and corrections, and the broker twice; no log process
    runs, and the figures equal the model's."""
    chance = random.Random(4)
    with Cluster() as cluster:
        environment = {"METERLINE_LOG_URL": kafka_url(cluster), "METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40}
        product = Product(tmp_path / "data", environment=environment).start()
        model = PlainModel()
        try:
            assert product.parts()["log"] == []
            async with Client(product) as client:
                aggregators = []
                for body in ({"operation": "count"}, {"operation": "sum", "property": "amount"}):
                    made = await client.call("POST", "/v1/aggregators", {"name": str(body), "entity": "call", **body})
                    aggregators.append(made["id"])
                stop = asyncio.Event()
                senders = [asyncio.create_task(keep_sending(client, n, model, stop)) for n in range(SENDERS)]
                for kill in itertools.count(1):
                    await asyncio.sleep(chance.uniform(0.3, 1.5))
                    await asyncio.to_thread(product.kill_part, chance.choice(("core", "gateway")), chance.randrange(2))
                    if kill in {KILLS // 2, KILLS}:
                        (broker,) = cluster.brokers
                        broker.kill()
                        await asyncio.sleep(1)
                        await asyncio.to_thread(cluster.start, broker)
                    if kill == KILLS:
                        break
                stop.set()
                await asyncio.gather(*senders)
                await check(client, model, aggregators)
            assert model.received > 1000
        finally:
            product.stop()


async def test_a_deletion_takes_from_every_partition(tmp_path, kafka):
    """All events of a customer, wherever their keys live, and the answer counts them; what comes later stays."""
    product = Product(tmp_path / "data", environment={"METERLINE_LOG_URL": kafka_url(kafka)}).start()
    try:
        async with Client(product) as client:
            await client.send([an_event(number) for number in range(100)])
            told = await client.call("DELETE", "/v1/events", {"matching": "customer_id", "customer_id": "acme"})
            assert told == 100
            await client.send([an_event(7)])
            await client.until_applied()
            assert (await client.get("/v1/events?take=1"))["meta"]["total"] == 1
    finally:
        product.stop()


def an_event(number):
    return {
        "customer_id": "acme",
        "timestamp": "2024-01-15T10:00:00Z",
        "event_type": "call",
        "record": {"id": number, "amount": number},
    }


async def test_another_number_of_partitions_is_one_clear_line(tmp_path, kafka):
    """Keys would move away from their history."""
    url = kafka_url(kafka)
    product = Product(tmp_path / "data", environment={"METERLINE_LOG_URL": url}).start()
    assert product.stop() == 0
    other = Product(tmp_path / "data", environment={"METERLINE_LOG_URL": url.replace("=4", "=5")})
    result = other.command("up")
    assert result.returncode == 1
    assert "has 4 partitions and METERLINE_LOG_URL says 5" in result.stderr


def test_a_log_url_that_is_none_is_one_clear_line(tmp_path):
    """It says how to write it."""
    result = Product(tmp_path / "data", environment={"METERLINE_LOG_URL": "kafka://host"}).command("up")
    assert result.returncode == 1
    assert result.stderr.startswith("meterline: METERLINE_LOG_URL: 'kafka://host' names no brokers: write kafka://")
