"""What happened and shall be told: messages in the shape of the documented webhooks, each fact written once, for ever.

A message is written in the transaction that makes it true, so there is neither a fact without its message nor a message
without its fact. Whoever may come upon the same fact again (after a crash, or because usage went back and forth) names
it by the same `key`: of a world's messages only one bears it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from metering.ids import new_id
from metering.registry.tables import outbox
from metering.world import Mode, World

KEY_CHARACTERS_MAX = 512
_LOOKED_UP_MAX = 500


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened. `data` is the object that it is about, as JSON; `event_type` is such as `dataloader.failed`.

    `key` tells it from every other fact of its world, in at most `KEY_CHARACTERS_MAX` characters.
    """

    event_type: str
    key: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A fact that was written down."""

    id: str
    world: World
    fact: Fact
    created_at: datetime


def put_message(connection: sa.Connection, world: World, fact: Fact, now: datetime) -> bool:
    """Write a fact in the caller's transaction, unless the world has it already; tell whether it was written.

    Who writes the same fact at the same moment on PostgreSQL waits for the other's transaction to end.
    """
    assert len(fact.key) <= KEY_CHARACTERS_MAX
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    written = connection.execute(
        insert(outbox)
        .values(
            id=new_id("msg"),
            account_id=world.account_id,
            mode=world.mode.value,
            event_type=fact.event_type,
            fact_key=fact.key,
            data=fact.data,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["account_id", "mode", "fact_key"])
        .returning(outbox.c.id)
    )
    return written.first() is not None


def keys_told(connection: sa.Connection, world: World, keys: Sequence[str]) -> set[str]:
    """Give which of these facts the world has."""
    found: set[str] = set()
    for start in range(0, len(keys), _LOOKED_UP_MAX):
        some = keys[start : start + _LOOKED_UP_MAX]
        query = sa.select(outbox.c.fact_key).where(*_of(world), outbox.c.fact_key.in_(some))
        found.update(connection.execute(query).scalars())
    return found


def find_message(connection: sa.Connection, world: World, message_id: str) -> Message | None:
    """Give the message of this id in this world."""
    row = connection.execute(outbox.select().where(*_of(world), outbox.c.id == message_id)).first()
    return None if row is None else _message(row)


def list_messages(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Message], int]:
    """Give a page of messages, newest first, and how many there are. Conditions are over `tables.outbox`."""
    where = sa.and_(*_of(world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(outbox).where(where)).scalar_one()
    query = outbox.select().where(where).order_by(outbox.c.created_at.desc(), outbox.c.id.desc())
    return [_message(row) for row in connection.execute(query.limit(take).offset(skip))], total


def _of(world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return outbox.c.account_id == world.account_id, outbox.c.mode == world.mode.value


def _message(row: Any) -> Message:
    fact = Fact(row.event_type, row.fact_key, row.data)
    return Message(row.id, World(row.account_id, Mode(row.mode)), fact, row.created_at)
