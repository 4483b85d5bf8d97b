"""The registry: the real statements over SQLite in memory; a call may be refused, rolled back or never answered."""

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from metering.errors import RegistryUnavailableError
from metering.registry.tables import accounts, customer_ids, customers, lanes
from metering.world import World
from tests.simulation.scheduler import Scheduler

EPOCH = datetime(2024, 6, 1, tzinfo=UTC)
_TABLES = (accounts, customers, customer_ids, lanes)
_engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
accounts.metadata.create_all(_engine, _TABLES)


def moment(scheduler: Scheduler) -> datetime:
    """Give the virtual time as a moment."""
    return EPOCH + timedelta(seconds=scheduler.now)


class SimulatedRegistry:
    """What `deploy.adapters` asks of a registry."""

    def __init__(self, scheduler: Scheduler, account_ids: set[str]) -> None:
        self._faults = scheduler.faults
        with _engine.begin() as connection:
            for table in reversed(_TABLES):
                connection.execute(table.delete())
            rows = [{"id": each, "name": each, "created_at": EPOCH} for each in sorted(account_ids)]
            connection.execute(accounts.insert(), rows)

    async def read(self, ask, *arguments):
        """Run `ask(connection, *arguments)`."""
        return await self._run(ask, arguments)

    async def write(self, change, *arguments):
        """Run `change(connection, *arguments)`; committed when this returns, and perhaps when it does not."""
        return await self._run(change, arguments)

    async def _run(self, work, arguments):
        await asyncio.sleep(self._faults.latency(0.002))
        with _engine.connect() as connection:
            result = work(connection, *arguments)
            if self._faults.hit("registry refuses"):
                connection.rollback()
                raise RegistryUnavailableError("rolled back")
            connection.commit()
        await asyncio.sleep(self._faults.latency(0.002))
        if self._faults.hit("registry answer lost"):
            raise RegistryUnavailableError("committed, but nobody was told")
        return result


def lane_table() -> dict[tuple[str, int], int]:
    """Give the lane of each partition, as it was opened."""
    with _engine.connect() as connection:
        return {(row.log_id, row.partition): row.lane for row in connection.execute(lanes.select())}


def known_ids() -> set[tuple[World, str]]:
    """Give every id that names a customer."""
    with _engine.connect() as connection:
        rows = connection.execute(customer_ids.select()).all()
    return {(World(row.account_id, row.mode), row.identifier) for row in rows}
