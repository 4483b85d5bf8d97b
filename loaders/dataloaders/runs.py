"""Runs as the registry keeps them. Every function works within one transaction.

Who works on a run holds it for a while, and writes only as long as it does: so a worker that was cut off for long
cannot spoil what another has done since. A run whose holder is gone is begun again, from its beginning: its rows are
keyed, so those that were sent before are versions that are there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from loaders.cursors import Cursor
from loaders.dataloaders.model import Counts, Dataloader, DataloaderStatus, Run, RunStatus, Trigger
from loaders.dataloaders.registry import dataloader_of
from loaders.dataloaders.schedule import next_run
from loaders.dataloaders.tables import UNFINISHED, dataloader_runs, dataloaders
from metering.ids import new_id
from metering.registry.outbox import Fact, put_message
from metering.timestamps import format_instant
from metering.world import Mode, World

HELD_S = 120
ATTEMPTS_MAX = 5
"""A run that so many processes did not survive is given up."""
KEPT_MAX = 100
"""So many runs of a dataloader are kept."""
FAILED = "dataloader.failed"
_DUE_AT_ONCE = 100


class Hold(Enum):
    """Whether a run is still one's own."""

    HELD = "held"
    LOST = "lost"
    """It is another's, has ended, or is there no more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that was taken, and its dataloader as it is then."""

    run: Run
    dataloader: Dataloader


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. `cursor` and `began_at` (by the source's clock) are saved unless it was stopped (`message`)."""

    counts: Counts
    cursor: Cursor | None = None
    began_at: datetime | None = None
    message: str | None = None
    told: bool = True
    """Whether its failure is told in the outbox: not so when somebody wanted it to end."""


def begin_run(
    connection: sa.Connection, dataloader: Dataloader, trigger: Trigger, now: datetime, *, from_start: bool = False
) -> Run | None:
    """Have a run begin as soon as somebody takes it; None when one is unfinished."""
    table = dataloader_runs
    unfinished = sa.select(table.c.id).where(table.c.dataloader_id == dataloader.id, table.c.status.in_(UNFINISHED))
    if connection.execute(unfinished).first() is not None:
        return None
    run_id = new_id("run")
    connection.execute(
        table.insert().values(
            id=run_id,
            account_id=dataloader.world.account_id,
            mode=dataloader.world.mode.value,
            dataloader_id=dataloader.id,
            connection_id=dataloader.connection_id,
            status=RunStatus.PENDING.value,
            trigger=trigger.value,
            from_start=from_start,
            attempts=0,
            created_at=now,
            **_counted(Counts()),
            rejected=[],
        )
    )
    _prune(connection, dataloader.id)
    return find_run(connection, dataloader.world, dataloader.id, run_id)


def begin_due(connection: sa.Connection, now: datetime) -> int:
    """Begin a run of each dataloader that is due and has none unfinished; tell how many.

    However many moments of a schedule were missed, it is one run, and the schedule goes on from now.
    """
    begun = 0
    for row in connection.execute(dataloaders.select().where(*_due(now)).limit(_DUE_AT_ONCE)).all():
        dataloader = dataloader_of(row)
        if begin_run(connection, dataloader, Trigger.SCHEDULED, now) is not None:
            begun += 1
            following = next_run(dataloader.refresh_interval, dataloader.cron, dataloader.scheduled_from, now)
            mine = dataloaders.c.id == dataloader.id
            connection.execute(dataloaders.update().where(mine).values(next_run_at=following))
    return begun


def are_due(connection: sa.Connection, now: datetime) -> bool:
    """Tell whether `begin_due` would begin any."""
    return connection.execute(sa.select(dataloaders.c.id).where(*_due(now)).limit(1)).first() is not None


def overdue_since(connection: sa.Connection, now: datetime) -> datetime | None:
    """Give when the run fell due that waits the longest to begin, None when none does."""
    pending = dataloader_runs.c.status == RunStatus.PENDING.value
    waits = connection.execute(sa.select(sa.func.min(dataloader_runs.c.created_at)).where(pending)).scalar()
    due = connection.execute(sa.select(sa.func.min(dataloaders.c.next_run_at)).where(*_due(now))).scalar()
    return min((one for one in (waits, due) if one is not None), default=None)


def wait_for_worker(connection: sa.Connection, now: datetime) -> bool:
    """Tell whether any run has nobody who works on it."""
    return connection.execute(sa.select(dataloader_runs.c.id).where(*_free(now)).limit(1)).first() is not None


def claim(connection: sa.Connection, worker: str, now: datetime, *, of_connection_max: int) -> Claim | None:
    """Take a run that waits and whose connection has fewer than so many under way; None when there is none.

    First comes the account that has the fewest under way, of its runs the one that waits the longest. Ends what nobody
    shall begin (again). Must be in a transaction that waits for everybody.
    """
    table = dataloader_runs
    held = table.c.status == RunStatus.PROCESSING.value, table.c.held_until >= now
    under_way = connection.execute(sa.select(table.c.connection_id, table.c.account_id).where(*held)).all()
    of_connection = Counter(row.connection_id for row in under_way)
    of_account = Counter(row.account_id for row in under_way)
    waiting = connection.execute(table.select().where(*_free(now)).order_by(table.c.created_at, table.c.id)).all()
    for row in sorted(waiting, key=lambda row: of_account[row.account_id]):
        if row.cancel_asked is not None:
            _end(connection, row.id, None, now, status=RunStatus.ERROR, message=row.cancel_asked)
        elif row.attempts >= ATTEMPTS_MAX:
            message = (
                f"whoever ran it ended in its midst {row.attempts} times: look at what `meterline loaders` says, and "
                "at the memory that it has"
            )
            if _end(connection, row.id, None, now, status=RunStatus.ERROR, message=message):
                _tell(connection, row.id, now)
        elif of_connection[row.connection_id] < of_connection_max:
            return _taken(connection, row, worker, now)
    return None


def hold(
    connection: sa.Connection, run_id: str, worker: str, counts: Counts, now: datetime, *, rejects_too: bool
) -> Hold | str:
    """Keep holding a run, and note how far it is. A text: it shall end, and that is why.

    Rejects can be long, so they are written only when there are new ones.
    """
    table = dataloader_runs
    values = _counted(counts) | ({"rejected": list(counts.rejected)} if rejects_too else {})
    change = (
        table.update()
        .where(table.c.id == run_id, table.c.worker == worker, table.c.status == RunStatus.PROCESSING.value)
        .values(held_until=now + timedelta(seconds=HELD_S), **values)
        .returning(table.c.cancel_asked)
    )
    row = connection.execute(change).first()
    if row is None:
        return Hold.LOST
    return Hold.HELD if row.cancel_asked is None else str(row.cancel_asked)


def free_all(connection: sa.Connection) -> int:
    """Let runs be taken at once that somebody held: only where whoever held them is surely gone. Tell how many."""
    table = dataloader_runs
    held = table.c.status == RunStatus.PROCESSING.value
    return connection.execute(table.update().where(held).values(worker=None, held_until=None)).rowcount


def release(connection: sa.Connection, run_id: str, worker: str) -> bool:
    """Leave a run to who comes next, who begins it again; it counts as no attempt. Tell whether it was held."""
    table = dataloader_runs
    mine = table.c.id == run_id, table.c.worker == worker, table.c.status == RunStatus.PROCESSING.value
    values = {"status": RunStatus.PENDING.value, "worker": None, "held_until": None, "attempts": table.c.attempts - 1}
    return connection.execute(table.update().where(*mine).values(**values)).rowcount == 1


def finish(connection: sa.Connection, claimed: Claim, worker: str, end: End, now: datetime) -> RunStatus | None:
    """Write how a run ended, with its cursor or with its message, at once; gives how, None if it was held no more.

    Must be in a transaction that waits for the account.
    """
    run, dataloader = claimed.run, claimed.dataloader
    counts, message = end.counts, end.message
    status = RunStatus.PARTIAL if counts.rows_rejected else RunStatus.DONE
    if message is None and counts.rows_rejected and not counts.rows_accepted:
        message = "no row was accepted: mend what `rejected` tells, in the query or at the source"
    if message is not None:
        status = RunStatus.ERROR
    cursor = None if message is not None or end.cursor is None else end.cursor.document()
    values = {**_counted(counts), "rejected": list(counts.rejected), "cursor": cursor, "message": message}
    if not _end(connection, run.id, worker, now, status=status, **values):
        return None
    if message is None:
        same = dataloaders.c.id == dataloader.id, dataloaders.c.definition == dataloader.definition
        saved = {"cursor": cursor, "last_run_at": end.began_at}
        connection.execute(dataloaders.update().where(*same).values(**saved))
    elif end.told:
        _tell(connection, run.id, now)
    return status


def find_run(connection: sa.Connection, world: World, dataloader_id: str, run_id: str) -> Run | None:
    """Give the run of this id of a dataloader."""
    table = dataloader_runs
    mine = _of(table, world), table.c.dataloader_id == dataloader_id, table.c.id == run_id
    row = connection.execute(table.select().where(*mine)).first()
    return None if row is None else _run(row)


def list_runs(
    connection: sa.Connection,
    world: World,
    dataloader_id: str,
    *,
    conditions: Iterable[sa.ColumnElement[bool]] = (),
    take: int,
    skip: int,
) -> tuple[list[Run], int]:
    """Give a page of a dataloader's runs, newest first, and how many are kept."""
    table = dataloader_runs
    where = sa.and_(_of(table, world), table.c.dataloader_id == dataloader_id, *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(table).where(where)).scalar_one()
    query = table.select().where(where).order_by(table.c.created_at.desc(), table.c.id.desc())
    return [_run(row) for row in connection.execute(query.limit(take).offset(skip))], total


def latest_runs(connection: sa.Connection, world: World, dataloader_ids: Sequence[str]) -> dict[str, Run]:
    """Give the newest run of each of these dataloaders; one that never ran is left out."""
    table = dataloader_runs
    mine = _of(table, world), table.c.dataloader_id.in_(dataloader_ids)
    newest = sa.select(sa.func.max(table.c.id)).where(*mine).group_by(table.c.dataloader_id)
    return {row.dataloader_id: _run(row) for row in connection.execute(table.select().where(table.c.id.in_(newest)))}


def _due(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    table = dataloader_runs
    unfinished = sa.select(table.c.id).where(table.c.dataloader_id == dataloaders.c.id, table.c.status.in_(UNFINISHED))
    active = dataloaders.c.status == DataloaderStatus.ACTIVE.value
    return active, dataloaders.c.next_run_at <= now, ~unfinished.correlate(dataloaders).exists()


def _free(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    table = dataloader_runs
    return table.c.status.in_(UNFINISHED), sa.or_(table.c.worker.is_(None), table.c.held_until < now)


def _taken(connection: sa.Connection, row: Any, worker: str, now: datetime) -> Claim:
    table = dataloader_runs
    values = {
        "status": RunStatus.PROCESSING.value,
        "worker": worker,
        "held_until": now + timedelta(seconds=HELD_S),
        "attempts": row.attempts + 1,
        "started_at": row.started_at or now,
        "rejected": [],
        **_counted(Counts()),
    }
    connection.execute(table.update().where(table.c.id == row.id).values(**values))
    run = connection.execute(table.select().where(table.c.id == row.id)).one()
    found = connection.execute(dataloaders.select().where(dataloaders.c.id == row.dataloader_id)).one()
    return Claim(_run(run), dataloader_of(found))


def _end(
    connection: sa.Connection, run_id: str, worker: str | None, now: datetime, *, status: RunStatus, **values: Any
) -> bool:
    """End a run that a worker holds; None: one that nobody holds."""
    table = dataloader_runs
    holder = sa.or_(table.c.worker.is_(None), table.c.held_until < now) if worker is None else table.c.worker == worker
    change = (
        table.update()
        .where(table.c.id == run_id, holder, table.c.status.in_(UNFINISHED))
        .values(status=status.value, ended_at=now, worker=None, held_until=None, cancel_asked=None, **values)
    )
    return connection.execute(change).rowcount == 1


def _tell(connection: sa.Connection, run_id: str, now: datetime) -> None:
    """Put into the outbox that a run failed, in the transaction that ends it."""
    table = dataloader_runs
    columns = (*table.c, dataloaders.c.event_type, dataloaders.c.name)
    query = sa.select(*columns).join(dataloaders, dataloaders.c.id == table.c.dataloader_id)
    row = connection.execute(query.where(table.c.id == run_id)).one()
    data = {
        "dataloader_id": row.dataloader_id,
        "dataloader_name": row.name,
        "event_type": row.event_type,
        "connection_id": row.connection_id,
        "run_id": row.id,
        "trigger": row.trigger,
        "message": row.message,
        "rows_read": row.rows_read,
        "rows_accepted": row.rows_accepted,
        "rows_rejected": row.rows_rejected,
        "ended_at": format_instant(row.ended_at),
    }
    put_message(connection, World(row.account_id, Mode(row.mode)), Fact(FAILED, f"{FAILED}:{row.id}", data), now)


def _prune(connection: sa.Connection, dataloader_id: str) -> None:
    table = dataloader_runs
    ended = sa.select(table.c.id).where(table.c.dataloader_id == dataloader_id, table.c.status.not_in(UNFINISHED))
    newest_first = ended.order_by(table.c.created_at.desc(), table.c.id.desc())
    old = list(connection.execute(newest_first.offset(KEPT_MAX - 1).limit(KEPT_MAX)).scalars())
    if old:
        connection.execute(table.delete().where(table.c.id.in_(old)))


def _counted(counts: Counts) -> dict[str, int]:
    return {
        "rows_read": counts.rows_read,
        "rows_accepted": counts.rows_accepted,
        "rows_rejected": counts.rows_rejected,
    }


def _of(table: sa.Table, world: World) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.account_id == world.account_id, table.c.mode == world.mode.value)


def _run(row: Any) -> Run:
    return Run(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.dataloader_id,
        row.connection_id,
        RunStatus(row.status),
        Trigger(row.trigger),
        row.from_start,
        row.attempts,
        Counts(row.rows_read, row.rows_accepted, row.rows_rejected, row.rejected),
        row.message,
        Cursor.from_document(row.cursor),
        row.created_at,
        row.started_at,
        row.ended_at,
    )
