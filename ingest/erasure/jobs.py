"""Erasures as the registry keeps them: who asked for what, how far it is, and that it was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ingest.erasure.redaction import ALL_TYPES, Redaction
from ingest.erasure.tables import erasures
from ingest.imports.tables import imports
from metering.filters import decode_filter
from metering.http.json import dumps
from metering.ids import new_id
from metering.position import Cutoff, Position
from metering.registry.customers import Customer, identifiers_of
from metering.registry.tables import aggregators, customers, kept_answers
from metering.world import Mode, World

PENDING, PROCESSING, DONE = "pending", "processing", "done"
GONE_BODY = b"{}"
_STAYING_DETAILS = ("gone_ids",)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure. `step` says what it does now; `bounds` is None until it is known how far it reaches."""

    id: str
    world: World
    customer_id: str
    identifiers: Sequence[str]
    kept: Mapping[str, Sequence[str]]
    status: str
    step: str
    bounds: Cutoff | None
    events: int
    dead_letters: int
    segments: int
    created_at: datetime
    ended_at: datetime | None

    def redaction(self) -> Redaction:
        """Give what it takes out; only once it is known how far it reaches."""
        assert self.bounds is not None
        return Redaction(self.world, frozenset(self.identifiers), self.kept, self.bounds)


def request_erasure(
    connection: sa.Connection, customer: Customer, also_kept: set[str], requested_by: str, now: datetime
) -> Erasure:
    """Take the customer's text out of the registry, and note that the rest is to follow; `also_kept` of all types."""
    identifiers = identifiers_of(connection, customer)
    kept = _kept(connection, customer.world, also_kept)
    texts = {*identifiers, *_texts(customer.name), *_texts(dict(customer.details))}
    details = {name: customer.details[name] for name in _STAYING_DETAILS if name in customer.details}
    cleared = {"name": None, "details": details, "updated_at": now}
    connection.execute(customers.update().where(customers.c.id == customer.id).values(**cleared))
    forget_answers(connection, customer.world, texts)
    erasure_id = new_id("era")
    connection.execute(
        erasures.insert().values(
            id=erasure_id,
            account_id=customer.world.account_id,
            mode=customer.world.mode.value,
            customer_id=customer.id,
            identifiers=identifiers,
            kept=kept,
            requested_by=requested_by,
            status=PENDING,
            step="waiting",
            events=0,
            dead_letters=0,
            segments=0,
            created_at=now,
        )
    )
    found = find_erasure(connection, customer.world, erasure_id)
    assert found is not None
    return found


def forget_answers(connection: sa.Connection, world: World, texts: set[str]) -> None:
    """Empty the kept answers that hold one of these texts; their status stays, so nothing is carried out again."""
    of_world = (kept_answers.c.account_id == world.account_id, kept_answers.c.mode == world.mode.value)
    needles = [dumps(text)[1:-1] for text in texts if text]
    for row in connection.execute(sa.select(kept_answers.c.key, kept_answers.c.body).where(*of_world)).all():
        if row.body is not None and any(needle in row.body for needle in needles):
            emptied = kept_answers.update().where(*of_world, kept_answers.c.key == row.key)
            connection.execute(emptied.values(body=GONE_BODY))


def forget_rejects(connection: sa.Connection, world: World) -> None:
    """Empty what ended imports tell of rejected rows: it may quote them, and nobody knows whose they were."""
    of_world = (imports.c.account_id == world.account_id, imports.c.mode == world.mode.value)
    for row in connection.execute(sa.select(imports.c.id, imports.c.rejected).where(*of_world)).all():
        told = [{**reject, "message": "erased"} for reject in row.rejected]
        connection.execute(imports.update().where(imports.c.id == row.id).values(rejected=told))


def imports_before(connection: sa.Connection, erasure: Erasure) -> int:
    """Count the imports of the world that were asked for before and are not ended."""
    waiting = sa.select(sa.func.count()).select_from(imports)
    of_world = (imports.c.account_id == erasure.world.account_id, imports.c.mode == erasure.world.mode.value)
    before = (imports.c.ended_at.is_(None), imports.c.created_at <= erasure.created_at)
    return int(connection.execute(waiting.where(*of_world, *before)).scalar_one())


def find_erasure(connection: sa.Connection, world: World, erasure_id: str) -> Erasure | None:
    """Give the erasure of this id in this world."""
    of_world = (erasures.c.account_id == world.account_id, erasures.c.mode == world.mode.value)
    row = connection.execute(erasures.select().where(*of_world, erasures.c.id == erasure_id)).first()
    return None if row is None else _erasure(row)


def unfinished_erasures(connection: sa.Connection) -> list[Erasure]:
    """Give those of all accounts that are not done, oldest first."""
    query = erasures.select().where(erasures.c.status != DONE).order_by(erasures.c.created_at, erasures.c.id)
    return [_erasure(row) for row in connection.execute(query)]


def count_erasures(connection: sa.Connection) -> int:
    """Count all that were ever asked for."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(erasures)).scalar_one())


def note(connection: sa.Connection, erasure: Erasure, values: Mapping[str, Any]) -> Erasure:
    """Write down how far it is."""
    connection.execute(erasures.update().where(erasures.c.id == erasure.id).values(**values))
    found = find_erasure(connection, erasure.world, erasure.id)
    assert found is not None
    return found


def _kept(connection: sa.Connection, world: World, also: set[str]) -> dict[str, list[str]]:
    """Name the properties that figures are made of, by event type."""
    kept: dict[str, set[str]] = {ALL_TYPES: set(also)}
    of_world = (aggregators.c.account_id == world.account_id, aggregators.c.mode == world.mode.value)
    for row in connection.execute(aggregators.select().where(*of_world)).all():
        used = kept.setdefault(row.entity, set())
        used |= {condition.property for condition in decode_filter(row.where).conditions}
        used |= {row.property} if row.property is not None else set()
    return {event_type: sorted(properties) for event_type, properties in kept.items()}


def _texts(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        value = list(value.values())
    return set().union(*map(_texts, value)) if isinstance(value, list) else set()


def _erasure(row: Any) -> Erasure:
    bounds = row.bounds
    return Erasure(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.customer_id,
        row.identifiers,
        row.kept,
        row.status,
        row.step,
        None if bounds is None else Cutoff({int(lane): Position(int(at)) for lane, at in bounds.items()}),
        row.events,
        row.dead_letters,
        row.segments,
        row.created_at,
        row.ended_at,
    )
