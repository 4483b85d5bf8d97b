"""What writers and readers of a real cluster see when brokers die, stall and come back."""

import asyncio
import itertools
import json
import time
from concurrent.futures import Future
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_INVALID, Producer, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ListOffsetsResultInfo, NewTopic, ResourceType

from ingest.errors import LogMismatchError, LogOverloadedError, LogUnavailableError
from ingest.log.kafka import topic
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.reader import KafkaLogReader
from ingest.log.kafka.topic import TopicAdmin
from ingest.log.kafka.writer import KafkaLogWriter
from ingest.wire import Kind, Section, decode
from metering.store.keys import key_hash
from metering.world import Mode, World
from tests.peers.kafka.cluster import Cluster

pytestmark = pytest.mark.slow

WORLD = World("acc_1", Mode.TEST)
PLENTY = 1_000_000


@pytest.fixture
def address(kafka):
    return KafkaAddress(kafka.addresses, f"t-{uuid4().hex}", 4)


def a_section(ids):
    events = [
        {"customer_id": "c", "timestamp": 0, "event_type": "t", "record": {"id": identifier}} for identifier in ids
    ]
    return Section(WORLD, Kind.EVENTS, 0, len(events), json.dumps(events).encode())


async def read_all(reader):
    """The ids in each partition, in order."""
    found = {partition: [] for partition in await reader.ends()}
    after = dict.fromkeys(found, 0)
    while messages := await reader.poll(after, events_max=PLENTY, wait_s_max=0):
        for message in messages:
            assert message.offset == after[message.partition]
            after[message.partition] += 1
            for section in decode(message.payload):
                found[message.partition] += [event["record"]["id"] for event in json.loads(section.body)]
    assert after == await reader.ends()
    return found


def check_places(found, of=4):
    for partition, ids in found.items():
        assert all(key_hash(WORLD, "t", identifier) % of == partition for identifier in ids)


def leader_of(cluster, topic, partition):
    admin = AdminClient({"bootstrap.servers": cluster.addresses, "log_level": 0})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result()
    return cluster.brokers[described.partitions[partition].leader.id - 1]


async def test_events_rest_where_their_keys_belong_and_receipts_say_where(address):
    """Every partition's first offset and index; a deletion's is in all."""
    writer, reader = await KafkaLogWriter.open(address), await KafkaLogReader.open(address)
    receipts = await asyncio.gather(*(writer.append(a_section([f"{n}-{k}" for k in range(50)])) for n in range(20)))
    assert all(set(receipt.offsets) == {0, 1, 2, 3} for receipt in receipts)
    found = await read_all(reader)
    check_places(found)
    assert sorted(itertools.chain(*found.values())) == sorted(f"{n}-{k}" for n in range(20) for k in range(50))
    assert sum((await reader.ends()).values()) <= 8
    deletion = await writer.append(Section(WORLD, Kind.DELETION, 0, 1, b"{}"))
    assert {p: offset + 1 for p, (offset, _) in deletion.offsets.items()} == await reader.ends()
    await writer.close()
    await reader.close()


async def test_the_backlog_is_counted_by_a_reader_that_has_polled_nothing(address):
    """Exactly, over all partitions; and by one that has polled a part of it."""
    writer = await KafkaLogWriter.open(address)
    for number in range(10):
        await writer.append(a_section([f"{number}-{k}" for k in range(100)]))
    reader = await KafkaLogReader.open(address)
    started = dict.fromkeys(range(4), 0)
    backlog = await reader.backlog(started)
    assert backlog.events == 1000
    assert abs(backlog.oldest_at_us / 1e6 - time.time()) < 60
    (first, *_) = await reader.poll(started, events_max=1, wait_s_max=0)
    moved = {**started, first.partition: 1}
    assert (await reader.backlog(moved)).events == 1000 - first.events
    assert (await reader.backlog(await reader.ends())).oldest_at_us is None
    await writer.close()
    await reader.close()


async def test_while_no_broker_answers_nothing_is_acknowledged_and_memory_is_bounded():
    """Appends are refused within their limit, too many at once; when brokers are back, appends go in again."""
    with Cluster() as cluster:
        address = KafkaAddress(cluster.addresses, "t", 2)
        writer = await KafkaLogWriter.open(address, append_s_max=3.0, waiting_bytes_max=10_000)
        await writer.append(a_section(["before"]))
        (broker,) = cluster.brokers
        broker.kill()
        began_at = time.monotonic()
        outcomes = await asyncio.gather(
            *(writer.append(a_section([f"{n}"] * 10)) for n in range(50)), return_exceptions=True
        )
        assert time.monotonic() - began_at < 30
        assert {type(outcome) for outcome in outcomes} == {LogUnavailableError, LogOverloadedError}
        newcomer = await KafkaLogWriter.open(address, append_s_max=1.0)
        with pytest.raises(LogUnavailableError, match="no Kafka broker answers"):
            await newcomer.append(a_section(["x"]))
        with pytest.raises(LogUnavailableError):
            await KafkaLogReader.open(address, wait_s_max=0.5)
        await asyncio.to_thread(cluster.start, broker)
        async with asyncio.timeout(30):
            while True:
                try:
                    await writer.append(a_section(["after"]))
                    break
                except LogUnavailableError:
                    pass
        reader = await KafkaLogReader.open(address)
        ids = list(itertools.chain(*(await read_all(reader)).values()))
        assert {"before", "after"} <= set(ids)
        for part in (writer, newcomer, reader):
            await part.close()


async def test_a_topic_made_anew_under_the_same_name_is_another_log(kafka, address):
    """Its id differs; and what the old one's readers ask for is a mismatch, not an empty answer."""
    writer, reader = await KafkaLogWriter.open(address), await KafkaLogReader.open(address)
    await writer.append(a_section(["1", "2", "3"]))
    ends = await reader.ends()
    first_id = reader.log_id
    await writer.close()
    await reader.close()
    admin = AdminClient({"bootstrap.servers": kafka.addresses})
    await asyncio.wrap_future(admin.delete_topics([address.topic])[address.topic])
    await asyncio.sleep(1)
    again = await KafkaLogReader.open(address)
    assert again.log_id != first_id
    with pytest.raises(LogMismatchError, match="beyond the end 0"):
        await again.poll(ends, events_max=1, wait_s_max=0)
    await again.close()


async def test_a_topic_whose_settings_would_lose_events_is_refused(kafka, address):
    """It names each setting, its value and what it has to be; so does another number of partitions."""
    admin = AdminClient({"bootstrap.servers": kafka.addresses})
    config = {"retention.ms": "3600000", "unclean.leader.election.enable": "true"}
    await asyncio.wrap_future(admin.create_topics([NewTopic(address.topic, 4, 1, config=config)])[address.topic])
    with pytest.raises(LogMismatchError, match=r"retention.ms=3600000 \(wanted -1\), unclean.*=true \(wanted false\)"):
        await TopicAdmin(address).open()
    writer = await KafkaLogWriter.open(KafkaAddress(kafka.addresses, address.topic, 3))
    with pytest.raises(LogUnavailableError, match="has 4 partitions"):
        await writer.append(a_section(["x"]))
    await writer.close()


async def test_bytes_that_others_put_there_do_not_stop_the_reader(kafka, address):
    """They come as messages of one event; the consumer keeps them as dead letters."""
    reader = await KafkaLogReader.open(address)
    producer = Producer({"bootstrap.servers": kafka.addresses})
    producer.produce(address.topic, b"nonsense", partition=2, headers=[("events", b"many")])
    producer.produce(address.topic, None, partition=2)
    producer.flush()
    messages = await reader.poll(dict.fromkeys(range(4), 0), events_max=10, wait_s_max=5)
    assert [(message.events, message.payload) for message in messages] == [(1, b"nonsense"), (1, b"")]
    await reader.close()


async def test_a_killed_and_a_stalled_leader_lose_and_double_nothing():
    """Three brokers under load: the leader of a partition is killed, another stalled, both come back. Every append is
    acknowledged or refused in time, what was acknowledged is read once, in the order of each caller."""
    with Cluster(3) as cluster:
        address = KafkaAddress(cluster.addresses, "t", 4)
        writer, reader = await KafkaLogWriter.open(address), await KafkaLogReader.open(address)
        config = ConfigResource(ResourceType.TOPIC, "t")
        admin = AdminClient({"bootstrap.servers": cluster.addresses})
        told = (await asyncio.wrap_future(admin.describe_configs([config])[config]))["min.insync.replicas"].value
        assert told == "2"
        acknowledged, refused, slowest, stop = set(), set(), 0.0, asyncio.Event()

        async def keep_appending(caller):
            nonlocal slowest
            for number in itertools.count():
                ids = [f"{caller}-{number}-{k}" for k in range(8)]
                began_at = time.monotonic()
                try:
                    await writer.append(a_section(ids))
                    acknowledged.update(ids)
                except LogUnavailableError:
                    refused.update(ids)
                slowest = max(slowest, time.monotonic() - began_at)
                if stop.is_set():
                    return
                await asyncio.sleep(0.01)

        callers = [asyncio.create_task(keep_appending(caller)) for caller in range(8)]
        await asyncio.sleep(2)
        killed = await asyncio.to_thread(leader_of, cluster, "t", 0)
        before = len(acknowledged)
        killed.kill()
        await asyncio.sleep(15)
        assert len(acknowledged) > before, "two of three go on"
        await asyncio.to_thread(cluster.start, killed)
        stalled = await asyncio.to_thread(leader_of, cluster, "t", 1)
        stalled.stall()
        await asyncio.sleep(25)
        stalled.go_on()
        await asyncio.sleep(5)
        before = len(acknowledged)
        await asyncio.sleep(2)
        assert len(acknowledged) > before
        stop.set()
        await asyncio.gather(*callers)
        assert slowest < 45
        found = await read_all(reader)
        check_places(found)
        ids = list(itertools.chain(*found.values()))
        assert len(ids) == len(set(ids)), "idempotent: nothing is there twice"
        assert acknowledged <= set(ids)
        assert set(ids) <= acknowledged | refused
        for partition_ids in found.values():
            for caller in range(8):
                numbers = [int(each.split("-")[1]) for each in partition_ids if each.startswith(f"{caller}-")]
                assert numbers == sorted(numbers)
        print(f"acknowledged {len(acknowledged)}, refused {len(refused)}, slowest {slowest:.1f} s")
        await writer.close()
        await reader.close()


async def test_a_leader_without_an_offset_to_tell_is_asked_again_and_never_believed(address, monkeypatch):
    """A negative offset would say that the log ends before what was read from it, which stops a consumer for good."""
    writer, reader = await KafkaLogWriter.open(address), await KafkaLogReader.open(address)
    await writer.append(a_section(["1"]))
    wanted = await reader.ends()
    client, left = reader._admin._client, iter([3, 0])
    list_offsets = client.list_offsets

    class Silent:
        def __getattr__(self, name):
            return getattr(client, name)

        def list_offsets(self, asked, **rest):
            futures = list_offsets(asked, **rest)
            if next(left, None) is not None:
                futures = {each: silent(future) for each, future in futures.items()}
            return futures

    def silent(future):
        future.result()
        nothing = Future()
        nothing.set_result(ListOffsetsResultInfo(OFFSET_INVALID, -1, -1))
        return nothing

    monkeypatch.setattr(reader._admin, "_client", Silent())
    assert await reader.ends() == wanted
    left = itertools.repeat(1)
    monkeypatch.setattr(topic, "OFFSETS_S_MAX", 0.5)
    with pytest.raises(LogUnavailableError, match="no offset to tell"):
        await reader.ends()
    await writer.close()
    await reader.close()
