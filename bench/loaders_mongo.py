"""How many documents a second come from MongoDB as columns of JSON, beside the driver alone, in one run.

    python bench/loaders_mongo.py            200,000 documents of 8 fields
    SIZE=1000000 python bench/loaders_mongo.py

The server is the tests' own (mongo-java-server) and shares the machine, so for each the documents a second of this
process's CPU time are told too: that is what a faster server would leave. Goals: 100,000 documents a second of one
core's time as pages; 40,000 a second from the query to the durable log, as `meterline loaders` works on a run.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bson import Decimal128

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.loaders import end_to_end
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from tests.peers.mongo.server import Mongo

SIZE = int(os.environ.get("SIZE", "200000"))
PAGE_ROWS = 10_000
ROUNDS = 3
LOADED = '{"collection": "orders", "projection": {"_id": 0}}'
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def a_document(number):
    """Give one of some 200 bytes."""
    return {
        "id": f"8f14e45f-ceea-467f-a8f0-{number:012d}",
        "customerId": f"cus_{number % 1000:06d}",
        "timestamp": FIRST + timedelta(seconds=number),
        "amount": Decimal128(f"{number}.50"),
        "calls": number,
        "ratio": number / 7,
        "region": "eu-west-1",
    }


def measured(read):
    """Give documents a second by the clock and by this process's CPU, the best of some rounds."""
    best = (0.0, 0.0)
    for _ in range(ROUNDS):
        clock, cpu = time.perf_counter(), time.process_time()
        assert read() == SIZE
        best = max(best, (SIZE / (time.perf_counter() - clock), SIZE / (time.process_time() - cpu)))
    return best


def main():
    """Print both and their ratio."""
    with Mongo() as server, server.client() as client:
        for first in range(0, SIZE, PAGE_ROWS):
            client.shop.orders.insert_many(a_document(number) for number in range(first, min(first + PAGE_ROWS, SIZE)))
        source = open_source(Address(Provider.MONGODB, server.url("shop")), HostPolicy(), SourceLimits())

        def bare():
            return sum(1 for _ in client.shop.orders.find({}, batch_size=PAGE_ROWS))

        def pages():
            return sum(page.rows for page in source.pages('{"collection": "orders"}', {}, page_rows_max=PAGE_ROWS))

        alone, alone_cpu = measured(bare)
        ours, ours_cpu = measured(pages)
        source.close()
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(end_to_end(Address(Provider.MONGODB, server.url("shop")), Path(folder), LOADED, SIZE))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"driver alone, documents as dictionaries  {alone:10,.0f}/s  {alone_cpu:10,.0f} per CPU second")
    print(f"source, pages of JSON columns            {ours:10,.0f}/s  {ours_cpu:10,.0f} per CPU second")
    print(f"ratio                                    {ours / alone:10.2f}    {ours_cpu / alone_cpu:10.2f}")
    print(f"most memory of this process              {peak:10,.0f} MiB")


if __name__ == "__main__":
    main()
