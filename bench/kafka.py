"""How many events a gateway's writer brings into Kafka, next to a bare producer of the same bytes, in one run.

Batches of 5000 events, and single events of many callers that share messages, against one broker on this machine. The
bare row hands the same payloads to the client library as they are, one message for each section of a batch; it deals
nothing to partitions and waits for the same acknowledgements.

    python bench/kafka.py [seconds per measurement]
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

import uvloop
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).parents[1]))

from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import settings
from ingest.log.kafka.shares import deal
from ingest.log.kafka.topic import TopicAdmin
from ingest.log.kafka.writer import KafkaLogWriter
from ingest.wire import Kind, Section, encode
from metering.world import Mode, World
from tests.peers.kafka.cluster import Cluster

PARTITIONS = 4
BATCH_EVENTS = 5000
CALLERS_BATCH = 4
CALLERS_SINGLE = 512
BATCHES = 16
WORLD = World("acc_bench", Mode.TEST)


def an_event(number):
    """Give an event of about 200 bytes."""
    return {
        "customer_id": f"cus_{number % 1000:06d}",
        "timestamp": f"2024-01-15T10:{number % 60:02d}:00.{number % 1000:03d}Z",
        "event_type": "api_call",
        "record": {"id": f"8f14e45f-ceea-467f-a8f0-{number:012d}", "duration_ms": number % 5000, "region": "eu-west-1"},
    }


def a_section(first, count):
    """Give a section of so many events."""
    body = json.dumps([an_event(number) for number in range(first, first + count)], separators=(",", ":")).encode()
    return Section(WORLD, Kind.EVENTS, 0, count, body)


async def appended(address, sections, callers, seconds):
    """Append from so many callers at once, each waiting for its receipt; give events and appends a second."""
    writer = await KafkaLogWriter.open(address)
    await writer.append(sections[0])
    stop_at = time.monotonic() + seconds
    chosen = itertools.cycle(sections)
    events = appends = 0

    async def one():
        nonlocal events, appends
        while time.monotonic() < stop_at:
            section = next(chosen)
            await writer.append(section)
            events += section.events
            appends += 1

    await asyncio.gather(*(one() for _ in range(callers)))
    await writer.close()
    return events / seconds, appends / seconds


def produced(address, sections, seconds):
    """Produce payloads as they are, as fast as they are acknowledged; give events a second."""
    producer = Producer(
        settings(address)
        | {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "message.max.bytes": 8 << 20}
    )
    events = 0

    def delivered(count, error):
        nonlocal events
        assert error is None, error
        events += count

    payloads = [(encode((section,)), section.events) for section in sections]
    began_at = time.monotonic()
    for number, (payload, count) in enumerate(itertools.cycle(payloads)):
        if time.monotonic() >= began_at + seconds:
            break
        producer.produce(
            address.topic,
            payload,
            partition=number % PARTITIONS,
            on_delivery=lambda error, _, count=count: delivered(count, error),
        )
        while len(producer) > CALLERS_BATCH * PARTITIONS:
            producer.poll(0.001)
    producer.flush()
    return events / (time.monotonic() - began_at)


def dealt(sections, seconds):
    """Deal and encode alone, without Kafka; give events a second."""
    events = 0
    began_at = time.process_time()
    for section in itertools.cycle(sections):
        if time.process_time() >= began_at + seconds:
            return events / (time.process_time() - began_at)
        for _, share in deal(section, PARTITIONS):
            encode((share,))
        events += section.events
    raise AssertionError("unreachable")


async def measure(cluster, seconds):
    """Print each row."""
    batches = [a_section(number * BATCH_EVENTS, BATCH_EVENTS) for number in range(BATCHES)]
    singles = [a_section(number, 1) for number in range(20_000)]
    address = KafkaAddress(cluster.addresses, "bench", PARTITIONS)
    await TopicAdmin(address).open()
    bare = await asyncio.to_thread(produced, address, batches, seconds)
    row(f"bare producer, sections of {BATCH_EVENTS} as they are", bare)
    row("deal and encode alone, CPU time", dealt(batches, seconds))
    events, appends = await appended(address, batches, CALLERS_BATCH, seconds)
    row(f"writer, batches of {BATCH_EVENTS}", events, f"{events / bare:.2f} of bare")
    events, appends = await appended(address, singles, CALLERS_SINGLE, seconds)
    row(f"writer, single events of {CALLERS_SINGLE} callers", events, f"{CALLERS_SINGLE / appends * 1000:.1f} ms each")
    events, appends = await appended(address, singles, 1, seconds)
    row("writer, single events one after the other", events, f"{1000 / appends:.1f} ms each")


def row(what, per_s, note=""):
    """Print one figure."""
    print(f"{what:<48}{per_s:>12,.0f} events/s   {note}".rstrip(), flush=True)


def main():
    """Measure against a broker of our own."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with Cluster() as cluster:
        uvloop.run(measure(cluster, seconds))


if __name__ == "__main__":
    main()
