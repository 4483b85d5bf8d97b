"""How fast are fresh events stored when many keys are there already, next to when there are few?

The same million fresh events go through the consumer over a store of a million earlier events, and over one of five
million (`SIZE`): the filter of seen keys has to keep the look-ups away. The earlier events are made by the store itself
and merged before the clock starts. Memory is that of this process, the engine included, after the run.

    SIZE=50000000 python bench/keys.py
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.consumer import Took, consume, log_of
from metering.store.client import Store
from metering.store.migrations import migrate

FEW = 1_000_000
FRESH = 1_000_000
CHUNK = 1_000_000
SETTLED_S_MAX = 900
QUIET_S = 10.0

# A lane of their own, which no log has.
_EVENTS = """
INSERT INTO events
SELECT 'acc_bench', 'prod', 'api_call', concat('cus_', toString(number * 7919 % 1000)),
       toDateTime64('2025-05-01 00:00:00', 6, 'UTC') + toIntervalSecond(number % 2678400),
       toString(generateUUIDv4(number)), bitShiftLeft(toUInt64(60000), 48) + number, false,
       '{"amount":1.25,"bytes":123456,"region":"eu-west-1"}', now64(6)
FROM numbers({first:UInt64}, {count:UInt64})
"""

_KEYS = """
INSERT INTO event_keys
SELECT cityHash64(number, 'earlier'), 'acc_bench', 'prod', 'api_call', concat('earlier-', toString(number)),
       bitShiftLeft(toUInt64(60000), 48) + number, now64(6), 'cus_1', repeat('x', 16), false
FROM numbers({first:UInt64}, {count:UInt64})
"""


def fill(store: Store, events: int) -> None:
    """Store earlier events and their keys, and wait until they are merged."""
    for first in range(0, events, CHUNK):
        for statement in (_EVENTS, _KEYS):
            store.command(statement, {"first": first, "count": CHUNK})
    began_at = quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        if store.select("SELECT count() FROM system.merges")[0][0]:
            quiet_since = time.monotonic()
        if time.monotonic() - began_at > SETTLED_S_MAX:
            raise TimeoutError("merges go on for too long")
        time.sleep(0.2)


class Started:
    """Notes when the consumer had started."""

    def now(self) -> None:
        """Note it."""
        self.wall_s, self.cpu_s = time.perf_counter(), time.process_time()

    def took(self) -> Took:
        """Give what came after."""
        return Took(time.perf_counter() - self.wall_s, time.process_time() - self.cpu_s)


def measure(events: int) -> None:
    """Measure over so many earlier events, and print."""
    log = log_of(FRESH, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"chdb://{folder}")
        migrate(store)
        fill(store, events)
        began_at = time.perf_counter()
        started = Started()
        asyncio.run(consume(store, log, started.now))
        took = started.took()
        store.close()
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024
    each = f"{took.wall_s / FRESH * 1e6:5.2f} us, CPU {took.cpu_s / FRESH * 1e6:5.2f} us"
    start_s = started.wall_s - began_at
    print(
        f"{events:>12,} keys {FRESH / took.wall_s:10,.0f} events/s  {each}  {held:,} MiB, start {start_s:.1f} s",
        flush=True,
    )


def main() -> None:
    """Measure each size in a process of its own: the engine opens one path a process."""
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
        return
    for events in (FEW, int(os.environ.get("SIZE", "5000000"))):
        subprocess.run([sys.executable, "-m", "bench.keys", str(events)], check=True)


if __name__ == "__main__":
    main()
