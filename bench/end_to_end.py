"""How many events a second go all the way: over HTTP, through the log, into the figures; and how soon they are seen.

The whole product as `meterline up` starts it. Batches of 5,000 events with keys that were never seen are sent at a
steady rate (`--rate 0`: as fast as they are acknowledged); the clock stops when the last of them is in the figures.
Then 30,000 events a second are sent, and beside them marked events, each of a customer of its own whose usage is asked
until it is there. `--stored` puts so many earlier events and their keys into the store before.
The limit is what this machine's gateway and consumer do alone (`gateway.py`, `consumer.py`): both work here at once,
beside the load generator.

    python bench/end_to_end.py [--kafka] [--stored 50000000] [--rate 150000] [--seconds 60]
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.keys import fill
from metering.store.client import Store
from tests.peers.kafka.cluster import Cluster
from tests.pipeline.product import Product

BATCH_EVENTS = 5_000
BODIES = 100
ROUND = b"@ROUND@"
"""What each key of a body begins with; a number takes its place before it is sent, so that all keys are fresh."""

Sent = Any
"""A number of events that two processes share."""

SENDERS = 3
EVENTS_PER_S = 150_000
PACED_EVENTS_PER_S = 30_000
PACED_BATCH_EVENTS = 500
PACED_FIRST_ROUND = 0x4000000
PROBERS = 4
PROBES_PER_S = 1
"""By each of them."""


def bodies(events: int) -> list[bytes]:
    """Give batches of about 210 bytes an event, over 31 days and 1,000 customers."""
    return [
        json.dumps([an_event(chance) for _ in range(events)], separators=(",", ":")).encode()
        for chance in map(random.Random, range(BODIES))
    ]


def an_event(chance: random.Random) -> dict[str, object]:
    """Give an event whose key is unlike any other once its round is filled in."""
    key = uuid.UUID(int=chance.getrandbits(128), version=4).hex
    moment = f"2025-05-{chance.randrange(1, 32):02d}T10:{chance.randrange(60):02d}:00.{chance.randrange(1000):03d}Z"
    return {
        "customer_id": f"cus_{chance.randrange(1000):04d}",
        "timestamp": moment,
        "event_type": "api_call",
        "record": {"id": f"{ROUND.decode()}{key[7:]}", "amount": 1.25, "region": "eu-west-1", "bytes": 123_456},
    }


class Connection:
    """One connection that sends one request at a time."""

    def __init__(self, port: int, key: str) -> None:
        self._key = key
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, body: bytes) -> None:
        """Send a batch until it is acknowledged."""
        head = (
            f"POST /v1/events/batch HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nPrefer: return=minimal\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            self._socket.sendall(head.encode() + body)
            answer = http.client.HTTPResponse(self._socket)
            answer.begin()
            told = answer.read()
            if answer.status == 201:
                return
            if answer.status not in {429, 503}:
                raise ValueError(f"answered {answer.status}: {told[:200]!r}")
            time.sleep(0.05)


def send_for(port: int, key: str, seconds: float, rate: float, sent: Sent) -> None:
    """Be a load generator, in a process of its own: send at a rate, and no faster than it is acknowledged."""
    prepared = bodies(BATCH_EVENTS)
    started = time.monotonic()
    stop_at, step = started + seconds, BATCH_EVENTS / rate if rate else 0.0
    turns = threading.Lock()
    state = {"turn": 0}

    def one() -> None:
        connection = Connection(port, key)
        while time.monotonic() < stop_at:
            with turns:
                turn = state["turn"]
                state["turn"] += 1
            time.sleep(max(0.0, started + turn * step - time.monotonic()))
            connection.post(prepared[turn % BODIES].replace(ROUND, b"%07x" % (turn // BODIES)))
            with turns:
                sent.value += BATCH_EVENTS

    threads = [threading.Thread(target=one) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_paced(port: int, key: str, seconds: float, rate: float, sent: Sent) -> None:
    """Be a load generator that sends small batches at a rate, whatever the answers take."""
    prepared = bodies(PACED_BATCH_EVENTS)
    step = PACED_BATCH_EVENTS / rate
    connection, started = Connection(port, key), time.monotonic()
    for turn in range(int(seconds / step)):
        time.sleep(max(0.0, started + turn * step - time.monotonic()))
        connection.post(prepared[turn % BODIES].replace(ROUND, b"%07x" % (PACED_FIRST_ROUND + turn // BODIES)))
        sent.value += PACED_BATCH_EVENTS


class Asking:
    """A client of the API."""

    def __init__(self, product: Product) -> None:
        self._port, self._key = product.port, product.key

    def ask(self, method: str, path: str, value: object = None) -> Any:
        """Ask once; gives the decoded answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection.request(method, path, None if value is None else json.dumps(value), headers)
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        if answer.status >= 300:
            raise ValueError(f"{method} {path} answered {answer.status}: {told[:300]!r}")
        return json.loads(told)

    def lag(self) -> int:
        """Give how many events are accepted and not in the figures."""
        return int(self.ask("GET", "/v1/ingest/lag")["lag_events"])


@dataclass
class Memory:
    """The most memory that each kind of part was seen to hold, in MiB."""

    most: dict[str, float] = field(default_factory=dict)

    def look(self, product: Product) -> None:
        """Look once."""
        for kind, pids in product.parts().items():
            for pid in pids:
                with contextlib.suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    held = int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
                    self.most[kind] = max(self.most.get(kind, 0), held)

    def __str__(self) -> str:
        return ", ".join(f"{kind} {held:,.0f} MiB" for kind, held in sorted(self.most.items()))


def cpu_s(product: Product) -> dict[str, float]:
    """Give the processor time that each kind of part has used."""
    used = {}
    for kind, pids in product.parts().items():
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        used[kind] = sum(int(each[11]) + int(each[12]) for each in stats) / os.sysconf("SC_CLK_TCK")
    return used


@contextlib.contextmanager
def loaded(
    work: Callable[..., None], product: Product, seconds: float, rate: float
) -> Iterator[tuple[multiprocessing.process.BaseProcess, Sent]]:
    """Run a load generator beside us."""
    context = multiprocessing.get_context("spawn")
    sent = context.Value("q", 0)
    process = context.Process(target=work, args=(product.port, product.key, seconds, rate, sent))
    process.start()
    while not sent.value and process.is_alive():
        time.sleep(0.01)
    yield process, sent
    process.join()
    if process.exitcode:
        raise ValueError("the load generator failed")


def sustained(product: Product, asking: Asking, seconds: float, rate: float) -> None:
    """Print what is accepted and applied."""
    memory, most_behind, before = Memory(), 0, cpu_s(product)
    with loaded(send_for, product, seconds, rate) as (process, sent):
        began_at = time.monotonic() - 1e-9
        at_first = sent.value
        while process.is_alive():
            memory.look(product)
            most_behind = max(most_behind, asking.lag())
            time.sleep(0.5)
    accepted_s = time.monotonic() - began_at
    while asking.lag():
        time.sleep(0.05)
    applied_s = time.monotonic() - began_at
    events = sent.value - at_first
    used = {kind: spent - before[kind] for kind, spent in cpu_s(product).items()}
    row("accepted", events / accepted_s, f"{events:,} events in {accepted_s:.1f} s")
    note = f"at most {most_behind:,} behind, the last applied {applied_s - accepted_s:.1f} s after it was accepted"
    row("accepted and applied", events / applied_s, note)
    each = ", ".join(f"{kind} {spent / sent.value * 1e6:.2f}" for kind, spent in sorted(used.items()))
    print(f"CPU, us an event: {each}")
    print(f"memory at most: {memory}")


def seen_after(asking: Asking, aggregator: str, number: int) -> float:
    """Send an event of a customer of its own; give the seconds from its 201 until its usage shows it."""
    customer = f"probe_{uuid.uuid4().hex}"
    event = {
        "customer_id": customer,
        "timestamp": "2025-05-10T10:00:00Z",
        "event_type": "api_call",
        "record": {"id": f"probe-{number}-{customer}"},
    }
    asking.ask("POST", "/v1/events", event)
    accepted_at = time.monotonic()
    path = f"/v1/customers/{customer}/usage/{aggregator}?start_date=2025-05-01T00:00:00Z&end_date=2025-06-01T00:00:00Z"
    while True:
        with contextlib.suppress(ValueError):  # The customer is made with its first event.
            if asking.ask("GET", path)["count"]:
                return time.monotonic() - accepted_at
        time.sleep(0.05)


def visible(product: Product, asking: Asking, seconds: float) -> None:
    """Print how long accepted events take to be seen while others come in at a steady rate."""
    made = asking.ask("POST", "/v1/aggregators", {"name": "calls", "entity": "api_call", "operation": "count"})
    took: list[float] = []
    with loaded(send_paced, product, seconds, PACED_EVENTS_PER_S) as (process, sent):
        began_at = time.monotonic()

        def probe() -> None:
            while process.is_alive():
                started = time.monotonic()
                took.append(seen_after(asking, made["id"], len(took)))
                time.sleep(max(0.0, started + 1 / PROBES_PER_S - time.monotonic()))

        probers = [threading.Thread(target=probe) for _ in range(PROBERS)]
        for prober in probers:
            prober.start()
        process.join()
        rate = sent.value / (time.monotonic() - began_at)
        for prober in probers:
            prober.join()
    took.sort()
    told = ", ".join(f"p{share:g} {took[int(len(took) * share / 100)] * 1000:,.0f} ms" for share in (50, 95, 99))
    row("steady load", rate, f"accepted -> seen in usage: {told} ({len(took)} events)")


def row(what: str, per_s: float, note: str) -> None:
    """Print one figure."""
    print(f"{what:<22}{per_s:>12,.0f} events/s   {note}", flush=True)


def measure(options: argparse.Namespace, environment: dict[str, str]) -> None:
    """Measure one installation."""
    folder = Path(tempfile.mkdtemp(prefix="meterline-bench-"))
    product = Product(folder / "data", gateways=options.workers, environment=environment)
    try:
        product.start()
        if options.stored:
            product.stop()
            store = Store.open(f"chdb://{folder}/data/store")
            fill(store, options.stored)
            store.close()
            product.start()
        asking = Asking(product)
        if options.seconds:
            sustained(product, asking, options.seconds, options.rate)
        if options.paced_seconds:
            visible(product, asking, options.paced_seconds)
    finally:
        product.stop()
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--stored", type=int, default=0)
    parser.add_argument("--rate", type=float, default=EVENTS_PER_S)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--paced-seconds", type=float, default=30)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; log: {'Kafka' if options.kafka else 'local'}")
    if not options.kafka:
        measure(options, {})
        return
    with Cluster() as cluster:
        measure(options, {"METERLINE_LOG_URL": f"kafka://{cluster.addresses}/bench?partitions=4"})


if __name__ == "__main__":
    main()
