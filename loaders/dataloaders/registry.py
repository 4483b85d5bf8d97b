"""Dataloaders as the registry keeps them. Every function works within one transaction and one world."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loaders.connections.tables import connections
from loaders.cursors import Cursor
from loaders.dataloaders.model import Dataloader, DataloaderStatus
from loaders.dataloaders.schedule import first_run
from loaders.dataloaders.tables import UNFINISHED, dataloader_runs, dataloaders
from loaders.provider import Provider
from metering.ids import new_id
from metering.world import Mode, World

DATALOADERS_MAX = 500
"""So many an account may have."""
_ANEW = frozenset({"connection_id", "cursor_column", "cursor_start"})
"""After a change of one of these, what was read says nothing of what is to be read."""
_SCHEDULE = frozenset({"refresh_interval", "cron"})


def has_room(connection: sa.Connection, world: World) -> bool:
    """Tell whether the account may have one more."""
    count = sa.select(sa.func.count()).select_from(dataloaders).where(dataloaders.c.account_id == world.account_id)
    return int(connection.execute(count).scalar_one()) < DATALOADERS_MAX


def provider_of(connection: sa.Connection, world: World, connection_id: str) -> Provider | None:
    """Give what kind of source a connection of this world leads to, None when there is no such connection."""
    mine = (connections.c.account_id == world.account_id, connections.c.mode == world.mode.value)
    query = sa.select(connections.c.provider).where(*mine, connections.c.id == connection_id)
    found = connection.execute(query).scalar()
    return None if found is None else Provider(found)


def use_of_connection(connection: sa.Connection, world: World, connection_id: str) -> str | None:
    """Name what stands against deleting a connection, such as `2 dataloaders`; None when nothing does."""
    count = sa.select(sa.func.count()).select_from(dataloaders)
    used = connection.execute(count.where(*_of(world), dataloaders.c.connection_id == connection_id)).scalar_one()
    return None if not used else "1 dataloader" if used == 1 else f"{used} dataloaders"


def create_dataloader(connection: sa.Connection, world: World, fields: Mapping[str, Any], now: datetime) -> Dataloader:
    """Create a dataloader; `fields` are columns of `dataloaders` that a client sets."""
    dataloader_id = new_id("dlo")
    values = {"status": DataloaderStatus.ACTIVE.value, **fields}
    due = first_run(values.get("refresh_interval"), values.get("cron"), now)
    connection.execute(
        dataloaders.insert().values(
            id=dataloader_id,
            account_id=world.account_id,
            mode=world.mode.value,
            definition=1,
            scheduled_from=now,
            next_run_at=due if values["status"] == DataloaderStatus.ACTIVE.value else None,
            created_at=now,
            updated_at=now,
            **values,
        )
    )
    found = find_dataloader(connection, world, dataloader_id)
    assert found is not None
    return found


def find_dataloader(connection: sa.Connection, world: World, dataloader_id: str) -> Dataloader | None:
    """Give the dataloader of this id in this world."""
    row = connection.execute(dataloaders.select().where(*_of(world), dataloaders.c.id == dataloader_id)).first()
    return None if row is None else dataloader_of(row)


def list_dataloaders(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[Dataloader], int]:
    """Give a page of dataloaders, newest first, and how many there are. Conditions are over `tables.dataloaders`."""
    where = sa.and_(*_of(world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(dataloaders).where(where)).scalar_one()
    query = dataloaders.select().where(where).order_by(dataloaders.c.created_at.desc(), dataloaders.c.id.desc())
    return [dataloader_of(row) for row in connection.execute(query.limit(take).offset(skip))], total


def update_dataloader(
    connection: sa.Connection, dataloader: Dataloader, changes: Mapping[str, Any], now: datetime
) -> Dataloader:
    """Change columns of a dataloader.

    One that reads from elsewhere begins anew; one that is paused has its run ended; one that is resumed, or gets
    another schedule, is due as a new one is.
    """
    changed = {name: value for name, value in changes.items() if getattr(dataloader, name) != value}
    values: dict[str, Any] = {**changed, "updated_at": now}
    if changed.keys() & _ANEW:
        values |= {"definition": dataloader.definition + 1, "cursor": None, "last_run_at": None}
    status = values.get("status", dataloader.status)
    if status == DataloaderStatus.PAUSED:
        values["next_run_at"] = None
    elif changed.keys() & {"status", *_SCHEDULE}:
        interval, cron = (values.get(name, getattr(dataloader, name)) for name in ("refresh_interval", "cron"))
        values |= {"scheduled_from": now, "next_run_at": first_run(interval, cron, now)}
    connection.execute(dataloaders.update().where(dataloaders.c.id == dataloader.id).values(**values))
    if changed.get("status") == DataloaderStatus.PAUSED:
        ask_to_cancel(connection, dataloader, "the dataloader was paused: resume it, or begin a run by itself")
    found = find_dataloader(connection, dataloader.world, dataloader.id)
    assert found is not None
    return found


def ask_to_cancel(connection: sa.Connection, dataloader: Dataloader, why: str) -> None:
    """Ask that the dataloader's run ends before its end, if it has one; whoever works on it does it, or the next."""
    table = dataloader_runs
    unfinished = (table.c.dataloader_id == dataloader.id, table.c.status.in_(UNFINISHED))
    connection.execute(table.update().where(*unfinished).values(cancel_asked=why))


def delete_dataloader(connection: sa.Connection, dataloader: Dataloader) -> None:
    """Forget a dataloader and its runs: who works on one finds it gone. Its events stay."""
    connection.execute(dataloader_runs.delete().where(dataloader_runs.c.dataloader_id == dataloader.id))
    connection.execute(dataloaders.delete().where(dataloaders.c.id == dataloader.id))


def dataloader_of(row: Any) -> Dataloader:
    """Give the dataloader that a row of the table is."""
    return Dataloader(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.connection_id,
        row.name,
        row.event_type,
        row.query,
        row.refresh_interval,
        row.cron,
        row.cursor_column,
        row.cursor_start,
        DataloaderStatus(row.status),
        row.definition,
        Cursor.from_document(row.cursor),
        row.last_run_at,
        row.scheduled_from,
        row.next_run_at,
        row.created_at,
        row.updated_at,
    )


def _of(world: World) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return dataloaders.c.account_id == world.account_id, dataloaders.c.mode == world.mode.value
