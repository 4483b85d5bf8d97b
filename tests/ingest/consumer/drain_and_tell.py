"""A process that drains a history into a store until it is killed, or done: then it prints the figures.

`python drain_and_tell.py DSN SEED APPENDS`
"""

import asyncio
import json
import sys
from random import Random

from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.migrations import migrate
from tests.ingest.consumer.random_history import ChoppedReader, History, PartitionLanes

FIGURES = """
SELECT toString(account_id), toString(mode), toString(event_type), record_id, position FROM events FINAL
WHERE position NOT IN (SELECT position FROM superseded)
"""
LOST_TWICE = "SELECT count() FROM (SELECT position FROM superseded GROUP BY position HAVING uniqExact(lost_at) > 1)"


class Anyone:
    async def ensure(self, world, identifiers):
        pass


async def drain(store, history):
    versions = ChainStore(store)
    reader = ChoppedReader(history, Random())
    consumer = Consumer(reader, versions, PartitionLanes(), Anyone(), StoreDeadLetters(store))
    await consumer.start()
    print("draining", flush=True)
    while not (await versions.applied()).includes(history.whole()):
        await consumer.drain_once()


def main():
    dsn, seed, appends = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = Store.open(dsn)
    migrate(store)
    asyncio.run(drain(store, History(Random(seed), appends)))
    ((lost_twice,),) = store.select(LOST_TWICE)
    print(json.dumps({"lost_twice": lost_twice, "figures": store.select(FIGURES)}), flush=True)
    store.close()


if __name__ == "__main__":
    main()
