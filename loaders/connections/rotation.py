"""Wrap what is kept secret with the newest key.

A batch is one transaction, and what is done needs no second look: a rotation that was stopped goes on where it was when
it is begun again. A row that somebody changes meanwhile is left to them, for they used the newest key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from loaders.connections.tables import connections
from loaders.secrets.envelope import Place, key_id_of, rewrap
from loaders.secrets.errors import SecretError
from loaders.secrets.keys import Keyring
from metering.registry.engine import EVERYBODY, Registry
from metering.world import Mode, World

BATCH_ROWS = 100


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: rows that it wrapped anew, rows that were, and why each of the others could not be."""

    rewrapped: int
    fresh: int
    left: dict[str, str]


def rotate(registry: Registry, keys: Keyring, progress: Callable[[int, int], None]) -> Rotated:
    """Wrap every secret with the newest key; `progress` is told the rows done, and of how many.

    Raises:
        KeysError: there is no key.
        RegistryUnavailableError: begin again; what was done stays.
    """
    keys.newest()
    rewrapped = fresh = 0
    left: dict[str, str] = {}
    with registry.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(connections)).scalar_one()
    for ids in _batches(registry):
        with registry.writing(EVERYBODY) as connection:
            for row in connection.execute(connections.select().where(connections.c.id.in_(ids))).all():
                try:
                    changed = _rewrap(connection, row, keys)
                except SecretError as error:
                    left[row.id] = str(error)
                else:
                    rewrapped += changed
                    fresh += not changed
        progress(rewrapped + fresh + len(left), total)
    return Rotated(rewrapped, fresh, left)


def keys_in_use(connection: sa.Connection) -> dict[str, int]:
    """Give how many secrets need which key."""
    counts: dict[str, int] = {}
    for secret in connection.execute(sa.select(connections.c.secret)).scalars():
        try:
            key_id = key_id_of(secret)
        except SecretError:
            continue
        counts[key_id] = counts.get(key_id, 0) + 1
    return counts


def _batches(registry: Registry) -> Iterator[list[str]]:
    after = ""
    while True:
        query = sa.select(connections.c.id).where(connections.c.id > after).order_by(connections.c.id)
        with registry.reading() as connection:
            ids = list(connection.execute(query.limit(BATCH_ROWS)).scalars())
        if not ids:
            return
        yield ids
        after = ids[-1]


def _rewrap(connection: sa.Connection, row: Any, keys: Keyring) -> bool:
    place = Place(World(row.account_id, Mode(row.mode)), row.id)
    secret = rewrap(row.secret, place, keys)
    if secret == row.secret:
        return False
    connection.execute(
        connections.update().where(connections.c.id == row.id, connections.c.secret == row.secret).values(secret=secret)
    )
    return True
