"""How fast the Python client takes and delivers events, next to a bare loop that does the least, in the same run.

The bare loop encodes each event with msgspec and posts arrays of 5000 over one connection, unchecked, unbuffered, not
retried. Both send to the same real gateway worker over the log with fsync. `CPU` is that of the sending process.

    python bench/client.py [events]
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import urllib3

from bench.gateway import BATCH_EVENTS, HEADERS, serving, worker_process
from ingest.client import Client, Event
from ingest.log.process import run as run_log

KEY = HEADERS["Authorization"].removeprefix("Bearer ")
SPOOLED_SINGLY = 2000


def record(number: int) -> dict[str, str | int | Decimal | bool]:
    """Give the record of an event of about 200 bytes."""
    return {
        "id": f"8f14e45f-ceea-467f-a8f0-{number:012d}",
        "duration_ms": number % 5000,
        "amount": Decimal(number % 10_000) / 100,
        "is_verified": True,
        "region": "eu-west-1",
    }


def bare(url: str, events: int) -> None:
    """Encode and post."""
    pool = urllib3.PoolManager()
    encoder = msgspec.json.Encoder(decimal_format="number")
    for start in range(0, events, BATCH_EVENTS):
        batch = [
            encoder.encode(
                {
                    "customer_id": "acme",
                    "timestamp": "2024-01-15T10:00:00Z",
                    "event_type": "api_call",
                    "record": record(number),
                }
            )
            for number in range(start, start + BATCH_EVENTS)
        ]
        answer = pool.request("POST", f"{url}/v1/events/batch", body=b"[" + b",".join(batch) + b"]", headers=HEADERS)
        assert answer.status == 201, answer.data


def sending(url: str, events: int, folder: Path | None = None) -> None:
    """Send one by one."""
    with Client(url, KEY, spool_dir=folder) as client:
        for number in range(events):
            client.send("api_call", "acme", record(number))


def sending_many(url: str, events: int, folder: Path) -> None:
    """Send a thousand at a time, each thousand on disk before the next."""
    with Client(url, KEY, spool_dir=folder) as client:
        for start in range(0, events, 1000):
            client.send_many(
                [Event("api_call", "acme", record(number)) for number in range(start, start + 1000)],
            )


def measure(name: str, events: int, run: Callable[[], None]) -> None:
    """Print a rate, from the first event to the last one's acknowledgement."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    took, used = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:44} {events / took:10,.0f} events/s   CPU {used / events * 1_000_000:6.1f} us/event", flush=True)


def main(events: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = multiprocessing.get_context("spawn").Process(
            target=run_log, args=(folder / "log", folder / "log.sock"), daemon=True
        )
        log.start()
        try:
            with serving(worker_process, folder) as server:
                url = f"http://127.0.0.1:{server.port}"
                measure("bare loop, arrays of 5000", events, lambda: bare(url, events))
                measure("Client.send", events, lambda: sending(url, events))
                measure("Client.send_many, spooled by 1000", events, lambda: sending_many(url, events, folder / "a"))
                measure(
                    "Client.send, spooled one by one",
                    SPOOLED_SINGLY,
                    lambda: sending(url, SPOOLED_SINGLY, folder / "b"),
                )
        finally:
            log.terminate()
            log.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
