"""Import jobs as the registry keeps them: what was uploaded, how far it is, what was rejected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ingest.csv_file import Reject
from ingest.imports.tables import imports
from metering.world import Mode, World

REJECTED_TOLD_MAX = 1000
UNFINISHED_MAX = 10
"""How many files of one account may wait or be under way: their bytes lie on the disk."""


class ImportStatus(StrEnum):
    """`partial`: some rows were rejected; `error`: the file could not be read to its end, or no row was good."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    PARTIAL = "partial"
    ERROR = "error"


_UNFINISHED = (ImportStatus.PENDING.value, ImportStatus.PROCESSING.value)


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One file. `rejected` are the first rejects, `message` says what stopped it, None when nothing did."""

    id: str
    world: World
    status: ImportStatus
    bytes_total: int
    bytes_read: int
    rows_total: int
    rows_accepted: int
    rows_rejected: int
    rejected: Sequence[Any]
    message: str | None
    created_at: datetime
    ended_at: datetime | None

    def advanced(self, accepted: int, rejects: Sequence[Reject], bytes_read: int) -> "ImportJob":
        """Give the job some rows further on."""
        room = max(0, REJECTED_TOLD_MAX - len(self.rejected))
        told = [{"line": one.line, "path": list(one.path), "message": one.message} for one in rejects[:room]]
        return replace(
            self,
            bytes_read=bytes_read,
            rows_total=self.rows_total + accepted + len(rejects),
            rows_accepted=self.rows_accepted + accepted,
            rows_rejected=self.rows_rejected + len(rejects),
            rejected=[*self.rejected, *told] if told else self.rejected,
        )

    def ended(self, failure: str | None, now: datetime) -> "ImportJob":
        """Give the job at its end; `failure` says why the file could not be read on."""
        status = ImportStatus.PARTIAL if self.rows_rejected else ImportStatus.DONE
        if failure is None and self.rows_rejected and not self.rows_accepted:
            failure = "no row was accepted: mend what `rejected` tells and send the file again"
        if failure is not None:
            status = ImportStatus.ERROR
        return replace(self, status=status, message=failure, ended_at=now)


def create_job(
    connection: sa.Connection, world: World, job_id: str, bytes_total: int, now: datetime
) -> ImportJob | None:
    """Create a job for a file that is stored already; None when too many of the account are unfinished."""
    if not may_begin(connection, world):
        return None
    job = ImportJob(job_id, world, ImportStatus.PENDING, bytes_total, 0, 0, 0, 0, [], None, now, None)
    values = {"id": job.id, "account_id": world.account_id, "mode": world.mode.value, "created_at": now}
    connection.execute(imports.insert().values(**values, bytes_total=bytes_total, **_moving(job), rejected=[]))
    return job


def may_begin(connection: sa.Connection, world: World) -> bool:
    """Tell whether the account has room for one more unfinished job."""
    waiting = sa.select(sa.func.count()).select_from(imports)
    of_account = (imports.c.account_id == world.account_id, imports.c.status.in_(_UNFINISHED))
    return int(connection.execute(waiting.where(*of_account)).scalar_one()) < UNFINISHED_MAX


def find_job(connection: sa.Connection, world: World, job_id: str) -> ImportJob | None:
    """Give the job of this id in this world."""
    of_world = (imports.c.account_id == world.account_id, imports.c.mode == world.mode.value)
    row = connection.execute(imports.select().where(*of_world, imports.c.id == job_id)).first()
    return None if row is None else _job(row)


def unfinished_jobs(connection: sa.Connection) -> list[ImportJob]:
    """Give the jobs of all accounts that wait or are under way, oldest first."""
    query = imports.select().where(imports.c.status.in_(_UNFINISHED)).order_by(imports.c.created_at, imports.c.id)
    return [_job(row) for row in connection.execute(query)]


def record(connection: sa.Connection, job: ImportJob, *, rejects_too: bool) -> None:
    """Write down how far a job is. Rejects can be long, so they are written only when there are new ones."""
    values = _moving(job) | ({"rejected": job.rejected} if rejects_too else {})
    connection.execute(imports.update().where(imports.c.id == job.id).values(**values))


def _moving(job: ImportJob) -> dict[str, Any]:
    """Give the columns that change while a job runs, but for its rejects."""
    return {
        "status": job.status.value,
        "bytes_read": job.bytes_read,
        "rows_total": job.rows_total,
        "rows_accepted": job.rows_accepted,
        "rows_rejected": job.rows_rejected,
        "message": job.message,
        "ended_at": job.ended_at,
    }


def _job(row: Any) -> ImportJob:
    return ImportJob(
        row.id,
        World(row.account_id, Mode(row.mode)),
        ImportStatus(row.status),
        row.bytes_total,
        row.bytes_read,
        row.rows_total,
        row.rows_accepted,
        row.rows_rejected,
        row.rejected,
        row.message,
        row.created_at,
        row.ended_at,
    )
