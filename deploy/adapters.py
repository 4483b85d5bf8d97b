"""The registry, as the protocols of ingest ask for it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from ingest.errors import LogMismatchError
from metering.registry.customers import ensure_customers, identifiers_of, resolve
from metering.registry.engine import Registry
from metering.registry.lanes import ForeignLogError, open_lane
from metering.world import World


def now() -> datetime:
    """Give the present moment: the one clock of the running product."""
    return datetime.now(UTC)


class RegistryLanes:
    """`ingest.consumer.seams.Lanes`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def lane_of(self, log_id: str, partition: int, older: Sequence[str] = ()) -> int:
        """Give the lane, opened at the first call.

        Raises:
            LogMismatchError: lanes belong to a log that is neither this one nor an older one.
        """
        try:
            return await self._registry.write(open_lane, log_id, partition, now(), older)
        except ForeignLogError as error:
            raise LogMismatchError(str(error)) from None


class RegistryCustomers:
    """`ingest.consumer.seams.CustomerRegistrar` and `ingest.gateway.deletion_request.Identifiers`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ensure(self, world: World, identifiers: set[str]) -> None:
        """Make an automatically created customer of each id that nobody has."""
        await self._registry.write(ensure_customers, world, identifiers, now())

    async def of(self, world: World, identifier: str) -> Sequence[str]:
        """Give every id of the customer that has this one; the one alone when nobody has it."""
        return await self._registry.read(_identifiers, world, identifier)


def _identifiers(connection: sa.Connection, world: World, identifier: str) -> Sequence[str]:
    customer = resolve(connection, world, identifier)
    return [identifier] if customer is None else identifiers_of(connection, customer)
