"""Connections as an account has saved them, in the registry: what may be shown in the clear, all of it encrypted.

Every statement names the world: nobody finds, changes or opens what is somebody else's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from loaders.connections.tables import connections
from loaders.errors import SourceDeniedError
from loaders.provider import Address, Provider
from loaders.secrets.envelope import Place, seal, unseal
from loaders.secrets.errors import SecretError
from loaders.secrets.keys import Keyring
from metering.ids import new_id
from metering.registry.engine import Registry
from metering.world import Mode, World

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """A connection. `shown` is its address with the secrets masked: `{"url"}` or `{"credentials"}`."""

    id: str
    world: World
    provider: Provider
    name: str
    shown: Mapping[str, Any]
    sealed: str = field(repr=False)
    warnings: Sequence[str]
    pinged_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Pinged:
    """What a ping that succeeded found, and when."""

    warnings: Sequence[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Reached:
    """An address that answered a ping; `shown` is what may be told of it."""

    address: Address
    shown: Mapping[str, Any]
    pinged: Pinged


class Connections:
    """Saved connections, for whoever runs queries over them. Safe to use from many threads; calls block."""

    def __init__(self, registry: Registry, keys: Keyring) -> None:
        self._registry = registry
        self._keys = keys

    def address_of(self, world: World, connection_id: str) -> Address:
        """Give how a connection's database is reached, secrets and all.

        Raises:
            SourceDeniedError: there is no such connection in this world, or its secret cannot be opened.
            RegistryUnavailableError: the registry does not answer.
        """
        with self._registry.reading() as connection:
            found = find_connection(connection, world, connection_id)
        if found is None:
            raise SourceDeniedError(f"there is no connection {connection_id[:80]!r}: name another, or create it again")
        try:
            return open_address(found, self._keys)
        except SecretError as error:
            _log.warning("a connection cannot be opened", connection=found.id, reason=str(error))
            raise SourceDeniedError(f"connection {found.id}: {error.public}") from None


def create_connection(
    connection: sa.Connection, world: World, name: str, reached: Reached, keys: Keyring
) -> StoredConnection:
    """Save a connection.

    Raises:
        KeysError: there is no key to encrypt it with.
    """
    connection_id = new_id("con")
    connection.execute(
        connections.insert().values(
            id=connection_id,
            account_id=world.account_id,
            mode=world.mode.value,
            provider=reached.address.provider.value,
            name=name,
            **_columns(reached, Place(world, connection_id), keys),
            created_at=reached.pinged.at,
        )
    )
    return _there(connection, world, connection_id)


def find_connection(connection: sa.Connection, world: World, connection_id: str) -> StoredConnection | None:
    """Give the connection of this id in this world."""
    row = connection.execute(connections.select().where(*_of(world), connections.c.id == connection_id)).first()
    return None if row is None else _stored(row)


def list_connections(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[StoredConnection], int]:
    """Give a page of connections, newest first, and how many there are. Conditions are over `tables.connections`."""
    where = sa.and_(*_of(world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(connections).where(where)).scalar_one()
    query = (
        connections.select()
        .where(where)
        .order_by(connections.c.created_at.desc(), connections.c.id.desc())
        .limit(take)
        .offset(skip)
    )
    return [_stored(row) for row in connection.execute(query)], total


def rename_connection(connection: sa.Connection, stored: StoredConnection, name: str, now: datetime) -> None:
    """Give a connection another name."""
    connection.execute(_update(stored).values(name=name, updated_at=now))


def change_address(connection: sa.Connection, stored: StoredConnection, reached: Reached, keys: Keyring) -> bool:
    """Give a connection another address; False when somebody else changed it meanwhile.

    Raises:
        KeysError: there is no key to encrypt it with.
    """
    changed = connection.execute(
        _update(stored)
        .where(connections.c.secret == stored.sealed)
        .values(**_columns(reached, Place(stored.world, stored.id), keys))
    )
    return bool(changed.rowcount)


def keep_ping(connection: sa.Connection, stored: StoredConnection, pinged: Pinged) -> None:
    """Remember what a ping found, unless the address was changed meanwhile."""
    connection.execute(
        _update(stored)
        .where(connections.c.shown == stored.shown)
        .values(warnings=list(pinged.warnings), pinged_at=pinged.at)
    )


def delete_connection(connection: sa.Connection, stored: StoredConnection) -> None:
    """Forget a connection. What refers to it (dataloaders) must have been checked before."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # Freed pages are overwritten.
    connection.execute(connections.delete().where(*_of(stored.world), connections.c.id == stored.id))


def open_address(stored: StoredConnection, keys: Keyring) -> Address:
    """Decrypt how a connection's database is reached.

    Raises:
        SecretError: its secret does not open.
    """
    kept = msgspec.json.decode(unseal(stored.sealed, Place(stored.world, stored.id), keys))
    return Address(stored.provider, url=kept.get("url", ""), credentials=kept.get("credentials", {}))


def _columns(reached: Reached, place: Place, keys: Keyring) -> dict[str, Any]:
    address = reached.address
    kept = {"url": address.url} if address.url else {"credentials": dict(address.credentials)}
    return {
        "shown": reached.shown,
        "secret": seal(msgspec.json.encode(kept), place, keys),
        "warnings": list(reached.pinged.warnings),
        "pinged_at": reached.pinged.at,
        "updated_at": reached.pinged.at,
    }


def _there(connection: sa.Connection, world: World, connection_id: str) -> StoredConnection:
    found = find_connection(connection, world, connection_id)
    assert found is not None
    return found


def _update(stored: StoredConnection) -> sa.Update:
    return connections.update().where(*_of(stored.world), connections.c.id == stored.id)


def _of(world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return connections.c.account_id == world.account_id, connections.c.mode == world.mode.value


def _stored(row: Any) -> StoredConnection:
    return StoredConnection(
        row.id,
        World(row.account_id, Mode(row.mode)),
        Provider(row.provider),
        row.name,
        row.shown,
        row.secret,
        row.warnings,
        row.pinged_at,
        row.created_at,
        row.updated_at,
    )
