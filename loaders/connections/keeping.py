"""Create, change, ping and delete connections: what the API and the pages do, by the same rules.

Nothing is saved that does not answer. The ping stands between reading and writing, outside of any transaction; so what
is written is written only if nobody changed the connection meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from loaders.connections.fields import Asked, read_connection
from loaders.connections.pinging import Pinger, PingsBusyError
from loaders.connections.registry import (
    Pinged,
    Reached,
    StoredConnection,
    change_address,
    create_connection,
    delete_connection,
    find_connection,
    keep_ping,
    list_connections,
    open_address,
    rename_connection,
)
from loaders.connections.secret_parts import masked
from loaders.errors import QueryError, SourceDeniedError, SourceError
from loaders.provider import URL_PROVIDERS, Address
from loaders.secrets.errors import KeysError, SecretError
from loaders.secrets.keys import Keyring
from metering.http.problem import ApiError, Fault, conflict, not_found, refused, unavailable
from metering.registry.engine import Registry
from metering.world import World

CONNECTIONS_MAX = 200
"""Of one world: enough for any of them, too few to fill a disk with."""
RETRY_AFTER_S = 5

_log = structlog.get_logger(__name__)


UseOfConnection = Callable[[sa.Connection, World, str], str | None]
"""Name what refers to the connection of this id, such as `2 dataloaders`; None when nothing does."""


def _unused(_connection: sa.Connection, _world: World, _connection_id: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ConnectionKeeper:
    """What connections stand on. `use` tells what stands against deleting one."""

    registry: Registry
    keys: Keyring
    pinger: Pinger
    clock: Callable[[], datetime]
    use: UseOfConnection = _unused

    async def create(self, world: World, body: Mapping[str, Any]) -> StoredConnection:
        """Ping what a body asks for, and save it.

        Raises:
            ApiError: 400; 422 in the database's words when it does not answer; 429 when too many ask; 503 without keys.
        """
        asked = read_connection(body)
        assert asked.name is not None
        assert asked.address is not None
        self._check_keys()
        await self.registry.read(_check_room, world)
        reached = await self._reach(world, asked.address)
        return await self._write(self._create, world, asked.name, reached)

    async def find(self, world: World, connection_id: str) -> StoredConnection:
        """Give a connection.

        Raises:
            ApiError: 404.
        """
        return await self.registry.read(require_connection, world, connection_id)

    async def list(
        self, world: World, *, conditions: Sequence[sa.ColumnElement[bool]] = (), take: int, skip: int = 0
    ) -> tuple[Sequence[StoredConnection], int]:
        """Give a page of connections, newest first, and how many there are."""
        ask = partial(list_connections, conditions=conditions, take=take, skip=skip)
        return await self.registry.read(ask, world)

    async def update(self, world: World, connection_id: str, body: Mapping[str, Any]) -> StoredConnection:
        """Change what a body sets; another address is pinged first.

        Raises:
            ApiError: 400, 404, 422, 429; 409 when somebody else changed it meanwhile.
        """
        stored = await self.find(world, connection_id)
        asked = self._read(body, stored)
        reached = None
        if asked.address is not None and asked.address != self._kept_or_none(stored):
            self._check_keys()
            reached = await self._reach(world, asked.address)
        return await self._write(self._update, world, stored, asked.name, reached)

    async def ping(self, world: World, connection_id: str) -> StoredConnection:
        """Connect again, and keep what was found.

        Raises:
            ApiError: 404, 422, 429.
        """
        stored = await self.find(world, connection_id)
        try:
            address = open_address(stored, self.keys)
        except SecretError as error:
            raise _answer(error) from None
        reached = await self._reach(world, address)
        return await self.registry.write(_keep_ping, world, stored, reached.pinged)

    async def delete(self, world: World, connection_id: str) -> None:
        """Forget a connection.

        Raises:
            ApiError: 404; 409 while something refers to it.
        """
        await self.registry.write(self._delete, world, connection_id)

    async def _reach(self, world: World, address: Address) -> Reached:
        try:
            warnings = await self.pinger.ping(world.account_id, address)
        except PingsBusyError as error:
            message = f"{error}: try again in {RETRY_AFTER_S} s"
            raise ApiError(429, message, headers={"Retry-After": str(RETRY_AFTER_S)}) from None
        except SourceError as error:
            way = "url" if address.provider in URL_PROVIDERS else "credentials"
            raise refused(str(error), Fault(_code(error), (way,), str(error))) from None
        return Reached(address, masked(address), Pinged(warnings, self.clock()))

    async def _write(self, change: Callable[..., StoredConnection], *args: Any) -> StoredConnection:
        try:
            return await self.registry.write(change, *args)
        except SecretError as error:
            raise _answer(error) from None

    def _check_keys(self) -> None:
        """Find out before a password is sent anywhere that it could not be kept."""
        try:
            self.keys.newest()
        except SecretError as error:
            raise _answer(error) from None

    def _read(self, body: Mapping[str, Any], stored: StoredConnection) -> Asked:
        try:
            return read_connection(body, stored, partial(open_address, stored, self.keys))
        except SecretError as error:
            raise _answer(error) from None

    def _kept_or_none(self, stored: StoredConnection) -> Address | None:
        """Give the address there is; None when it does not open, so that it can be replaced."""
        try:
            return open_address(stored, self.keys)
        except SecretError:
            return None

    def _create(self, connection: sa.Connection, world: World, name: str, reached: Reached) -> StoredConnection:
        _check_room(connection, world)
        return create_connection(connection, world, name, reached, self.keys)

    def _update(
        self,
        connection: sa.Connection,
        world: World,
        stored: StoredConnection,
        name: str | None,
        reached: Reached | None,
    ) -> StoredConnection:
        require_connection(connection, world, stored.id)
        if reached is not None and not change_address(connection, stored, reached, self.keys):
            raise conflict(f"connection {stored.id} was changed meanwhile: read it again, then send your change")
        if name is not None and name != stored.name:
            rename_connection(connection, stored, name, self.clock())
        return require_connection(connection, world, stored.id)

    def _delete(self, connection: sa.Connection, world: World, connection_id: str) -> None:
        stored = require_connection(connection, world, connection_id)
        use = self.use(connection, world, stored.id)
        if use is not None:
            raise conflict(f"connection {stored.id} is used by {use}: delete that first, or give it another connection")
        delete_connection(connection, stored)


def require_connection(connection: sa.Connection, world: World, connection_id: str) -> StoredConnection:
    """Give the connection that a path names.

    Raises:
        ApiError: 404.
    """
    found = find_connection(connection, world, connection_id)
    if found is None:
        raise not_found(f"there is no connection {connection_id[:80]!r}")
    return found


def _keep_ping(connection: sa.Connection, world: World, stored: StoredConnection, pinged: Pinged) -> StoredConnection:
    keep_ping(connection, stored, pinged)
    return require_connection(connection, world, stored.id)


def _check_room(connection: sa.Connection, world: World) -> None:
    _, total = list_connections(connection, world, conditions=(), take=0, skip=0)
    if total >= CONNECTIONS_MAX:
        raise refused(f"there are {total} connections, which is the most: delete those that are not in use")


def _answer(error: SecretError) -> ApiError:
    """Tell the client what it can do; the operator reads the rest."""
    _log.warning("a password cannot be kept or opened", reason=str(error))
    return unavailable(error.public, retry_after_s=30) if isinstance(error, KeysError) else refused(error.public)


def _code(error: SourceError) -> str:
    if isinstance(error, SourceDeniedError):
        return "denied"
    return "query" if isinstance(error, QueryError) else "unavailable"
