"""Runs over documents: from a join to events, and from a run's cursor to the next run's first document."""

import json
from datetime import UTC, datetime

import pytest
from bson import Decimal128

from ingest.log.memory import MemoryLog, MemoryLogWriter
from loaders.dataloaders.model import RunStatus, Trigger
from loaders.dataloaders.registry import create_dataloader
from loaders.dataloaders.runs import begin_run
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.running.work import Means
from tests.loaders.dataloaders.conftest import make_connection
from tests.loaders.dataloaders.test_running import ended, events, going_on, saved, until
from tests.peers.mongo.server import Mongo

pytestmark = pytest.mark.slow

QUERY = json.dumps(
    {
        "collection": "orders",
        "aggregate": [
            {"$match": {"updatedAt": {"$gt": "{{cursor}}"}}},
            {"$lookup": {"from": "companies", "localField": "company", "foreignField": "_id", "as": "company"}},
            {"$unwind": "$company"},
            {
                "$project": {
                    "_id": 0,
                    "id": "$_id",
                    "customerId": "$company._id",
                    "customerName": "$company.name",
                    "timestamp": "$at",
                    "amount": 1,
                    "updatedAt": 1,
                }
            },
        ],
    }
)


def at(day):
    """Give noon of a day of January."""
    return datetime(2026, 1, day, 12, tzinfo=UTC)


def an_order(number, day, amount):
    """Give one that was last changed on a day."""
    return {"_id": number, "company": "c1", "at": at(1), "amount": Decimal128(amount), "updatedAt": at(day)}


async def test_runs_read_on_after_their_cursor_and_bring_corrections(registry, account, clock, tmp_path):
    log = MemoryLog()
    with Mongo() as server, server.client() as client:
        shop = client.shop
        shop.companies.insert_one({"_id": "c1", "name": "Ada & Co"})
        shop.orders.insert_many([an_order(1, 2, "1.50"), an_order(2, 3, "2.00"), an_order(3, 4, "0.25")])

        class Here:
            def address_of(self, *_):
                return Address(Provider.MONGODB, server.url("shop"))

        means = Means(
            registry,
            MemoryLogWriter(log),
            Here(),
            lambda address: open_source(address, HostPolicy(), SourceLimits()),
            clock,
            tmp_path,
        )
        fields = {
            "connection_id": make_connection(registry, account, Provider.MONGODB),
            "event_type": "order",
            "query": QUERY,
            "cursor_column": "updatedAt",
            "cursor_start": "2026-01-02T12:00:00Z",
        }
        with registry.writing() as connection:
            loader = create_dataloader(connection, account, fields, clock())

        async def run():
            with registry.writing() as connection:
                begin_run(connection, saved(registry, loader), Trigger.MANUAL, clock())
            seen = len(events(log))
            async with going_on(means):
                done = await until(lambda: ended(registry, loader))
            assert done.status is RunStatus.DONE, done
            clock.passes(minutes=1)
            return events(log)[seen:]

        first = await run()
        assert [(event["record"]["id"], str(event["record"]["amount"])) for event in first] == [
            (2, "2.00"),
            (3, "0.25"),
        ]
        assert first[0]["customer_id"] == "c1"
        assert saved(registry, loader).cursor.value == "2026-01-04T12:00:00.000000Z"
        assert await run() == []

        shop.orders.update_one({"_id": 1}, {"$set": {"amount": Decimal128("9.99"), "updatedAt": at(5)}})
        (corrected,) = await run()
        assert (corrected["record"]["id"], str(corrected["record"]["amount"])) == (1, "9.99")
