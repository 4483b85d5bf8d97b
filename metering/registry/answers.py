"""Keep the answers to writes under their `Idempotency-Key`: an `AnswerKeeper` in the registry.

A row is made before a request is carried out. `changed_at` is set in the transaction that makes the first change, so
after a crash it is known whether there was one. An attempt without an answer is over for sure after `ATTEMPT_S_MAX`:
no request takes that long.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from metering.http.idempotency import Attempt, KeptAnswer, Standing
from metering.registry.engine import NOBODY, Registry, along_with
from metering.registry.tables import kept_answers
from metering.world import World

KEPT = timedelta(hours=24)
ATTEMPT_S_MAX = 180.0
"""Longer than the address waits for any answer."""
FORGOTTEN_AT_ONCE_MAX = 1000

_NOBODY = ""
"""In the place of an attempt that is over without an answer."""


class RegistryAnswers:
    """Keeps answers in the registry; safe to use from many threads, processes and machines with clocks that agree."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime], attempt_s_max: float = ATTEMPT_S_MAX) -> None:
        """`clock` gives aware datetimes."""
        self._registry = registry
        self._clock = clock
        self._attempt = timedelta(seconds=attempt_s_max)

    async def begin(self, world: World, key: str, fingerprint: str) -> Attempt | KeptAnswer | Standing:
        """Note that a request begins: see `AnswerKeeper`."""
        return await self._registry.write(self._begin, world, key, fingerprint, self._clock())

    @contextmanager
    def carrying_out(self, attempt: Attempt) -> Iterator[None]:
        """Let each change note itself: see `AnswerKeeper`."""
        mine = kept_answers.update().where(*_is(attempt), kept_answers.c.changed_at.is_(None))

        def note(connection: sa.Connection) -> None:
            connection.execute(mine.values(changed_at=self._clock()))

        token = along_with.set(note)
        try:
            yield
        finally:
            along_with.reset(token)

    async def keep(self, attempt: Attempt, answer: KeptAnswer) -> None:
        """Note the answer: see `AnswerKeeper`."""
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        statement = kept_answers.update().where(*_is(attempt)).values(**values)
        await self._registry.write(sa.Connection.execute, statement, waits_for=NOBODY)

    async def give_up(self, attempt: Attempt) -> None:
        """Let the request be tried again: see `AnswerKeeper`."""
        await self._registry.write(_give_up, attempt, waits_for=NOBODY)

    def _begin(
        self, connection: sa.Connection, world: World, key: str, fingerprint: str, now: datetime
    ) -> Attempt | KeptAnswer | Standing:
        row = connection.execute(kept_answers.select().where(*_under(world, key)).with_for_update()).first()
        if row is not None and now - row.started_at < KEPT:
            found = self._standing(row, fingerprint, now)
            if found is not None:
                return found
        connection.execute(kept_answers.delete().where(*_under(world, key)))
        attempt = Attempt(world, key, uuid4().hex)
        connection.execute(
            kept_answers.insert().values(
                account_id=world.account_id,
                mode=world.mode.value,
                key=key,
                fingerprint=fingerprint,
                attempt=attempt.token,
                started_at=now,
            )
        )
        _forget(connection, now)  # Last: who holds rows of others must not wait for any row more.
        return attempt

    def _standing(self, row: Any, fingerprint: str, now: datetime) -> KeptAnswer | Standing | None:
        """Tell what a known key means for a request; None when its first attempt left nothing behind."""
        if row.fingerprint != fingerprint:
            return Standing.OTHER_REQUEST
        if row.status is not None:
            return KeptAnswer(row.status, row.headers, row.body)
        if row.attempt != _NOBODY and now - row.started_at < self._attempt:
            return Standing.RUNNING
        return None if row.changed_at is None else Standing.ANSWER_LOST


def _give_up(connection: sa.Connection, attempt: Attempt) -> None:
    connection.execute(kept_answers.delete().where(*_is(attempt), kept_answers.c.changed_at.is_(None)))
    connection.execute(kept_answers.update().where(*_is(attempt)).values(attempt=_NOBODY))


def _forget(connection: sa.Connection, now: datetime) -> None:
    """Delete what is too old, a bounded number at once, so that no request waits for a long clearance.

    They are of all accounts: what another process deletes just now is passed over.
    """
    table = kept_answers.c
    identity = sa.tuple_(table.account_id, table.mode, table.key)
    old = sa.select(table.account_id, table.mode, table.key).where(table.started_at <= now - KEPT)
    some = old.limit(FORGOTTEN_AT_ONCE_MAX).with_for_update(skip_locked=True)
    connection.execute(kept_answers.delete().where(identity.in_(some)))


def _under(world: World, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = kept_answers.c
    return table.account_id == world.account_id, table.mode == world.mode.value, table.key == key


def _is(attempt: Attempt) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_under(attempt.world, attempt.key), kept_answers.c.attempt == attempt.token)
