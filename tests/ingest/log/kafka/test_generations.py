"""More partitions while events come in, and a topic that is tampered with while the product runs."""

import asyncio
import itertools
import json
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.errors import LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.generations import add_generation
from ingest.log.kafka.reader import KafkaLogReader
from ingest.log.kafka.topic import TopicAdmin
from ingest.log.kafka.writer import KafkaLogWriter
from ingest.wire import Kind, Section
from metering.position import lane_of
from metering.store.memory import MemoryVersionStore
from tests.ingest.consumer.setting import Registrar
from tests.ingest.log.kafka.test_outages import WORLD, a_section
from tests.ingest.log.test_chain import NumberedLanes

pytestmark = pytest.mark.slow

NOON_MS = 1_714_996_800_000


@pytest.fixture
def address(kafka):
    return KafkaAddress(kafka.addresses, f"g-{uuid4().hex}", 2)


def versions(caller, number, amount):
    """Ten keys of one caller, each a version with the one timestamp that all have: the last received wins."""
    events = [
        {
            "customer_id": "c",
            "timestamp": NOON_MS,
            "event_type": "t",
            "record": {"id": f"{caller}-{key}", "amount": amount},
        }
        for key in range(number, number + 10)
    ]
    return Section(WORLD, Kind.EVENTS, 0, len(events), json.dumps(events).encode())


async def until(holds):
    for _ in range(3000):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("never")


async def test_from_two_to_four_partitions_nothing_is_lost_or_overtaken(address):
    """Two writers and a consumer go on while the topic is sealed, that is given up half way, and done again; every key
    ends with the value that was sent last, and all lanes of the second topic lie above those of the first."""
    writers = [await KafkaLogWriter.open(address) for _ in range(2)]
    chain = await KafkaLogReader.open_chain(address, wait_s_max=120)
    store, lanes, dead = MemoryVersionStore(), NumberedLanes(), MemoryDeadLetters()
    consumer = Consumer(chain, store, lanes, Registrar(), dead)
    await consumer.start()
    consuming = asyncio.create_task(consumer.run())
    wanted, refused, stop = {}, 0, asyncio.Event()

    async def keep_correcting(caller):
        nonlocal refused
        for amount in itertools.count():
            number = amount % 37
            while True:
                try:
                    await writers[amount % 2].append(versions(caller, number, amount))
                    break
                except LogUnavailableError:
                    refused += 1
            wanted.update({f"{caller}-{key}": amount for key in range(number, number + 10)})
            if stop.is_set():
                return
            await asyncio.sleep(0.01)

    callers = [asyncio.create_task(keep_correcting(caller)) for caller in range(4)]
    await asyncio.sleep(1)
    admin = TopicAdmin(address)
    (first,) = await admin.existing()
    await admin.seal(first)  # As a command would that is killed then.
    await until(lambda: _true(refused > 0))
    made = await add_generation(address, 4, print)
    assert (made.name, made.partitions) == (f"{address.topic}-g2", 4)
    assert await add_generation(address, 4, print) == made
    before = sum(wanted.values())
    await until(lambda: _true(sum(wanted.values()) > before + 100))
    newcomer = await KafkaLogWriter.open(address, append_s_max=300)
    receipt = await newcomer.append(Section(WORLD, Kind.DELETION, 0, 1, b'{"record_ids":["nobody"]}'))
    assert set(receipt.offsets) == {2, 3, 4, 5}, "partitions are numbered through"
    stop.set()
    await asyncio.gather(*callers)
    ends = await chain.ends()
    assert set(ends) == {0, 1, 2, 3, 4, 5}

    async def is_applied():
        assert not consuming.done(), consuming.exception()
        bounds = (await store.applied()).bounds
        return all(
            end == 0
            or bounds.get(lanes.lanes.get((origin.log_id, origin.partition)), -1) >> 13 & (1 << 35) - 1 == end - 1
            for partition, end in ends.items()
            for origin in [chain.origins()[partition]]
        )

    await until(is_applied)
    figures = store.figures(await store.applied())
    found = {key.record_id: json.loads(version.properties)["amount"] for key, version in figures.items()}
    assert found == wanted
    assert {lane_of(version.position) for version in figures.values()} >= {2, 3, 4, 5}
    assert dead.letters == {}
    with pytest.raises(ValueError, match="from 1 to 1024"):
        await add_generation(address, 0, print)
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    for part in (*writers, newcomer, chain):
        await part.close()


async def _true(value):
    return value


async def alter(kafka, topic, name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": kafka.addresses})
    await asyncio.gather(*map(asyncio.wrap_future, client.incremental_alter_configs([resource]).values()))


async def is_refused(writer, words):
    try:
        await writer.append(a_section(["x"]))
    except LogUnavailableError as error:
        return words in str(error)
    return False


async def is_taken(writer):
    return not await is_refused(writer, "")


async def test_a_retention_that_is_set_later_stops_appends_until_it_is_taken_back(kafka, address):
    """Nothing is acknowledged that the broker would drop before it is counted; the answer names the setting."""
    writer = await KafkaLogWriter.open(address, check_interval_s=0.2, append_s_max=300)
    await writer.append(a_section(["1"]))
    await alter(kafka, address.topic, "retention.ms", "3600000")
    await until(lambda: is_refused(writer, "retention.ms=3600000 (wanted -1)"))
    await alter(kafka, address.topic, "retention.ms", "-1")
    await until(lambda: is_taken(writer))
    await alter(kafka, address.topic, "max.message.bytes", "200")
    await until(lambda: is_refused(writer, "max.message.bytes=200"))
    await writer.close()


async def test_a_topic_that_is_deleted_is_named_and_not_made_anew(kafka, address):
    """What it held is lost, so nobody may go on as if it were not."""
    writer = await KafkaLogWriter.open(address, check_interval_s=0.2, append_s_max=5)
    await until(lambda: is_taken(writer))
    client = AdminClient({"bootstrap.servers": kafka.addresses})
    await asyncio.wrap_future(client.delete_topics([address.topic])[address.topic])
    await until(lambda: is_refused(writer, "is gone: restore it"))
    assert address.topic not in (await asyncio.to_thread(client.list_topics, timeout=60)).topics
    await writer.close()
