"""Runs over warehouses: from a query to events, and from a run's cursor to the next run's first row."""

from datetime import UTC, datetime

import pytest

from ingest.log.memory import MemoryLog, MemoryLogWriter
from loaders.dataloaders.model import RunStatus, Trigger
from loaders.dataloaders.registry import create_dataloader
from loaders.dataloaders.runs import begin_run
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.running.work import Means
from tests.loaders.contract.bigquery_peer import Peer as BigQueryPeer
from tests.loaders.contract.peer import Type, Where
from tests.loaders.contract.snowflake_peer import Peer as SnowflakePeer
from tests.loaders.dataloaders.conftest import make_connection
from tests.loaders.dataloaders.test_running import ended, events, going_on, saved, until

pytestmark = pytest.mark.slow

COLUMNS = {
    "id": Type.INTEGER,
    "customerId": Type.TEXT,
    "timestamp": Type.INSTANT,
    "amount": Type.DECIMAL,
    "updatedAt": Type.INSTANT,
}


def at(day):
    """Give noon of a day of January."""
    return datetime(2026, 1, day, 12, tzinfo=UTC)


@pytest.mark.parametrize("peer_of", [BigQueryPeer, SnowflakePeer])
async def test_runs_read_on_after_their_cursor_and_bring_corrections(peer_of, registry, account, clock, tmp_path):
    log = MemoryLog()
    with peer_of() as peer:
        orders = [[1, "c1", at(1), "1.50", at(2)], [2, "c1", at(1), "2.00", at(3)], [3, "c2", at(1), "0.25", at(4)]]
        peer.load("orders", COLUMNS, orders)

        class Here:
            def address_of(self, *_):
                return peer.address()

        means = Means(
            registry,
            MemoryLogWriter(log),
            Here(),
            lambda address: open_source(address, HostPolicy(), SourceLimits()),
            clock,
            tmp_path,
        )
        fields = {
            "connection_id": make_connection(registry, account, peer.address().provider),
            "event_type": "order",
            "query": peer.query("orders", list(COLUMNS), Where("updatedAt", ">")),
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
            return [(one["record"]["id"], float(one["record"]["amount"])) for one in events(log)[seen:]]

        assert await run() == [(2, 2), (3, 0.25)]
        assert saved(registry, loader).cursor.value == "2026-01-04T12:00:00.000000Z"
        assert await run() == []

        orders[0][3:] = ["9.99", at(5)]
        peer.load("orders", COLUMNS, orders)
        assert await run() == [(1, 9.99)]
