"""The product with its log in Kafka. What dies there, dies in `tests/torture`."""

from uuid import uuid4

import pytest

from tests.pipeline.product import Client, Product

pytestmark = pytest.mark.slow


def kafka_url(cluster, partitions=4):
    return f"kafka://{cluster.addresses}/events-{uuid4().hex}?partitions={partitions}"


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
