"""Simulations as the registry keeps them. Every function works within one transaction; all but two within one world.

Who works on a simulation holds it for a while, and writes only as long as it does: so a worker that was cut off for
long cannot spoil what another has done since.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from billing.simulations.model import UNFINISHED, Asked, CameTo, Outcome, Simulation, SimulationStatus
from billing.tables import of, owner, simulation_outcomes, simulations
from metering.ids import new_id
from metering.position import Cutoff
from metering.world import Mode, World

UNFINISHED_MAX = 3
"""How many simulations of one account may wait or be under way."""
KEPT_MAX = 50
"""How many of a world's simulations are kept; the oldest make room."""
HELD_S = 300
_ROWS = 2_000


def create_simulation(
    connection: sa.Connection, world: World, asked: Asked, cutoff: Cutoff, now: datetime
) -> Simulation | None:
    """Keep what was asked; None when too many of the account are unfinished."""
    waiting = sa.select(sa.func.count()).select_from(simulations)
    of_account = (simulations.c.account_id == world.account_id, simulations.c.status.in_(UNFINISHED))
    if connection.execute(waiting.where(*of_account)).scalar_one() >= UNFINISHED_MAX:
        return None
    simulation_id = new_id("sim")
    values = {"request": asked.document(), "cutoff": cutoff.encode(), "progress": 0, "created_at": now}
    connection.execute(
        simulations.insert().values(id=simulation_id, **owner(world), status=SimulationStatus.PENDING.value, **values)
    )
    ended = sa.select(simulations.c.id).where(of(simulations, world), simulations.c.status.not_in(UNFINISHED))
    newest_first = ended.order_by(simulations.c.created_at.desc(), simulations.c.id.desc())
    for old in list(connection.execute(newest_first.offset(KEPT_MAX)).scalars()):
        _delete(connection, old)
    return find_simulation(connection, world, simulation_id)


def find_simulation(connection: sa.Connection, world: World, simulation_id: str) -> Simulation | None:
    """Give the simulation of this id in this world."""
    query = simulations.select().where(of(simulations, world), simulations.c.id == simulation_id)
    row = connection.execute(query).first()
    return None if row is None else _simulation(row)


def latest_simulations(connection: sa.Connection, world: World, product_id: str) -> list[Simulation]:
    """Give the simulations that are kept of a product, newest first."""
    newest_first = simulations.c.created_at.desc(), simulations.c.id.desc()
    rows = connection.execute(simulations.select().where(of(simulations, world)).order_by(*newest_first))
    return [found for row in rows if (found := _simulation(row)).asked.product_id == product_id]


def outcomes_of(
    connection: sa.Connection, simulation: Simulation, *, take: int, skip: int
) -> tuple[list[Outcome], int]:
    """Give a page of what customers come to, by customer id, and how many there are."""
    mine = simulation_outcomes.c.simulation_id == simulation.id
    total = connection.execute(sa.select(sa.func.count()).select_from(simulation_outcomes).where(mine)).scalar_one()
    query = simulation_outcomes.select().where(mine).order_by(simulation_outcomes.c.customer_id)
    rows = connection.execute(query.limit(take).offset(skip))
    return [Outcome(row.customer_id, row.current, row.amounts) for row in rows], total


def delete_simulation(connection: sa.Connection, world: World, simulation_id: str) -> bool:
    """Forget a simulation, whatever its status: who works on it finds it gone. Tell whether there was one."""
    if find_simulation(connection, world, simulation_id) is None:
        return False
    _delete(connection, simulation_id)
    return True


def unfinished_simulations(connection: sa.Connection) -> list[Simulation]:
    """Give the simulations of all accounts that wait or are under way, oldest first."""
    query = simulations.select().where(simulations.c.status.in_(UNFINISHED))
    return [_simulation(row) for row in connection.execute(query.order_by(simulations.c.created_at, simulations.c.id))]


def hold(
    connection: sa.Connection, simulation_id: str, worker: str, progress: int, now: datetime, *, alone: bool = False
) -> bool:
    """Take a simulation, or keep holding it, and note how far it is; tell whether it is there and nobody else's.

    `alone`: there is no other worker, so whoever held it is gone.
    """
    free = sa.or_(
        simulations.c.worker.is_(None),
        simulations.c.worker == worker,
        simulations.c.held_until < now,
        sa.literal(alone),
    )
    change = (
        simulations.update()
        .where(simulations.c.id == simulation_id, simulations.c.status.in_(UNFINISHED), free)
        .values(
            status=SimulationStatus.PROCESSING.value,
            worker=worker,
            held_until=now + timedelta(seconds=HELD_S),
            progress=progress,
        )
    )
    return connection.execute(change).rowcount == 1


def finish(connection: sa.Connection, simulation_id: str, worker: str, came_to: CameTo, now: datetime) -> bool:
    """Write what everybody comes to and that it is done, at once; tell whether it was still held."""
    if not _end(
        connection, simulation_id, worker, now, status=SimulationStatus.DONE, summary=came_to.summary, progress=100
    ):
        return False
    for part in _parts(came_to.outcomes):
        rows = [
            {
                "simulation_id": simulation_id,
                "customer_id": one.customer_id,
                "current": one.current,
                "amounts": list(one.amounts),
            }
            for one in part
        ]
        connection.execute(simulation_outcomes.insert(), rows)
    return True


def fail(connection: sa.Connection, simulation_id: str, worker: str, message: str, now: datetime) -> bool:
    """Note why it cannot be worked out; tell whether it was still held."""
    return _end(connection, simulation_id, worker, now, status=SimulationStatus.ERROR, message=message)


def _end(
    connection: sa.Connection,
    simulation_id: str,
    worker: str,
    now: datetime,
    *,
    status: SimulationStatus,
    **values: Any,
) -> bool:
    change = (
        simulations.update()
        .where(simulations.c.id == simulation_id, simulations.c.worker == worker, simulations.c.status.in_(UNFINISHED))
        .values(status=status.value, ended_at=now, worker=None, held_until=None, **values)
    )
    return connection.execute(change).rowcount == 1


def _parts(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Outcome]]:
    for start in range(0, len(outcomes), _ROWS):
        yield outcomes[start : start + _ROWS]


def _delete(connection: sa.Connection, simulation_id: str) -> None:
    # First, so that a worker that writes the end of it right now has done so before its outcomes are looked for.
    connection.execute(simulations.update().where(simulations.c.id == simulation_id).values(worker=None))
    connection.execute(simulation_outcomes.delete().where(simulation_outcomes.c.simulation_id == simulation_id))
    connection.execute(simulations.delete().where(simulations.c.id == simulation_id))


def _simulation(row: Any) -> Simulation:
    return Simulation(
        row.id,
        World(row.account_id, Mode(row.mode)),
        SimulationStatus(row.status),
        Asked.from_document(row.request),
        Cutoff.decode(row.cutoff),
        row.progress,
        row.summary,
        row.message,
        row.created_at,
        row.ended_at,
    )
