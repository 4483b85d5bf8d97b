"""From the local log to Kafka: what was taken before is applied first, corrections go over the switch, no way back."""

import asyncio

import pytest

from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import Client, Product
from tests.pipeline.test_kafka import kafka_url
from tests.pipeline.test_spool import a_version, aggregators_of, correct_again_and_again
from tests.pipeline.traffic import CUSTOMERS, RANGE, check, keep_sending

pytestmark = pytest.mark.slow

KEYS = 300


async def send_all(client, model, amount):
    """A version of each key, all with one timestamp: the last received wins."""
    versions = [a_version(number, amount) for number in range(KEYS)]
    assert (await client.send(versions))["events_failed"] == []
    for version in versions:
        model.receive(version)


async def test_what_the_local_log_holds_is_applied_before_anything_of_kafka(tmp_path, kafka):
    """The core is killed before it has applied all of the local log, then the log is switched: equal timestamps show
    that nothing of Kafka came first. Deletions and prices find their place, figures as of before stay, an erasure
    reaches the local log, a rebuild reads both, and starting with the local log again is one clear line."""
    product = Product(tmp_path / "data", environment={"METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40}).start()
    model = PlainModel()
    try:
        async with Client(product) as client:
            aggregators = await aggregators_of(client)
            texted = a_version("texted", 5, CUSTOMERS[1])
            model.receive(texted)
            await client.send([{**texted, "record": {**texted["record"], "who": "Ada Lovelace"}}])
            await send_all(client, model, 1)
            await client.until_applied()
            path = f"/v1/customers/{CUSTOMERS[1]}/usage?{RANGE}"
            before = await client.get(path)
            cutoff = client.answer_headers["X-Usage-Cutoff"]
            await asyncio.to_thread(product.kill_part, "core")
            for amount in (2, 3):
                await send_all(client, model, amount)
            await asyncio.to_thread(product.kill_all)

            product._environment["METERLINE_LOG_URL"] = kafka_url(kafka, 2)
            await asyncio.to_thread(product.start)
            await send_all(client, model, 4)
            stop = asyncio.Event()
            senders = [asyncio.create_task(keep_sending(client, 0, model, stop))]
            senders.append(asyncio.create_task(correct_again_and_again(client, model, stop)))
            for _ in range(2):
                await asyncio.sleep(1)
                await asyncio.to_thread(product.kill_part, "core")
            await asyncio.sleep(1)
            stop.set()
            await asyncio.gather(*senders)
            await check(client, model, aggregators)
            assert await client.get(f"{path}&as_of={cutoff}") == before

            gone = [f"same-{number}" for number in range(10)]
            told = await client.call("DELETE", "/v1/events", {"matching": "record_ids", "record_ids": gone})
            assert told == len(gone)
            model.retract([("call", each) for each in gone])
            await check(client, model, aggregators)

            erased = await client.call("POST", f"/v1/customers/{CUSTOMERS[1]}/erase", {}, expect=(202,))
            while (told := await client.get(f"/v1/erasures/{erased['id']}"))["status"] != "done":
                await asyncio.sleep(0.1)
            assert (told["events_erased"], told["log_segments_rewritten"]) == (1, 1)
            await check(client, model, aggregators)
        assert product.stop() == 0
        rebuilt = await asyncio.to_thread(product.command, "rebuild")
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        url = product._environment.pop("METERLINE_LOG_URL")
        back = await asyncio.to_thread(product.command, "up")
        assert back.returncode == 1
        assert "METERLINE_LOG_URL is not set, and this installation's log is in Kafka by now" in back.stderr
        assert back.stderr.count("\n") == 1
        product._environment["METERLINE_LOG_URL"] = url
        (product.data_dir / "log").rename(tmp_path / "away")
        lost = await asyncio.to_thread(product.command, "up")
        assert "the log that came before the one in Kafka is gone" in lost.stderr
    finally:
        product.stop()
